#include "services/raft/proposal_forwarder.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::raft {
namespace {

absl::Status Unknown() {
  return absl::UnknownError(
      "the leader was lost: the command that it was given may yet be applied, or not");
}

absl::Status NeverApplied() {
  return absl::FailedPreconditionError(
      "leadership changed before the command was committed: it was not applied");
}

// The same codes as where the leader itself was asked.
absl::Status WhyRefused(ForwardStatus status, const ServerId& leader) {
  switch (status) {
    case ForwardStatus::kPlaced:
      break;
    case ForwardStatus::kNotLeader:
      return absl::FailedPreconditionError("the server that was asked does not lead");
    case ForwardStatus::kTransferring:
      return absl::FailedPreconditionError("leadership is being handed over");
    case ForwardStatus::kBusy:
      return absl::ResourceExhaustedError(
          "proposals that wait at the leader exceed the limit of bytes there");
    case ForwardStatus::kTooLarge:
      return absl::InvalidArgumentError("a command exceeds the leader's limit of bytes");
    case ForwardStatus::kDiskFull:
      return absl::UnavailableError(
          base::StrCat("the disk of the leader, server ", leader.value, ", is full"));
    case ForwardStatus::kNoMajority:
      return absl::AbortedError(base::StrCat(
          "no majority has written what the leader, server ", leader.value, ", has"));
  }
  return Unknown();
}

}  // namespace

ForwardedProposals ProposalForwarder::Forward(Time now, const ServerId& leader, Term term,
                                              std::vector<Proposed> batch) {
  CONSUL_CHECK(!batch.empty());
  ForwardedProposals message{.first_id = next_id_, .commands = {}};
  message.commands.reserve(batch.size());
  for (const Proposed& proposed : batch) message.commands.push_back(proposed.command);
  next_id_ += batch.size();
  const Time deadline = now + kForwardedWaitMax;
  expire_at_ = std::min(expire_at_, deadline);
  batches_.push_back({message.first_id, leader, term, deadline, std::move(batch)});
  return message;
}

void ProposalForwarder::Placed(const ServerId& from, Term term, const ProposalsPlaced& placed,
                               const std::function<std::optional<Term>(Index)>& term_at) {
  const auto found = std::find_if(batches_.begin(), batches_.end(), [&](const Batch& batch) {
    return batch.first_id == placed.first_id && batch.leader == from;
  });
  if (found == batches_.end()) return;  // given up meanwhile
  Batch batch = std::move(*found);
  batches_.erase(found);
  if (placed.status != ForwardStatus::kPlaced) {
    return RefuseBatch(std::move(batch), WhyRefused(placed.status, from));
  }
  if (placed.count != batch.commands.size()) return RefuseBatch(std::move(batch), Unknown());
  for (size_t i = 0; i < batch.commands.size(); ++i) {
    Place(placed.first + i, term, batch.deadline, std::move(batch.commands[i]), term_at);
  }
}

void ProposalForwarder::Place(Index index, Term term, Time deadline, Proposed command,
                              const std::function<std::optional<Term>(Index)>& term_at) {
  if (index <= handed_) {
    // The word of its place came behind the entry itself, which is rare: they take one way.
    const std::optional<Term> there = term_at(index);
    const bool other = there.has_value() && *there != term;
    return Refuse(std::move(command), other ? NeverApplied() : Unknown());
  }
  if (term < handed_term_) return Refuse(std::move(command), NeverApplied());
  placed_.emplace(index, PlacedCommand{term, deadline, command.bytes,
                                       std::move(command.callback)});
}

Time ProposalForwarder::EndOf(const PlacedCommand& command) const {
  const Time latest = command.deadline - kForwardedWaitMax + kPlacedWaitMax;
  return std::clamp(progressed_at_ + kForwardedWaitMax, command.deadline, latest);
}

