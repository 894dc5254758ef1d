#include "services/gossip/suspicion.h"

#include <algorithm>
#include <cmath>

#include "services/gossip/member.h"

namespace consul::gossip {
namespace {

Duration Times(Duration duration, double factor) {
  return std::chrono::duration_cast<Duration>(duration * factor);
}

// Logarithmic, because the first confirmations say the most.
Duration TimeoutAt(const SuspicionBounds& bounds, int confirmations) {
  if (bounds.confirmations_max == 0) return bounds.timeout_min;
  const double share = std::log(confirmations + 1.0) / std::log(bounds.confirmations_max + 1.0);
  const Duration timeout =
      bounds.timeout_max - Times(bounds.timeout_max - bounds.timeout_min, share);
  return std::max(bounds.timeout_min, timeout);
}

}  // namespace

SuspicionBounds BoundsFor(const SwimOptions& options, size_t living_count) {
  const double count = std::max<double>(1, static_cast<double>(living_count));
  const double scale = std::max(1.0, std::log10(count));
  SuspicionBounds bounds;
  bounds.timeout_min = Times(options.probe_interval, options.suspicion_mult * scale);
  bounds.timeout_max = bounds.timeout_min * options.suspicion_max_timeout_mult;
  bounds.confirmations_max = std::max(0, options.suspicion_mult - 2);
  // Neither the suspect nor the first accuser confirms.
  const bool too_few = living_count < static_cast<size_t>(bounds.confirmations_max) + 2;
  if (too_few || !options.lifeguard) bounds.confirmations_max = 0;
  if (bounds.confirmations_max == 0) bounds.timeout_max = bounds.timeout_min;
  return bounds;
}

Suspicion::Suspicion(const SuspicionBounds& bounds, Time start, std::string_view accuser)
    : bounds_(bounds), start_(start), timeout_(TimeoutAt(bounds, 0)) {
  accusers_.push_back(HashName(accuser));
}

bool Suspicion::Confirm(std::string_view accuser) {
  if (confirmations() >= bounds_.confirmations_max) return false;
  const uint64_t hash = HashName(accuser);
  if (std::find(accusers_.begin(), accusers_.end(), hash) != accusers_.end()) return false;
  accusers_.push_back(hash);
  timeout_ = TimeoutAt(bounds_, confirmations());
  return true;
}

void Suspicions::Begin(Slot slot, const Suspicion& suspicion) {
  End(slot);
  running_.emplace(slot, suspicion);
  due_.emplace(suspicion.deadline(), slot);
}

bool Suspicions::Confirm(Slot slot, std::string_view accuser) {
  const auto found = running_.find(slot);
  if (found == running_.end()) return false;
  const Time before = found->second.deadline();
  if (!found->second.Confirm(accuser)) return false;
  due_.erase({before, slot});
  due_.emplace(found->second.deadline(), slot);
  return true;
}

void Suspicions::End(Slot slot) {
  const auto found = running_.find(slot);
  if (found == running_.end()) return;
  due_.erase({found->second.deadline(), slot});
  running_.erase(found);
}

Slot Suspicions::TakeDue(Time now) {
  if (next_deadline() > now) return Slot{};
  const Slot slot = due_.begin()->second;
  End(slot);
  return slot;
}

void Suspicions::Postpone(Duration by) {
  due_.clear();
  for (auto& [slot, suspicion] : running_) {
    suspicion.Postpone(by);
    due_.emplace(suspicion.deadline(), slot);
  }
}

const Suspicion* Suspicions::Find(Slot slot) const {
  const auto found = running_.find(slot);
  return found == running_.end() ? nullptr : &found->second;
}

}  // namespace consul::gossip
