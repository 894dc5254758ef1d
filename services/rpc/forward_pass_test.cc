// Goal: what a client agent passes on is what came in: tokens, large replies, streams, cancels; and
// the bytes that come by gRPC are not even parsed. Method: as forward_backend_test.cc.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "services/rpc/channel_backend.h"
#include "services/rpc/errors.h"
#include "services/rpc/forward_backend.h"
#include "services/rpc/open_channel.h"
#include "services/rpc/test_servers.h"

namespace consul::rpc {
namespace {

using namespace std::chrono_literals;

class PassOnTest : public ForwardingTest {};

TEST_F(PassOnTest, ACancelledReadIsFreedAtTheServer) {
  StartServers({"a"});
  servers_[0]->backend.mode = Mode::kHang;
  const auto call = MakeGet();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return servers_[0]->backend.hanging == 1; }));
  call->BeginCancel();
  call->Wait();
  EXPECT_EQ(call->status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([&] { return servers_[0]->backend.hanging == 0; }));
}

TEST_F(PassOnTest, ACallThatIsCancelledBetweenTwoTriesEndsAtOnce) {
  options_.hold_timeout = 1h;
  Make();
  StartServers({"a"});
  servers_[0]->backend.mode = Mode::kNoLeader;
  const auto call = MakePut();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return servers_[0]->backend.writes >= 1; }));
  call->BeginCancel();
  call->Wait();
  EXPECT_EQ(call->status.code(), absl::StatusCode::kCancelled);
}

TEST_F(PassOnTest, AWriteOnItsWayIsNotTakenBackByACancel) {
  options_.cancelled_write_wait = 10s;
  Make();
  StartServers({"a"});
  EXPECT_EQ(Ask(), "a");
  servers_[0]->backend.mode = Mode::kHang;
  const auto call = MakePut();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return servers_[0]->backend.hanging == 1; }));
  call->BeginCancel();
  // Runs after the cancel, on the same executor.
  EXPECT_EQ(Run(Make(kMembers, agent::v1::ListMembersRequest()))->status, absl::OkStatus());
  EXPECT_FALSE(call->done());
  servers_[0]->backend.Release();
  call->Wait();
  EXPECT_TRUE(call->status.ok()) << call->status;
}

TEST_F(PassOnTest, ACancelledWriteIsWaitedForOnlySoLong) {
  options_.cancelled_write_wait = 50ms;
  Make();
  StartServers({"a"});
  servers_[0]->backend.mode = Mode::kHang;
  const auto call = MakePut();
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return servers_[0]->backend.hanging == 1; }));
  call->BeginCancel();
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OUTCOME_UNKNOWN) << call->status;
}

TEST_F(PassOnTest, TheTokenTravels) {
  StartServers({"a"});
  auto call = MakeGet("token");
  call->token = "secret";
  EXPECT_EQ(ValueOf(*Run(std::move(call))), "secret");
}

TEST_F(PassOnTest, ALargeReplyComesWhole) {
  StartServers({"a"});
  EXPECT_EQ(ValueOf(*Run(MakeGet("large"))), std::string(10'000'000, 'x'));
}

TEST_F(PassOnTest, AReplyAboveTheLimitIsRefusedAndNotAskedForAgain) {
  options_.links.channel.reply_bytes_max = 1'000'000;
  Make();
  StartServers({"a", "b"});
  EXPECT_EQ(Run(MakeGet("large"))->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(servers_[0]->backend.reads + servers_[1]->backend.reads, 1);
}

TEST_F(PassOnTest, AStreamPassesOn) {
  StartServers({"a"});
  servers_[0]->backend.messages = 50;
  const auto call = Run(Make(kWatch, kv::v1::GetRequest()));
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(call->messages().size(), 50);
}

TEST_F(PassOnTest, AStreamThatHasGivenNothingGoesToAnotherServer) {
  StartServers({"a", "b"});
  Server& first = First();
  first.backend.mode = Mode::kHang;
  Other(first).backend.messages = 3;
  const auto call = Make(kWatch, kv::v1::GetRequest());
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return first.backend.hanging == 1; }));
  first.Stop();
  call->Wait();
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(call->messages().size(), 3);
}

// What was given cannot be taken back, and would come twice.
TEST_F(PassOnTest, AStreamThatHasBegunEndsWithItsServer) {
  StartServers({"a", "b"});
  Server& first = First();
  for (auto& server : servers_) server->backend.messages = 3;
  first.backend.mode = Mode::kHang;
  const auto call = Make(kWatch, kv::v1::GetRequest());
  call->Begin(backend_.get());
  ASSERT_TRUE(Eventually([&] { return first.backend.hanging == 1; }));
  // The messages are on this side when a later call of the same connection is answered.
  first.backend.mode = Mode::kAnswer;
  EXPECT_EQ(Ask(), first.name);
  first.Stop();
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_SERVERS) << call->status;
  EXPECT_EQ(call->messages().size(), 3);
}

