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
  EXPECT_EQ(server().reads, 1);
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
TEST_F(SharedReadsTest, WithoutAChangeALaterOneWaitsUntilItsOwnTimeIsOver) {
  Callers calls;
  for (int i = 0; i < 2; ++i) calls.push_back(MakeGet("k", 41, 1));
  Begin(calls);
  ASSERT_TRUE(Hang(1));
  server().Release();
  calls[0]->Wait();
  EXPECT_EQ(ValueOf(*calls[0]), "a");
  // The other one waits on, at the server too, which hangs: its time is over before an answer.
  calls[1]->Wait();
  EXPECT_EQ(ValueOf(*calls[1]), "a");
  EXPECT_GE(server().reads, 2);
  EXPECT_TRUE(Hang(0));
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
