#include "gateway/dns/backend_resolver.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "services/rpc/errors.h"

namespace consul::gateway::dns {
namespace {

// A backend that tells what it was asked and answers as the test says: inside Start, or when
// finished by hand.
class ScriptedBackend final : public rpc::Backend {
 public:
  void Start(rpc::Call* call) override {
    asked.push_back(call->method().path + " " + call->request().ShortDebugString());
    wanted_validity = call->want_validity;
    token = std::string(call->token);
    if (!inline_answers) {
      call->waiting = std::make_unique<Waiting>(this, call);
      started = call;
      return;
    }
    Finish(call);
  }
  void Finish(rpc::Call* call) {
    answer(call);
    if (call->status.ok()) call->validity = validity;
    call->Done();
  }

  struct Waiting : rpc::Call::Waiting {
    Waiting(ScriptedBackend* backend, rpc::Call* call) : backend(backend), call(call) {}
    void Cancel() override {
      ++backend->cancels;
      call->status = absl::CancelledError("cancelled");
      call->Done();
    }
    ScriptedBackend* backend;
    rpc::Call* call;
  };

  bool inline_answers = true;
  // A server that knows a leader, and no node.
  std::function<void(rpc::Call*)> answer = [](rpc::Call* call) {
    if (call->method().meta_field == nullptr) return;
    static_cast<catalog::v1::GetNodeResponse*>(call->response())
        ->mutable_meta()
        ->set_known_leader(true);
  };
  std::shared_ptr<rpc::Validity> validity = std::make_shared<rpc::Validity>();
  std::vector<std::string> asked;
  bool wanted_validity = false;
  std::string token;
  rpc::Call* started = nullptr;
  int cancels = 0;
};

class TestLookup final : public Lookup {
 public:
  explicit TestLookup(PlanKind kind) { plan.kind = kind; }
  void Done() override { ++done; }
  int done = 0;
};

class BackendResolverTest : public ::testing::Test {
 protected:
  // Looks up `node`, whole.
  std::unique_ptr<TestLookup> FindNode(const std::string& node, const std::string& datacenter) {
    auto lookup = std::make_unique<TestLookup>(PlanKind::kNode);
    lookup->plan.node = {.node = node, .datacenter = datacenter};
    resolver_.Start(lookup.get());
    return lookup;
  }
  std::unique_ptr<TestLookup> FindServers() {
    auto lookup = std::make_unique<TestLookup>(PlanKind::kApex);
    lookup->plan.servers.datacenter = "dc1";
    resolver_.Start(lookup.get());
    return lookup;
  }
  void AnswerMembers(int servers) {
    backend_.answer = [servers](rpc::Call* call) {
      auto* const reply = static_cast<agent::v1::ListMembersResponse*>(call->response());
      for (int i = 0; i < servers; ++i) AddMember("s" + std::to_string(i), "consul", "dc1", reply);
    };
  }
  static agent::v1::Member* AddMember(const std::string& name, const std::string& role,
                                      const std::string& datacenter,
                                      agent::v1::ListMembersResponse* reply) {
    agent::v1::Member* const member = reply->add_members();
    member->set_name(name);
    member->set_addr("10.0.0.1");
    member->set_status(agent::v1::MEMBER_STATUS_ALIVE);
    query::v1::StringPair* tag = member->add_tags();
    tag->set_key("role");
    tag->set_value(role);
    tag = member->add_tags();
    tag->set_key("dc");
    tag->set_value(datacenter);
    return member;
  }