TEST_F(PassOnTest, AStreamWhoseCallerTakesNoMoreEnds) {
  StartServers({"a"});
  servers_[0]->backend.messages = 20;
  auto call = Make(kWatch, kv::v1::GetRequest());
  call->takes = 2;
  const auto over = Run(std::move(call));
  EXPECT_EQ(over->messages().size(), 2);
  EXPECT_EQ(ReasonOf(*over), errors::v1::REASON_OVERLOADED);
}

// ---- The agent's RPC face on this backend: bytes in, bytes out.

class ForwardedBytesTest : public ForwardingTest {
 protected:
  // An RPC face as the client agent's, and a client of it.
  void StartFace() {
    face_ = std::make_unique<GrpcServer>(GrpcServer::Options{.addresses = {"127.0.0.1:0"}},
                                         TestApi(), backend_.get());
    ASSERT_TRUE(face_->Start().ok());
    address_ = base::StrCat("127.0.0.1:", face_->ports()[0]);
    client_ = std::make_unique<ChannelBackend>(address_, ChannelBackend::Options{});
  }
  void TearDown() override {
    if (face_ != nullptr) face_->Stop();
  }
  std::unique_ptr<Caller> RunThrough(std::unique_ptr<Caller> call) {
    call->Begin(client_.get());
    call->Wait();
    return call;
  }

  std::unique_ptr<GrpcServer> face_;
  std::string address_;
  std::unique_ptr<ChannelBackend> client_;
};

TEST_F(ForwardedBytesTest, RepliesAndErrorsComeThroughAsTheServerGaveThem) {
  StartServers({"a"});
  StartFace();
  const auto call = RunThrough(MakeGet());
  ASSERT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(ValueOf(*call), "a");
  EXPECT_EQ(static_cast<kv::v1::GetResponse*>(call->response())->meta().index(), 41);
  EXPECT_EQ(ValueOf(*RunThrough(MakeGet("large"))).size(), 10'000'000);
  servers_[0]->backend.mode = Mode::kOverloaded;
  const auto refused = RunThrough(MakeGet());
  EXPECT_EQ(ReasonOf(*refused), errors::v1::REASON_OVERLOADED);
  EXPECT_EQ(Detail(refused->status).subject(), "a");
}

TEST_F(ForwardedBytesTest, AStreamComesThrough) {
  StartServers({"a"});
  StartFace();
  servers_[0]->backend.messages = 30;
  const auto call = RunThrough(Make(kWatch, kv::v1::GetRequest()));
  EXPECT_TRUE(call->status.ok()) << call->status;
  ASSERT_EQ(call->messages().size(), 30);
  EXPECT_EQ(static_cast<const kv::v1::GetResponse&>(*call->messages()[29]).entry().value(), "a");
}

TEST_F(ForwardedBytesTest, MethodsOfTheAgentAreStillParsedHere) {
  StartFace();
  EXPECT_TRUE(RunThrough(Make(kMembers, agent::v1::ListMembersRequest()))->status.ok());
}

// A field that this agent does not know yet reaches a server that does: nothing parses it here.
TEST_F(ForwardedBytesTest, WhatTheAgentDoesNotKnowReachesTheServer) {
  StartServers({"a"});
  StartFace();
  kv::v1::GetRequest request;
  request.set_key("k");
  auto* const unknown = request.GetReflection()->MutableUnknownFields(&request);
  unknown->AddVarint(900, 5);
  EXPECT_EQ(ValueOf(*RunThrough(Make(kGet, request))), "a");
  EXPECT_EQ(servers_[0]->backend.last_get().SerializeAsString(), request.SerializeAsString());
}

TEST_F(ForwardedBytesTest, BytesThatAreNoRequestAreTheServersToRefuse) {
  StartServers({"a"});
  StartFace();
  const auto stub = grpc::GenericStub(OpenChannel(address_, {}));
  const grpc::Slice slice("\xff\xff\xff");
  const grpc::ByteBuffer bytes(&slice, 1);
  grpc::ByteBuffer reply;
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  auto reader = const_cast<grpc::GenericStub&>(stub).PrepareUnaryCall(&context, kGet, bytes,
                                                                      &queue);
  reader->StartCall();
  grpc::Status status;
  reader->Finish(&reply, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "request is not a consul.kv.v1.GetRequest");
  EXPECT_EQ(servers_[0]->backend.reads, 0);
}

TEST_F(ForwardedBytesTest, ABlockedReadThatFailsOverIsStillOnlyBytes) {
  StartServers({"a", "b"});
  StartFace();
  Server& first = First();
  first.backend.mode = Mode::kHang;
  const auto call = MakeGet("k", 41, 60);
  call->Begin(client_.get());
  ASSERT_TRUE(Eventually([&] { return first.backend.hanging == 1; }));
  first.Stop();
  call->Wait();
  EXPECT_EQ(ValueOf(*call), Other(first).name);
  EXPECT_LT(Other(first).backend.last_get().options().wait().seconds(), 60);
}

}  // namespace
}  // namespace consul::rpc
