// Clusters under random faults: messages lost, repeated, delayed and reordered; disks that lag and
// forget; crashes and restarts from what was durable; reads, membership changes, transfers and
// snapshots all the while. The invariants look after every step, and when the faults end the
// cluster must agree and move.
//
// A failure prints its seed. SEED=n runs that one alone; SEEDS=n runs n of them from SEED or 1.
#include <cstdlib>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "services/raft/core/test_cluster.h"
#include "services/raft/core/text.h"

namespace consul::raft {
namespace {

class RandomRun {
 public:
  RandomRun(uint64_t seed, int servers)
      : random_(seed), cluster_(MembersOf(servers), seed, OptionsOf(seed)) {
    for (const auto& [id, server] : cluster_.servers()) names_.push_back(id.value);
    cluster_.set_tail_entries_max(seed % 3 == 0 ? 2 : 1000);
  }

  // Runs `steps` random steps; returns what broke, or nothing.
  std::string Faults(int steps) {
    for (int i = 0; i < steps && cluster_.Broken().empty(); ++i) Step();
    return cluster_.Broken();
  }

  // No more faults: within ten seconds a write is committed everywhere, and the machines are equal.
  std::string Recover() {
    cluster_.Heal();
    for (const std::string& name : names_) {
      if (!cluster_.at(name).up()) cluster_.Restart(name);
      cluster_.ReleaseWrites(name);
      cluster_.at(name).hold_apply = false;
      cluster_.ApplyAll(cluster_.at(name));
      cluster_.Pump(cluster_.at(name));
    }
    std::string payload;
    for (int i = 0; i < 1000; ++i) {
      cluster_.Run(Ms(10), Ms(10));
      if (!cluster_.Broken().empty()) return cluster_.Broken();
      const std::string leader = cluster_.leader();
      if (leader.empty()) continue;
      if (payload.empty() || i % 100 == 0) {
        payload = base::StrCat("final", i);
        if (cluster_.Propose(leader, payload).status != ProposeStatus::kAccepted) payload.clear();
      }
      if (!payload.empty() && AllHave(leader, payload)) return "";
    }
    return base::StrCat("no agreement\n", Describe());
  }

  uint64_t committed() { return cluster_.invariants().committed_max().value; }
  size_t reads_answered() {
    size_t count = 0;
    for (const auto& [id, server] : cluster_.servers()) count += server.reads.size();
    return count;
  }

 private:
  static TestCluster::Members MembersOf(int servers) {
    TestCluster::Members members;
    for (int i = 0; i < servers; ++i) members.voters.push_back(std::string(1, 'a' + i));
    members.spares = {"x", "y"};
    return members;
  }

  static Options OptionsOf(uint64_t seed) {
    Options options;
    if (seed % 2 == 0) {  // every limit is met
      options.tail_bytes_max = 200;
      options.append_bytes_max = 150;
      options.in_flight_requests_max = 3;
      options.applying_bytes_max = 150;
      options.snapshot_chunk_bytes_max = 20;
    }
    return options;
  }

  uint64_t Below(uint64_t bound) { return random_() % bound; }
  std::string AnyServer() { return names_[Below(names_.size())]; }

  void Step() {
    const uint64_t dice = Below(1000);
    if (dice < 600) {
      StepWire();
    } else if (dice < 720) {
      cluster_.Advance(Ms(static_cast<int64_t>(1 + Below(20))));
    } else if (dice < 860) {
      StepClient();
    } else {
      StepFault();
    }
  }

  void StepWire() {
    if (cluster_.wire().empty()) {
      cluster_.Advance(Ms(static_cast<int64_t>(1 + Below(50))));
      return;
    }
    const uint64_t dice = Below(100);
    const size_t size = cluster_.wire().size();
    const size_t at = dice < 80 ? 0 : Below(size);
    if (dice % 20 == 19 || size > 500) {
      cluster_.Lose(at);
    } else {
      cluster_.Deliver(at, /*keep_copy=*/dice % 20 == 18);
    }
  }

