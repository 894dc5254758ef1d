// A turn: what comes in is told to Core, what Core wants is done, in the order that output.h
// states.
#include <algorithm>
#include <chrono>
#include <utility>

#include "services/base/strings.h"
#include "services/raft/node_impl.h"
#include "services/raft/node_words.h"

namespace consul::raft {
namespace {

using base::StrCat;

// A log that was not written for so long gets its mark synced: until then, a bit that the disk
// flips in the very last group after a power cut could be taken for a torn write.
constexpr Duration kSettleAfter = std::chrono::seconds(1);
// Messages that wait for the disk, more than a leader can make come of what it sends ahead of the
// acks: above it the oldest are dropped. Any message may be lost; of acks and answers to heartbeats
// the last says all, and a vote, or a question for one, that is so old has long been given up.
constexpr size_t kAfterPersistMax = 1024;
// How often a leader measures how long ago it heard its peers.
constexpr Duration kContactInterval = std::chrono::milliseconds(100);

}  // namespace

// Messages first: what they say of terms and leaders is what the rest has to go by. Reads are left.
void NodeImpl::TakeInbox(Time now, Inbox* inbox) {
  for (Message& message : inbox->messages) Deliver(now, std::move(message));
  for (const ServerId& peer : inbox->broken) {
    core_.StreamBroken(now, peer);
    forwarder_.StreamBroken(peer);
  }
  // An installed state is there before the core knows of it.
  if (const Index applied = std::min(apply_.applied(), handed_); applied > told_applied_) {
    told_applied_ = applied;
    core_.Applied(now, applied);
  }
  if (now >= core_.NextDeadline()) core_.Tick(now);
  for (Order& order : inbox->orders) orders_.push_back(std::move(order));
  for (Proposed& proposed : inbox->proposals) proposals_.push_back(std::move(proposed));
  std::vector<Read> reads = std::move(inbox->reads);
  *inbox = Inbox{};
  inbox->reads = std::move(reads);
}

// Nothing comes in any more: what is left waits in vain.
void NodeImpl::AnswerAll(Inbox inbox) {
  for (Proposed& proposed : inbox.proposals) proposals_.push_back(std::move(proposed));
  // These are in no log, nor on their way to one.
  for (Proposed& proposed : std::exchange(proposals_, {})) proposed.callback(TooLateStatus());
  DropWaiters(StoppedStatus());
  for (Read& read : inbox.reads) read.callback(StoppedStatus());
  for (auto& [id, owner] : std::exchange(reads_, {})) {
    if (auto* read = std::get_if<ReadCallback>(&owner)) (*read)(StoppedStatus());
  }
  for (Order& order : std::exchange(orders_, {})) order.done(StoppedStatus());
  for (Order& order : inbox.orders) order.done(StoppedStatus());
  for (ChangeCallback& done : std::exchange(bootstraps_, {})) done(StoppedStatus());
  if (transfer_) std::exchange(transfer_, nullptr)(StoppedStatus());
  forwarder_.RefuseAll(StoppedStatus());
  barriers_.RefuseAll(StoppedStatus());
  FlushAnswers();
}

// Until the core wants nothing more that can be done at once.
void NodeImpl::Pump() {
  for (;;) {
    Output output = core_.TakeOutput();
    admitted_bytes_ = 0;  // all of it is in there
    const bool nothing = output.empty();
    if (!nothing) Handle(&output);
    Publish();
    const bool news = TakeDisk();
    if (nothing && !news) return;
  }
}

void NodeImpl::Handle(Output* output) {
  // The thread `disk` writes beside all that follows; on this thread the write comes last.
  if (!output->persist.empty() && disk_.threaded()) disk_.Write(std::exchange(output->persist, {}));
  if (options_.transport != nullptr) {
    // Published before anybody hears of it: a lease must not outlive what the messages say.
    Publish();
    SendAll(std::move(output->messages));
  }
  for (Message& message : output->messages_after_persist) {
    after_persist_.push_back({output->messages_wait_for, std::move(message)});
  }
  while (after_persist_.size() > kAfterPersistMax) after_persist_.pop_front();
  SendDurable();
  // What was committed before leadership ended is answered before the rest is given up.
  if (!output->committed.empty()) HandCommitted(std::move(output->committed));
  Say(*output);
  for (const ReadResult& result : output->reads) {
    auto read = reads_.extract(result.id.value);
    if (!read.empty()) AnswerRead(std::move(read.mapped()), result.status, result.index);
  }
  for (LoadRequest& request : output->loads) disk_.Load(std::move(request));
  for (const SnapshotLoadRequest& request : output->snapshot_loads) {
    transfers_.Load(request, BootNow());
  }
  for (SnapshotStore& store : output->snapshot_stores) transfers_.Store(std::move(store));
  if (!output->persist.empty()) disk_.Write(std::move(output->persist));
}

void NodeImpl::Send(const ServerId& to, Body body) {
  Send(Message{options_.core.self, to, core_.term(), std::move(body)});
}

void NodeImpl::Send(Message message) {
  if (options_.transport == nullptr) return;
  if (core_.role() == Role::kLeader) metrics_.Sent(BootNow(), message);
  options_.transport->Send(std::move(message));
}

void NodeImpl::SendAll(std::vector<Message> messages) {
  for (Message& message : messages) Send(std::move(message));
}

// A vote was won before its winner leads, and time ran out before its candidate stood.
void NodeImpl::Say(const Output& output) {
  size_t facts_said = 0;
  const auto say_facts = [&](bool through_victory) {
    while (facts_said < output.facts.size()) {
      const Fact& fact = output.facts[facts_said];
      if (!through_victory && fact.kind == FactKind::kElectionWon) return;
      SayFact(fact);
      ++facts_said;
    }
  };
  for (const RoleChange& change : output.role_changes) {
    say_facts(/*through_victory=*/change.role == Role::kLeader);
    const bool led = role_.role == Role::kLeader;
    role_ = change;
    const auto line = WordRole(change, options_.address);
    if (line.has_value() && (line->text != said_role_ || change.role == Role::kCandidate)) {
      Log(line->level, line->text);
      said_role_ = line->text;
    }
    metrics_.Became(BootNow(), change.role);
    if (led && change.role != Role::kLeader) LeadershipLost();
    if (!led && change.role == Role::kLeader) SayPeers();
    Publish();
    if (options_.on_role_change) options_.on_role_change(change);
  }
  say_facts(/*through_victory=*/true);
}

void NodeImpl::SayFact(const Fact& fact) {
  metrics_.Happened(fact.kind);
  const LogLine line = WordFact(fact, core_.leader());
  Log(line.level, line.text);
  switch (fact.kind) {
    case FactKind::kConfigurationChanged:
    case FactKind::kConfigurationFellBack:
      SayPeers();
      break;
    case FactKind::kTransferGivenUp:
      if (transfer_) {
        std::exchange(transfer_, nullptr)(absl::DeadlineExceededError(
            StrCat("server ", fact.server.value, " did not take over in time, and may yet do so")));
      }
      break;
    default:
      break;
  }
}

// Whom this leader sends its log to.
void NodeImpl::SayPeers() {
  std::set<ServerId> peers;
  if (role_.role == Role::kLeader) {
    for (const Member& member : core_.configuration().configuration.members()) {
      if (member.id != options_.core.self) peers.insert(member.id);
    }
  }
  for (const ServerId& peer : peers) {
    if (said_peers_.contains(peer)) continue;
    Log(LogLevel::kInfo, StrCat("raft: added peer, starting replication: peer=", peer.value));
  }
  for (const ServerId& peer : said_peers_) {
    if (peers.contains(peer) || role_.role != Role::kLeader) continue;
    Log(LogLevel::kInfo, StrCat("raft: removed peer, stopping replication: peer=", peer.value,
                                " last-index=", core_.last_index().value));
  }
  said_peers_ = std::move(peers);
}

void NodeImpl::LeadershipLost() {
  DropWaiters(LostStatus());
  said_peers_.clear();
  peer_words_.Clear();
  if (transfer_) std::exchange(transfer_, nullptr)(absl::OkStatus());
}

void NodeImpl::HandCommitted(std::vector<Entry> entries) {
  ApplyBatch batch;
  while (!waiters_.empty() && waiters_.front().waiter.index <= entries.back().index) {
    OwnWaiter own = std::move(waiters_.front());
    waiters_.pop_front();
    // Two leaders may have come and gone since the last output: then another one's entry stands
    // there, and its result is not this one's.
    const Index index = own.waiter.index;
    if (index >= entries.front().index &&
        entries[index - entries.front().index].term == own.term) {
      batch.waiters.push_back(std::move(own.waiter));
    } else {
      pending_bytes_.fetch_sub(own.waiter.bytes, std::memory_order_relaxed);
      own.waiter.callback(LostStatus());
    }
  }
  if (core_.role() == Role::kLeader) {
    metrics_.Committed(BootNow(), entries.back().index, entries.size());
  }
  forwarder_.Committed(BootNow(), entries, &batch.waiters);
  AnswerChanges(entries);
  batch.entries = std::move(entries);
  handed_ = batch.entries.back().index;
  uint64_t bytes = 0;
  for (const Entry& entry : batch.entries) bytes += entry.bytes();
  snapshotter_.Handed(handed_, bytes);
  apply_.Push(std::move(batch));
}

// ---- The disk.

bool NodeImpl::IsOnlyMember() const {
  const Configuration& members = core_.configuration().configuration;
  return members.empty() || (members.members().size() == 1 && members.Contains(options_.core.self));
}

// Returns whether there was anything.
bool NodeImpl::TakeDisk() {
  std::vector<LogDisk::Event> events = disk_.Take();
  for (LogDisk::Event& event : events) {
    if (failed_) break;
    std::visit([this](auto& happened) { TakeEvent(std::move(happened)); }, event);
  }
  return !events.empty() && !failed_;
}

void NodeImpl::TakeEvent(LogDisk::Written written) {
  const Time now = BootNow();
  write_at_.reset();
  blocked_ = false;
  HasRoomAgain();
  settle_at_ = now + kSettleAfter;
  persisted_ = written.id;
  metrics_.Wrote(core_.role() == Role::kLeader, written.ms);
  core_.Persisted(now, written.id);
  if (core_.durable_index() > Index{0}) {
    for (ChangeCallback& done : std::exchange(bootstraps_, {})) done(absl::OkStatus());
  }
  SendDurable();
}

void NodeImpl::TakeEvent(LogDisk::Loaded loaded) {
  const LoadRequest& request = loaded.request;
  if (!loaded.entries.ok()) return Fail(loaded.entries.status());
  std::vector<Entry>& entries = *loaded.entries;
  if (request.peer.empty() && entries.empty() && request.first == handed_.Next()) {
    return Fail(absl::DataLossError(StrCat("the log has no entry ", request.first.value)));
  }
  // Asked for by an earlier leadership, and cut since.
  const bool stale = std::any_of(entries.begin(), entries.end(), [this](const Entry& entry) {
    return core_.log().TermAt(entry.index) != entry.term;
  });
  if (stale) entries.clear();
  if (stale && request.peer.empty() && request.first == handed_.Next()) {
    return Fail(absl::DataLossError(
        StrCat("the log's entry ", request.first.value, " is of another term")));
  }
  core_.EntriesLoaded(BootNow(), request, std::move(entries));
}

void NodeImpl::SendDurable() {
  while (!after_persist_.empty() && after_persist_.front().wait_for <= persisted_) {
    Send(std::move(after_persist_.front().message));
    after_persist_.pop_front();
  }
}

void NodeImpl::KeepDisk(Time now) {
  RetryFullDisk(now);
  if (settle_at_.has_value() && now >= *settle_at_) {
    settle_at_.reset();
    disk_.Settle();
  }
  if (TakeDisk()) Pump();
}

void NodeImpl::MeasureContact(Time now) {
  if (now < contact_at_ || core_.role() != Role::kLeader) return;
  contact_at_ = now + kContactInterval;
  const std::vector<MemberProgress> members = core_.Members();
  for (const MemberProgress& peer : members) metrics_.LastContact(now - peer.heard_at);
  for (const LogLine& line : peer_words_.OfSilent(now, members)) Log(line.level, line.text);
}

// Before the core moves back for it.
void NodeImpl::SayRefusal(Time now, const Message& message) {
  const auto* const reply = std::get_if<AppendReply>(&message.body);
  if (reply == nullptr || reply->accepted) return;
  if (core_.role() != Role::kLeader || message.term != core_.term()) return;
  const Index next = std::min(reply->refused, reply->hint_index.Next());
  const auto line = peer_words_.OfRefusal(now, message.from, AddressOf(message.from), next);
  if (line.has_value()) Log(line->level, line->text);
}

void NodeImpl::StepTransfers(Time now) {
  const auto told = transfers_.Step(now);
  if (!told.ok()) return Fail(told.status());
  if (*told) Pump();
}

// Before the core hands out what is behind it.
void NodeImpl::OnInstalled(Index index) {
  handed_ = told_applied_ = index;
  forwarder_.SnapshotInstalled(BootNow(), index);
}

// The file system has ended the process, unless it is a test's: then nothing more may be promised.
void NodeImpl::Fail(const absl::Status& why) {
  Log(LogLevel::kError, StrCat("raft: fatal: ", why.ToString()));
  options_.file_system->Fatal(why);
  failed_ = true;
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  DropWaiters(absl::UnknownError(StrCat("the log failed: ", why.ToString())));
}

void NodeImpl::Publish() {
  if (view_.Publish(core_, handed_) && options_.on_role_change) options_.on_role_change(role_);
}

}  // namespace consul::raft
