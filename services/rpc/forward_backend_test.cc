// Goal: a client agent's callers never notice that a server is gone, where that can be, and nothing
// is ever done twice. Method: real gRPC servers over loopback that do as they are told.
#include "services/rpc/forward_backend.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "services/rpc/errors.h"
#include "services/rpc/test_servers.h"

namespace consul::rpc {
namespace {

using namespace std::chrono_literals;

class ForwardBackendTest : public ForwardingTest {};

TEST_F(ForwardBackendTest, ACallIsAnsweredByAServerItsMetaUnchanged) {
  StartServers({"a"});
  const auto call = Run(MakeGet());
  ASSERT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(ValueOf(*call), "a");
  const auto& meta = static_cast<kv::v1::GetResponse*>(call->response())->meta();
  EXPECT_EQ(meta.index(), 41);
  EXPECT_EQ(meta.last_contact().nanos(), 7'000'000);
  EXPECT_TRUE(meta.known_leader());
  EXPECT_EQ(meta.effective_consistency(), query::v1::CONSISTENCY_STALE);
  EXPECT_TRUE(Run(MakePut())->status.ok());
}

TEST_F(ForwardBackendTest, WithoutServersTheCallerIsToldAtOnce) {
  for (auto& call : {Run(MakeGet()), Run(MakePut()),
                     Run(Make(kLeader, status::v1::GetLeaderRequest()))}) {
    EXPECT_EQ(call->status.message(), "No known Consul servers");
    EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_SERVERS);
    EXPECT_EQ(HttpStatus(call->status), 500);
  }
  EXPECT_EQ(backend_->known_servers(), 0);
}

TEST_F(ForwardBackendTest, MethodsOfTheAgentRunHere) {
  const auto call = Run(Make(kMembers, agent::v1::ListMembersRequest()));
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_FALSE(backend_->TakesBytes(call->method()));
}

TEST_F(ForwardBackendTest, ItStaysWithOneServer) {
  StartServers({"a", "b", "c"});
  const std::string first = Ask();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Ask(), first);
  EXPECT_EQ(backend_->known_servers(), 3);
}

TEST_F(ForwardBackendTest, AReadOfAServerThatIsGoneIsAnsweredByAnother) {
  StartServers({"a", "b"});
  Server& first = First();
  first.Stop();
  EXPECT_EQ(Ask(), Other(first).name);
  // And it stays there.
  const int reads = Other(first).backend.reads;
  EXPECT_EQ(Ask(), Other(first).name);
  EXPECT_EQ(Other(first).backend.reads, reads + 1);
}

TEST_F(ForwardBackendTest, AReadThatIsUnderWayGoesToAnotherServer) {
  StartServers({"a", "b"});
  Server& first = First();
  first.backend.mode = Mode::kHang;
  const auto call = MakeGet();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return first.backend.hanging == 1; }));
  first.Stop();
  call->Wait();
  EXPECT_EQ(ValueOf(*call), Other(first).name);
}

TEST_F(ForwardBackendTest, ABlockedReadWaitsOnElsewhereForWhatIsLeftOfItsWait) {
  StartServers({"a", "b"});
  Server& first = First();
  first.backend.mode = Mode::kHang;
  const auto call = MakeGet("k", 41, 60);
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return first.backend.hanging == 1; }));
  first.Stop();
  call->Wait();
  EXPECT_EQ(ValueOf(*call), Other(first).name);
  const kv::v1::GetRequest asked = Other(first).backend.last_get();
  EXPECT_EQ(asked.key(), "k");
  EXPECT_EQ(asked.options().index(), 41);
  EXPECT_LT(asked.options().wait().seconds(), 60);
  EXPECT_GT(asked.options().wait().seconds(), 40);
}

TEST_F(ForwardBackendTest, AReadWaitsNoLongerForAServerThatThePoolGivesUp) {
  StartServers({"a", "b"});
  Server& first = First();
  first.backend.mode = Mode::kHang;
  const auto call = MakeGet();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return first.backend.hanging == 1; }));
  Publish(&first, ServerStanding::kLeft);
  call->Wait();
  EXPECT_EQ(ValueOf(*call), Other(first).name);
  EXPECT_TRUE(Eventually([&] { return first.backend.hanging == 0; }));
  EXPECT_EQ(backend_->known_servers(), 1);
  EXPECT_EQ(warnings(), 0) << "it is no failure to leave";
}

TEST_F(ForwardBackendTest, AServerWithAnotherAddressIsAskedThere) {
  StartServers({"a"});
  EXPECT_EQ(Ask(), "a");
  Server moved("moved");
  backend_->SetServers({{{"id-a", "a", moved.address}}, 1});
  EXPECT_EQ(Ask(), "moved");
}

