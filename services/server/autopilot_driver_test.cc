// Goal: what the thread of autopilot does with each turn of the lead. Method: consensus made by
// hand (test_members.h), a real state machine (test_consensus.h), and a clock that the test moves.
#include "services/server/autopilot_driver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "services/rpc/errors.h"
#include "services/server/operator_view.h"
#include "services/server/test_consensus.h"
#include "services/server/test_members.h"

namespace consul::server {
namespace {

using namespace std::chrono_literals;
using Changes = std::vector<std::string>;

class AutopilotDriverTest : public testing::Test {
 protected:
  AutopilotDriverTest() {
    options_.datacenter = "dc1";
    options_.interval = 1ms;
    options_.retry_interval = 1ms;
    options_.now = [this] { return now_.load(); };
    options_.force_leave = [this](const std::string& name) {
      base::MutexLock lock(&mutex_);
      forced_.push_back(name);
    };
    members_.SetNow(now_);
    Publish({Server("self")});
  }

  static agent::v1::Member Server(
      const std::string& name, agent::v1::MemberStatus status = agent::v1::MEMBER_STATUS_ALIVE) {
    agent::v1::Member member;
    member.set_name(name);
    member.set_addr("10.0.0.1");
    member.set_status(status);
    const std::string id = "id-" + name;
    const std::string port = std::to_string(8000 + name.size());
    for (const auto& [key, value] : std::initializer_list<std::pair<std::string, std::string>>{
             {"role", "consul"}, {"dc", "dc1"}, {"id", id}, {"port", port}, {"build", "1.0:"}}) {
      auto* const tag = member.add_tags();
      tag->set_key(key);
      tag->set_value(value);
    }
    return member;
  }
  void Publish(const std::vector<agent::v1::Member>& members) {
    auto list = std::make_shared<gossip::MemberList::Members>();
    for (const agent::v1::Member& member : members) *list->add_members() = member;
    lan_.Publish(std::move(list));
  }
  // All members are heard all the while.
  void Pass(raft::Duration duration) {
    const raft::Time then = now_.load() + duration;
    members_.SetNow(then);
    now_ = then;
  }
  void Start() {
    driver_ = std::make_unique<AutopilotDriver>(options_, &lan_, &members_, &consensus_,
                                                consensus_.state(), &logger_);
  }
  std::vector<std::string> forced() {
    base::MutexLock lock(&mutex_);
    return forced_;
  }

