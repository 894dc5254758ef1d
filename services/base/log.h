// services/base/log.h
//
// The agent's log: lines of a level, a component and a text, to standard output and to whoever
// monitors. Lines are held back until the banner is out, so that the two never mix.
//
// Threads: any.
#ifndef CONSUL_SERVICES_BASE_LOG_H_
#define CONSUL_SERVICES_BASE_LOG_H_

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "services/base/mutex.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace consul::base {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError };

// As log lines carry it: "TRACE", "DEBUG", "INFO", "WARN", "ERR".
std::string_view LogLevelName(LogLevel level);

class Logger {
 public:
  // Takes each line that is logged, of any level, without its end. Must not log, nor block.
  class Listener {
   public:
    virtual void OnLine(LogLevel level, std::string_view line) = 0;

   protected:
    ~Listener() = default;
  };

  // Prints lines of `least` and above, once Release was called.
  explicit Logger(LogLevel least);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  // One line: "[INFO] raft: text".
  void Log(LogLevel level, std::string_view component, std::string_view text);
  void Info(std::string_view component, std::string_view text) {
    Log(LogLevel::kInfo, component, text);
  }
  void Warn(std::string_view component, std::string_view text) {
    Log(LogLevel::kWarn, component, text);
  }
  void Error(std::string_view component, std::string_view text) {
    Log(LogLevel::kError, component, text);
  }

  // Prints what was held back, and every line at once from here on.
  void Release();

  // A listener hears every line logged between the two calls.
  void Listen(Listener* listener);
  void Unlisten(Listener* listener);

 private:
  const LogLevel least_;
  Mutex mutex_;
  const std::unique_ptr<spdlog::logger> out_;
  bool held_ GUARDED_BY(mutex_) = true;
  std::deque<std::string> lines_ GUARDED_BY(mutex_);
  std::set<Listener*> listeners_ GUARDED_BY(mutex_);
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_LOG_H_
