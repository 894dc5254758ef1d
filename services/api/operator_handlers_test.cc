// Goal: what operators ask of consensus and of autopilot is checked, and goes to whom it concerns.
// Method: consensus made by hand, which notes what it is told to do; a real state machine behind
// the writes.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/api/autopilot_handlers.h"
#include "services/api/operator_raft_handlers.h"
#include "services/api/test_call.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/server/test_consensus.h"

namespace consul::api {
namespace {

using operators::v1::AutopilotConfiguration;
using operators::v1::GetAutopilotConfigurationRequest;
using operators::v1::GetAutopilotConfigurationResponse;
using operators::v1::GetAutopilotHealthRequest;
using operators::v1::GetAutopilotHealthResponse;
using operators::v1::GetAutopilotStateRequest;
using operators::v1::GetAutopilotStateResponse;
using operators::v1::GetRaftConfigurationRequest;
using operators::v1::GetRaftConfigurationResponse;
using operators::v1::RaftServer;
using operators::v1::RemoveRaftPeerRequest;
using operators::v1::RemoveRaftPeerResponse;
using operators::v1::SetAutopilotConfigurationRequest;
using operators::v1::SetAutopilotConfigurationResponse;
using operators::v1::TransferLeaderRequest;
using operators::v1::TransferLeaderResponse;

constexpr char kRaft[] = "consul.operators.v1.RaftService/";
constexpr char kAutopilot[] = "consul.operators.v1.AutopilotService/";

class OperatorHandlersTest : public testing::Test {
 protected:
  OperatorHandlersTest() {
    for (const auto& [id, address] : {std::pair("id-a", "10.0.0.1:8300"), {"id-b", ""}}) {
      RaftServer* const server = configuration_.add_servers();
      server->set_id(id);
      server->set_address(address);
    }
    RaftControl control;
    control.configuration = [this] { return configuration_; };
    control.pass_on = [this](rpc::Call*) {
      ++passed_on_;
      return another_leads_;
    };
    control.remove = [this](const std::string& id, std::function<void(absl::Status)> done) {
      orders_.push_back("remove " + id);
      done_ = std::move(done);
    };
    control.transfer = [this](const std::string& id, std::function<void(absl::Status)> done) {
      orders_.push_back("transfer " + id);
      done_ = std::move(done);
    };
    RegisterRaft(std::move(control), &handlers_);
    AutopilotReport report;
    report.configuration = [] {
      AutopilotConfiguration configuration;
      configuration.set_min_quorum(3);
      return configuration;
    };
    report.health = [this] { return health_; };
    report.state = [this]() -> std::optional<GetAutopilotStateResponse> {
      if (!health_.has_value()) return std::nullopt;
      GetAutopilotStateResponse state;
      state.set_leader("id-a");
      return state;
    };
    RegisterAutopilot(std::move(report), &handlers_);
  }

  // Runs the handler of a call; what it waits for comes later.
  template <typename Request, typename Response>
  void Start(TestCall<Request, Response>* call) {
    ASSERT_TRUE(rpc::RunHere(handlers_.Of(call->method()), call));
    executor_.RunAll();
  }
  void Finish(absl::Status status) {
    std::exchange(done_, nullptr)(std::move(status));
    executor_.RunAll();
  }

  template <typename Call>
  static std::string ErrorOf(const Call& call) {
    return base::StrCat(errors::v1::Reason_Name(rpc::Detail(call.status).reason()), ": ",
                        base::ToStd(call.status.message()));
  }

