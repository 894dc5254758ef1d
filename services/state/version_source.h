// services/state/version_source.h
//
// Where readers get the newest version of a source and wait for a newer one.
//
// Loading an atomic<shared_ptr> costs 393 ns when two threads do it, so each thread keeps a
// VersionCache: a copy that is refreshed only when the source's counter has moved, 1 ns otherwise.
//
// A version may be large and its entries are counted without atomics (held.h), so it is destroyed
// by its writer and by no other thread: dropping the last reference anywhere puts the version on a
// list, and the writer frees what is on it (FreeRetired).
//
// Threads: as said at each member. The writer is the one thread that calls Publish and Replace.
#ifndef CONSUL_SERVICES_STATE_VERSION_SOURCE_H_
#define CONSUL_SERVICES_STATE_VERSION_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "services/base/mutex.h"
#include "services/state/versioned.h"
#include "services/state/watch_registry.h"
#include "services/state/watch_set.h"

namespace consul::state {

// Versions that nobody holds any longer, until the writer frees them.
class RetiredVersions {
 public:
  RetiredVersions() = default;
  // Frees what is left: the last holder of a source's versions is its writer, by shutdown order.
  ~RetiredVersions() { Free(); }
  RetiredVersions(const RetiredVersions&) = delete;
  RetiredVersions& operator=(const RetiredVersions&) = delete;

  // Any thread; never blocks, never frees.
  void Push(const Versioned* version);
  // The writer. Returns how many were freed.
  size_t Free();

 private:
  std::atomic<const Versioned*> newest_{nullptr};
};

class VersionSource {
 public:
  // REQUIRES: `first` is not null.
  explicit VersionSource(std::unique_ptr<const Versioned> first);
  VersionSource(const VersionSource&) = delete;
  VersionSource& operator=(const VersionSource&) = delete;

  // The writer: makes `version` the newest, then takes out the waiters of what `touched` names and
  // returns them. The caller calls Fire on each, before it acknowledges the writes.
  std::vector<std::shared_ptr<Waiter>> Publish(std::unique_ptr<const Versioned> version,
                                               const SlotList& touched);
  // The writer: the same with a version of which anything may differ. Takes out all waiters.
  std::vector<std::shared_ptr<Waiter>> Replace(std::unique_ptr<const Versioned> version);
  // The writer: frees versions that nobody holds. Called after each Publish and when idle. Returns
  // how many.
  size_t FreeRetired() { return retired_->Free(); }

  // Any thread. Loops use a VersionCache instead.
  std::shared_ptr<const Versioned> Load() const;
  // Any thread: moves with each Publish.
  uint64_t counter() const { return counter_.load(std::memory_order_acquire); }

  // Any thread. Registers `waiter` on `set`, then looks whether the set's index is above `index`
  // in the newest version. If it is: returns false, and `waiter` is not registered and is not
  // fired; read again. Otherwise returns true: it is fired once when a write touches the set,
  // unless WatchRegistry::Cancel returns true before.
  // REQUIRES: `index` is the set's index in the version that the caller read, or larger.
  bool Park(const std::shared_ptr<Waiter>& waiter, const WatchSet& set, uint64_t index);

  WatchRegistry& registry() { return registry_; }

 private:
  void MakeNewest(std::unique_ptr<const Versioned> version);
  std::shared_ptr<const Versioned> Share(std::unique_ptr<const Versioned> version) const;

  const std::shared_ptr<RetiredVersions> retired_;
  WatchRegistry registry_;
  std::atomic<uint64_t> counter_{1};
  mutable base::Mutex mutex_;
  std::shared_ptr<const Versioned> newest_ GUARDED_BY(mutex_);
};

// One thread's copy of the newest version.
class VersionCache {
 public:
  explicit VersionCache(const VersionSource* source) : source_(source) {}

  // The newest version as of this call. The reference is valid until the next call of Get or Drop:
  // a call that waits copies the pointer.
  const std::shared_ptr<const Versioned>& Get() {
    const uint64_t counter = source_->counter();
    if (counter != counter_) {
      version_ = source_->Load();
      counter_ = counter;
    }
    return version_;
  }
  // Lets go of the copy. A loop does so within a second of its last read, or an idle loop would
  // keep an old version in memory for as long as it idles.
  void Drop() {
    version_.reset();
    counter_ = 0;
  }

 private:
  const VersionSource* const source_;
  uint64_t counter_ = 0;
  std::shared_ptr<const Versioned> version_;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_VERSION_SOURCE_H_