  TestConsensus consensus_;
  TestMembers members_;
  base::Logger logger_{base::LogLevel::kError};
  LogLines log_{&logger_};
  gossip::MemberList lan_;
  std::atomic<raft::Time> now_{raft::Time(1h)};
  AutopilotDriver::Options options_;
  base::Mutex mutex_;
  std::vector<std::string> forced_ GUARDED_BY(mutex_);
  std::unique_ptr<AutopilotDriver> driver_;  // stops before the rest goes
};

TEST_F(AutopilotDriverTest, AFollowerDoesNothing) {
  Publish({Server("self"), Server("b")});
  Start();
  driver_->MembersChanged();
  driver_->Follow();
  driver_->Stop();
  EXPECT_EQ(members_.changes(), Changes{});
  EXPECT_TRUE(consensus_.Proposals().empty());
}

TEST_F(AutopilotDriverTest, TheFirstLeaderWritesWhatItGoesBy) {
  options_.initial.set_min_quorum(5);
  Start();
  EXPECT_EQ(driver_->configuration().min_quorum(), 5);
  EXPECT_EQ(driver_->configuration().modify_index(), 0);
  driver_->Lead();
  EXPECT_EQ(consensus_.AwaitProposals(1), std::vector<std::string>{"autopilot"});
  driver_->Stop();
  EXPECT_EQ(driver_->configuration().min_quorum(), 5);
  EXPECT_EQ(driver_->configuration().modify_index(), 1);
}

TEST_F(AutopilotDriverTest, ALaterLeaderLeavesWhatIsThere) {
  TestConsensus::Command command;
  auto* const written = command.mutable_set_autopilot_configuration()->mutable_configuration();
  *written = DefaultAutopilotConfiguration();
  written->set_min_quorum(3);
  consensus_.Apply(command);
  Publish({Server("self"), Server("b")});
  Start();
  driver_->Lead();
  EXPECT_EQ(members_.AwaitChanges(1), Changes{"learner id-b"});
  EXPECT_TRUE(consensus_.Proposals().empty());
  EXPECT_EQ(driver_->configuration().min_quorum(), 3);
}

TEST_F(AutopilotDriverTest, AFailedWriteOfItIsTriedAgain) {
  consensus_.Fail(2, rpc::Error(errors::v1::REASON_OVERLOADED, "full"));
  Start();
  driver_->Lead();
  EXPECT_EQ(consensus_.AwaitProposals(3).size(), 3);
  EXPECT_TRUE(log_.Await("autopilot: failed to write the configuration: full", 2));
}

TEST_F(AutopilotDriverTest, ANewServerBecomesALearnerAndThenAVoter) {
  Publish({Server("self"), Server("b")});
  Start();
  driver_->Lead();
  EXPECT_EQ(members_.AwaitChanges(1), Changes{"learner id-b"});
  // It has been seen to be healthy before the time passes.
  while (driver_->health()->servers.size() < 2) std::this_thread::yield();
  Pass(10s);
  EXPECT_EQ(members_.AwaitChanges(2), (Changes{"learner id-b", "voter id-b"}));
}

TEST_F(AutopilotDriverTest, AChangeOfThePoolIsSeenAtOnce) {
  options_.interval = 1h;
  Start();
  driver_->Lead();
  consensus_.AwaitProposals(1);
  Publish({Server("self"), Server("b")});
  driver_->MembersChanged();
  EXPECT_EQ(members_.AwaitChanges(1), Changes{"learner id-b"});
}

TEST_F(AutopilotDriverTest, AllThatIsToBeDoneIsDoneOneByOne) {
  options_.interval = 1h;
  Publish({Server("self"), Server("bb"), Server("ccc")});
  Start();
  driver_->Lead();
  EXPECT_EQ(members_.AwaitChanges(2), (Changes{"learner id-bb", "learner id-ccc"}));
}

TEST_F(AutopilotDriverTest, APoolGivesUpTheFailedMemberThatIsRemoved) {
  members_.Take("id-bb", raft::MemberKind::kVoter);
  members_.Take("id-ccc", raft::MemberKind::kVoter);
  Publish({Server("self"), Server("bb"), Server("ccc", agent::v1::MEMBER_STATUS_FAILED)});
  Start();
  driver_->Lead();
  EXPECT_TRUE(consensus_.AwaitProposals(1).size() == 1);
  EXPECT_FALSE(driver_->health()->healthy);
  Pass(10s);
  EXPECT_EQ(members_.AwaitChanges(1), Changes{"remove id-ccc"});
  driver_->Stop();
  EXPECT_EQ(forced(), std::vector<std::string>{"ccc"});
}

TEST_F(AutopilotDriverTest, AChangeThatFailedIsTriedAgain) {
  members_.FailNext(absl::FailedPreconditionError("another change is under way"));
  Publish({Server("self"), Server("b")});
  Start();
  driver_->Lead();
  EXPECT_EQ(members_.AwaitChanges(2), (Changes{"learner id-b", "learner id-b"}));
  EXPECT_EQ(log_.Count("another change is under way"), 1);
}

TEST_F(AutopilotDriverTest, AnObstacleIsToldOnce) {
  agent::v1::Member self = Server("self");
  agent::v1::Member other = Server("b");
  for (agent::v1::Member* const member : {&self, &other}) {
    auto* const tag = member->add_tags();
    tag->set_key("bootstrap");
    tag->set_value("1");
  }
  base::Logger logger{base::LogLevel::kWarn};
  LogLines lines(&logger);
  Publish({self, other});
  driver_ = std::make_unique<AutopilotDriver>(options_, &lan_, &members_, &consensus_,
                                              consensus_.state(), &logger);
  driver_->Lead();
  EXPECT_TRUE(lines.Await("Only one node should be in bootstrap mode"));
  // Asked a thousand times a second, and each time anew when the pool has changed.
  for (int i = 0; i < 10; ++i) driver_->MembersChanged();
  Publish({self, other, Server("ccc")});
  driver_->MembersChanged();
  members_.AwaitChanges(1);
  driver_->Stop();
  EXPECT_EQ(lines.Count("Only one node should be in bootstrap mode"), 1);
  driver_.reset();
}

TEST_F(AutopilotDriverTest, AChangeUnderWayEndsWithTheNode) {
  members_.Hold();
  Publish({Server("self"), Server("b")});
  Start();
  driver_->Lead();
  members_.AwaitChanges(1);
  driver_->AskToStop();
  members_.Drop(absl::CancelledError("the node stopped"));
  driver_->Stop();
  EXPECT_EQ(members_.changes(), Changes{"learner id-b"});
  EXPECT_EQ(log_.Count("failed at"), 0);
}

TEST_F(AutopilotDriverTest, WhoDoesNotLeadDoesNotKnowHowTheServersAre) {
  Start();
  EXPECT_TRUE(driver_->health().has_value());
  members_.SetLeads(false);
  EXPECT_FALSE(driver_->health().has_value());
}

TEST_F(AutopilotDriverTest, ALeaderKnowsWhoseDiskWasLostWhileItFollowed) {
  members_.Take("id-b", raft::MemberKind::kVoter);
  members_.SetLeads(false);
  Publish({Server("self"), Server("b")});
  options_.meet_interval = 1ms;
  Start();
  // When it looks for the second time it has seen what it looked at before.
  for (int look = 0; look < 2; ++look) {
    const size_t before = members_.views();
    driver_->MembersChanged();
    ASSERT_TRUE(members_.AwaitViews(before + 1)) << "a follower looks at the pool";
  }
  agent::v1::Member again = Server("b");
  for (auto& tag : *again.mutable_tags()) {
    if (tag.key() == "id") tag.set_value("id-new");
  }
  Publish({Server("self"), again});
  members_.SetLeads(true);
  driver_->Lead();
  EXPECT_EQ(members_.AwaitChanges(2), (Changes{"remove id-b", "learner id-new"}));
}

TEST_F(AutopilotDriverTest, AnotherLeadBeginsAnew) {
  members_.Take("id-b", raft::MemberKind::kLearner);
  Publish({Server("self"), Server("b")});
  Start();
  driver_->Lead();
  consensus_.AwaitProposals(1);
  const auto since = driver_->health()->servers.front().stable_since;
  Pass(5s);
  EXPECT_EQ(driver_->health()->servers.front().stable_since, since);
  driver_->Follow();
  driver_->Lead();
  const raft::Time now = now_;
  while (driver_->health()->servers.front().stable_since != now) std::this_thread::yield();
}

// ---- As the API's messages.

class OperatorViewTest : public AutopilotDriverTest {
 protected:
  OperatorViewTest() {
    members_.Take("id-bb", raft::MemberKind::kLearner);
    members_.Take("id-x", raft::MemberKind::kVoter);
    Publish({Server("self"), Server("bb")});
    Start();
  }
};

TEST_F(AutopilotDriverTest, TheLeaderShowsTheClustersHealthAsGauges) {
  base::Metrics metrics;
  options_.metrics = &metrics;
  Publish({Server("self")});
  Start();
  const auto shown = [&metrics] { return metrics.Exposition({}); };
  EXPECT_NE(shown().find("consul_autopilot_healthy 1\n"), std::string::npos) << shown();
  EXPECT_NE(shown().find("consul_autopilot_failure_tolerance 0\n"), std::string::npos);
  members_.SetLeads(false);
  EXPECT_EQ(shown().find("autopilot"), std::string::npos);
  members_.SetLeads(true);
  driver_.reset();
  EXPECT_EQ(shown().find("autopilot"), std::string::npos);
}

TEST_F(OperatorViewTest, TheConfigurationNamesItsMembersByThePool) {
  const auto pool = ServerMembers(*lan_.members(), "dc1");
  const auto response = RaftConfigurationOf(members_.view(), pool);
  ASSERT_EQ(response.servers_size(), 3);
  EXPECT_EQ(response.index(), 1);
  EXPECT_EQ(response.servers(0).ShortDebugString(),
            "id: \"id-bb\" node: \"bb\" address: \"10.0.0.1:8002\" protocol_version: \"3\" "
            "last_index: 100");
  EXPECT_EQ(response.servers(1).ShortDebugString(),
            "id: \"id-self\" node: \"self\" address: \"10.0.0.1:8004\" leader: true "
            "protocol_version: \"3\" voter: true last_index: 100");
  EXPECT_EQ(response.servers(2).ShortDebugString(),
            "id: \"id-x\" node: \"(unknown)\" protocol_version: \"3\" voter: true "
            "last_index: 100");
  members_.SetLeads(false);
  EXPECT_EQ(RaftConfigurationOf(members_.view(), pool).servers(0).last_index(), 0);
}

TEST_F(OperatorViewTest, HealthAndState) {
  const ClusterHealth health = *driver_->health();
  const auto message = HealthMessage(health);
  EXPECT_FALSE(message.healthy());
  EXPECT_EQ(message.failure_tolerance(), 0);
  ASSERT_EQ(message.servers_size(), 3);
  EXPECT_EQ(message.servers(1).name(), "self");
  EXPECT_TRUE(message.servers(1).leader());
  EXPECT_TRUE(message.servers(1).healthy());
  EXPECT_EQ(message.servers(1).version(), "1.0");
  EXPECT_GT(message.servers(1).stable_since().seconds(), 1'700'000'000);
  EXPECT_EQ(message.servers(1).stable_since().nanos(), 0);
  EXPECT_FALSE(message.servers(0).voter());
  EXPECT_EQ(message.servers(0).last_term(), 2);
  EXPECT_EQ(message.servers(2).serf_status(), agent::v1::MEMBER_STATUS_NONE);

  const auto state = StateMessage(health);
  EXPECT_EQ(state.leader(), "id-self");
  ASSERT_EQ(state.voters_size(), 2);
  EXPECT_EQ(state.voters(0), "id-self");
  EXPECT_EQ(state.voters(1), "id-x");
  ASSERT_EQ(state.servers_size(), 3);
  EXPECT_EQ(state.servers(0).key(), "id-bb");
  EXPECT_EQ(state.servers(0).value().status(), operators::v1::SERVER_STATUS_NON_VOTER);
  EXPECT_EQ(state.servers(1).value().status(), operators::v1::SERVER_STATUS_LEADER);
  EXPECT_EQ(state.servers(1).value().meta(0).key(), "role");
  EXPECT_EQ(state.servers(2).value().status(), operators::v1::SERVER_STATUS_VOTER);
  EXPECT_EQ(state.servers(2).value().meta_size(), 0);
}

}  // namespace
}  // namespace consul::server
