// What other threads call of a Node, and how it starts and ends.
#include "services/raft/node.h"

#include <pthread.h>

#include <utility>

#include "services/base/strings.h"
#include "services/raft/node_impl.h"
#include "services/raft/node_words.h"

namespace consul::raft {
namespace {

using base::StrCat;

// A question to the leader that was not answered in so many heartbeats is asked again.
constexpr int kAskAgainHeartbeats = 4;
// A read is given up after so many election timeouts: whoever holds the call asks anew.
constexpr int kReadWaitElections = 3;
// How far a server may lag behind what it was granted to read before its callers hear of it.
constexpr Duration kReadApplyMax = std::chrono::seconds(10);
// What a message takes beside its payload, at least.
constexpr uint64_t kMessageOverheadBytes = 128;

absl::Status NoLeader() { return absl::FailedPreconditionError("no leader is known"); }

// What a message holds in memory, for NodeOptions::inbox_bytes_max.
uint64_t BytesOf(const Message& message) {
  uint64_t bytes = kMessageOverheadBytes;
  if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    for (const Entry& entry : append->entries) bytes += entry.bytes();
  } else if (const auto* chunk = std::get_if<SnapshotChunk>(&message.body)) {
    bytes += chunk->bytes == nullptr ? 0 : chunk->bytes->size();
  } else if (const auto* forwarded = std::get_if<ForwardedProposals>(&message.body)) {
    for (const Buffer& command : forwarded->commands) {
      bytes += Entry::kOverheadBytes + (command == nullptr ? 0 : command->size());
    }
  }
  return bytes;
}

ReadBarriers::Limits ReadLimits(const Options& options) {
  return {.ask_again = options.heartbeat_interval * options.raft_multiplier * kAskAgainHeartbeats,
          .wait_max = options.election_timeout_max * options.raft_multiplier * kReadWaitElections,
          .apply_max = kReadApplyMax,
          .reads_max = options.reads_waiting_max,
          .entries_late = options.heartbeat_interval * options.raft_multiplier};
}

}  // namespace

absl::Status StoppedStatus() { return absl::CancelledError("this server is stopping"); }
absl::Status TooLateStatus() { return absl::FailedPreconditionError("this server is stopping"); }

absl::Status LostStatus() {
  return absl::UnknownError("leadership was lost: the command may yet be applied, or not");
}

NodeImpl::NodeImpl(NodeOptions options, StateMachine* state_machine, RecoveredNode recovered)
    : options_(std::move(options)),
      unseen_metrics_(options_.metrics == nullptr ? std::make_unique<base::Metrics>() : nullptr),
      all_metrics_(options_.metrics == nullptr ? unseen_metrics_.get() : options_.metrics),
      core_(options_.core, std::move(recovered.restart), BootNow()),
      handed_(core_.snapshot().index),
      told_applied_(handed_),
      forwarder_(handed_, recovered.id_seed),
      barriers_(ReadLimits(options_.core), recovered.id_seed),
      metrics_(all_metrics_),
      disk_(std::move(recovered.log), options_.group_bytes_max,
            [this](bool idle) { DiskSpoke(idle); }),
      snapshotter_(options_.snapshots, std::move(recovered.snapshots), &core_, &disk_, &apply_,
                   {.log = [this](LogLevel level, std::string_view text) { Log(level, text); },
                    .wake = [this] { Wake(); },
                    .took = metrics_.take_snapshot(),
                    .wrote = metrics_.write_snapshot(),
                    .compacted = metrics_.compact_logs()},
                   BootNow()),
      transfers_(options_.snapshots, &core_, &apply_, &snapshotter_,
                 {.log = [this](LogLevel level, std::string_view text) { Log(level, text); },
                  .wake = [this] { Wake(); },
                  .installed = [this](Index index) { OnInstalled(index); }}),
      apply_(state_machine, handed_, {.apply = metrics_.apply(),
              .restore = metrics_.restore(),
              .freeze = metrics_.freeze()},
             [this](Index, uint64_t bytes) { OnApplied(bytes); }) {
  const auto index = [](Index value) { return static_cast<double>(value.value); };
  all_metrics_->GaugeBy(this, "raft.applied_index", [=, this] { return index(apply_.applied()); });
  all_metrics_->GaugeBy(this, "raft.last_index", [=, this] { return index(status().last_index); });
}

