// services/gossip/cluster_events.h
//
// User events: told to all members, each once. They spread by gossip; whoever missed some, because
// it was not there or the packets were lost, gets them after its next exchange with anybody.
//
// Threads: as Cluster.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_EVENTS_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_EVENTS_H_

#include <set>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/gossip/cluster_context.h"
#include "services/gossip/event_buffer.h"
#include "services/gossip/event_coalescer.h"
#include "services/gossip/types.h"

namespace consul::gossip {

class ClusterEvents {
 public:
  // Events before `min` are remembered, and not told.
  ClusterEvents(ClusterContext* context, LamportTime min);

  absl::Status Send(std::string_view name, std::string_view payload, bool coalesce);
  void Received(const internal::gossip::v1::UserEvent& event);
  void Received(const internal::gossip::v1::UserEvents& replay);

  // A join that is to ignore what was before it.
  void IgnoringJoinBegins(JoinId id) { ignoring_joins_.insert(id); }
  void JoinEnded(JoinId id) { ignoring_joins_.erase(id); }

  // What this member has seen, for the notes of its exchanges, and what another one has.
  void FillNote(internal::gossip::v1::Note* note) const;
  // Rises with what FillNote says, the clock aside.
  uint64_t version() const { return buffer_.version(); }
  void NoteReceived(std::string_view from, const internal::gossip::v1::Note& note, bool join);

  void Tick();
  Time NextDeadline() const { return coalescer_.deadline(); }

 private:
  // Whether the event is new. It is told unless it is from before `min_`, or `told` is false.
  bool Take(const UserEvent& event, bool told);
  void TellAll(std::vector<UserEvent> events);

  ClusterContext* const context_;
  EventBuffer buffer_;
  LamportTime min_;
  UserEventCoalescer coalescer_;
  std::set<JoinId> ignoring_joins_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_EVENTS_H_
