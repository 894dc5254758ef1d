#include "services/agent/config/config.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "services/base/strings.h"

namespace consul::agent::config {

std::string Endpoint::ToString() const {
  const bool v6 = address.find(':') != std::string::npos;
  return v6 ? base::StrCat("[", address, "]:", port) : base::StrCat(address, ":", port);
}

const char* LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace: return "TRACE";
    case LogLevel::kDebug: return "DEBUG";
    case LogLevel::kInfo: return "INFO";
    case LogLevel::kWarn: return "WARN";
    case LogLevel::kError: return "ERR";
  }
  return "";
}

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == "ERROR") return LogLevel::kError;
  constexpr std::array kLevels = {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo,
                                  LogLevel::kWarn, LogLevel::kError};
  for (const LogLevel level : kLevels) {
    if (upper == LogLevelName(level)) return level;
  }
  return std::nullopt;
}

}  // namespace consul::agent::config
