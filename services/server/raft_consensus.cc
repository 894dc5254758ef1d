#include "services/server/raft_consensus.h"

#include <memory>
#include <optional>
#include <utility>

#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/fsm.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

absl::Status NoLeader() {
  return rpc::Error(errors::v1::REASON_NO_LEADER, "No cluster leader");
}

// What raft says of a command or a read that it could not carry out, as callers know it.
absl::Status FromRaft(const absl::Status& status) {
  const std::string_view text = base::ToStd(status.message());
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return status;
    case absl::StatusCode::kFailedPrecondition:
      return NoLeader();
    case absl::StatusCode::kResourceExhausted:
      return rpc::Error(errors::v1::REASON_OVERLOADED, text);
    case absl::StatusCode::kUnavailable:
      return rpc::Error(errors::v1::REASON_DISK_FULL, text);
    case absl::StatusCode::kAborted:
      // No majority writes. Somebody leads, and no disk need be full: no reason fits.
      return status;
    case absl::StatusCode::kInvalidArgument:
      return rpc::Error(errors::v1::REASON_TOO_LARGE, text);
    case absl::StatusCode::kCancelled:
      // The text alone would pass for a refusal.
      return rpc::Error(errors::v1::REASON_OUTCOME_UNKNOWN,
                        base::StrCat(text, "; the write may or may not have been done"));
    case absl::StatusCode::kUnknown:
      return rpc::Error(errors::v1::REASON_OUTCOME_UNKNOWN, text);
    default:
      return status;
  }
}

// A read changes nothing, so that it has no outcome that could be unknown.
absl::Status FromBarrier(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kUnknown) return NoLeader();
  if (status.code() == absl::StatusCode::kCancelled) {
    return rpc::Error(errors::v1::REASON_SHUTTING_DOWN, base::ToStd(status.message()));
  }
  return FromRaft(status);
}

absl::StatusOr<rpc::Applied> FromResult(absl::StatusOr<raft::Applied> applied) {
  if (!applied.ok()) return FromRaft(applied.status());
  const auto* const result = static_cast<const state::CommandResult*>(applied->result.get());
  if (result->reason != errors::v1::REASON_UNSPECIFIED) {
    return rpc::Error(result->reason, result->text, result->subject);
  }
  return rpc::Applied{.index = result->index, .changed = result->applied};
}

}  // namespace

rpc::Consensus::View RaftConsensus::view() const {
  const raft::Node* const node = node_.load(std::memory_order_acquire);
  if (node == nullptr) return {};
  const raft::NodeStatus status = node->status();
  const bool leads = status.role == raft::Role::kLeader;
  const bool ready = leads && status.leader_ready;
  return {.has_leader = leads ? ready : status.leader_known,
          .leads = ready,
          .leased = ready && status.lease_holds,
          .alone = ready && status.alone,
          .removed = status.leader_known && !status.member && !leads,
          .leader_known = status.leader_known,
          .last_contact =
              std::chrono::duration_cast<std::chrono::milliseconds>(status.last_contact)};
}

absl::Status RaftConsensus::CheckVersion(uint32_t version_min) {
  // Every write comes here: hardly one has to look at the state.
  if (version_min <= cluster_version_.load(std::memory_order_relaxed)) return absl::OkStatus();
  const auto newest = state_->Load();
  const uint32_t cluster = static_cast<const state::Version&>(*newest).cluster_version();
  if (version_min <= cluster) {
    cluster_version_.store(cluster, std::memory_order_relaxed);
    return absl::OkStatus();
  }
  const std::string without = without_(version_min);
  return rpc::Error(
      errors::v1::REASON_CLUSTER_TOO_OLD,
      base::StrCat("the command needs state machine version ", version_min,
                   ", and the cluster is at version ", cluster,
                   without.empty() ? "; its leader raises it when every voter is known to know it"
                                   : base::StrCat(": ", without)));
}

void RaftConsensus::Propose(state::SealedCommand command,
                            std::function<void(absl::StatusOr<rpc::Applied>)> done) {
  raft::Node* const node = node_.load(std::memory_order_acquire);
  if (node == nullptr) return done(NoLeader());
  if (absl::Status known = CheckVersion(command.cluster_version_min); !known.ok()) {
    return done(std::move(known));
  }
  std::optional<raft::Term> term;
  if (command.term.has_value()) term = raft::Term{*command.term};
  node->Propose(raft::MakeBuffer(std::move(command.bytes)), term,
                [done = std::move(done)](absl::StatusOr<raft::Applied> applied) {
                  done(FromResult(std::move(applied)));
                });
}

void RaftConsensus::ReadBarrier(rpc::ReadMode mode, std::function<void(absl::Status)> done) {
  raft::Node* const node = node_.load(std::memory_order_acquire);
  if (node == nullptr) return done(NoLeader());
  node->ReadBarrier(
      mode == rpc::ReadMode::kDefault ? raft::ReadMode::kLease : raft::ReadMode::kReadIndex,
      [done = std::move(done)](absl::Status status) { done(FromBarrier(status)); });
}

}  // namespace consul::server
