// Goal: what only the leader can answer reaches it, in one step and never in a circle. Method: real
// gRPC servers over loopback as leaders, whose backends note what comes; and a server that does not
// lead, as a LocalBackend in front of the forwarding.
#include "services/rpc/leader_forward.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "consul/operators/v1/raft.pb.h"
#include "services/rpc/errors.h"
#include "services/rpc/local_backend.h"
#include "services/rpc/test_servers.h"

namespace consul::rpc {
namespace {

using namespace std::chrono_literals;
using operators::v1::TransferLeaderRequest;
using operators::v1::TransferLeaderResponse;

constexpr char kTransfer[] = "/consul.operators.v1.RaftService/TransferLeader";

// A server that leads, or does not, as the test says.
class Role : public Consensus {
 public:
  View view() const override {
    return {.has_leader = true, .leads = leads, .leader_known = true};
  }
  void Propose(state::SealedCommand, std::function<void(absl::StatusOr<Applied>)> done) override {
    done(absl::UnimplementedError(""));
  }
  void ReadBarrier(ReadMode, std::function<void(absl::Status)> done) override {
    done(absl::OkStatus());
  }
  std::atomic<bool> leads{false};
};

// A whole server: its port, its backend, and the way from it to the leader.
class WholeServer {
 public:
  WholeServer(std::string name, base::Logger* logger, std::chrono::milliseconds hold_timeout)
      : name_(std::move(name)),
        forward_(ForwardOptions(hold_timeout), logger),
        handlers_(TestApi()) {
    for (const Method& method : TestApi().methods()) {
      handlers_.Take(method.path, [this](Call* call) {
        ++answered;
        if (call->method().path == kTransfer) {
          static_cast<TransferLeaderResponse*>(call->response())->set_success(true);
          call->status = refusal;
        }
        call->Done();
      });
    }
    LocalBackend::Options options;
    options.hold_timeout = hold_timeout;
    backend_ = std::make_unique<LocalBackend>(options, &handlers_, &role);
    backend_->SetLeaderCalls(&forward_);
    grpc_ = std::make_unique<GrpcServer>(GrpcServer::Options{.addresses = {"127.0.0.1:0"}},
                                         TestApi(), backend_.get());
    EXPECT_TRUE(grpc_->Start().ok());
  }
  ~WholeServer() {
    backend_->StopHolding();
    forward_.Stop();
    grpc_->Stop(0ms);
  }

  KnownServer known() const {
    return {"id-" + name_, name_, base::StrCat("127.0.0.1:", grpc_->ports()[0])};
  }
  void SetLeader(const std::optional<KnownServer>& leader) {
    forward_.SetLeader(leader);
    backend_->LeaderChanged();
  }
  LocalBackend* backend() { return backend_.get(); }

  Role role;
  std::atomic<int> answered{0};
  absl::Status refusal;  // of a transfer

 private:
  static ForwardBackend::Options ForwardOptions(std::chrono::milliseconds hold_timeout) {
    ForwardBackend::Options options;
    options.hold_timeout = hold_timeout;
    options.margin = 10s;
    return options;
  }

  const std::string name_;
  LeaderForward forward_;
  Handlers handlers_;
  std::unique_ptr<LocalBackend> backend_;
  std::unique_ptr<GrpcServer> grpc_;
};

class LeaderForwardTest : public testing::Test {
 protected:
  std::unique_ptr<Caller> Make(const char* path = kTransfer) {
    const Method& method = TestApi().Get(path);
    return std::make_unique<Caller>(method, &executor_, method.request_prototype->New(&arena_),
                                    method.response_prototype->New(&arena_));
  }
  std::unique_ptr<Caller> RunOn(WholeServer& server, std::unique_ptr<Caller> call) {
    call->Begin(server.backend());
    call->Wait();
    return call;
  }
  static bool Succeeded(Caller& call) {
    return call.status.ok() &&
           static_cast<TransferLeaderResponse*>(call.response())->success();
  }
  static errors::v1::Reason ReasonOf(const Caller& call) { return Detail(call.status).reason(); }

