#include "services/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "services/base/strings.h"

namespace consul::base {

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return "TRACE";
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kWarn:
      return "WARN";
    case LogLevel::kError:
      return "ERR";
  }
  return "";
}

Logger::Logger(LogLevel least)
    : least_(least),
      out_(std::make_unique<spdlog::logger>("agent",
                                            std::make_shared<spdlog::sinks::stdout_sink_st>())) {
  out_->set_pattern("%v");
  out_->flush_on(spdlog::level::info);
}

Logger::~Logger() { Release(); }

void Logger::Log(LogLevel level, std::string_view component, std::string_view text) {
  const std::string line = StrCat("[", LogLevelName(level), "] ", component, ": ", text);
  MutexLock lock(&mutex_);
  for (Listener* listener : listeners_) listener->OnLine(level, line);
  if (level < least_) return;
  if (held_) {
    lines_.push_back(line);
  } else {
    out_->info(spdlog::string_view_t(line.data(), line.size()));
  }
}

void Logger::Release() {
  MutexLock lock(&mutex_);
  held_ = false;
  for (const std::string& line : lines_) {
    out_->info(spdlog::string_view_t(line.data(), line.size()));
  }
  lines_.clear();
}

void Logger::Listen(Listener* listener) {
  MutexLock lock(&mutex_);
  listeners_.insert(listener);
}

void Logger::Unlisten(Listener* listener) {
  MutexLock lock(&mutex_);
  listeners_.erase(listener);
}

}  // namespace consul::base
