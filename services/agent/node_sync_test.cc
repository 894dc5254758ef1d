// Goal: when an agent writes its own node, and when it must not. Method: the backend of a server
// alone, whose commands a real state machine applies.
#include "services/agent/node_sync.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <variant>

#include "services/api/catalog_handlers.h"
#include "services/api/coordinate_handlers.h"
#include "services/api/node_sync_handlers.h"
#include "services/rpc/errors.h"
#include "services/rpc/local_backend.h"
#include "services/server/reconcile.h"
#include "services/server/test_consensus.h"

namespace consul::agent {
namespace {

using namespace std::chrono_literals;
using Proposals = std::vector<std::string>;
using server::TestConsensus;

catalog::v1::Node OwnNode() {
  catalog::v1::Node node;
  node.set_node("a");
  node.set_id("id-a");
  node.set_address("10.0.0.1");
  node.set_datacenter("dc1");
  auto* const meta = node.add_meta();
  meta->set_key("rack");
  meta->set_value("7");
  return node;
}

// Counts the tries to sync the node, each of which begins with a look at it.
struct CountedCalls : rpc::Backend {
  void Start(rpc::Call* call) override {
    if (call->method().path.ends_with("/GetNode")) ++tries;
    backend->Start(call);
  }
  rpc::Backend* backend = nullptr;
  std::atomic<int> tries{0};
};

class NodeSyncTest : public testing::Test {
 protected:
  NodeSyncTest() {
    api::RegisterCatalog("dc1", consensus_.state(), &handlers_);
    api::RegisterNodeSync(consensus_.state(), &handlers_);
    api::RegisterCoordinates("dc1", nullptr, consensus_.state(), &handlers_);
    for (const rpc::MethodTable* const table : {&rpc::PublicApi(), &rpc::InternalApi()}) {
      for (const rpc::Method& method : table->methods()) {
        if (!std::holds_alternative<std::monostate>(handlers_.Of(method))) continue;
        handlers_.Take(method.path,
                       [](rpc::Call*) { ADD_FAILURE() << "not a call of this test"; });
      }
    }
    MakeBackend(50ms);
  }
  void MakeBackend(std::chrono::milliseconds hold_timeout) {
    rpc::LocalBackend::Options options;
    options.datacenter = "dc1";
    options.hold_timeout = hold_timeout;
    sync_.reset();
    backend_ = std::make_unique<rpc::LocalBackend>(options, &handlers_, &consensus_);
    calls_.backend = backend_.get();
    Make(1h);
  }
  void Make(std::chrono::milliseconds interval) {
    sync_ = std::make_unique<NodeSync>(OwnNode(), "generation-1", &calls_, &logger_,
                                       NodeSync::Times{.interval = interval, .retry = interval});
  }
  // Looks at `place_` every millisecond, and tells it once more after `again`. The node of the
  // agent is there.
  void MakePlaces(std::chrono::milliseconds again) {
    Write(OwnNode());
    BeginPlaces(again);
  }
  // The same, whether the node is there or not.
  void BeginPlaces(std::chrono::milliseconds again, std::chrono::milliseconds retry = 1h) {
    sync_ = std::make_unique<NodeSync>(
        OwnNode(), "generation-1", &calls_, &logger_,
        NodeSync::Times{.interval = 1h, .retry = retry, .place = 1ms, .place_again = again});
    sync_->TellPlaces({[this] {
                         ++looks_;
                         base::MutexLock lock(&place_mutex_);
                         return std::optional(place_);
                       },
                       [] { return size_t{1}; }});
    sync_->Begin();
  }
  void Move(double x, double error = 1) {
    base::MutexLock lock(&place_mutex_);
    place_.clear_vec();
    for (int i = 0; i < 8; ++i) place_.add_vec(i == 0 ? x : 0);
    place_.set_error(error);
  }
  void AwaitLooks(int more) {
    const int until = looks_ + more;
    while (looks_ < until) std::this_thread::yield();
  }
  double PlaceInCatalog() {
    const auto version = consensus_.version();
    const auto* const row = version->coordinates().Find("a", nullptr);
    return row == nullptr ? -1 : row->coord().vec(0);
  }