  google::protobuf::Arena arena_;
  EventThread executor_{[] {}};
  base::Logger logger_{base::LogLevel::kError};
  WholeServer a_{"a", &logger_, 300ms};
  WholeServer b_{"b", &logger_, 300ms};
};

TEST_F(LeaderForwardTest, TheLeaderAnswersWhatCameToAnotherServer) {
  b_.role.leads = true;
  a_.SetLeader(b_.known());
  const auto call = RunOn(a_, Make());
  EXPECT_TRUE(Succeeded(*call)) << call->status;
  EXPECT_EQ(a_.answered, 0);
  EXPECT_EQ(b_.answered, 1);
}

TEST_F(LeaderForwardTest, WhatTheLeaderSaysIsNoBrokenConnection) {
  b_.role.leads = true;
  a_.SetLeader(b_.known());
  for (const absl::Status& said :
       {absl::DeadlineExceededError("c did not take over in time"),
        absl::UnavailableError("no room"), absl::UnknownError("who knows"),
        absl::AbortedError("no majority")}) {
    b_.refusal = said;
    const auto call = RunOn(a_, Make());
    EXPECT_EQ(call->status.code(), said.code());
    EXPECT_EQ(call->status.message(), said.message());
    EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_UNSPECIFIED);
  }
  EXPECT_EQ(b_.answered, 4);
}

TEST_F(LeaderForwardTest, TheLeaderAnswersByItself) {
  a_.role.leads = true;
  EXPECT_TRUE(Succeeded(*RunOn(a_, Make())));
  EXPECT_EQ(a_.answered, 1);
}

TEST_F(LeaderForwardTest, OtherMethodsAreAnsweredHere) {
  b_.role.leads = true;
  a_.SetLeader(b_.known());
  EXPECT_TRUE(RunOn(a_, Make(kLeader))->status.ok());
  EXPECT_EQ(a_.answered, 1);
  EXPECT_EQ(b_.answered, 0);
}

// Each takes the other one for the leader.
TEST_F(LeaderForwardTest, ACallIsPassedOnOnlyOnce) {
  a_.SetLeader(b_.known());
  b_.SetLeader(a_.known());
  const auto call = RunOn(a_, Make());
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_LEADER) << call->status;
  EXPECT_EQ(a_.answered + b_.answered, 0);
}

TEST_F(LeaderForwardTest, ACallWaitsForALeaderToBeKnown) {
  WholeServer waits("c", &logger_, 10s);
  b_.role.leads = true;
  const auto call = Make();
  call->Begin(waits.backend());
  // It is held once a later call of the same executor has been answered.
  EXPECT_TRUE(RunOn(waits, Make(kLeader))->status.ok());
  EXPECT_FALSE(call->done());
  waits.SetLeader(b_.known());
  call->Wait();
  EXPECT_TRUE(Succeeded(*call)) << call->status;
  EXPECT_EQ(b_.answered, 1);
}

TEST_F(LeaderForwardTest, WithoutALeaderItIsSaidAfterTheHoldTimeout) {
  const auto call = RunOn(a_, Make());
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_LEADER) << call->status;
}

// While the call is being tried the old leader says that it leads no more.
TEST_F(LeaderForwardTest, ACallFollowsTheLeadToAnotherServer) {
  WholeServer patient("c", &logger_, 10s);
  b_.role.leads = true;
  patient.SetLeader(a_.known());
  const auto call = Make();
  call->Begin(patient.backend());
  EXPECT_TRUE(RunOn(patient, Make(kLeader))->status.ok());
  patient.SetLeader(b_.known());
  call->Wait();
  EXPECT_TRUE(Succeeded(*call)) << call->status;
  EXPECT_EQ(a_.answered, 0);
}

TEST_F(LeaderForwardTest, ALeaderThatCannotBeReachedIsNamed) {
  KnownServer gone = b_.known();
  gone.address = "127.0.0.1:1";
  a_.SetLeader(gone);
  const auto call = RunOn(a_, Make());
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_SERVERS) << call->status;
  EXPECT_NE(call->status.message().find("server b at 127.0.0.1:1"), std::string::npos)
      << call->status;
}

TEST_F(LeaderForwardTest, ACallEndsWhenNobodyLeadsAnyMore) {
  WholeServer patient("c", &logger_, 10s);
  patient.SetLeader(a_.known());
  const auto call = Make();
  call->Begin(patient.backend());
  EXPECT_TRUE(RunOn(patient, Make(kLeader))->status.ok());
  patient.SetLeader(std::nullopt);
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_NO_LEADER) << call->status;
}

}  // namespace
}  // namespace consul::rpc
