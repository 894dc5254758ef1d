// cli/signals.h
//
// Signals and requests to end, as one thing that the main thread waits for.
//
// Threads: made on the main thread before any other exists, so that all of them block the signals;
// Request from any thread; Wait from one.
#ifndef CONSUL_CLI_SIGNALS_H_
#define CONSUL_CLI_SIGNALS_H_

#include <chrono>
#include <optional>

namespace consul::cli {

class Signals {
 public:
  enum class Kind { kInterrupt, kTerminate, kHangUp, kRequest };

  // Blocks SIGINT, SIGTERM and SIGHUP, and ignores SIGPIPE.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Makes Wait return kRequest.
  void Request();

  // The next that comes; nullopt when `timeout` is over first.
  std::optional<Kind> Wait(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

 private:
  const int request_fd_;
  const int signal_fd_;
};

}  // namespace consul::cli

#endif  // CONSUL_CLI_SIGNALS_H_
