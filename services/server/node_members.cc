#include "services/server/node_members.h"

#include <utility>

#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::server {
namespace {

absl::Status NoLeader() {
  return rpc::Error(errors::v1::REASON_NO_LEADER, "No cluster leader");
}

bool Leads(const raft::Node* node) {
  return node != nullptr && node->status().role == raft::Role::kLeader;
}

// What raft says of a change, as callers know it.
absl::Status FromChange(const absl::Status& status) {
  if (absl::IsUnknown(status) || absl::IsCancelled(status)) {
    return rpc::Error(errors::v1::REASON_OUTCOME_UNKNOWN, base::ToStd(status.message()));
  }
  return status;
}

}  // namespace

RaftMembers::View NodeMembers::view() const {
  View view;
  view.self = self_;
  const raft::Node* const node = node_.load(std::memory_order_acquire);
  if (node == nullptr) return view;
  const raft::NodeStatus status = node->status();
  view.leads = status.role == raft::Role::kLeader && status.leader_ready;
  view.leader = node->leader().id;
  view.term = status.term;
  view.last_index = status.last_index;
  view.configuration = node->configuration();
  if (view.leads) view.progress = node->Members();
  return view;
}

void NodeMembers::Change(const raft::MembershipChange& change, Done done) {
  raft::Node* const node = node_.load(std::memory_order_acquire);
  if (!Leads(node)) return done(NoLeader());
  node->ChangeMembership(change, [this, done = std::move(done)](const absl::Status& status) {
    if (status.ok()) changed_();
    done(FromChange(status));
  });
}

void NodeMembers::Transfer(const raft::ServerId& target, Done done) {
  raft::Node* const node = node_.load(std::memory_order_acquire);
  if (!Leads(node)) return done(NoLeader());
  node->TransferLeadership(target, [done = std::move(done)](const absl::Status& status) {
    done(FromChange(status));
  });
}

}  // namespace consul::server
