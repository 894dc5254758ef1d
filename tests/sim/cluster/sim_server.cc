#include "tests/sim/cluster/sim_server.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/strings.h"
#include "services/raft/core/text.h"
#include "services/state/snapshot.h"
#include "services/state/version.h"

namespace consul::sim {
namespace {

using base::StrCat;
using raft::Index;

}  // namespace

SimServer::SimServer(SimWorld* world, SimNetwork* network, ClusterChecks* checks,
                     const SimOptions& options, raft::ServerId id, uint64_t number, Hooks hooks)
    : world_(world),
      network_(network),
      checks_(checks),
      options_(options),
      id_(std::move(id)),
      number_(number),
      hooks_(std::move(hooks)),
      disk_(world, options, options.seed * 64 + number, DiskHooks()),
      apply_delay_max_(options.apply_delay_max) {}

SimDisk::Hooks SimServer::DiskHooks() {
  return {
      .after = [this](Duration delay,
                      std::function<void()> event) { After(delay, std::move(event)); },
      .persisted = [this](raft::PersistId id) { OnPersisted(id); },
      .snapshot_taken =
          [this](const raft::SnapshotMeta& meta, Index log_first) {
            core_->SnapshotTaken(LocalNow(), meta, log_first);
          },
      .fatal =
          [this](const absl::Status& why) {
            if (world_->tracing()) world_->Trace(StrCat(id_.value, ": ", why.ToString()));
            world_->After(Duration{0}, [this, life = lives_] {
              if (up() && lives_ == life) hooks_.died(this);
            });
          },
      .broken = [this](std::string what) { checks_->Break(StrCat(id_.value, ": ", what)); },
  };
}

SimCalls::Server SimServer::CallsServer() {
  return {
      .id = id_,
      .life = number_ * 10'000 + lives_,
      .core = core_.get(),
      .disk = &disk_,
      .now = [this] { return LocalNow(); },
      .view = [this] { return view(); },
      // Not checked: a term in it promises nothing.
      .send = [this](raft::Message message) { network_->Send(std::move(message)); },
      .after = [this](Duration delay,
                      std::function<void()> event) { After(delay, std::move(event)); },
  };
}

raft::ServerView SimServer::view() const {
  return {.id = id_, .core = core_.get(), .disk = &disk_.durable(), .clock = LocalNow()};
}

// ---- The process.

bool SimServer::Start(const raft::Configuration& first) {
  CONSUL_CHECK(!up());
  state_ = std::make_unique<server::ReplicatedState>([this](const absl::Status& status) {
    checks_->Break(StrCat(id_.value, " cannot apply: ", status.ToString()));
  });
  auto restart = disk_.Open(state_.get());
  if (!restart.ok()) {
    // The disk fails already while the log is read: as if it had done so a moment later.
    const bool disk_failed = disk_.files().fatal().has_value();
    if (!disk_failed && restart.status().code() != absl::StatusCode::kResourceExhausted) {
      checks_->Break(StrCat(id_.value, " does not start: ", restart.status().ToString()));
    }
    disk_.Stop(disk_failed ? base::Unsynced::kLost : base::Unsynced::kKept);
    return false;
  }
  ++lives_;
  if (world_->tracing()) world_->Trace(StrCat(id_.value, ": starts"));
  raft::Options core = options_.core;
  core.self = id_;
  core.seed = options_.seed * 1009 + number_ * 31 + lives_;
  core_ = std::make_unique<raft::Core>(core, *std::move(restart), LocalNow());
  calls_ = std::make_unique<SimCalls>(checks_, options_, CallsServer(), state_.get());
  if (!first.empty()) core_->Bootstrap(LocalNow(), first);
  Pump();
  return true;
}

void SimServer::Stop(base::Unsynced unsynced) {
  if (!up()) return;
  if (world_->tracing()) world_->Trace(StrCat(id_.value, ": stops"));
  calls_.reset();
  disk_.Stop(unsynced);
  state_.reset();
  core_.reset();
  persisted_ = {};
  after_persist_.clear();
  to_apply_.clear();
  apply_scheduled_ = false;
  timer_at_.reset();
  counted_.clear();
  paused_ = false;
  put_off_.clear();
  ++lives_;
  network_->EndStreams(id_);
  checks_->OnStop(id_);
}

void SimServer::After(Duration delay, std::function<void()> event) {
  world_->After(delay, [this, life = lives_, event = std::move(event)]() mutable {
    if (!up() || lives_ != life) return;
    Now(std::move(event));
  });
}

void SimServer::Now(std::function<void()> event) {
  if (paused_) {
    put_off_.push_back(std::move(event));
    return;
  }
  event();
  Pump();
}

void SimServer::Resume() {
  if (!paused_) return;
  paused_ = false;
  for (auto& event : std::exchange(put_off_, {})) {
    if (up()) Now(std::move(event));
  }
}

// ---- What comes in.

void SimServer::Receive(raft::Message message) {
  if (!up() || message.from == id_) return;
  Now([this, message = std::move(message)]() mutable {
    if (calls_->Receive(message)) return;
    if (options_.mistake == Mistake::kCommitOfOlderTerm) CountOlderTerms(message);
    core_->Receive(LocalNow(), std::move(message));
  });
}

void SimServer::StreamBroken(const raft::ServerId& peer) {
  if (!up()) return;
  Now([this, peer] {
    core_->StreamBroken(LocalNow(), peer);
    calls_->OnStreamBroken(peer);
  });
}

void SimServer::Begin(Request request, std::function<void(const Answer&)> done) {
  if (!up()) {
    Answer refused;
    refused.outcome = Answer::Outcome::kRefused;
    return done(refused);
  }
  if (paused_) {
    put_off_.push_back([this, request = std::move(request), done = std::move(done)]() mutable {
      calls_->Begin(std::move(request), std::move(done));
    });
    return;
  }
  calls_->Begin(std::move(request), std::move(done));
  Pump();
}

void SimServer::ChangeMembership(const raft::MembershipChange& change) {
  if (up()) Now([this, change] { core_->ChangeMembership(LocalNow(), change); });
}

void SimServer::TransferLeadership(const raft::ServerId& target) {
  if (up()) Now([this, target] { core_->TransferLeadership(LocalNow(), target); });
}

// ---- The driver.

// Until the core wants nothing more.
void SimServer::Pump() {
  while (checks_->broken().empty()) {
    raft::Output output = core_->TakeOutput();
    if (output.empty()) break;
    Handle(std::move(output));
  }
  RestoreWhenDue();
  calls_->AskLeader();
  hooks_.stepped();
  ArmTimer();
}

void SimServer::Handle(raft::Output output) {
  checks_->OnOutput(view(), output);
  if (world_->tracing()) {
    for (const raft::Fact& fact : output.facts) {
      world_->Trace(StrCat(id_.value, ": ", raft::ToText(fact)));
    }
    for (const raft::RoleChange& change : output.role_changes) {
      world_->Trace(StrCat(id_.value, ": ", raft::ToText(change)));
    }
    if (!output.persist.empty()) {
      world_->Trace(StrCat(id_.value, ": ", raft::ToText(output.persist)));
    }
  }
  // The persist is known to be under way before anything leaves beside it.
  AfterPersist then{output.messages_wait_for, std::move(output.messages_after_persist)};
  for (raft::Message& message : output.messages) Send(std::move(message));
  HandlePersist(std::move(output.persist), std::move(then));
  if (!output.committed.empty()) calls_->OnCommitted(output.committed);
  for (raft::Entry& entry : output.committed) to_apply_.push_back(std::move(entry));
  if (!to_apply_.empty()) ScheduleApply();
  for (const raft::ReadResult& result : output.reads) {
    checks_->OnReadAnswered(view(), result);
    calls_->OnReadResult(result);
  }
  for (const raft::LoadRequest& request : output.loads) {
    core_->EntriesLoaded(LocalNow(), request, disk_.Read(request));
  }
  for (const raft::SnapshotLoadRequest& request : output.snapshot_loads) {
    After(disk_.Latency(), [this, request] {
      core_->SnapshotChunkLoaded(LocalNow(), request, disk_.LoadChunk(request));
    });
  }
  for (raft::SnapshotStore& store : output.snapshot_stores) {
    After(disk_.Latency(), [this, store = std::move(store)] { Store(store); });
  }
  for (const raft::RoleChange& change : output.role_changes) calls_->OnRoleChange(change);
}

void SimServer::HandlePersist(raft::Persist persist, AfterPersist then) {
  if (!persist.empty()) {
    if (options_.mistake == Mistake::kVoteNotPersisted && persist.hard_state.has_value()) {
      persist.hard_state->voted_for = raft::ServerId{};
    }
    disk_.Persist(std::move(persist));
  }
  if (options_.mistake == Mistake::kAckBeforeDisk) then.wait_for = persisted_;
  if (!then.messages.empty()) after_persist_.push_back(std::move(then));
  SendDurable();
}

void SimServer::OnPersisted(raft::PersistId id) {
  persisted_ = id;
  core_->Persisted(LocalNow(), id);
  SendDurable();
}

void SimServer::SendDurable() {
  while (!after_persist_.empty() && after_persist_.front().wait_for <= persisted_) {
    const AfterPersist first = std::move(after_persist_.front());
    after_persist_.pop_front();
    for (const raft::Message& message : first.messages) Send(message);
  }
}

void SimServer::Send(raft::Message message) {
  checks_->OnSend(view(), message);
  if (options_.mistake == Mistake::kCommitOfOlderTerm) {
    if (auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body)) {
      heartbeat->commit = std::max(heartbeat->commit, CountedFor(message.to));
      heartbeat->commit_term = core_->log().TermAt(heartbeat->commit).value_or(raft::Term{});
    }
  }
  network_->Send(std::move(message));
}

