#include "cli/signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "services/base/check.h"

namespace consul::cli {
namespace {

int OpenSignalFd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  CONSUL_CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

}  // namespace

Signals::Signals()
    : request_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), signal_fd_(OpenSignalFd()) {
  CONSUL_CHECK(request_fd_ >= 0);
  CONSUL_CHECK(signal_fd_ >= 0);
}

Signals::~Signals() {
  close(request_fd_);
  close(signal_fd_);
}

void Signals::Request() {
  const uint64_t one = 1;
  CONSUL_CHECK(write(request_fd_, &one, sizeof(one)) == sizeof(one));
}

void Signals::Fail() {
  failed_.store(true);
  Request();
}

std::optional<Signals::Kind> Signals::Wait(std::optional<std::chrono::milliseconds> timeout) {
  for (;;) {
    pollfd fds[] = {{signal_fd_, POLLIN, 0}, {request_fd_, POLLIN, 0}};
    const int ready =
        poll(fds, 2, timeout.has_value() ? static_cast<int>(timeout->count()) : -1);
    if (ready == 0) return std::nullopt;
    signalfd_siginfo info;
    if (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGINT) return Kind::kInterrupt;
      return info.ssi_signo == SIGTERM ? Kind::kTerminate : Kind::kHangUp;
    }
    uint64_t count = 0;
    if (read(request_fd_, &count, sizeof(count)) == sizeof(count)) {
      return failed_.load() ? Kind::kFailure : Kind::kRequest;
    }
  }
}

}  // namespace consul::cli
