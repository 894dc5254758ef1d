#include "services/state/version_source.h"

#include <utility>

#include "services/base/check.h"

namespace consul::state {

void RetiredVersions::Push(const Versioned* version) {
  const Versioned* head = newest_.load(std::memory_order_relaxed);
  do {
    version->next_retired_ = head;
  } while (!newest_.compare_exchange_weak(head, version, std::memory_order_release,
                                          std::memory_order_relaxed));
}

size_t RetiredVersions::Free() {
  // Taking the whole list at once leaves no room for a node to come back under the same address.
  const Versioned* version = newest_.exchange(nullptr, std::memory_order_acquire);
  size_t freed = 0;
  while (version != nullptr) {
    const std::unique_ptr<const Versioned> owned(version);
    version = version->next_retired_;
    ++freed;
  }
  return freed;
}

VersionSource::VersionSource(std::unique_ptr<const Versioned> first)
    : retired_(std::make_shared<RetiredVersions>()) {
  CONSUL_CHECK(first != nullptr);
  newest_ = Share(std::move(first));
}

std::shared_ptr<const Versioned> VersionSource::Share(
    std::unique_ptr<const Versioned> version) const {
  return std::shared_ptr<const Versioned>(
      version.release(), [retired = retired_](const Versioned* gone) { retired->Push(gone); });
}

void VersionSource::MakeNewest(std::unique_ptr<const Versioned> version) {
  CONSUL_CHECK(version != nullptr);
  std::shared_ptr<const Versioned> newest = Share(std::move(version));
  {
    base::MutexLock lock(&mutex_);
    newest_.swap(newest);
  }
  counter_.fetch_add(1, std::memory_order_release);
}

std::vector<std::shared_ptr<Waiter>> VersionSource::Publish(
    std::unique_ptr<const Versioned> version, const SlotList& touched) {
  MakeNewest(std::move(version));
  return registry_.Notify(touched);
}

std::vector<std::shared_ptr<Waiter>> VersionSource::Replace(
    std::unique_ptr<const Versioned> version) {
  MakeNewest(std::move(version));
  return registry_.NotifyAll();
}

std::shared_ptr<const Versioned> VersionSource::Load() const {
  base::MutexLock lock(&mutex_);
  return newest_;
}

bool VersionSource::Park(const std::shared_ptr<Waiter>& waiter, const WatchSet& set,
                         uint64_t index) {
  registry_.Register(waiter, set);
  if (Load()->IndexOf(set) <= index) return true;
  // Once the writer has taken it out, it is fired: then it counts as parked.
  return !registry_.Cancel(waiter.get());
}

}  // namespace consul::state