void SimServer::ArmTimer() {
  const raft::Time deadline = std::min(core_->NextDeadline(), calls_->NextDeadline());
  if (deadline == raft::Time::max()) return;
  const TrueTime at = std::max(clock_.When(deadline), world_->now());
  if (timer_at_.has_value() && *timer_at_ <= at) return;
  timer_at_ = at;
  world_->After(at - world_->now(), [this, at, life = lives_] {
    if (!up() || lives_ != life || timer_at_ != at) return;
    timer_at_.reset();
    Now([this] {
      if (core_->NextDeadline() <= LocalNow()) core_->Tick(LocalNow());
    });
  });
}

// ---- The state machine.

void SimServer::ScheduleApply() {
  if (std::exchange(apply_scheduled_, true)) return;
  After(world_->Between(Duration{0}, apply_delay_max_), [this] { ApplyAll(); });
}

uint64_t SimServer::StateHash() const {
  const auto version = state_->source().Load();
  uint32_t crc = 0;
  uint64_t bytes = 0;
  const absl::Status status = state::WriteSnapshot(
      static_cast<const state::Version&>(*version), [&](std::string_view frame) {
        crc = base::ExtendCrc32c(crc, frame);
        bytes += frame.size();
        return absl::OkStatus();
      });
  CONSUL_CHECK(status.ok());
  return bytes << 32 | crc;
}