void NodeImpl::Propose(Buffer command, std::optional<Term> term, ProposeCallback callback) {
  const uint64_t size = command == nullptr ? 0 : command->size();
  const uint64_t bytes = size + Entry::kOverheadBytes;
  absl::Status refused;
  if (size > options_.proposal_bytes_max) {
    refused = absl::InvalidArgumentError(StrCat("a command of ", size,
                                                " bytes exceeds the limit of ",
                                                options_.proposal_bytes_max, " bytes"));
  } else if (!view_.leader_known()) {
    refused = NoLeader();
  } else if (pending_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes >
             options_.pending_bytes_max) {
    pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    refused = absl::ResourceExhaustedError(
        StrCat("proposals that wait exceed the limit of ", options_.pending_bytes_max, " bytes"));
  } else {
    Inbox inbox;
    bool mine = false;
    bool wake = false;
    {
      base::MutexLock lock(&mutex_);
      if (stopping_) {
        refused = TooLateStatus();
      } else {
        inbox_.proposals.push_back({std::move(command), bytes, std::move(callback), term});
        mine = TakeQuietTurnLocked(&inbox);
        wake = !mine && WakeLocked();
      }
    }
    if (mine) return WorkHere(std::move(inbox), Bringer::kCaller);
    // A thread that is woken under the mutex would only wait for it.
    if (wake) wake_.Signal();
    if (refused.ok()) return;
    pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  }
  callback(std::move(refused));
}

void NodeImpl::ReadBarrier(ReadMode mode, ReadCallback callback) {
  // Whatever was acknowledged was applied here first, and nobody else can acknowledge anything.
  if (view_.alone()) return callback(absl::OkStatus());
  if (mode == ReadMode::kLease && view_.LeaseHolds(apply_.applied())) {
    return callback(absl::OkStatus());
  }
  absl::Status refused;
  if (!view_.leader_known()) {
    refused = NoLeader();
  } else {
    Inbox inbox;
    bool mine = false;
    bool wake = false;
    {
      base::MutexLock lock(&mutex_);
      if (stopping_) {
        refused = StoppedStatus();
      } else if (inbox_.reads.size() >= options_.core.reads_waiting_max) {
        refused = absl::ResourceExhaustedError(
            StrCat("reads that wait exceed the limit of ", options_.core.reads_waiting_max));
      } else {
        inbox_.reads.push_back({mode, std::move(callback)});
        inbox_.reads_of[static_cast<size_t>(mode)] = true;
        mine = TakeQuietTurnLocked(&inbox);
        wake = !mine && HasDueReadsLocked() && WakeLocked();
      }
    }
    if (mine) return WorkHere(std::move(inbox), Bringer::kCaller);
    if (wake) wake_.Signal();
    if (refused.ok()) return;
  }
  callback(std::move(refused));
}

void NodeImpl::Receive(Message message) {
  const uint64_t bytes = BytesOf(message);
  Inbox inbox;
  bool mine = false;
  bool wake = false;
  {
    base::MutexLock lock(&mutex_);
    if (stopping_ || inbox_.messages_bytes + bytes > options_.inbox_bytes_max) return;
    inbox_.messages_bytes += bytes;
    inbox_.messages.push_back(std::move(message));
    mine = TakeTurnLocked(&inbox);
    wake = !mine && WakeLocked();
  }
  if (mine) return WorkHere(std::move(inbox), Bringer::kPeer);
  if (wake) wake_.Signal();
}

