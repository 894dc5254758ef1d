#include "services/gossip/broadcast_queue.h"

#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include "services/base/check.h"

namespace consul::gossip {
namespace {

// A packet is looked at as full when this many messages in a row did not fit: the rest of a long
// queue would cost more to try than the room is worth.
constexpr int kMisfitsMax = 32;

}  // namespace

int TransmitLimit(int retransmit_mult, size_t members_count) {
  const double scale = std::ceil(std::log10(static_cast<double>(members_count) + 1));
  return retransmit_mult * static_cast<int>(scale);
}

size_t BroadcastQueue::Add(std::string_view topic, std::string bytes) {
  CONSUL_CHECK(!bytes.empty());
  Cancel(topic);
  const Place place{0, next_--};
  bytes_ += bytes.size();
  if (!topic.empty()) topics_.emplace(topic, place);
  items_.emplace(place, Item{std::string(topic), std::move(bytes)});
  size_t dropped = 0;
  while (items_.size() > messages_max_ || bytes_ > bytes_max_) {
    Erase(std::prev(items_.end()));
    ++dropped;
  }
  return dropped;
}

size_t BroadcastQueue::Take(size_t room, int transmits_max, std::string* out) {
  std::vector<Items::node_type> taken;
  size_t appended = 0;
  int misfits = 0;
  for (auto item = items_.begin(); item != items_.end() && misfits < kMisfitsMax;) {
    const auto here = item++;
    if (here->second.bytes.size() > room - appended) {
      ++misfits;
      continue;
    }
    *out += here->second.bytes;
    appended += here->second.bytes.size();
    if (here->first.transmits + 1 >= transmits_max) {
      Erase(here);
    } else {
      taken.push_back(items_.extract(here));
    }
  }
  for (Items::node_type& node : taken) {
    ++node.key().transmits;
    const auto topic = topics_.find(node.mapped().topic);
    if (topic != topics_.end()) topic->second = node.key();
    items_.insert(std::move(node));
  }
  return appended;
}

void BroadcastQueue::Cancel(std::string_view topic) {
  const auto found = topics_.find(topic);
  if (found != topics_.end()) Erase(items_.find(found->second));
}

void BroadcastQueue::Clear() {
  items_.clear();
  topics_.clear();
  bytes_ = 0;
}

void BroadcastQueue::Erase(Items::iterator item) {
  bytes_ -= item->second.bytes.size();
  const auto topic = topics_.find(item->second.topic);
  if (topic != topics_.end()) topics_.erase(topic);
  items_.erase(item);
}

}  // namespace consul::gossip