void ProposalForwarder::Committed(Time now, std::span<const Entry> entries,
                                  std::vector<Waiter>* waiters) {
  CONSUL_CHECK(!entries.empty());
  const Index first = entries.front().index;
  const Index last = entries.back().index;
  handed_ = last;
  progressed_at_ = now;
  const bool later_term = entries.back().term > handed_term_;
  handed_term_ = entries.back().term;
  while (!placed_.empty() && placed_.begin()->first <= last) {
    auto node = placed_.extract(placed_.begin());
    const Index index = node.key();
    PlacedCommand& command = node.mapped();
    if (index < first) {
      // A snapshot stands for it, as SnapshotInstalled is about to say.
      refused_.push_back({std::move(command.callback), command.bytes, Unknown()});
    } else if (entries[index - first].term == command.term) {
      waiters->push_back({index, command.bytes, std::move(command.callback)});
    } else {
      refused_.push_back({std::move(command.callback), command.bytes, NeverApplied()});
    }
  }
  if (!later_term) return;
  // Terms only grow along a log: what an earlier leader placed further on is gone.
  RefusePlacedIf([this](Index, const PlacedCommand& c) { return c.term < handed_term_; },
                 NeverApplied());
}

void ProposalForwarder::SnapshotInstalled(Time now, Index index) {
  progressed_at_ = now;
  handed_ = std::max(handed_, index);
  RefusePlacedIf([index](Index at, const PlacedCommand&) { return at <= index; }, Unknown());
}

void ProposalForwarder::LeaderIs(Time now, Term term, const ServerId& leader) {
  for (Batch& batch : batches_) {
    if (batch.term == term && (leader.empty() || batch.leader == leader)) continue;
    batch.word_until = std::min(batch.word_until, now + kFormerLeaderWaitMax);
    expire_at_ = std::min(expire_at_, batch.end());
  }
}

void ProposalForwarder::StreamBroken(const ServerId& peer) {
  RefuseBatchesIf([&](const Batch& batch) { return batch.leader == peer; }, Unknown());
}

void ProposalForwarder::Expire(Time now) {
  if (now < expire_at_) return;
  RefuseBatchesIf([now](const Batch& batch) { return batch.end() <= now; }, Unknown());
  RefusePlacedIf([&](Index, const PlacedCommand& c) { return EndOf(c) <= now; }, Unknown());
  expire_at_ = Time::max();
  for (const Batch& batch : batches_) expire_at_ = std::min(expire_at_, batch.end());
  for (const auto& [index, command] : placed_) {
    expire_at_ = std::min(expire_at_, EndOf(command));
  }
}

void ProposalForwarder::RefuseAll(const absl::Status& why) {
  RefuseBatchesIf([](const Batch&) { return true; }, why);
  RefusePlacedIf([](Index, const PlacedCommand&) { return true; }, why);
}

std::vector<RefusedProposal> ProposalForwarder::TakeRefused() {
  return std::exchange(refused_, {});
}

void ProposalForwarder::Refuse(Proposed command, const absl::Status& why) {
  refused_.push_back({std::move(command.callback), command.bytes, why});
}

void ProposalForwarder::RefuseBatch(Batch batch, const absl::Status& why) {
  for (Proposed& command : batch.commands) Refuse(std::move(command), why);
}

void ProposalForwarder::RefuseBatchesIf(const std::function<bool(const Batch&)>& gone,
                                        const absl::Status& why) {
  std::deque<Batch> kept;
  for (Batch& batch : batches_) {
    if (gone(batch)) {
      RefuseBatch(std::move(batch), why);
    } else {
      kept.push_back(std::move(batch));
    }
  }
  batches_ = std::move(kept);
}

void ProposalForwarder::RefusePlacedIf(
    const std::function<bool(Index, const PlacedCommand&)>& gone, const absl::Status& why) {
  for (auto at = placed_.begin(); at != placed_.end();) {
    if (!gone(at->first, at->second)) {
      ++at;
      continue;
    }
    refused_.push_back({std::move(at->second.callback), at->second.bytes, why});
    at = placed_.erase(at);
  }
}

}  // namespace consul::raft
