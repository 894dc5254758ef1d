#include "services/server/test_consensus.h"

#include <chrono>
#include <cstdlib>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/command.h"

namespace consul::server {
namespace {

using internal::raft::v1::Command;

// A test that waits longer has failed.
constexpr auto kWait = std::chrono::seconds(10);

std::string InShort(const Command& command) {
  switch (command.command_case()) {
    case Command::kKvPut:
      return base::StrCat("put ", command.kv_put().key());
    case Command::kKvDelete:
      return base::StrCat("delete ", command.kv_delete().key());
    case Command::kKvDeleteTree:
      return base::StrCat("delete-tree ", command.kv_delete_tree().prefix());
    case Command::kCatalogRegister:
      return base::StrCat("register ", command.catalog_register().node().node());
    case Command::kCatalogDeregister:
      return base::StrCat("deregister ", command.catalog_deregister().node());
    case Command::kUpdateCoordinate:
      return base::StrCat("place ", command.update_coordinate().coordinate().node());
    case Command::kCollectTombstones:
      return base::StrCat("collect ", command.collect_tombstones().index());
    case Command::kSetClusterId:
      return command.set_cluster_id().version() == 0
                 ? "cluster-id"
                 : base::StrCat("cluster-id version=", command.set_cluster_id().version());
    case Command::kSetClusterVersion:
      return base::StrCat("cluster-version ", command.set_cluster_version().version());
    case Command::kSetAutopilotConfiguration:
      return "autopilot";
    case Command::kRestoreChunk:
      return base::StrCat("restore ", command.restore_chunk().id());
    case Command::kRestoreCommit:
      return base::StrCat("restored ", command.restore_commit().id());
    case Command::kRestoreDrop:
      return base::StrCat("drop restore ", command.restore_drop().id());
    case Command::COMMAND_NOT_SET:
      break;
  }
  return "unknown";
}

std::vector<std::string> AllInShort(const std::vector<Command>& commands) {
  std::vector<std::string> texts;
  for (const Command& command : commands) texts.push_back(InShort(command));
  return texts;
}

}  // namespace

TestConsensus::TestConsensus() : replicated_([](const absl::Status&) { std::abort(); }) {}

rpc::Consensus::View TestConsensus::view() const {
  base::MutexLock lock(&mutex_);
  return {.has_leader = leads_,
          .leads = leads_,
          .leased = leads_,
          .alone = leads_,
          .leader_known = leads_};
}

void TestConsensus::Propose(state::SealedCommand sealed,
                            std::function<void(absl::StatusOr<rpc::Applied>)> done) {
  std::string command = std::move(sealed.bytes);
  absl::StatusOr<rpc::Applied> answer;
  {
    base::MutexLock lock(&mutex_);
    Command& parsed = proposed_.emplace_back();
    CONSUL_CHECK(parsed.ParseFromString(command));
    parsed.clear_proposed_at();
    parsed.clear_min_version();
    last_term_ = sealed.term;
    changed_.SignalAll();
    if (!leads_) {
      answer = rpc::Error(errors::v1::REASON_NO_LEADER, "No cluster leader");
    } else if (failures_ > 0) {
      --failures_;
      answer = failure_;
    } else if (held_) {
      waiting_.push_back({std::move(command), std::move(done)});
      return;
    } else {
      answer = ApplyLocked(command);
    }
  }
  done(std::move(answer));
}

absl::StatusOr<rpc::Applied> TestConsensus::ApplyLocked(const std::string& command) {
  const raft::Entry entry{.term = raft::Term{1},
                          .index = raft::Index{++index_},
                          .kind = raft::EntryKind::kCommand,
                          .payload = raft::MakeBuffer(command)};
  std::vector<raft::ApplyResult> results;
  replicated_.ApplyBatch(std::span(&entry, 1), &results);
  const auto& result = *static_cast<const state::CommandResult*>(results[0].get());
  if (result.reason != errors::v1::REASON_UNSPECIFIED) {
    return rpc::Error(result.reason, result.text, result.subject);
  }
  return rpc::Applied{.index = result.index, .changed = result.applied};
}

std::optional<uint64_t> TestConsensus::last_term() const {
  base::MutexLock lock(&mutex_);
  return last_term_;
}

void TestConsensus::SetLeads(bool leads) {
  base::MutexLock lock(&mutex_);
  leads_ = leads;
}

void TestConsensus::Fail(int count, absl::Status status) {
  base::MutexLock lock(&mutex_);
  failures_ = count;
  failure_ = std::move(status);
}

void TestConsensus::Hold() {
  base::MutexLock lock(&mutex_);
  held_ = true;
}

void TestConsensus::Release() {
  for (;;) {
    Waiting next;
    absl::StatusOr<rpc::Applied> answer;
    {
      base::MutexLock lock(&mutex_);
      held_ = false;
      if (waiting_.empty()) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
      answer = ApplyLocked(next.command);
    }
    next.done(std::move(answer));
  }
}

void TestConsensus::Drop(const absl::Status& status) {
  std::deque<Waiting> waiting;
  {
    base::MutexLock lock(&mutex_);
    held_ = false;
    waiting.swap(waiting_);
  }
  for (const Waiting& each : waiting) each.done(status);
}

void TestConsensus::Apply(Command command) {
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(ApplyLocked(state::Seal(&command).bytes).ok());
}

std::vector<Command> TestConsensus::proposed() const {
  base::MutexLock lock(&mutex_);
  return proposed_;
}

std::vector<std::string> TestConsensus::Proposals() const { return AllInShort(proposed()); }

std::vector<std::string> TestConsensus::AwaitProposals(size_t count) const {
  const auto end = std::chrono::steady_clock::now() + kWait;
  base::MutexLock lock(&mutex_);
  while (proposed_.size() < count && std::chrono::steady_clock::now() < end) {
    changed_.WaitFor(&mutex_, end - std::chrono::steady_clock::now());
  }
  return AllInShort(proposed_);
}

std::shared_ptr<const state::Version> TestConsensus::version() {
  return std::static_pointer_cast<const state::Version>(state()->Load());
}

LogLines::LogLines(base::Logger* logger) : logger_(logger) { logger_->Listen(this); }

LogLines::~LogLines() { logger_->Unlisten(this); }

std::vector<std::string> LogLines::lines() const {
  base::MutexLock lock(&mutex_);
  return lines_;
}

int LogLines::Count(std::string_view text) const {
  base::MutexLock lock(&mutex_);
  return CountLocked(text);
}

int LogLines::CountLocked(std::string_view text) const {
  int count = 0;
  for (const std::string& line : lines_) count += line.find(text) != std::string::npos ? 1 : 0;
  return count;
}

bool LogLines::Await(std::string_view text, int count) const {
  const auto end = std::chrono::steady_clock::now() + kWait;
  base::MutexLock lock(&mutex_);
  while (CountLocked(text) < count) {
    if (std::chrono::steady_clock::now() >= end) return false;
    changed_.WaitFor(&mutex_, end - std::chrono::steady_clock::now());
  }
  return true;
}

void LogLines::OnLine(base::LogLevel, std::string_view line) {
  base::MutexLock lock(&mutex_);
  lines_.emplace_back(line);
  changed_.SignalAll();
}

}  // namespace consul::server
