// services/gossip/broadcast_queue.h
//
// What a member has to tell everybody: each message goes out a limited number of times, in whatever
// room packets have left. What was sent least often goes first, of those the newest, so that news
// overtakes what most have heard already.
//
// Threads: none of its own; its owner's.
// Background: services/gossip/swim.md (Broadcasts).
#ifndef CONSUL_SERVICES_GOSSIP_BROADCAST_QUEUE_H_
#define CONSUL_SERVICES_GOSSIP_BROADCAST_QUEUE_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace consul::gossip {

// How often a message is sent before it has reached everybody in a pool of `members_count`, with a
// probability that grows with `retransmit_mult`.
int TransmitLimit(int retransmit_mult, size_t members_count);

class BroadcastQueue {
 public:
  BroadcastQueue(size_t messages_max, size_t bytes_max)
      : messages_max_(messages_max), bytes_max_(bytes_max) {}

  // Queues `bytes`. An earlier message with the same `topic` goes; an empty topic replaces nothing.
  // Returns how many messages were dropped to stay within the limits: those sent most often, and of
  // them the oldest.
  // REQUIRES: bytes is not empty.
  size_t Add(std::string_view topic, std::string bytes);

  // Appends messages to `out` while they fit into `room` bytes, and counts each as sent. One that
  // has been sent `transmits_max` times leaves the queue. Returns the bytes appended.
  size_t Take(size_t room, int transmits_max, std::string* out);

  // Whether a message with this topic still waits.
  bool Holds(std::string_view topic) const { return topics_.find(topic) != topics_.end(); }

  // Forgets the message with this topic, if there is one.
  void Cancel(std::string_view topic);

  void Clear();

  bool empty() const { return items_.empty(); }
  size_t size() const { return items_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  // The place in the queue: ascending.
  struct Place {
    int transmits = 0;
    uint64_t newest_first = 0;  // falls with each message added
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Item {
    std::string topic;
    std::string bytes;
  };
  using Items = std::map<Place, Item>;

  void Erase(Items::iterator item);

  const size_t messages_max_;
  const size_t bytes_max_;
  size_t bytes_ = 0;
  uint64_t next_ = ~uint64_t{0};
  Items items_;
  std::map<std::string, Place, std::less<>> topics_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_BROADCAST_QUEUE_H_
