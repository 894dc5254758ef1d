#include "services/gossip/recent_intents.h"

namespace consul::gossip {

RecentIntents::PutResult RecentIntents::Put(Time now, std::string_view name,
                                            const Intent& intent) {
  const auto found = intents_.find(name);
  if (found != intents_.end() && now < found->second.until) {
    if (!IsNewer(intent, found->second.intent)) return PutResult::kOld;
    found->second = {intent, now + timeout_};
    return PutResult::kNewer;
  }
  if (found != intents_.end()) intents_.erase(found);
  if (intents_.size() >= intents_max_) DropOld(now);
  if (intents_.size() >= intents_max_) return PutResult::kFull;
  intents_.emplace(name, Kept{intent, now + timeout_});
  return PutResult::kNewer;
}

Intent RecentIntents::Take(Time now, std::string_view name) {
  const auto found = intents_.find(name);
  if (found == intents_.end()) return {};
  const Kept kept = found->second;
  intents_.erase(found);
  return now < kept.until ? kept.intent : Intent{};
}

void RecentIntents::DropOld(Time now) {
  std::erase_if(intents_, [now](const auto& entry) { return entry.second.until <= now; });
}

}  // namespace consul::gossip
