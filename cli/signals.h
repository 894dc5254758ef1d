// cli/signals.h
//
// Signals and requests to end, as one thing that the main thread waits for.
//
// Threads: made on the main thread before any other exists, so that all of them block the signals;
// Request and Fail from any thread; Wait from one.
#ifndef CONSUL_CLI_SIGNALS_H_
#define CONSUL_CLI_SIGNALS_H_

#include <atomic>
#include <chrono>
#include <optional>

namespace consul::cli {

class Signals {
 public:
  enum class Kind { kInterrupt, kTerminate, kHangUp, kRequest, kFailure };

  // Blocks SIGINT, SIGTERM and SIGHUP, and ignores SIGPIPE.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Makes Wait return kRequest: someone wants the agent to leave.
  void Request();
  // Makes Wait return kFailure: the agent cannot go on.
  void Fail();

  // The next that comes; nullopt when `timeout` is over first.
  std::optional<Kind> Wait(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

 private:
  std::atomic<bool> failed_{false};
  const int request_fd_;
  const int signal_fd_;
};

}  // namespace consul::cli

#endif  // CONSUL_CLI_SIGNALS_H_
