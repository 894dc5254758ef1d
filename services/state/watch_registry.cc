#include "services/state/watch_registry.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "services/base/check.h"

namespace consul::state {

// A waiter's place in the list of those who wait for one slot.
struct Waiter::Link {
  Link* next = nullptr;
  Link** back = nullptr;  // what points at this link
  Waiter* waiter = nullptr;
  Bucket* bucket = nullptr;
};

// Those who wait for one slot. Lives inside the table it is found in, at a fixed address.
struct Waiter::Bucket {
  Link* first = nullptr;
  Watched* watched = nullptr;
  Slot::Kind kind = Slot::Kind::kKey;
  bool firing = false;  // being emptied by FireBucket, which erases it
  const std::string* bytes = nullptr;
};

// What is watched of one map.
struct Waiter::Watched {
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Buckets = std::unordered_map<std::string, Bucket, TextHash, std::equal_to<>>;

  Buckets keys;
  Buckets prefixes;
  // How many watched prefixes there are of each length: a touched key looks up one prefix of each.
  std::map<size_t, size_t> prefix_lengths;

  Buckets& of(Slot::Kind kind) { return kind == Slot::Kind::kKey ? keys : prefixes; }

  void Erase(Bucket* bucket) {
    if (bucket->kind == Slot::Kind::kPrefix) {
      const auto length = prefix_lengths.find(bucket->bytes->size());
      if (--length->second == 0) prefix_lengths.erase(length);
    }
    Buckets& buckets = of(bucket->kind);
    buckets.erase(buckets.find(*bucket->bytes));
  }
};

Waiter::Waiter() = default;
Waiter::~Waiter() { CONSUL_CHECK(links_ == nullptr); }

WatchRegistry::WatchRegistry() { static_assert(sizeof(Link) == kLinkBytes); }
WatchRegistry::~WatchRegistry() { NotifyAll(); }

void WatchRegistry::Register(std::shared_ptr<Waiter> waiter, const WatchSet& set) {
  CONSUL_CHECK(!set.empty());
  Waiter* const raw = waiter.get();
  auto links = std::make_unique<Link[]>(set.size());
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(raw->links_ == nullptr);
  raw->links_ = std::move(links);
  raw->link_count_ = static_cast<uint32_t>(set.size());
  raw->self_ = std::move(waiter);
  for (size_t i = 0; i < set.size(); ++i) Attach(&raw->links_[i], raw, set[i]);
  ++waiter_count_;
}

void WatchRegistry::Attach(Link* link, Waiter* waiter, const Slot& slot) {
  std::unique_ptr<Watched>& watched = maps_[slot.map];
  if (watched == nullptr) watched = std::make_unique<Watched>();
  Watched::Buckets& buckets = watched->of(slot.kind);
  auto found = buckets.find(slot.bytes);
  if (found == buckets.end()) {
    found = buckets.emplace(std::string(slot.bytes), Bucket()).first;
    found->second.watched = watched.get();
    found->second.kind = slot.kind;
    found->second.bytes = &found->first;
    if (slot.kind == Slot::Kind::kPrefix) ++watched->prefix_lengths[slot.bytes.size()];
  }
  Bucket* const bucket = &found->second;
  link->waiter = waiter;
  link->bucket = bucket;
  link->next = bucket->first;
  link->back = &bucket->first;
  if (link->next != nullptr) link->next->back = &link->next;
  bucket->first = link;
}

void WatchRegistry::Unlink(Waiter* waiter) {
  for (uint32_t i = 0; i < waiter->link_count_; ++i) {
    Link& link = waiter->links_[i];
    *link.back = link.next;
    if (link.next != nullptr) link.next->back = link.back;
    Bucket* const bucket = link.bucket;
    if (bucket->first == nullptr && !bucket->firing) bucket->watched->Erase(bucket);
  }
  waiter->links_.reset();
  waiter->link_count_ = 0;
  --waiter_count_;
}

bool WatchRegistry::Cancel(Waiter* waiter) {
  std::shared_ptr<Waiter> self;  // dropped after the mutex
  base::MutexLock lock(&mutex_);
  if (waiter->links_ == nullptr) return false;
  Unlink(waiter);
  self = std::move(waiter->self_);
  return true;
}

void WatchRegistry::FireBucket(Bucket* bucket, Fired* fired) {
  bucket->firing = true;
  while (bucket->first != nullptr) {
    Waiter* const waiter = bucket->first->waiter;
    Unlink(waiter);
    fired->push_back(std::move(waiter->self_));
  }
  bucket->watched->Erase(bucket);
}

void WatchRegistry::FireKey(Watched* watched, std::string_view key, Fired* fired) {
  if (const auto found = watched->keys.find(key); found != watched->keys.end()) {
    FireBucket(&found->second, fired);
  }
  // Firing may drop any length, so each step starts from the last one's value.
  auto length = watched->prefix_lengths.begin();
  while (length != watched->prefix_lengths.end() && length->first <= key.size()) {
    const size_t size = length->first;
    const auto found = watched->prefixes.find(key.substr(0, size));
    if (found != watched->prefixes.end()) FireBucket(&found->second, fired);
    length = watched->prefix_lengths.upper_bound(size);
  }
}

void WatchRegistry::FirePrefix(Watched* watched, std::string_view prefix, Fired* fired) {
  for (const Slot::Kind kind : {Slot::Kind::kKey, Slot::Kind::kPrefix}) {
    Watched::Buckets& buckets = watched->of(kind);
    std::vector<std::string> hit;
    for (const auto& [bytes, bucket] : buckets) {
      const bool above = kind == Slot::Kind::kPrefix && prefix.starts_with(bytes);
      if (above || bytes.starts_with(prefix)) hit.push_back(bytes);
    }
    for (const std::string& bytes : hit) {
      const auto found = buckets.find(bytes);
      if (found != buckets.end()) FireBucket(&found->second, fired);
    }
  }
}

std::vector<std::shared_ptr<Waiter>> WatchRegistry::Notify(const SlotList& touched) {
  Fired fired;
  for (size_t begin = 0; begin < touched.size(); begin += kNotifyStretch) {
    const size_t end = std::min(touched.size(), begin + kNotifyStretch);
    base::MutexLock lock(&mutex_);
    if (waiter_count_ == 0) continue;
    for (size_t i = begin; i < end; ++i) {
      const Slot slot = touched[i];
      const auto found = maps_.find(slot.map);
      if (found == maps_.end()) continue;
      if (slot.kind == Slot::Kind::kKey) {
        FireKey(found->second.get(), slot.bytes, &fired);
      } else {
        FirePrefix(found->second.get(), slot.bytes, &fired);
      }
    }
  }
  return fired;
}

std::vector<std::shared_ptr<Waiter>> WatchRegistry::NotifyAll() {
  Fired fired;
  base::MutexLock lock(&mutex_);
  for (const auto& [map, watched] : maps_) FirePrefix(watched.get(), {}, &fired);
  return fired;
}

size_t WatchRegistry::waiter_count() const {
  base::MutexLock lock(&mutex_);
  return waiter_count_;
}

}  // namespace consul::state
