// Goal: blocking reads of a client agent that ask the same are one call at a server, and nobody
// notices. Method: a real gRPC server over loopback that lets calls hang until it is told.
#include "services/rpc/shared_reads.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "services/rpc/test_servers.h"

namespace consul::rpc {
namespace {

class SharedReadsTest : public ForwardingTest {
 protected:
  using Callers = std::vector<std::unique_ptr<Caller>>;

  SharedReadsTest() {
    StartServers({"a"});
    server().mode = Mode::kHang;
  }
  ScriptedBackend& server() { return servers_[0]->backend; }

  // Begun, one after the other; all wait when it returns.
  void Begin(const Callers& calls) {
    for (const auto& call : calls) call->Begin(backend_.get());
    // A call of the agent itself is answered behind them on the same thread.
    Run(Make(kMembers, agent::v1::ListMembersRequest()));
  }
  // Waits until so many calls hang at the server, and as many reads have ever come.
  bool Hang(int count) { return Eventually([&] { return server().hanging == count; }); }
  void Answer() {
    server().mode = Mode::kAnswer;
    server().Release();
  }
  // A read that is answered as soon as there is an answer: its index is not the server's.
  std::unique_ptr<Caller> Get(std::string_view key = "k", uint64_t index = 40) {
    return MakeGet(key, index, 60);
  }
};

TEST_F(SharedReadsTest, ReadsThatAskTheSameAreOneAtTheServer) {
  Callers calls;
  for (int i = 0; i < 100; ++i) calls.push_back(Get());
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  Answer();
  for (const auto& call : calls) {
    call->Wait();
    EXPECT_EQ(ValueOf(*call), "a");
  }
  // One for the first, and one for all who came while that was under way.
  EXPECT_EQ(server().reads, 2);
}

TEST_F(SharedReadsTest, OthersAskForThemselves) {
  Callers calls;
  calls.push_back(Get("k"));
  calls.push_back(Get("other"));
  calls.push_back(Get("k", 39));
  calls.push_back(MakeGet("k", 40, 61));
  calls.push_back(Get("k"));
  calls.back()->token = "t";
  calls.push_back(Get("k"));
  calls.back()->hold = false;
  Begin(calls);
  EXPECT_TRUE(Hang(6));
  Answer();
  for (const auto& call : calls) call->Wait();
}

TEST_F(SharedReadsTest, ReadsThatDoNotWaitAreNotShared) {
  Callers calls;
  for (int i = 0; i < 3; ++i) calls.push_back(MakeGet());
  Begin(calls);
  EXPECT_TRUE(Hang(3));
  Answer();
  for (const auto& call : calls) call->Wait();
}

TEST_F(SharedReadsTest, WhoGoesAwayTakesTheCallAlongOnlyAsTheLast) {
  Callers calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Get());
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  // The first one is the one that the call was begun for.
  for (int i = 0; i < 2; ++i) {
    calls[i]->BeginCancel();
    calls[i]->Wait();
    EXPECT_TRUE(absl::IsCancelled(calls[i]->status));
  }
  EXPECT_FALSE(calls[2]->done());
  EXPECT_EQ(server().hanging, 1);
  calls[2]->BeginCancel();
  calls[2]->Wait();
  EXPECT_TRUE(Hang(0));
  EXPECT_EQ(server().reads, 1);
}

TEST_F(SharedReadsTest, WhoComesAfterTheLastHasGoneBeginsAnew) {
  for (int i = 0; i < 50; ++i) {
    const auto gone = Get();
    gone->Begin(backend_.get());
    gone->BeginCancel();
    gone->Wait();
  }
  Callers calls;
  calls.push_back(Get());
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  Answer();
  calls[0]->Wait();
  EXPECT_EQ(ValueOf(*calls[0]), "a");
}

// The server's index is 41, so that it brings no change to whoever gives that.
TEST_F(SharedReadsTest, NobodyWaitsLongerThanTheServerDoes) {
  Callers calls;
  for (int i = 0; i < 20; ++i) calls.push_back(MakeGet("k", 41, 600));
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  // As a server whose own limit is lower.
  Answer();
  for (const auto& call : calls) {
    call->Wait();
    EXPECT_EQ(ValueOf(*call), "a");
  }
}

TEST_F(SharedReadsTest, AnIndexThatIsNotReachedYetIsNoChange) {
  Callers calls;
  for (int i = 0; i < 2; ++i) calls.push_back(MakeGet("k", 42, 600));
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  server().Release();
  calls[0]->Wait();
  // The other one is at the server again, by whatever call.
  ASSERT_TRUE(Hang(1));
  EXPECT_FALSE(calls[1]->done());
  Answer();
  calls[1]->Wait();
  EXPECT_EQ(ValueOf(*calls[1]), "a");
}

TEST_F(SharedReadsTest, WhoseTimeIsOverAsksHowThingsAreNow) {
  Callers calls;
  for (int i = 0; i < 2; ++i) calls.push_back(MakeGet("k", 41, 600));
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  server().Release();  // no change, after less than the wait
  calls[0]->Wait();
  ASSERT_TRUE(Eventually([&] { return server().last_get().options().wait().seconds() == 0; }));
  ASSERT_TRUE(Hang(1));
  const auto asked = server().last_get().options();
  EXPECT_EQ(asked.index(), 41);
  EXPECT_EQ(asked.wait().nanos(), 1'000'000);
  // Nobody joins it: it was not meant to wait.
  calls.push_back(MakeGet("k", 41, 600));
  Begin({});
  calls[2]->Begin(backend_.get());
  ASSERT_TRUE(Hang(2));
  Answer();
  for (const auto& call : calls) call->Wait();
}

TEST_F(SharedReadsTest, AWaitOfAnyLengthIsTaken) {
  kv::v1::GetRequest request;
  request.mutable_options()->set_index(40);
  request.mutable_options()->mutable_wait()->set_seconds(315'576'000'000);
  Callers calls;
  for (int i = 0; i < 2; ++i) calls.push_back(Make(kGet, request));
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  Answer();
  for (const auto& call : calls) {
    call->Wait();
    EXPECT_TRUE(call->status.ok()) << call->status;
  }
}

TEST_F(SharedReadsTest, AnErrorIsToldToAll) {
  Callers calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Get());
  server().mode = Mode::kOverloaded;
  Begin(calls);
  for (const auto& call : calls) {
    call->Wait();
    EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OVERLOADED);
  }
}

TEST_F(SharedReadsTest, WithoutServersAllAreToldAtOnce) {
  servers_.clear();
  Publish();
  Callers calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Get());
  Begin(calls);
  for (const auto& call : calls) {
    call->Wait();
    EXPECT_EQ(call->status.message(), "No known Consul servers");
  }
}

}  // namespace
}  // namespace consul::rpc