  TestExecutor executor_;
  GetRaftConfigurationResponse configuration_;
  int passed_on_ = 0;
  bool another_leads_ = false;
  std::vector<std::string> orders_;
  std::function<void(absl::Status)> done_;
  std::optional<GetAutopilotHealthResponse> health_;
  rpc::Handlers handlers_{rpc::PublicApi()};
};

using GetConfigurationCall = TestCall<GetRaftConfigurationRequest, GetRaftConfigurationResponse>;
using RemoveCall = TestCall<RemoveRaftPeerRequest, RemoveRaftPeerResponse>;
using TransferCall = TestCall<TransferLeaderRequest, TransferLeaderResponse>;

TEST_F(OperatorHandlersTest, TheLeaderAnswersWithTheConfigurationItself) {
  GetConfigurationCall call(base::StrCat(kRaft, "GetRaftConfiguration"), &executor_);
  Start(&call);
  EXPECT_EQ(call.done, 1);
  EXPECT_EQ(passed_on_, 1);
  EXPECT_EQ(call.answer().servers_size(), 2);
}

TEST_F(OperatorHandlersTest, AnotherServerAsksTheLeaderUnlessItIsToldNotTo) {
  another_leads_ = true;
  GetConfigurationCall call(base::StrCat(kRaft, "GetRaftConfiguration"), &executor_);
  Start(&call);
  EXPECT_EQ(call.done, 0);

  GetConfigurationCall stale(base::StrCat(kRaft, "GetRaftConfiguration"), &executor_);
  stale.request_to_fill().set_stale(true);
  Start(&stale);
  EXPECT_EQ(stale.done, 1);

  EXPECT_EQ(passed_on_, 1);
}

TEST_F(OperatorHandlersTest, AServerIsRemovedByItsIdOrItsAddress) {
  RemoveCall by_id(base::StrCat(kRaft, "RemoveRaftPeer"), &executor_);
  by_id.request_to_fill().set_id("id-b");
  Start(&by_id);
  EXPECT_EQ(by_id.done, 0);
  Finish(absl::OkStatus());
  EXPECT_EQ(by_id.done, 1);
  EXPECT_TRUE(by_id.status.ok());

  RemoveCall by_address(base::StrCat(kRaft, "RemoveRaftPeer"), &executor_);
  by_address.request_to_fill().set_address("10.0.0.1:8300");
  Start(&by_address);
  Finish(absl::InvalidArgumentError("the last voter"));
  EXPECT_EQ(by_address.status.message(), "the last voter");
  EXPECT_EQ(orders_, (std::vector<std::string>{"remove id-b", "remove id-a"}));
}

TEST_F(OperatorHandlersTest, AServerToBeRemovedIsNamedOnceAndIsThere) {
  const auto refused = [this](const std::string& id, const std::string& address) {
    RemoveCall call(base::StrCat(kRaft, "RemoveRaftPeer"), &executor_);
    call.request_to_fill().set_id(id);
    call.request_to_fill().set_address(address);
    Start(&call);
    EXPECT_EQ(call.done, 1);
    return ErrorOf(call);
  };
  EXPECT_EQ(refused("", ""),
            "REASON_MISSING_FIELD: Bad request: Must specify either ?id with the server's ID or "
            "?address with IP:port of peer to remove");
  EXPECT_EQ(refused("id-a", "10.0.0.1:8300"),
            "REASON_CONFLICTING_FIELDS: Bad request: Must specify only one of ?id or ?address");
  EXPECT_EQ(refused("abc", ""),
            "REASON_NOT_FOUND: id \"abc\" was not found in the Raft configuration");
  EXPECT_EQ(refused("", "1.1.1.1:1"),
            "REASON_NOT_FOUND: address \"1.1.1.1:1\" was not found in the Raft configuration");
  EXPECT_TRUE(orders_.empty());
}

TEST_F(OperatorHandlersTest, TheLeadIsHandedToAServerOrToTheBestOne) {
  TransferCall any(base::StrCat(kRaft, "TransferLeader"), &executor_);
  Start(&any);
  Finish(absl::OkStatus());
  EXPECT_TRUE(any.answer().success());

  TransferCall to_b(base::StrCat(kRaft, "TransferLeader"), &executor_);
  to_b.request_to_fill().set_id("id-b");
  Start(&to_b);
  Finish(absl::DeadlineExceededError("it did not take over"));
  EXPECT_TRUE(absl::IsDeadlineExceeded(to_b.status));
  EXPECT_FALSE(to_b.answer().success());
  EXPECT_EQ(orders_, (std::vector<std::string>{"transfer ", "transfer id-b"}));

  TransferCall to_nobody(base::StrCat(kRaft, "TransferLeader"), &executor_);
  to_nobody.request_to_fill().set_id("abc");
  Start(&to_nobody);
  EXPECT_EQ(ErrorOf(to_nobody),
            "REASON_NOT_FOUND: id \"abc\" was not found in the Raft configuration");
}

TEST_F(OperatorHandlersTest, WhatAutopilotSays) {
  TestCall<GetAutopilotConfigurationRequest, GetAutopilotConfigurationResponse> configuration(
      base::StrCat(kAutopilot, "GetAutopilotConfiguration"), &executor_);
  Start(&configuration);
  EXPECT_EQ(configuration.answer().configuration().min_quorum(), 3);

  health_.emplace().set_failure_tolerance(2);
  TestCall<GetAutopilotHealthRequest, GetAutopilotHealthResponse> health(
      base::StrCat(kAutopilot, "GetAutopilotHealth"), &executor_);
  Start(&health);
  EXPECT_TRUE(health.status.ok());
  EXPECT_EQ(health.answer().failure_tolerance(), 2);

  TestCall<GetAutopilotStateRequest, GetAutopilotStateResponse> state(
      base::StrCat(kAutopilot, "GetAutopilotState"), &executor_);
  Start(&state);
  EXPECT_EQ(state.answer().leader(), "id-a");
}

TEST_F(OperatorHandlersTest, WhoLeadsNoMoreDoesNotKnow) {
  TestCall<GetAutopilotHealthRequest, GetAutopilotHealthResponse> health(
      base::StrCat(kAutopilot, "GetAutopilotHealth"), &executor_);
  Start(&health);
  EXPECT_EQ(ErrorOf(health), "REASON_NO_LEADER: No cluster leader");
  TestCall<GetAutopilotStateRequest, GetAutopilotStateResponse> state(
      base::StrCat(kAutopilot, "GetAutopilotState"), &executor_);
  Start(&state);
  EXPECT_EQ(ErrorOf(state), "REASON_NO_LEADER: No cluster leader");
}

TEST_F(OperatorHandlersTest, AnIndexInANewConfigurationMeansNothing) {
  const rpc::Method& method =
      rpc::PublicApi().Get(base::StrCat("/", kAutopilot, "SetAutopilotConfiguration"));
  const auto& write = std::get<rpc::WriteHandler>(handlers_.Of(method));
  SetAutopilotConfigurationRequest request;
  request.mutable_configuration()->set_min_quorum(3);
  request.mutable_configuration()->set_create_index(7);
  request.mutable_configuration()->set_modify_index(8);
  state::SealedCommand sealed;
  ASSERT_TRUE(write.prepare(request, &sealed).ok());
  internal::raft::v1::Command command;
  ASSERT_TRUE(command.ParseFromString(sealed.bytes));
  EXPECT_EQ(command.min_version(), 3);
  EXPECT_EQ(command.set_autopilot_configuration().ShortDebugString(),
            "configuration { min_quorum: 3 }");

  server::TestConsensus consensus;
  request.set_cas(5);
  ASSERT_TRUE(write.prepare(request, &sealed).ok());
  SetAutopilotConfigurationResponse response;
  const auto finish = [&](absl::StatusOr<rpc::Applied> applied) {
    ASSERT_TRUE(applied.ok());
    write.finish(*applied, &response);
  };
  consensus.Propose(sealed, finish);
  EXPECT_FALSE(response.applied());
  request.set_cas(0);
  ASSERT_TRUE(write.prepare(request, &sealed).ok());
  consensus.Propose(sealed, finish);
  EXPECT_TRUE(response.applied());
  EXPECT_EQ(response.index(), 2);
}

TEST_F(OperatorHandlersTest, AConfigurationThatNobodyCanReckonWithIsRefused) {
  const rpc::Method& method =
      rpc::PublicApi().Get(base::StrCat("/", kAutopilot, "SetAutopilotConfiguration"));
  const auto& write = std::get<rpc::WriteHandler>(handlers_.Of(method));
  const auto told = [&](const std::function<void(AutopilotConfiguration*)>& change) {
    SetAutopilotConfigurationRequest request;
    change(request.mutable_configuration());
    state::SealedCommand sealed;
    const absl::Status status = write.prepare(request, &sealed);
    EXPECT_EQ(status.ok(), !sealed.bytes.empty());
    return std::string(base::ToStd(status.message()));
  };
  EXPECT_EQ(told([](auto* c) { c->mutable_last_contact_threshold()->set_seconds(9000000000); }),
            "");
  EXPECT_EQ(told([](auto* c) { c->mutable_last_contact_threshold()->set_seconds(9000000001); }),
            "last_contact_threshold is out of range");
  EXPECT_EQ(told([](auto* c) { c->mutable_server_stabilization_time()->set_nanos(1000000000); }),
            "server_stabilization_time is out of range");
  EXPECT_EQ(told([](auto* c) { c->set_redundancy_zone_tag(std::string(512, 'x')); }), "");
  EXPECT_EQ(told([](auto* c) { c->set_redundancy_zone_tag(std::string(513, 'x')); }),
            "redundancy_zone_tag is longer than 512 bytes");
  EXPECT_EQ(told([](auto* c) { c->set_upgrade_version_tag(std::string(513, 'x')); }),
            "upgrade_version_tag is longer than 512 bytes");
}

}  // namespace
}  // namespace consul::api