TEST_F(ForwardBackendTest, AWriteToAServerThatIsGoneIsDoneOnceByAnother) {
  StartServers({"a", "b"});
  Server& first = First();
  first.Stop();
  // In the very moment in which a server ends nobody can say what became of a write.
  EXPECT_EQ(Ask(), Other(first).name);
  const auto call = Run(MakePut());
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(first.backend.writes, 0);
  EXPECT_EQ(Other(first).backend.writes, 1);
}

// Whichever of the two comes first in the order.
TEST_F(ForwardBackendTest, AFirstWriteFindsTheServerThatIsThere) {
  StartServers({"a", "b"});
  servers_[0]->Stop();
  for (int seed = 0; seed < 10; ++seed) {
    options_.links.seed = static_cast<uint64_t>(seed);
    Make();
    Publish();
    const auto call = Run(MakePut());
    EXPECT_TRUE(call->status.ok()) << call->status;
    EXPECT_EQ(servers_[1]->backend.writes, seed + 1);
  }
  EXPECT_GT(warnings(), 0);  // the order had the dead one first at times
}

TEST_F(ForwardBackendTest, AWriteThatHasArrivedIsNeverMadeAgain) {
  StartServers({"a", "b"});
  Server& first = First();
  first.backend.mode = Mode::kHang;
  const auto call = MakePut();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return first.backend.hanging == 1; }));
  first.Stop();
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OUTCOME_UNKNOWN) << call->status;
  EXPECT_EQ(Other(first).backend.writes, 0);
  // The next one goes elsewhere.
  EXPECT_TRUE(Run(MakePut())->status.ok());
  EXPECT_EQ(Other(first).backend.writes, 1);
}

// Servers come and go under writers and readers: every write is answered, every one that was
// answered well was done once, and no read fails.
TEST_F(ForwardBackendTest, NothingIsDoneTwiceWhileServersComeAndGo) {
  options_.hold_timeout = 10s;
  Make();
  StartServers({"a", "b"});
  int well = 0;
  int unknown = 0;
  for (int round = 0; round < 10; ++round) {
    std::vector<std::unique_ptr<Caller>> writes;
    std::vector<std::unique_ptr<Caller>> reads;
    Server& victim = *servers_[round % 2];
    for (int i = 0; i < 40; ++i) {
      writes.push_back(MakePut());
      writes.back()->Begin(backend_.get());
      reads.push_back(MakeGet());
      reads.back()->Begin(backend_.get());
      if (i == 20) victim.Stop();
    }
    for (const auto& read : reads) {
      read->Wait();
      EXPECT_TRUE(read->status.ok()) << read->status;
    }
    for (const auto& write : writes) {
      write->Wait();
      if (write->status.ok()) {
        ++well;
      } else {
        EXPECT_EQ(ReasonOf(*write), errors::v1::REASON_OUTCOME_UNKNOWN) << write->status;
        ++unknown;
      }
    }
    victim.Start();
  }
  EXPECT_EQ(well + unknown, 400);
  const int done = servers_[0]->backend.writes + servers_[1]->backend.writes;
  EXPECT_GE(done, well);
  EXPECT_LE(done, well + unknown);
}

TEST_F(ForwardBackendTest, AServerWithoutALeaderIsNotTheLastWord) {
  StartServers({"a", "b"});
  Server& first = First();
  first.backend.mode = Mode::kNoLeader;
  EXPECT_EQ(Ask(), Other(first).name);
  // The next calls go there first: a server that is cut off from the others holds each call for
  // long before it says so.
  const int reads = first.backend.reads;
  EXPECT_EQ(Ask(), Other(first).name);
  EXPECT_TRUE(Run(MakePut())->status.ok());
  EXPECT_EQ(first.backend.reads, reads);
  EXPECT_EQ(first.backend.writes, 0);
  EXPECT_EQ(Other(first).backend.writes, 1);
}

TEST_F(ForwardBackendTest, WithoutALeaderAnywhereTheCallerHearsOfItAfterTheHoldTimeout) {
  StartServers({"a", "b"});
  for (auto& server : servers_) server->backend.mode = Mode::kNoLeader;
  for (const bool write : {true, false}) {
    const auto before = std::chrono::steady_clock::now();
    const auto call = Run(write ? MakePut() : MakeGet());
    EXPECT_GE(std::chrono::steady_clock::now() - before, options_.hold_timeout);
    EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_LEADER);
    EXPECT_EQ(call->status.message(), "No cluster leader");
  }
  EXPECT_GT(servers_[0]->backend.writes, 1);
  EXPECT_GT(servers_[1]->backend.writes, 1);
}

