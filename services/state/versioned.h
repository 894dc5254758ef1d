// services/state/versioned.h
//
// What the machinery of reads knows of the thing that is read: an immutable version that can say
// the index of each place in it. The replicated state is one (version.h); local sources of an
// agent, like its events, are others.
//
// Threads: a published version is read by any thread. It is destroyed by the owner of its source
// (version_source.h).
#ifndef CONSUL_SERVICES_STATE_VERSIONED_H_
#define CONSUL_SERVICES_STATE_VERSIONED_H_

#include <algorithm>
#include <cstdint>

#include "services/state/watch_set.h"

namespace consul::state {

class Versioned {
 public:
  virtual ~Versioned() = default;
  Versioned() = default;
  Versioned(const Versioned&) = delete;
  Versioned& operator=(const Versioned&) = delete;

  // Index of the last change that this version includes, whether or not it changed anything.
  virtual uint64_t index() const = 0;

  // The index of a place: the highest of the entries and tombstones there and of the map's floor;
  // 0 where nothing ever was. Never falls from one version of a source to the next, unless the
  // source was restored from a snapshot.
  virtual uint64_t IndexOf(const Slot& slot) const = 0;

  // The index of a result that was read through `set`. Never below 1, for a client that is given 0
  // would ask again at once, for ever.
  uint64_t IndexOf(const WatchSet& set) const {
    uint64_t highest = 1;
    for (size_t i = 0; i < set.size(); ++i) highest = std::max(highest, IndexOf(set[i]));
    return highest;
  }

 private:
  friend class RetiredVersions;
  mutable const Versioned* next_retired_ = nullptr;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_VERSIONED_H_
