// services/state/watch_registry.h
//
// Who waits for which places of a source. A write fires exactly the waiters that watch a key it
// touched or a prefix of that key, absent keys included, each once.
//
// The race between reading and registering is closed by order: a waiter registers first and looks
// at the newest version afterwards; the writer publishes first and notifies afterwards. Whatever
// was published before the look is seen by it, whatever comes later finds the waiter registered.
// VersionSource::Publish and ::Park are those two orders; nothing else need know them.
//
// Limits: the slots of one waiter are bounded by WatchSet::kSlotsMax; the number of waiters by
// whoever parks calls. A waiter on one slot costs kLinkBytes beside itself.
//
// Threads: any, for all functions. One mutex, held for the time of a few list operations; Notify
// lets go of it between stretches of keys. No code of a waiter runs under it.
#ifndef CONSUL_SERVICES_STATE_WATCH_REGISTRY_H_
#define CONSUL_SERVICES_STATE_WATCH_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/mutex.h"
#include "services/state/watch_set.h"

namespace consul::state {

class WatchRegistry;

// Someone who waits. Fired at most once for each time that it is registered.
class Waiter {
 public:
  Waiter();
  virtual ~Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // A watched place was touched. Runs on the writer's thread, so it must not block: it posts to
  // the waiter's own executor, or clears a flag. May run after Cancel has returned false.
  virtual void Fire() = 0;

 private:
  friend class WatchRegistry;
  struct Bucket;
  struct Link;
  struct Watched;
  std::unique_ptr<Link[]> links_;
  uint32_t link_count_ = 0;
  std::shared_ptr<Waiter> self_;  // the registry's hold, while registered
};

class WatchRegistry {
 public:
  // Memory of a waiter for each slot that it watches.
  static constexpr size_t kLinkBytes = 32;

  WatchRegistry();
  ~WatchRegistry();
  WatchRegistry(const WatchRegistry&) = delete;
  WatchRegistry& operator=(const WatchRegistry&) = delete;

  // REQUIRES: `waiter` is not registered; `set` is not empty.
  void Register(std::shared_ptr<Waiter> waiter, const WatchSet& set);

  // Returns true if the waiter was registered and will not be fired now. Returns false if it was
  // not: it never was, or it has been taken out to be fired and Fire runs soon or has run. Costs by
  // the waiter's slots, however many others wait.
  bool Cancel(Waiter* waiter);

  // Takes out the waiters of everything touched and returns them, each once; the caller fires them.
  // A touched prefix stands for every key beneath it.
  std::vector<std::shared_ptr<Waiter>> Notify(const SlotList& touched);

  // Takes out all waiters.
  std::vector<std::shared_ptr<Waiter>> NotifyAll();

  size_t waiter_count() const;

 private:
  // Touched keys looked up under one hold of the mutex.
  static constexpr size_t kNotifyStretch = 256;

  using Bucket = Waiter::Bucket;
  using Link = Waiter::Link;
  using Watched = Waiter::Watched;
  using Fired = std::vector<std::shared_ptr<Waiter>>;

  void Attach(Link* link, Waiter* waiter, const Slot& slot) REQUIRES_LOCK(mutex_);
  void Unlink(Waiter* waiter) REQUIRES_LOCK(mutex_);
  void FireBucket(Bucket* bucket, Fired* fired) REQUIRES_LOCK(mutex_);
  void FireKey(Watched* watched, std::string_view key, Fired* fired) REQUIRES_LOCK(mutex_);
  void FirePrefix(Watched* watched, std::string_view prefix, Fired* fired) REQUIRES_LOCK(mutex_);

  mutable base::Mutex mutex_;
  std::map<MapId, std::unique_ptr<Watched>> maps_ GUARDED_BY(mutex_);
  size_t waiter_count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_WATCH_REGISTRY_H_