  void StepClient() {
    const std::string leader = Below(10) == 0 ? AnyServer() : cluster_.leader();
    if (leader.empty() || !cluster_.at(leader).up()) return;
    const uint64_t dice = Below(100);
    if (dice < 60) {
      cluster_.Propose(leader, base::StrCat("v", ++proposed_));
    } else if (dice < 90) {
      cluster_.Read(leader, ++reads_, dice < 75 ? ReadMode::kLease : ReadMode::kReadIndex);
    } else if (dice < 97) {
      cluster_.Change(leader, static_cast<MembershipChange::Kind>(Below(4)), AnyServer());
    } else {
      cluster_.core(leader).TransferLeadership(cluster_.now(), Id(Below(2) ? AnyServer() : ""));
      cluster_.Pump(cluster_.at(leader));
    }
  }

  void StepFault() {
    const std::string name = AnyServer();
    TestCluster::Server& server = cluster_.at(name);
    if (!server.up()) {
      if (Below(3) == 0) cluster_.Restart(name);
      return;
    }
    const uint64_t dice = Below(100);
    if (dice < 8) {
      cluster_.Crash(name, Below(3), Below(3));
    } else if (dice < 25) {
      server.hold_writes = true;
    } else if (dice < 50) {
      if (!server.writes.empty()) {
        cluster_.FinishWrite(server);
        cluster_.Pump(server);
      }
    } else if (dice < 62) {
      cluster_.ReleaseWrites(name);
    } else if (dice < 70) {
      server.hold_apply = !server.hold_apply;
      if (!server.hold_apply) cluster_.ApplyAll(server);
      cluster_.Pump(server);
    } else if (dice < 76) {
      cluster_.TakeSnapshot(name, Below(4));
    } else if (dice < 84) {
      const bool leads = server.core->role() == Role::kLeader;
      server.core->StreamBroken(cluster_.now(), leads ? Id(AnyServer()) : server.core->leader());
      cluster_.Pump(server);
    } else if (dice < 90) {
      cluster_.Cut(name, AnyServer());
    } else if (dice < 92) {
      cluster_.CutOff(name);
    } else {
      cluster_.Heal();
    }
  }

  // Whether all members of the leader's configuration have applied `payload`, with equal machines.
  bool AllHave(const std::string& leader, const std::string& payload) {
    const auto& machine = cluster_.at(leader).machine;
    if (machine.empty() || machine.rbegin()->second != payload) return false;
    for (const Member& member :
         cluster_.core(leader).configuration().configuration.members()) {
      if (cluster_.at(member.id.value).machine != machine) return false;
    }
    return true;
  }

  std::string Describe() {
    std::string text;
    for (const auto& [id, server] : cluster_.servers()) {
      const Core& core = *server.core;
      base::StrAppend(&text, id.value, " ", ToText(core.role()), " term=", core.term().value,
                      " commit=", core.commit_index().value, " applied=",
                      core.applied_index().value, " last=", core.last_index().value, " base=",
                      core.log().base().index.value, " (",
                      ToText(core.configuration().configuration), ")\n");
    }
    cluster_.TakeTrace();
    cluster_.Run(Ms(1500));
    std::istringstream trace(cluster_.TakeTrace());
    for (std::string line; std::getline(trace, line) && text.size() < 8000;) {
      if (line.find("Heartbeat") == std::string::npos) text += line + "\n";
    }
    return text;
  }

  std::mt19937_64 random_;
  TestCluster cluster_;
  std::vector<std::string> names_;
  uint64_t proposed_ = 0;
  uint64_t reads_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class CoreRandomTest : public testing::TestWithParam<int> {};

TEST_P(CoreRandomTest, PromisesHoldUnderFaultsAndTheClusterRecovers) {
  const uint64_t first = FromEnvironment("SEED", 1);
  const uint64_t count =
      FromEnvironment("SEEDS", std::getenv("SEED") != nullptr ? 1 : 60);
  uint64_t committed = 0;
  size_t reads = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(base::StrCat("SEED=", seed));
    RandomRun run(seed, GetParam());
    ASSERT_EQ(run.Faults(3000), "");
    ASSERT_EQ(run.Recover(), "");
    committed += run.committed();
    reads += run.reads_answered();
  }
  // The runs did something: a test whose clusters never commit would find no fault with them.
  EXPECT_GT(committed, count * 20);
  EXPECT_GT(reads, count * 5);
}

INSTANTIATE_TEST_SUITE_P(Servers, CoreRandomTest, testing::Values(1, 3, 5),
                         [](const auto& info) { return base::StrCat("Of", info.param); });

}  // namespace
}  // namespace consul::raft
