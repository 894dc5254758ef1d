#include "services/server/absences.h"

#include <utility>

namespace consul::server {

std::vector<std::string> Absences::Due(Time now, const std::vector<std::string>& absent) {
  std::map<std::string, Time> since;
  std::vector<std::string> due;
  for (const std::string& name : absent) {
    const auto known = since_.find(name);
    const Time from = known == since_.end() ? now : known->second;
    since.emplace(name, from);
    if (now - from >= grace_) due.push_back(name);
  }
  since_ = std::move(since);
  return due;
}

}  // namespace consul::server
