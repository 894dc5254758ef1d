// What a turn does for others: proposals and reads of callers here, those that servers
// which do not lead pass on, and what operators want of the cluster.
#include <utility>

#include "services/base/strings.h"
#include "services/raft/log_format.h"
#include "services/raft/node_impl.h"
#include "services/raft/node_words.h"

namespace consul::raft {
namespace {

using base::StrCat;

absl::Status NoLeader() { return absl::FailedPreconditionError("no leader is known"); }
absl::Status NotLeader() { return absl::FailedPreconditionError("this server does not lead"); }
absl::Status Transferring() {
  return absl::FailedPreconditionError("leadership is being handed over");
}

ForwardStatus ForwardStatusOf(ProposeStatus status) {
  switch (status) {
    case ProposeStatus::kAccepted:
      return ForwardStatus::kPlaced;
    case ProposeStatus::kNotLeader:
      return ForwardStatus::kNotLeader;
    case ProposeStatus::kTransferring:
      return ForwardStatus::kTransferring;
    case ProposeStatus::kBusy:
      return ForwardStatus::kBusy;
    case ProposeStatus::kTooLarge:
      return ForwardStatus::kTooLarge;
    case ProposeStatus::kNoMajority:
      return ForwardStatus::kNoMajority;
  }
  return ForwardStatus::kNotLeader;
}

absl::Status WhyNotChanged(MembershipStatus status) {
  switch (status) {
    case MembershipStatus::kAccepted:
      return absl::OkStatus();
    case MembershipStatus::kNotLeader:
      return NotLeader();
    case MembershipStatus::kTransferring:
      return Transferring();
    case MembershipStatus::kChangePending:
      return absl::FailedPreconditionError("an earlier change of members is not committed yet");
    case MembershipStatus::kTermNotCommitted:
      return absl::FailedPreconditionError("nothing of this leader's term is committed yet");
    case MembershipStatus::kNoChange:
      return absl::InvalidArgumentError("the server already is what was asked for");
    case MembershipStatus::kLastVoter:
      return absl::InvalidArgumentError("the last voter cannot be removed");
    case MembershipStatus::kTooMany:
      return absl::InvalidArgumentError(
          StrCat("members exceed the limit of ", Configuration::kMembersMax));
    case MembershipStatus::kBadId:
      return absl::InvalidArgumentError(StrCat("a server's id has 1 to ",
                                               Configuration::kIdBytesMax, " bytes"));
  }
  return NotLeader();
}

}  // namespace

// ---- Messages.

// Those between drivers are taken out; the rest is Core's.
void NodeImpl::Deliver(Time now, Message message) {
  if (message.to != options_.core.self || message.from == options_.core.self) return;
  if (auto* commands = std::get_if<ForwardedProposals>(&message.body)) {
    Accept(message.from, std::move(*commands));
  } else if (const auto* placed = std::get_if<ProposalsPlaced>(&message.body)) {
    forwarder_.Placed(message.from, message.term, *placed,
                      [this](Index index) { return core_.log().TermAt(index); });
  } else if (const auto* request = std::get_if<ReadIndexRequest>(&message.body)) {
    AskCore(now, request->mode, RemoteRead{message.from, request->id});
  } else if (const auto* reply = std::get_if<ReadIndexReply>(&message.body)) {
    barriers_.Answered(now, message.from, *reply);
  } else if (Admits(&message)) {
    metrics_.Received(now, message);
    SayRefusal(now, message);
    base::MetricSeries* const handling = metrics_.HandlingOf(message.body);
    const base::MetricTimer took;
    core_.Receive(now, std::move(message));
    if (handling != nullptr) handling->Add(took.ms());
  }
}

// ---- Proposals.

// One group's worth; the rest waits for the next.
void NodeImpl::TakeProposals() {
  if (core_.role() != Role::kLeader) return ForwardProposals();
  uint64_t records_bytes = 0;
  size_t count = 0;
  for (; count < proposals_.size(); ++count) {
    const uint64_t bytes = RecordBytes(proposals_[count].bytes - Entry::kOverheadBytes);
    if (count > 0 && records_bytes + bytes > options_.group_bytes_max) break;
    records_bytes += bytes;
  }
  if (count == 0) return;
  const std::optional<absl::Status> room = MakeRoom(records_bytes, kReservedForVotesBytes);
  if (!room.has_value()) return;
  std::vector<Proposed> batch;
  std::vector<Proposed> of_other_terms;
  batch.reserve(count);
  for (; count > 0; --count) {
    Proposed& next = proposals_.front();
    const bool ours = next.term.value_or(core_.term()) == core_.term();
    (ours ? batch : of_other_terms).push_back(std::move(next));
    proposals_.pop_front();
  }
  Refuse(&of_other_terms, NotLeader());
  if (batch.empty()) return;
  if (!room->ok()) return Refuse(&batch, HandOnFor(*room) ? Transferring() : FullDisk(*room));
  ProposeBatch(std::move(batch));
}

void NodeImpl::ProposeBatch(std::vector<Proposed> batch) {
  std::vector<Proposal> proposals;
  proposals.reserve(batch.size());
  for (Proposed& proposed : batch) {
    proposals.push_back({EntryKind::kCommand, std::move(proposed.command)});
  }
  const Time now = BootNow();
  const ProposeResult result = core_.Propose(now, std::move(proposals));
  switch (result.status) {
    case ProposeStatus::kAccepted:
      metrics_.Proposed(now, Index{result.first.value + batch.size() - 1}, batch.size());
      for (size_t i = 0; i < batch.size(); ++i) {
        waiters_.push_back(
            {result.term, now, {result.first + i, batch[i].bytes, std::move(batch[i].callback)}});
      }
      return;
    case ProposeStatus::kNotLeader:
      return Refuse(&batch, NotLeader());
    case ProposeStatus::kTransferring:
      return Refuse(&batch, Transferring());
    case ProposeStatus::kBusy:
      return Refuse(&batch, absl::ResourceExhaustedError(
                                StrCat("uncommitted entries exceed the limit of ",
                                       options_.core.uncommitted_bytes_max, " bytes")));
    case ProposeStatus::kTooLarge:
      return Refuse(&batch, absl::InvalidArgumentError(
                                StrCat("a command exceeds the limit of ",
                                       options_.core.append_bytes_max, " bytes")));
    case ProposeStatus::kNoMajority:
      return Refuse(&batch, absl::AbortedError(WordNoMajority()));
  }
}

// All that came, in messages of what one request of entries may hold.
void NodeImpl::ForwardProposals() {
  if (proposals_.empty()) return;
  const ServerId leader = core_.leader();
  std::vector<Proposed> batch;
  uint64_t bytes = 0;
  const auto flush = [&] {
    if (batch.empty()) return;
    bytes = 0;
    std::vector<Proposed> full = std::exchange(batch, {});
    if (leader.empty()) return Refuse(&full, NoLeader());
    // They would be applied here only once there is room, and nobody can say when that is.
    if (!disk_full_.ok()) return Refuse(&full, disk_full_);
    Send(leader, forwarder_.Forward(BootNow(), leader, core_.term(), std::move(full)));
  };
  std::vector<Proposed> own;  // that only this server may propose
  for (Proposed& proposed : std::exchange(proposals_, {})) {
    if (proposed.term.has_value()) {
      own.push_back(std::move(proposed));
      continue;
    }
    if (bytes + proposed.bytes > options_.core.append_bytes_max) flush();
    bytes += proposed.bytes;
    batch.push_back(std::move(proposed));
  }
  flush();
  Refuse(&own, NotLeader());
}

void NodeImpl::Accept(const ServerId& from, ForwardedProposals body) {
  if (body.commands.empty()) return;
  ProposalsPlaced answer{.first_id = body.first_id, .count = body.commands.size()};
  ForwardedBatch batch{.from = from, .body = std::move(body)};
  for (const Buffer& command : batch.body.commands) {
    batch.records_bytes += RecordBytes(command == nullptr ? 0 : command->size());
  }
  if (core_.role() != Role::kLeader) {
    answer.status = ForwardStatus::kNotLeader;
  } else if (forwarded_bytes_ + batch.records_bytes > options_.pending_bytes_max) {
    answer.status = ForwardStatus::kBusy;
  } else {
    forwarded_bytes_ += batch.records_bytes;
    forwarded_.push_back(std::move(batch));
    return;
  }
  Send(from, answer);
}

// As of proposals: one group's worth. Who leads no more has nothing to make room for.
void NodeImpl::TakeForwarded() {
  while (!forwarded_.empty() && core_.role() != Role::kLeader) {
    const ForwardedBatch batch = std::move(forwarded_.front());
    forwarded_.pop_front();
    forwarded_bytes_ -= batch.records_bytes;
    Send(batch.from, ProposalsPlaced{.first_id = batch.body.first_id,
                                     .count = batch.body.commands.size(),
                                     .status = ForwardStatus::kNotLeader});
  }
  uint64_t records_bytes = 0;
  while (!forwarded_.empty() && records_bytes < options_.group_bytes_max) {
    const std::optional<absl::Status> room =
        MakeRoom(forwarded_.front().records_bytes, kReservedForVotesBytes);
    if (!room.has_value()) return;
    ForwardedBatch batch = std::move(forwarded_.front());
    forwarded_.pop_front();
    forwarded_bytes_ -= batch.records_bytes;
    records_bytes += batch.records_bytes;
    ProposeForwarded(std::move(batch), *room);
  }
}

// The answer leaves before the entries do, on the same connection: so it is there before them.
void NodeImpl::ProposeForwarded(ForwardedBatch batch, const absl::Status& room) {
  ProposalsPlaced answer{.first_id = batch.body.first_id, .count = batch.body.commands.size()};
  if (!room.ok()) {
    answer.status = HandOnFor(room) ? ForwardStatus::kTransferring : ForwardStatus::kDiskFull;
    return Send(batch.from, answer);
  }
  std::vector<Proposal> proposals;
  proposals.reserve(batch.body.commands.size());
  for (Buffer& command : batch.body.commands) {
    proposals.push_back({EntryKind::kCommand, std::move(command)});
  }
  const ProposeResult result = core_.Propose(BootNow(), std::move(proposals));
  answer.status = ForwardStatusOf(result.status);
  answer.first = result.first;
  Send(batch.from, answer);
  if (result.status == ProposeStatus::kAccepted) {
    const Index last{result.first.value + answer.count - 1};
    metrics_.Proposed(BootNow(), last, answer.count);
    core_.WantsCommit(batch.from, last);
  }
}

void NodeImpl::Refuse(std::vector<Proposed>* batch, const absl::Status& why) {
  for (Proposed& proposed : *batch) {
    pending_bytes_.fetch_sub(proposed.bytes, std::memory_order_relaxed);
    proposed.callback(why);
  }
}

// The oldest. REQUIRES: there is one.
void NodeImpl::DropProposal(const absl::Status& why) {
  OwnWaiter own = std::move(waiters_.front());
  waiters_.pop_front();
  pending_bytes_.fetch_sub(own.waiter.bytes, std::memory_order_relaxed);
  own.waiter.callback(why);
}

void NodeImpl::DropWaiters(const absl::Status& why) {
  while (!waiters_.empty()) DropProposal(why);
  for (PendingChange& change : std::exchange(changes_, {})) change.done(why);
}

// ---- Reads.

void NodeImpl::TakeReads(Time now, std::vector<Read> reads) {
  const bool leads = core_.role() == Role::kLeader;
  for (Read& read : reads) {
    if (leads) {
      AskCore(now, read.mode, std::move(read.callback));
    } else {
      barriers_.Add(now, read.mode, std::move(read.callback));
    }
  }
}

void NodeImpl::AskCore(Time now, ReadMode mode, ReadOwner owner) {
  const ReadId id{++read_last_};
  if (mode == ReadMode::kReadIndex) metrics_.ConsistentRead();
  switch (core_.ReadRequest(now, id, mode)) {
    case ReadRequestStatus::kWaiting:
      reads_.emplace(id.value, std::move(owner));
      return;
    case ReadRequestStatus::kNotLeader:
      return AnswerRead(std::move(owner), ReadStatus::kNotLeader, Index{0});
    case ReadRequestStatus::kBusy:
      if (auto* read = std::get_if<ReadCallback>(&owner)) {
        return (*read)(absl::ResourceExhaustedError(StrCat("reads that wait exceed the limit of ",
                                                           options_.core.reads_waiting_max)));
      }
      return AnswerRead(std::move(owner), ReadStatus::kNotLeader, Index{0});
  }
}

void NodeImpl::AnswerRead(ReadOwner owner, ReadStatus status, Index index) {
  const bool granted = status == ReadStatus::kReady;
  if (const auto* remote = std::get_if<RemoteRead>(&owner)) {
    if (granted) core_.WantsCommit(remote->from, index);
    return Send(remote->from, ReadIndexReply{remote->id, granted, index});
  }
  std::get<ReadCallback>(owner)(
      granted ? absl::OkStatus() : absl::FailedPreconditionError("leadership was lost"));
}

// What this server waits for while it does not lead.
void NodeImpl::AskLeader(Time now) {
  if (!forwarder_.empty()) {
    forwarder_.LeaderIs(now, core_.term(), core_.leader());
    forwarder_.Expire(now);
  }
  if (!barriers_.empty()) {
    AnswerBarriers(now);
    // Who has come to lead has nobody to ask: its readers begin anew.
    const ServerId leader = core_.leader();
    const ServerId asked = leader == options_.core.self ? ServerId{} : leader;
    for (const ReadIndexRequest& request : barriers_.Ask(now, asked, core_.term())) {
      Send(asked, request);
    }
  }
  FlushAnswers();
}

void NodeImpl::AnswerBarriers(Time now) {
  barriers_.LeaderIs(core_.term(), core_.leader());
  barriers_.Applied(apply_.applied());
  if (!disk_full_.ok()) barriers_.RefuseBeyond(now, LastTaken(), disk_full_);
  barriers_.Expire(now);
}

void NodeImpl::FlushAnswers() {
  for (RefusedProposal& refused : forwarder_.TakeRefused()) {
    pending_bytes_.fetch_sub(refused.bytes, std::memory_order_relaxed);
    refused.callback(refused.why);
  }
  for (AnsweredRead& read : barriers_.TakeAnswered()) read.callback(read.status);
}

// ---- Members.

void NodeImpl::TakeOrders(Time now) {
  while (!orders_.empty() && TakeOrder(now, &orders_.front())) orders_.pop_front();
}

// Returns false when it has to wait for room on the disk.
bool NodeImpl::TakeOrder(Time now, Order* order) {
  if (auto* configuration = std::get_if<Configuration>(&order->what)) {
    if (core_.Bootstrap(now, *configuration)) {
      bootstraps_.push_back(std::move(order->done));
    } else {
      order->done(absl::FailedPreconditionError("this server has raft state already"));
    }
  } else if (const auto* change = std::get_if<MembershipChange>(&order->what)) {
    return ChangeMembers(now, *change, &order->done);
  } else {
    Transfer(now, std::get<TransferOrder>(order->what).target, std::move(order->done));
  }
  return true;
}

// Who does not lead has nothing to make room for.
bool NodeImpl::ChangeMembers(Time now, const MembershipChange& change, ChangeCallback* done) {
  if (core_.role() != Role::kLeader) {
    (*done)(NotLeader());
    return true;
  }
  const std::string encoded = core_.configuration().configuration.Encode();
  const std::optional<absl::Status> room =
      MakeRoom(RecordBytes(encoded.size() + Configuration::kIdBytesMax + 2),
               kReservedForElectionsBytes);
  if (!room.has_value()) return false;
  const MembershipResult result =
      room->ok() ? core_.ChangeMembership(now, change) : MembershipResult{};
  if (!room->ok() || result.status != MembershipStatus::kAccepted) {
    (*done)(room->ok()         ? WhyNotChanged(result.status)
            : HandOnFor(*room) ? Transferring()
                               : FullDisk(*room));
    return true;
  }
  const LogLine line =
      WordChange(change, core_.configuration().configuration,
                 [this](const ServerId& id) { return AddressOf(id); });
  Log(line.level, line.text);
  changes_.push_back({result.index, result.term, now, std::move(*done)});
  return true;
}

void NodeImpl::AnswerChanges(const std::vector<Entry>& entries) {
  const Index first = entries.front().index;
  while (!changes_.empty() && changes_.front().index <= entries.back().index) {
    PendingChange change = std::move(changes_.front());
    changes_.pop_front();
    const bool same =
        change.index >= first && entries[change.index - first].term == change.term;
    change.done(same ? absl::OkStatus() : LostStatus());
  }
}

void NodeImpl::Transfer(Time now, const ServerId& target, ChangeCallback done) {
  switch (core_.TransferLeadership(now, target)) {
    case TransferStatus::kStarted:
      transfer_ = std::move(done);
      return;
    case TransferStatus::kNotLeader:
      return done(NotLeader());
    case TransferStatus::kInProgress:
      return done(Transferring());
    case TransferStatus::kNoTarget:
      return done(absl::InvalidArgumentError(
          target.empty() ? std::string("there is no other voter")
                         : StrCat("server ", target.value, " is not another voter")));
  }
}

}  // namespace consul::raft
