// Goal: an agent's start, leave and stop, on a real directory and a real log, with its pools. The
// faces are the process's.
#include "services/agent/agent.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "consul/agent/v1/agent.pb.h"
#include "consul/operators/v1/raft.pb.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/method.h"
#include "services/rpc/waited_calls.h"
#include "services/server/test_consensus.h"

namespace consul::agent {
namespace {

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    std::string pattern = testing::TempDir() + "/agent.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    config_.node_name = "a";
    config_.server = true;
    config_.bootstrap = true;
    config_.data_dir = directory_ + "/data";
    config_.advertise_address = "127.0.0.1";
    config_.advertise_address_wan = "127.0.0.1";
    config_.performance.raft_multiplier = 1;
    config_.serf_lan_listen = config::Endpoint{"127.0.0.1", 8301};
    config_.serf_wan_listen = config::Endpoint{"127.0.0.1", 8302};
  }
  ~AgentTest() override { std::filesystem::remove_all(directory_); }

  absl::StatusOr<std::unique_ptr<Agent>> Start() {
    AgentCallbacks callbacks;
    callbacks.leave_asked = [this] { ++leaves_asked_; };
    return Agent::Start(config_, &logger_, std::move(callbacks));
  }
  std::unique_ptr<Agent> StartReady(int times = 1) {
    absl::StatusOr<std::unique_ptr<Agent>> agent = Start();
    EXPECT_TRUE(agent.ok()) << agent.status();
    EXPECT_TRUE(log_.Await("cluster leadership acquired", times));
    return *std::move(agent);
  }
  static absl::Status AskToLeave(Agent* agent) {
    v1::LeaveResponse response;
    rpc::WaitedCalls calls;
    return calls.Run(agent->backend(),
                     rpc::PublicApi().Get("/consul.agent.v1.AgentService/Leave"),
                     v1::LeaveRequest(), &response, /*hold=*/false);
  }
  static std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

  std::string directory_;
  config::Config config_;
  base::Logger logger_{base::LogLevel::kError};
  server::LogLines log_{&logger_};
  std::atomic<int> leaves_asked_{0};
};

TEST_F(AgentTest, AFreshServerLeadsAndIsInItsCatalog) {
  const auto agent = StartReady();
  EXPECT_TRUE(log_.Await("[INFO] consul: member 'a' joined, marking health alive"));
  EXPECT_TRUE(log_.Await("[DEBUG] agent: Synced node info"));
  const std::vector<std::string> lines = log_.lines();
  ASSERT_GE(lines.size(), 4);
  EXPECT_EQ(lines[0], "[INFO] serf: EventMemberJoin: a 127.0.0.1");
  EXPECT_EQ(lines[1], "[INFO] serf: EventMemberJoin: a 127.0.0.1");
  EXPECT_EQ(log_.Count("adding server for datacenter: dc1, addr: 127.0.0.1:8300"), 1);
  EXPECT_EQ(log_.Count("failed to sync remote state: rpc error: No cluster leader"), 1);
}

TEST_F(AgentTest, TheDataDirIsMadeWithWhatIsAboveIt) {
  config_.data_dir = directory_ + "/some/where/data";
  StartReady()->Stop();
  EXPECT_TRUE(std::filesystem::exists(config_.data_dir + "/node-id"));
  EXPECT_TRUE(std::filesystem::is_directory(config_.data_dir + "/raft"));
}

