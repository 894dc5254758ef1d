#include "cli/gate.h"

#include <gtest/gtest.h>

#include "consul/kv/v1/kv.pb.h"

namespace consul::cli {
namespace {

class NoExecutor : public rpc::Executor {
 public:
  void Post(rpc::Task*) override {}
};

// Answers each call at once, and counts.
class CountingBackend : public rpc::Backend {
 public:
  void Start(rpc::Call* call) override {
    ++calls;
    call->Done();
  }
  void Idle() override { ++idles; }
  int calls = 0;
  int idles = 0;
};

class TestCall : public rpc::Call {
 public:
  using Call::Call;
  void Done() override { ++done; }
  int done = 0;
};

class GateTest : public testing::Test {
 protected:
  // How a call through the gate ends.
  absl::Status CallStatus() {
    kv::v1::GetRequest request;
    kv::v1::GetResponse response;
    TestCall call(rpc::PublicApi().Get("/consul.kv.v1.KvService/Get"), &executor_, &request,
                  &response);
    gate_.Start(&call);
    EXPECT_EQ(call.done, 1);
    return call.status;
  }

  NoExecutor executor_;
  CountingBackend backend_;
  Gate gate_{&backend_, absl::UnavailableError("not yet")};
};

TEST_F(GateTest, ClosedItSaysWhyAndPassesNothing) {
  EXPECT_FALSE(gate_.open());
  EXPECT_EQ(CallStatus(), absl::UnavailableError("not yet"));
  gate_.Close(absl::UnavailableError("another reason"));
  EXPECT_EQ(CallStatus(), absl::UnavailableError("another reason"));
  EXPECT_EQ(backend_.calls, 0);
}

TEST_F(GateTest, OpenItPassesCallsOn) {
  gate_.Open();
  EXPECT_TRUE(gate_.open());
  EXPECT_TRUE(CallStatus().ok());
  EXPECT_EQ(backend_.calls, 1);
}

TEST_F(GateTest, ItCanBeClosedAgain) {
  gate_.Open();
  gate_.Close(absl::UnavailableError("no more"));
  EXPECT_EQ(CallStatus(), absl::UnavailableError("no more"));
  EXPECT_EQ(backend_.calls, 0);
}

TEST_F(GateTest, IdlenessIsPassedOnInAnyCase) {
  gate_.Idle();
  gate_.Open();
  gate_.Idle();
  EXPECT_EQ(backend_.idles, 2);
}

}  // namespace
}  // namespace consul::cli