TEST_F(ForwardBackendTest, ACallerThatWouldRatherNotWaitIsToldAtOnce) {
  options_.hold_timeout = 1h;
  Make();
  StartServers({"a"});
  servers_[0]->backend.mode = Mode::kNoLeader;
  auto call = MakeGet();
  call->hold = false;
  EXPECT_EQ(ReasonOf(*Run(std::move(call))), errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(servers_[0]->backend.reads, 1);
}

TEST_F(ForwardBackendTest, ALeaderThatComesWithinTheHoldTimeoutIsFound) {
  options_.hold_timeout = 10s;
  Make();
  StartServers({"a"});
  servers_[0]->backend.mode = Mode::kNoLeader;
  const auto call = MakePut();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return servers_[0]->backend.writes == 1; }));
  servers_[0]->backend.mode = Mode::kAnswer;
  call->Wait();
  EXPECT_TRUE(call->status.ok()) << call->status;
}

TEST_F(ForwardBackendTest, AServerThatStopsHasAReadAskedElsewhere) {
  StartServers({"a", "b"});
  Server& first = First();
  first.backend.mode = Mode::kShuttingDown;
  EXPECT_EQ(Ask(), Other(first).name);
}

TEST_F(ForwardBackendTest, AnyOtherErrorIsTheCallers) {
  StartServers({"a", "b"});
  for (auto& server : servers_) server->backend.mode = Mode::kOverloaded;
  const auto call = Run(MakeGet());
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OVERLOADED);
  EXPECT_EQ(call->status.message(), "too much");
  EXPECT_EQ(servers_[0]->backend.reads + servers_[1]->backend.reads, 1);
}

TEST_F(ForwardBackendTest, WithNoServerThatAnswersTheErrorNamesOne) {
  StartServers({"a", "b"});
  for (auto& server : servers_) server->Stop();
  for (auto& call : {Run(MakeGet()), Run(MakePut())}) {
    EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_SERVERS) << call->status;
    EXPECT_EQ(call->status.message().find("rpc error: server "), 0) << call->status;
  }
  // Each server is named in the log once, however often it was asked.
  EXPECT_EQ(warnings(), 2);
}

TEST_F(ForwardBackendTest, AServerThatComesBackWithinTheHoldTimeoutIsFound) {
  options_.hold_timeout = 10s;
  Make();
  StartServers({"a"});
  EXPECT_EQ(Ask(), "a");
  servers_[0]->Stop();
  const auto read = MakeGet();
  read->Begin(backend_.get());
  ASSERT_TRUE(Eventually([this] { return warnings() == 1; }));
  const auto write = MakePut();
  write->Begin(backend_.get());
  servers_[0]->Start();
  read->Wait();
  write->Wait();
  EXPECT_EQ(ValueOf(*read), "a");
  EXPECT_TRUE(write->status.ok()) << write->status;
  EXPECT_EQ(servers_[0]->backend.writes, 1);
}

TEST_F(ForwardBackendTest, AServerThatDoesNotAnswerInTimeIsNamed) {
  options_.margin = 100ms;
  options_.read_margin = 100ms;
  Make();
  StartServers({"a"});
  servers_[0]->backend.mode = Mode::kHang;
  const auto read = Run(MakeGet());
  EXPECT_EQ(ReasonOf(*read), errors::v1::REASON_NO_SERVERS) << read->status;
  EXPECT_NE(read->status.message().find("server a at "), std::string::npos);
  EXPECT_EQ(ReasonOf(*Run(MakePut())), errors::v1::REASON_OUTCOME_UNKNOWN);
  EXPECT_EQ(servers_[0]->backend.writes, 1);
}

TEST_F(ForwardBackendTest, ABlockedReadMayTakeItsWaitAndTheMargin) {
  options_.read_margin = 200ms;
  Make();
  StartServers({"a"});
  servers_[0]->backend.mode = Mode::kHang;
  const auto call = MakeGet("k", 41, 1);
  const auto before = std::chrono::steady_clock::now();
  call->Begin(backend_.get());
  call->Wait();
  EXPECT_GE(std::chrono::steady_clock::now() - before, 1200ms);
  EXPECT_FALSE(call->status.ok());
}

TEST_F(ForwardBackendTest, AgentsSpreadAnewAndNeverOverADeadServer) {
  options_.links.stay_min = 2ms;
  Make();
  StartServers({"a", "b", "c"});
  servers_[2]->Stop();
  EXPECT_TRUE(Eventually([&] {
    EXPECT_NE(Ask(), "c");
    return servers_[0]->backend.reads > 5 && servers_[1]->backend.reads > 5;
  }));
}

}  // namespace
}  // namespace consul::rpc
