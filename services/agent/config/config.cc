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

std::optional<base::LogLevel> ParseLogLevel(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == "ERROR") return base::LogLevel::kError;
  constexpr std::array kLevels = {base::LogLevel::kTrace, base::LogLevel::kDebug,
                                  base::LogLevel::kInfo, base::LogLevel::kWarn,
                                  base::LogLevel::kError};
  for (const base::LogLevel level : kLevels) {
    if (upper == base::LogLevelName(level)) return level;
  }
  return std::nullopt;
}

}  // namespace consul::agent::config