  // Somebody else writes the node.
  void Write(const catalog::v1::Node& node) {
    TestConsensus::Command command;
    *command.mutable_catalog_register()->mutable_node() = node;
    consensus_.Apply(command);
  }
  // The agent's node is removed as that of one that left, though its life goes on.
  void ForceOut() {
    TestConsensus::Command left;
    left.mutable_catalog_deregister()->set_node("a");
    left.mutable_catalog_deregister()->set_left_generation("generation-1");
    consensus_.Apply(left);
  }
  // The leader, which sees it alive, writes what it lacks. Returns how many writes that takes.
  size_t LeaderWrites() {
    agent::v1::ListMembersResponse pool;
    auto* const member = pool.add_members();
    member->set_name("a");
    member->set_addr("10.0.0.1");
    member->set_status(agent::v1::MEMBER_STATUS_ALIVE);
    for (const auto& [key, value] : {std::pair("id", "id-a"), std::pair("gen", "generation-1")}) {
      auto* const tag = member->add_tags();
      tag->set_key(key);
      tag->set_value(value);
    }
    const auto corrections = server::Reconcile(pool, "dc1", *consensus_.version());
    for (const auto& correction : corrections.writes) consensus_.Apply(correction.command);
    return corrections.writes.size();
  }
  // Waits until so many more tries of its node have begun.
  void AwaitTries(int more) {
    const int until = calls_.tries + more;
    while (calls_.tries < until) std::this_thread::yield();
  }
  std::string Rack() {
    const auto version = consensus_.version();
    const auto* const node = version->nodes().Find("a", nullptr);
    return node == nullptr || node->meta_size() == 0 ? "" : node->meta(0).value();
  }