void SimServer::ApplyAll() {
  apply_scheduled_ = false;
  if (to_apply_.empty()) return;
  const std::vector<raft::Entry> entries = std::exchange(to_apply_, {});
  std::vector<raft::ApplyResult> results;
  state_->ApplyBatch(entries, &results);
  checks_->OnApplied(view(), entries, results, StateHash());
  if (!checks_->broken().empty()) return;
  core_->Applied(LocalNow(), entries.back().index);
  calls_->OnApplied(entries, results);
  TakeSnapshotWhenDue();
}

void SimServer::TakeSnapshotWhenDue() {
  const Index applied = core_->applied_index();
  if (disk_.writing_snapshot() || disk_.restoring() || disk_.restoring_due() ||
      applied - core_->snapshot().index < options_.snapshot_entries_min) {
    return;
  }
  const auto term = core_->log().TermAt(applied);
  CONSUL_CHECK(term.has_value());
  raft::SnapshotMeta at;
  at.index = applied;
  at.term = *term;
  at.configuration = core_->ConfigurationAt(applied);
  disk_.WriteSnapshot(std::move(at), state_->Freeze());
}

void SimServer::Store(const raft::SnapshotStore& store) {
  const auto stored = disk_.StoreChunk(store);
  if (!stored.ok()) return core_->SnapshotRefused(LocalNow(), store.meta.id);
  core_->SnapshotChunkStored(LocalNow(), store.meta.id, *stored);
}

void SimServer::RestoreWhenDue() {
  if (!disk_.restoring_due() || !core_->hard_state_durable()) return;
  ApplyAll();
  const absl::Status status = disk_.Restore(state_.get(), [this](const raft::SnapshotMeta& meta) {
    core_->SnapshotInstalled(LocalNow(), meta);
    calls_->OnInstalled(meta.index);
  });
  if (!status.ok()) {
    return checks_->Break(StrCat(id_.value, " cannot restore: ", status.ToString()));
  }
  const auto version = state_->source().Load();
  checks_->OnInstalled(id_, Index{static_cast<const state::Version&>(*version).index()},
                       StateHash());
}

// ---- A mistake.

void SimServer::CountOlderTerms(const raft::Message& message) {
  const auto* reply = std::get_if<raft::AppendReply>(&message.body);
  if (reply == nullptr || !reply->accepted || !leads() || message.term != core_->term()) return;
  if (std::exchange(counted_term_, core_->term()) != core_->term()) counted_.clear();
  counted_[message.from] = reply->match;
}

Index SimServer::CountedFor(const raft::ServerId& peer) const {
  if (!leads() || counted_term_ != core_->term() || !counted_.contains(peer)) return Index{0};
  std::vector<Index> matches{core_->durable_index()};
  for (const auto& [id, match] : counted_) matches.push_back(match);
  const size_t quorum = core_->configuration().configuration.quorum();
  if (matches.size() < quorum) return Index{0};
  std::sort(matches.begin(), matches.end(), std::greater<>());
  return std::min(matches[quorum - 1], counted_.at(peer));
}

}  // namespace consul::sim
