// services/server/raft_members.h
//
// What autopilot and operators need of consensus: who takes part and how they are, and changes of
// that. RaftConsensus is the same for those who read and write.
//
// Threads: any.
#ifndef CONSUL_SERVICES_SERVER_RAFT_MEMBERS_H_
#define CONSUL_SERVICES_SERVER_RAFT_MEMBERS_H_

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/types.h"

namespace consul::server {

class RaftMembers {
 public:
  struct View {
    raft::ServerId self;
    // Leads, and has applied an entry of its own term.
    bool leads = false;
    raft::ServerId leader;  // empty: none known
    raft::Term term;
    raft::Index last_index;
    raft::PlacedConfiguration configuration;
    // Of all but this one, where it leads.
    std::vector<raft::MemberProgress> progress;
  };
  using Done = std::function<void(absl::Status)>;

  virtual ~RaftMembers() = default;

  virtual View view() const = 0;
  // On the leader. `done` runs once, on a thread of consensus or in the caller, and must be short.
  // Errors: REASON_NO_LEADER (nothing was done), REASON_OUTCOME_UNKNOWN, INVALID_ARGUMENT where
  // there is nothing to change or the last voter would go, FAILED_PRECONDITION while another change
  // is under way.
  virtual void Change(const raft::MembershipChange& change, Done done) = 0;
  // To `target`, or with an empty one to the voter that is furthest on. OK: this server leads no
  // more. DEADLINE_EXCEEDED: it was given up, and this server leads on.
  virtual void Transfer(const raft::ServerId& target, Done done) = 0;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_RAFT_MEMBERS_H_