TEST_F(AgentTest, TheDataOfTheReferenceIsRefusedByName) {
  std::filesystem::create_directories(config_.data_dir + "/raft");
  std::ofstream(config_.data_dir + "/raft/raft.db") << "bolt";
  const auto agent = Start();
  ASSERT_FALSE(agent.ok());
  EXPECT_EQ(agent.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(TextOf(agent.status())
                  .starts_with("data_dir " + config_.data_dir + ": raft/raft.db is the data of"))
      << agent.status();
  EXPECT_FALSE(std::filesystem::exists(config_.data_dir + "/node-id"));
}

TEST_F(AgentTest, ALogThatIsGoneIsNotBegunAnew) {
  StartReady()->Stop();
  const std::string raft = config_.data_dir + "/raft";
  const std::string segment = raft + "/0000000000000001.log";
  ASSERT_TRUE(std::filesystem::remove(segment));
  const auto agent = Start();
  ASSERT_FALSE(agent.ok());
  EXPECT_EQ(agent.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(TextOf(agent.status())
                  .starts_with("data_dir " + config_.data_dir + ": raft/peers.info is there, and"))
      << agent.status();
  EXPECT_FALSE(std::filesystem::exists(segment));
  std::filesystem::remove_all(raft);
  StartReady()->Stop();
}

TEST_F(AgentTest, AFileInThePlaceOfTheDataDirIsNamed) {
  std::ofstream(config_.data_dir) << "a file";
  const auto agent = Start();
  ASSERT_FALSE(agent.ok());
  EXPECT_NE(TextOf(agent.status()).find(config_.data_dir), std::string::npos) << agent.status();
}

TEST_F(AgentTest, AFileAboveTheDataDirIsNamed) {
  std::ofstream(directory_ + "/file") << "a file";
  config_.data_dir = directory_ + "/file/data";
  const auto agent = Start();
  ASSERT_FALSE(agent.ok());
  EXPECT_NE(TextOf(agent.status()).find("data_dir " + config_.data_dir), std::string::npos)
      << agent.status();
}

// /sys takes no directories from anybody, root included.
TEST_F(AgentTest, ADataDirThatCannotBeMadeIsNamed) {
  config_.data_dir = "/sys/consul-data";
  const auto agent = Start();
  ASSERT_FALSE(agent.ok());
  EXPECT_NE(TextOf(agent.status()).find("/sys/consul-data"), std::string::npos) << agent.status();
}

TEST_F(AgentTest, ADamagedNodeIdIsNamed) {
  std::filesystem::create_directories(config_.data_dir);
  std::ofstream(config_.data_dir + "/node-id") << "not a uuid\n";
  const auto agent = Start();
  ASSERT_FALSE(agent.ok());
  EXPECT_NE(TextOf(agent.status()).find(config_.data_dir + "/node-id"), std::string::npos);
}

TEST_F(AgentTest, ASecondAgentOnTheSameDataDirIsRefused) {
  const auto first = StartReady();
  config_.serf_lan_listen->port = 8311;
  config_.serf_wan_listen->port = 8312;
  const auto second = Start();
  ASSERT_FALSE(second.ok());
  EXPECT_NE(TextOf(second.status()).find(config_.data_dir), std::string::npos) << second.status();
  // The first goes on.
  EXPECT_TRUE(first->Leave().ok());
}

TEST_F(AgentTest, TheSameDirectoryServesTheSameNodeAgain) {
  std::string id;
  {
    const auto agent = StartReady();
    id = agent->node_id();
    ASSERT_TRUE(log_.Await("marking health alive"));
    EXPECT_TRUE(agent->Leave().ok());
    agent->Stop();
  }
  const auto again = StartReady(2);
  EXPECT_EQ(again->node_id(), id);
  again->Stop();
  EXPECT_EQ(log_.Count("marking health alive"), 1);  // it is in the catalog already
}

TEST_F(AgentTest, ALeaveTellsBothPools) {
  const auto agent = StartReady();
  EXPECT_TRUE(agent->Leave().ok());
  EXPECT_EQ(log_.Count("[INFO] consul: server starting leave"), 1);
  EXPECT_EQ(log_.Count("[INFO] serf: EventMemberLeave: a 127.0.0.1"), 2);
}

// A leave from a cluster that has no leader is departure_test's.
TEST_F(AgentTest, AServerOfNoClusterHasOnlyItsPoolsToLeave) {
  config_.bootstrap = false;
  absl::StatusOr<std::unique_ptr<Agent>> agent = Start();
  ASSERT_TRUE(agent.ok());
  EXPECT_TRUE((*agent)->Leave().ok());
  EXPECT_EQ(log_.Count("EventMemberLeave"), 2);
}

TEST_F(AgentTest, WithoutALeaderOnlyAStaleConfigurationIsTold) {
  config_.bootstrap = false;
  config_.performance.rpc_hold_timeout = std::chrono::milliseconds(20);
  absl::StatusOr<std::unique_ptr<Agent>> agent = Start();
  ASSERT_TRUE(agent.ok());
  const auto ask = [&agent](bool stale, bool hold) {
    operators::v1::GetRaftConfigurationRequest request;
    request.set_stale(stale);
    operators::v1::GetRaftConfigurationResponse response;
    rpc::WaitedCalls calls;
    return calls.Run(
        (*agent)->backend(),
        rpc::PublicApi().Get("/consul.operators.v1.RaftService/GetRaftConfiguration"), request,
        &response, hold);
  };
  EXPECT_EQ(TextOf(ask(/*stale=*/false, /*hold=*/true)), "No cluster leader");
  EXPECT_EQ(TextOf(ask(/*stale=*/false, /*hold=*/false)), "No cluster leader");
  EXPECT_TRUE(ask(/*stale=*/true, /*hold=*/true).ok());
}

TEST_F(AgentTest, AnswerLeaveWithoutAQuestionDoesNothing) {
  const auto agent = StartReady();
  agent->AnswerLeave(absl::OkStatus());
  agent->AnswerLeave(absl::CancelledError("x"));
  EXPECT_EQ(leaves_asked_, 0);
}

// Until the last face has ended somebody may ask.
TEST_F(AgentTest, WhoAsksForALeaveThatIsOverIsAnsweredWithIt) {
  const auto agent = StartReady();
  EXPECT_TRUE(agent->Leave().ok());
  agent->AnswerLeave(absl::OkStatus());
  EXPECT_TRUE(AskToLeave(agent.get()).ok());
  EXPECT_TRUE(AskToLeave(agent.get()).ok());
  EXPECT_EQ(leaves_asked_, 0);
}

TEST_F(AgentTest, SoIsOneThatFailed) {
  const auto agent = StartReady();
  agent->AnswerLeave(absl::UnavailableError("there is no leader"));
  EXPECT_EQ(AskToLeave(agent.get()).message(), "there is no leader");
  EXPECT_EQ(leaves_asked_, 0);
}

TEST_F(AgentTest, StopTwiceIsOnce) {
  const auto agent = StartReady();
  agent->Stop();
  agent->Stop();
  EXPECT_EQ(log_.Count("failed to"), 1);  // the first try, before there was a leader
}

TEST_F(AgentTest, AStopRightAfterTheStartIsClean) {
  for (int i = 0; i < 5; ++i) {
    absl::StatusOr<std::unique_ptr<Agent>> agent = Start();
    ASSERT_TRUE(agent.ok()) << agent.status();
    (*agent)->Stop();
  }
}

TEST_F(AgentTest, APoolsPortThatIsTakenIsNamed) {
  const auto agent = StartReady();
  config_.data_dir = directory_ + "/second";
  const auto second = Start();
  ASSERT_FALSE(second.ok());
  EXPECT_NE(TextOf(second.status()).find("127.0.0.1:8301"), std::string::npos) << second.status();
}

TEST_F(AgentTest, WithoutAnybodyToJoinItSaysWhoWasAsked) {
  config_.lan.start_join = {"127.0.0.1:8399"};
  const auto agent = StartReady();
  const absl::StatusOr<uint32_t> joined = agent->JoinAtStart();
  EXPECT_EQ(rpc::Detail(joined.status()).reason(), errors::v1::REASON_JOIN_FAILED);
  EXPECT_NE(TextOf(joined.status()).find("Failed to join 127.0.0.1: dial tcp 127.0.0.1:8399"),
            std::string::npos)
      << joined.status();
}

TEST_F(AgentTest, AgentsThatGiveUpJoiningSayThatTheyCannotGoOn) {
  config_.lan.retry_join = {"127.0.0.1:8399"};
  config_.lan.retry_interval = std::chrono::milliseconds(10);
  config_.lan.retry_max = 2;
  std::atomic<int> failures{0};
  AgentCallbacks callbacks;
  callbacks.failed = [&failures] { ++failures; };
  const auto agent = Agent::Start(config_, &logger_, std::move(callbacks));
  ASSERT_TRUE(agent.ok()) << agent.status();
  (*agent)->KeepJoining();
  EXPECT_TRUE(log_.Await("[ERR] agent: max join LAN retry exhausted, exiting"));
  EXPECT_EQ(log_.Count("Join LAN failed, retrying in 10ms"), 2);
  EXPECT_EQ(log_.Count("(LAN) couldn't join: "), 3) << "the first attempt is no retry";
  (*agent)->Stop();
  EXPECT_EQ(failures, 1);
}

TEST_F(AgentTest, AKeyThatIsNoneIsAnError) {
  config_.encryption.key = "?";
  EXPECT_FALSE(Start().ok());
}

TEST_F(AgentTest, AKeyEncryptsBothPools) {
  config_.encryption.key = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";
  EXPECT_TRUE(StartReady()->encrypted());
  for (const char* name : {"local.keyring", "remote.keyring"}) {
    const auto file = config_.data_dir + "/serf/" + name;
    EXPECT_EQ(std::filesystem::status(file).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << file;
  }
  // Kept: the same keyring without the flag.
  config_.encryption.key.clear();
  EXPECT_TRUE(StartReady(2)->encrypted());
}

}  // namespace
}  // namespace consul::agent
