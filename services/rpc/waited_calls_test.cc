// Goal: a thread that waits for its call gets the answer, wherever it comes from, and can be called
// off. Method: the fake backend, whose calls answer at once, later, or never.
#include "services/rpc/waited_calls.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "consul/kv/v1/kv.pb.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_fake_backend.h"

namespace consul::rpc {
namespace {

class WaitedCallsTest : public testing::Test {
 protected:
  absl::Status Get(const std::string& key) {
    kv::v1::GetRequest request;
    request.set_key(key);
    response_.Clear();
    return calls_.Run(&backend_, PublicApi().Get("/consul.kv.v1.KvService/Get"), request,
                      &response_);
  }

  GrpcFakeBackend backend_;
  kv::v1::GetResponse response_;
  WaitedCalls calls_;
};

TEST_F(WaitedCallsTest, AnAnswerAtOnceAndOneFromAnotherThread) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(Get("k").ok());
    EXPECT_EQ(response_.entry().value(), "value of k");
    EXPECT_TRUE(Get("later").ok());
    EXPECT_EQ(response_.entry().value(), "later");
  }
}

TEST_F(WaitedCallsTest, AnErrorIsGivenAsItIs) {
  const absl::Status status = Get("error:foo");
  EXPECT_EQ(Detail(status).reason(), errors::v1::REASON_NOT_FOUND);
  EXPECT_EQ(Detail(status).subject(), "foo");
}

TEST_F(WaitedCallsTest, AnInterruptEndsTheCallAndAllLaterOnes) {
  std::thread waits([this] { EXPECT_EQ(Get("wait").code(), absl::StatusCode::kCancelled); });
  while (backend_.waiting == 0) std::this_thread::yield();
  calls_.Interrupt();
  waits.join();
  EXPECT_EQ(backend_.cancelled, 1);
  EXPECT_EQ(Get("k").code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace consul::rpc
