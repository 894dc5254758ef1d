// services/server/test_consensus.h
//
// Consensus for tests of what stands on it: a server alone, without a log. A command is applied by
// the real state machine inside Propose, unless the test says that writes wait or fail. And the log
// lines of whoever is tested.
//
// Threads: any.
#ifndef CONSUL_SERVICES_SERVER_TEST_CONSENSUS_H_
#define CONSUL_SERVICES_SERVER_TEST_CONSENSUS_H_

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/rpc/consensus.h"
#include "services/server/replicated_state.h"
#include "services/state/version.h"

namespace consul::server {

class TestConsensus : public rpc::Consensus {
 public:
  using Command = internal::raft::v1::Command;

  TestConsensus();

  View view() const override;
  void Propose(state::SealedCommand command,
               std::function<void(absl::StatusOr<rpc::Applied>)> done) override;
  void ReadBarrier(rpc::ReadMode, std::function<void(absl::Status)> done) override {
    done(absl::OkStatus());
  }

  // Leads from the start. Without a leader proposals are answered with REASON_NO_LEADER.
  void SetLeads(bool leads);
  // The next `count` proposals are answered with `status` instead of applied.
  void Fail(int count, absl::Status status);
  // Proposals wait from here on; Release applies and answers them.
  void Hold();
  void Release();
  // What waits is answered with `status` and is not applied; later proposals no longer wait.
  void Drop(const absl::Status& status);

  // Applies a command that somebody else proposed; CHECK-fails where it is refused.
  void Apply(Command command);

  // Everything that was proposed, whatever became of it, stamps left out.
  std::vector<Command> proposed() const;
  // The same in short, one text a command: "register a", "cluster-id", "collect 12".
  std::vector<std::string> Proposals() const;
  // For which term the last one was.
  std::optional<uint64_t> last_term() const;
  // Waits until so many were proposed. Returns Proposals(); after 10 s with fewer.
  std::vector<std::string> AwaitProposals(size_t count) const;

  state::VersionSource* state() { return &replicated_.source(); }
  std::shared_ptr<const state::Version> version();

 private:
  struct Waiting {
    std::string command;
    std::function<void(absl::StatusOr<rpc::Applied>)> done;
  };

  absl::StatusOr<rpc::Applied> ApplyLocked(const std::string& command) REQUIRES_LOCK(mutex_);

  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  ReplicatedState replicated_;
  bool leads_ GUARDED_BY(mutex_) = true;
  bool held_ GUARDED_BY(mutex_) = false;
  int failures_ GUARDED_BY(mutex_) = 0;
  absl::Status failure_ GUARDED_BY(mutex_);
  uint64_t index_ GUARDED_BY(mutex_) = 0;
  std::deque<Waiting> waiting_ GUARDED_BY(mutex_);
  std::vector<Command> proposed_ GUARDED_BY(mutex_);
  std::optional<uint64_t> last_term_ GUARDED_BY(mutex_);
};

// The lines of a logger, from the constructor to the destructor.
class LogLines : public base::Logger::Listener {
 public:
  explicit LogLines(base::Logger* logger);
  ~LogLines();

  std::vector<std::string> lines() const;
  // How many lines have this text in them.
  int Count(std::string_view text) const;
  // Waits until `text` stands in so many lines; false after 10 s with fewer.
  bool Await(std::string_view text, int count = 1) const;

 private:
  void OnLine(base::LogLevel level, std::string_view line) override;
  int CountLocked(std::string_view text) const REQUIRES_LOCK(mutex_);

  base::Logger* const logger_;
  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_TEST_CONSENSUS_H_
