#include "services/state/watch_set.h"

#include <algorithm>

namespace consul::state {

void WatchSet::Add(MapId map, Slot::Kind kind, std::string_view bytes) {
  if (!slots_.empty()) {
    // A handler that visits rows of one prefix in turn adds the same slot again and again.
    const Slot last = slots_[slots_.size() - 1];
    if (last.map == map && last.kind == kind && last.bytes == bytes) return;
  }
  if (slots_.size() < kSlotsMax) {
    slots_.Add(map, kind, bytes);
    return;
  }
  std::vector<MapId> maps = {map};
  for (size_t i = 0; i < slots_.size(); ++i) {
    const MapId other = slots_[i].map;
    if (std::find(maps.begin(), maps.end(), other) == maps.end()) maps.push_back(other);
  }
  slots_.Clear();
  for (const MapId each : maps) slots_.AddPrefix(each, {});
}

}  // namespace consul::state