  base::Mutex place_mutex_;
  coordinate::v1::Coordinate place_ GUARDED_BY(place_mutex_);
  std::atomic<int> looks_{0};
  TestConsensus consensus_;
  base::Logger logger_{base::LogLevel::kError};
  server::LogLines log_{&logger_};
  rpc::Handlers handlers_{&rpc::PublicApi(), &rpc::InternalApi()};
  std::unique_ptr<rpc::LocalBackend> backend_;
  CountedCalls calls_;
  std::unique_ptr<NodeSync> sync_;  // stops before the rest goes
};

TEST_F(NodeSyncTest, AFirstTryWithoutALeaderSaysSoInThePagesWords) {
  consensus_.SetLeads(false);
  sync_->TryNow();
  EXPECT_EQ(log_.lines(),
            Proposals{"[ERR] agent: failed to sync remote state: rpc error: No cluster leader"});
}

TEST_F(NodeSyncTest, ATryWritesTheNodeWithItsGeneration) {
  sync_->TryNow();
  ASSERT_EQ(consensus_.proposed().size(), 1);
  const auto written = consensus_.proposed()[0].catalog_register();
  EXPECT_EQ(written.generation(), "generation-1");
  EXPECT_FALSE(written.by_membership());
  EXPECT_EQ(written.checks_size(), 0);
  EXPECT_FALSE(written.has_service());
  EXPECT_EQ(Rack(), "7");
  EXPECT_EQ(log_.lines(), Proposals{"[DEBUG] agent: Synced node info"});
}

TEST_F(NodeSyncTest, WhatIsInSyncIsNotWrittenAgain) {
  sync_->TryNow();
  sync_->TryNow();
  sync_->TryNow();
  EXPECT_EQ(consensus_.Proposals(), Proposals{"register a"});
}

TEST_F(NodeSyncTest, WhatSomebodyElseChangedIsPutRight) {
  sync_->TryNow();
  catalog::v1::Node changed = OwnNode();
  changed.mutable_meta(0)->set_value("8");
  Write(changed);
  sync_->TryNow();
  EXPECT_EQ(Rack(), "7");
}

TEST_F(NodeSyncTest, ALeaderThatComesIsReasonToTry) {
  consensus_.SetLeads(false);
  sync_->TryNow();
  sync_->Begin();
  consensus_.SetLeads(true);
  sync_->TrySoon();
  ASSERT_TRUE(log_.Await("Synced node info"));
  EXPECT_EQ(Rack(), "7");
}

TEST_F(NodeSyncTest, WithoutALeaderItSaysSoAndTriesAgain) {
  Make(1ms);
  consensus_.SetLeads(false);
  sync_->Begin();
  ASSERT_TRUE(log_.Await("failed to sync remote state: rpc error: No cluster leader", 2));
  consensus_.SetLeads(true);
  ASSERT_TRUE(log_.Await("Synced node info"));
  EXPECT_EQ(Rack(), "7");
}

TEST_F(NodeSyncTest, AReadThatWaitsForALeaderDoesNotHoldUpTheStop) {
  MakeBackend(1h);
  consensus_.SetLeads(false);
  sync_->Begin();
  sync_->TrySoon();
  sync_->Stop();
  EXPECT_TRUE(log_.lines().empty());
}

class NoServers : public rpc::Backend {
 public:
  void Start(rpc::Call* call) override {
    call->status = rpc::Error(errors::v1::REASON_NO_SERVERS, "No known Consul servers");
    call->Done();
  }
};

TEST_F(NodeSyncTest, AClientWithoutServersSaysSoInTheReferencesWords) {
  NoServers nobody;
  NodeSync sync(OwnNode(), "generation-1", &nobody, &logger_, NodeSync::Times());
  sync.TryNow();
  EXPECT_EQ(log_.lines(),
            Proposals{"[ERR] agent: failed to sync remote state: No known Consul servers"});
}

TEST_F(NodeSyncTest, ItLooksFromTimeToTime) {
  Make(1ms);
  sync_->Begin();
  consensus_.AwaitProposals(1);
  catalog::v1::Node changed = OwnNode();
  changed.clear_meta();
  ASSERT_TRUE(log_.Await("Synced node info"));
  Write(changed);
  EXPECT_EQ(consensus_.AwaitProposals(2).size(), 2);
  sync_->Stop();
  EXPECT_EQ(Rack(), "7");
}

TEST_F(NodeSyncTest, ACoordinateIsToldWhenItHasMovedAndNotOtherwise) {
  Move(0.5);
  MakePlaces(1h);
  EXPECT_EQ(consensus_.AwaitProposals(1), Proposals{"place a"});
  Move(0.50009);
  AwaitLooks(3);
  Move(0.5002);
  EXPECT_EQ(consensus_.AwaitProposals(2).size(), 2);
  Move(0.5002, 1.2);
  EXPECT_EQ(consensus_.AwaitProposals(3).size(), 3);
  AwaitLooks(3);
  sync_->Stop();
  EXPECT_EQ(consensus_.Proposals().size(), 3);
  EXPECT_EQ(PlaceInCatalog(), 0.5002);
}

TEST_F(NodeSyncTest, ACoordinateThatHasNotMovedIsToldAgainFromTimeToTime) {
  Move(0.5);
  MakePlaces(1ms);
  EXPECT_GE(consensus_.AwaitProposals(3).size(), 3);
}

TEST_F(NodeSyncTest, ACoordinateThatCannotBeToldIsALineAndTriedAgain) {
  Move(0.5);
  consensus_.Fail(1, rpc::Error(errors::v1::REASON_OVERLOADED, "busy"));
  MakePlaces(1h);
  ASSERT_TRUE(log_.Await("[ERR] agent: Coordinate update error: busy"));
  consensus_.AwaitProposals(2);
  sync_->Stop();
  EXPECT_EQ(PlaceInCatalog(), 0.5);
}

TEST_F(NodeSyncTest, AWriteThatFailsIsTriedAgain) {
  Make(1ms);
  consensus_.Fail(2, rpc::Error(errors::v1::REASON_OVERLOADED, "busy"));
  sync_->Begin();
  ASSERT_TRUE(log_.Await("Synced node info"));
  EXPECT_EQ(log_.Count("[ERR] agent: failed to sync remote state: rpc error: busy"), 2);
}

// The leader and the agent write one row, each its own part of it.
TEST_F(NodeSyncTest, TheAgentAndTheLeaderDoNotFight) {
  EXPECT_EQ(LeaderWrites(), 1);
  sync_->TryNow();
  EXPECT_EQ(LeaderWrites(), 0);
  sync_->TryNow();
  EXPECT_EQ(consensus_.Proposals().size(), 1);
  EXPECT_EQ(Rack(), "7");
}

TEST_F(NodeSyncTest, ANameThatALivingNodeHoldsIsLeftToIt) {
  TestConsensus::Command other;
  auto* const registration = other.mutable_catalog_register();
  registration->mutable_node()->set_node("a");
  registration->mutable_node()->set_id("id-other");
  registration->add_checks()->set_check_id("serfHealth");
  registration->mutable_checks(0)->set_status(health::v1::CHECK_STATUS_PASSING);
  consensus_.Apply(other);
  sync_->TryNow();
  EXPECT_EQ(log_.Count("is reserved by node id-other"), 1);
  // It is refused before it is in the log.
  EXPECT_EQ(consensus_.Proposals(), Proposals{});
  EXPECT_EQ(consensus_.version()->nodes().Find("a", nullptr)->id(), "id-other");
}

const std::string kNodeLeft = "the node has left; its late write is refused";

// Whoever left must not come back through a write that was on its way.
TEST_F(NodeSyncTest, AGenerationThatHasLeftWritesNothingAndSaysSoOnce) {
  Make(1ms);
  ForceOut();
  sync_->Begin();
  ASSERT_TRUE(log_.Await(kNodeLeft));
  AwaitTries(5);
  sync_->Stop();
  EXPECT_EQ(log_.lines(),
            Proposals{"[ERR] agent: failed to sync remote state: rpc error: " + kNodeLeft});
  EXPECT_EQ(consensus_.Proposals(), Proposals{});
  EXPECT_EQ(consensus_.version()->nodes().size(), 0);
}

// The agent's leave was applied while its write was in the log behind it: the state machine refuses
// what the server that took the write still thought well of.
TEST_F(NodeSyncTest, AWriteThatItsOwnLeaveOvertookIsRefused) {
  Make(1ms);
  consensus_.Hold();
  sync_->Begin();
  consensus_.AwaitProposals(1);
  ForceOut();
  consensus_.Release();
  ASSERT_TRUE(log_.Await(kNodeLeft));
  AwaitTries(2);
  sync_->Stop();
  EXPECT_EQ(log_.Count(kNodeLeft), 1);
  EXPECT_EQ(consensus_.Proposals(), Proposals{"register a"});
  EXPECT_EQ(consensus_.version()->nodes().size(), 0);
}

TEST_F(NodeSyncTest, WhoWasMadeToLeaveAndLivesHasItsMetaAgain) {
  Make(1ms);
  sync_->Begin();
  ASSERT_TRUE(log_.Await("Synced node info"));
  ForceOut();
  ASSERT_TRUE(log_.Await(kNodeLeft));
  EXPECT_EQ(LeaderWrites(), 1);
  ASSERT_TRUE(log_.Await("Synced node info", 2));
  EXPECT_EQ(Rack(), "7");
  // The next time is news again.
  ForceOut();
  ASSERT_TRUE(log_.Await(kNodeLeft, 2));
  EXPECT_EQ(LeaderWrites(), 1);
  ASSERT_TRUE(log_.Await("Synced node info", 3));
  sync_->Stop();
  EXPECT_EQ(Rack(), "7");
  EXPECT_EQ(log_.Count(kNodeLeft), 2);
}

// Its node went with its coordinate, which need not have moved since.
TEST_F(NodeSyncTest, WhoWasMadeToLeaveAndLivesHasItsCoordinateAgain) {
  Move(0.5);
  MakePlaces(1h);
  consensus_.AwaitProposals(1);
  ForceOut();
  EXPECT_EQ(PlaceInCatalog(), -1);
  EXPECT_EQ(LeaderWrites(), 1);
  sync_->TrySoon();
  EXPECT_EQ(consensus_.AwaitProposals(3), (Proposals{"place a", "register a", "place a"}));
  sync_->Stop();
  EXPECT_EQ(PlaceInCatalog(), 0.5);
}

TEST_F(NodeSyncTest, ACoordinateOfANodeThatIsNotThereIsNotTold) {
  Move(0.5);
  BeginPlaces(1h);
  consensus_.AwaitProposals(2);
  EXPECT_EQ(PlaceInCatalog(), -1);
  Write(OwnNode());
  AwaitLooks(3);
  EXPECT_EQ(PlaceInCatalog(), 0.5);
  const size_t told = consensus_.Proposals().size();
  AwaitLooks(3);
  sync_->Stop();
  EXPECT_EQ(consensus_.Proposals().size(), told);
}

TEST_F(NodeSyncTest, WhoHasLeftTellsNoCoordinate) {
  Move(0.5);
  ForceOut();
  BeginPlaces(1h, 1ms);
  ASSERT_TRUE(log_.Await(kNodeLeft));
  const int looks = looks_;
  AwaitTries(10);
  EXPECT_EQ(looks_, looks);
  sync_->Stop();
}

TEST_F(NodeSyncTest, StopWaitsForTheWriteThatIsOnItsWay) {
  consensus_.Hold();
  sync_->Begin();
  sync_->TrySoon();
  consensus_.AwaitProposals(1);
  sync_->AskToStop();
  std::atomic<bool> stopped{false};
  std::thread stop([&] {
    sync_->Stop();
    stopped = true;
  });
  EXPECT_FALSE(stopped);
  consensus_.Release();
  stop.join();
  EXPECT_EQ(Rack(), "7");
}

TEST_F(NodeSyncTest, AWriteThatTheEndCutsOffIsNoErrorInTheLog) {
  consensus_.Hold();
  sync_->Begin();
  sync_->TrySoon();
  consensus_.AwaitProposals(1);
  sync_->AskToStop();
  consensus_.Drop(absl::CancelledError("this server is stopping"));
  sync_->Stop();
  EXPECT_TRUE(log_.lines().empty());
}

TEST_F(NodeSyncTest, NothingIsWrittenAfterStop) {
  sync_->Begin();
  sync_->Stop();
  sync_->TrySoon();
  sync_->Stop();
  EXPECT_EQ(consensus_.Proposals(), Proposals{});
}

}  // namespace
}  // namespace consul::agent