  ScriptedBackend backend_;
  BackendResolver resolver_{&backend_, "secret"};
};

TEST_F(BackendResolverTest, AsksTheCatalogStale) {
  FindNode("web", "");
  EXPECT_EQ(backend_.asked,
            std::vector<std::string>{"/consul.catalog.v1.CatalogService/GetNode "
                                     "options { consistency: CONSISTENCY_STALE } node: \"web\""});
  EXPECT_TRUE(backend_.wanted_validity);
  EXPECT_EQ(backend_.token, "secret");
}

TEST_F(BackendResolverTest, AsksTheLeaderWhereStaleIsNotAllowed) {
  TestLookup lookup(PlanKind::kNode);
  lookup.plan.node = {.node = "web", .datacenter = "dc2", .allow_stale = false};
  resolver_.Start(&lookup);
  EXPECT_EQ(backend_.asked,
            std::vector<std::string>{"/consul.catalog.v1.CatalogService/GetNode "
                                     "options { datacenter: \"dc2\" } node: \"web\""});
}

TEST_F(BackendResolverTest, FindsANode) {
  backend_.answer = [](rpc::Call* call) {
    auto* const reply = static_cast<catalog::v1::GetNodeResponse*>(call->response());
    reply->mutable_entry()->mutable_node()->set_address("10.1.10.38");
    query::v1::StringPair* const pair = reply->mutable_entry()->mutable_node()->add_meta();
    pair->set_key("env");
    pair->set_value("prod");
  };
  const auto lookup = FindNode("web", "");
  EXPECT_EQ(lookup->done, 1);
  EXPECT_EQ(lookup->found.status, Found::Status::kFound);
  EXPECT_EQ(lookup->found.address, "10.1.10.38");
  ASSERT_EQ(lookup->found.meta.size(), 1u);
  EXPECT_EQ(lookup->found.meta[0].second, "prod");
  EXPECT_EQ(lookup->validity, backend_.validity);
}

TEST_F(BackendResolverTest, AReplyWithoutEntryIsAbsentAndMayBeKept) {
  const auto lookup = FindNode("nothere", "");
  EXPECT_EQ(lookup->found.status, Found::Status::kAbsent);
  EXPECT_EQ(lookup->validity, backend_.validity);
}

// A server that has heard of no leader yet has an empty catalog: it does not know.
TEST_F(BackendResolverTest, WithoutALeaderAnAbsentNodeIsAFailureAndIsNotKept) {
  backend_.answer = [](rpc::Call*) {};
  const auto lookup = FindNode("web", "");
  EXPECT_EQ(lookup->found.status, Found::Status::kFailed);
  EXPECT_EQ(lookup->validity, nullptr);
}

TEST_F(BackendResolverTest, AnUnknownDatacenterIsAbsent) {
  backend_.answer = [](rpc::Call* call) {
    call->status = rpc::Error(errors::v1::REASON_NO_PATH_TO_DATACENTER, "No path to datacenter");
  };
  const auto lookup = FindNode("web", "dc9");
  EXPECT_EQ(lookup->found.status, Found::Status::kAbsent);
  EXPECT_EQ(lookup->validity, nullptr);
}

TEST_F(BackendResolverTest, OtherErrorsAreFailures) {
  backend_.answer = [](rpc::Call* call) {
    call->status = rpc::Error(errors::v1::REASON_NO_LEADER, "No cluster leader");
  };
  EXPECT_EQ(FindNode("web", "")->found.status, Found::Status::kFailed);
  EXPECT_EQ(FindServers()->found.status, Found::Status::kFailed);
}

TEST_F(BackendResolverTest, AnswersThatComeLater) {
  backend_.inline_answers = false;
  const auto lookup = FindNode("web", "");
  EXPECT_EQ(lookup->done, 0);
  backend_.Finish(backend_.started);
  EXPECT_EQ(lookup->done, 1);
  EXPECT_EQ(lookup->found.status, Found::Status::kAbsent);
}

TEST_F(BackendResolverTest, CancelEndsTheCall) {
  backend_.inline_answers = false;
  const auto lookup = FindNode("web", "");
  resolver_.Cancel(lookup.get());
  EXPECT_EQ(backend_.cancels, 1);
  EXPECT_EQ(lookup->done, 1);
  EXPECT_EQ(lookup->found.status, Found::Status::kFailed);
}

TEST_F(BackendResolverTest, ServersAreTheLivingOnesOfTheOwnDatacenter) {
  backend_.answer = [](rpc::Call* call) {
    auto* const reply = static_cast<agent::v1::ListMembersResponse*>(call->response());
    AddMember("s1", "consul", "dc1", reply);
    AddMember("client", "node", "dc1", reply);
    AddMember("other", "consul", "dc2", reply);
    AddMember("dead", "consul", "dc1", reply)->set_status(agent::v1::MEMBER_STATUS_FAILED);
  };
  const auto lookup = FindServers();
  EXPECT_EQ(lookup->found.status, Found::Status::kFound);
  ASSERT_EQ(lookup->found.servers.size(), 1u);
  EXPECT_EQ(lookup->found.servers[0].node, "s1");
  EXPECT_EQ(lookup->found.servers[0].address, "10.0.0.1");
  EXPECT_EQ(lookup->validity, backend_.validity);
}

TEST_F(BackendResolverTest, MoreServersThanAnAnswerNamesTakeTurns) {
  AnswerMembers(5);
  std::vector<std::string> first;
  for (int i = 0; i < 5; ++i) {
    const auto lookup = FindServers();
    EXPECT_EQ(lookup->found.servers.size(), 5u);
    EXPECT_EQ(lookup->validity, nullptr);
    first.push_back(lookup->found.servers[0].node);
  }
  EXPECT_EQ(first, (std::vector<std::string>{"s0", "s1", "s2", "s3", "s4"}));
}

}  // namespace
}  // namespace consul::gateway::dns