void NodeImpl::StreamBroken(ServerId peer) {
  base::MutexLock lock(&mutex_);
  if (stopping_) return;
  inbox_.broken.push_back(std::move(peer));
  if (WakeLocked()) wake_.Signal();
}

void NodeImpl::Bootstrap(Configuration configuration, ChangeCallback done) {
  if (configuration.voters_count() == 0) {
    return done(absl::InvalidArgumentError("the configuration names no voter"));
  }
  Give({std::move(configuration), std::move(done)});
}

void NodeImpl::ChangeMembership(MembershipChange change, ChangeCallback done) {
  Give({std::move(change), std::move(done)});
}

void NodeImpl::TransferLeadership(ServerId target, ChangeCallback done) {
  Give({TransferOrder{std::move(target)}, std::move(done)});
}

void NodeImpl::Give(Order order) {
  {
    base::MutexLock lock(&mutex_);
    if (!stopping_) {
      inbox_.orders.push_back(std::move(order));
      if (WakeLocked()) wake_.Signal();
      return;
    }
  }
  order.done(StoppedStatus());
}

Leader NodeImpl::leader() const {
  ServerId id = view_.leader();
  std::string address = id.empty() ? std::string() : AddressOf(id);
  return {std::move(id), std::move(address)};
}

std::map<std::string, std::string> NodeImpl::Stats() const {
  return WordStats({.status = status(),
                    .last_term = view_.last_term(),
                    .snapshot = view_.snapshot(),
                    .configuration = configuration(),
                    .apply_pending = apply_.pending(),
                    .address_of = [this](const ServerId& id) { return AddressOf(id); }});
}

std::string NodeImpl::AddressOf(const ServerId& id) const {
  if (id == options_.core.self) return options_.address;
  return options_.address_of ? options_.address_of(id) : std::string();
}

void NodeImpl::WakeUp() {
  const LogLine initial =
      WordInitial(core_.configuration(), [this](const ServerId& id) { return AddressOf(id); });
  Log(initial.level, initial.text);
  Pump();
}

void NodeImpl::Start() {
  if (options_.bootstrap) {
    core_.Bootstrap(BootNow(), Configuration({{options_.core.self, MemberKind::kVoter}}));
  }
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "raft");
}

void NodeImpl::Stop() {
  all_metrics_->Forget(this);
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.Signal();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  transfers_.Stop();
  apply_.Stop();
  snapshotter_.Stop();
  if (absl::Status status = disk_.Stop(); !status.ok()) Log(LogLevel::kError, status.ToString());
}

// On the apply thread.
void NodeImpl::OnApplied(uint64_t bytes) {
  pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  base::MutexLock lock(&mutex_);
  applied_more_ = true;
  if (due_.when_applied && WakeLocked()) wake_.Signal();
}

void NodeImpl::Wake() {
  base::MutexLock lock(&mutex_);
  inbox_.woken = true;
  if (WakeLocked()) wake_.Signal();
}

// On the thread `disk`. While more is to be written, that comes first.
void NodeImpl::DiskSpoke(bool idle) {
  Inbox inbox;
  bool mine = false;
  {
    base::MutexLock lock(&mutex_);
    if (stopping_) return;
    inbox_.disk_spoke = true;
    mine = idle && TakeTurnLocked(&inbox);
    if (!mine && WakeLocked()) wake_.Signal();
  }
  if (mine) WorkHere(std::move(inbox), Bringer::kDisk);
}

absl::StatusOr<std::unique_ptr<Node>> Node::Open(NodeOptions options,
                                                 StateMachine* state_machine) {
  auto recovered = RecoverNode(options, state_machine);
  if (!recovered.ok()) return recovered.status();
  auto node = std::make_unique<NodeImpl>(options, state_machine, *std::move(recovered));
  absl::Status status = CheckIsOwn(options, node->core().configuration().configuration);
  if (!status.ok()) return status;
  node->WakeUp();
  return node;
}

}  // namespace consul::raft
