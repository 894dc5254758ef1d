// Goal: a client agent alone, and one beside a real server: what is asked of the client is answered
// by the server, and what the client has to say of itself is in the catalog. Method: two agents in
// one process, each with its pool, the server on its server port.
#include <google/protobuf/arena.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/internal/catalog/v1/node_sync.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "services/agent/agent.h"
#include "services/rpc/channel_backend.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_strand.h"
#include "services/rpc/test_caller.h"
#include "services/server/test_consensus.h"

namespace consul::agent {
namespace {

using namespace std::chrono_literals;

constexpr char kServerAddress[] = "127.0.0.1:8300";

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    std::string pattern = testing::TempDir() + "/client.XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~ClientTest() override {
    client_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  config::Config Config(const std::string& name) const {
    config::Config config;
    config.node_name = name;
    config.data_dir = directory_ + "/" + name;
    config.advertise_address = "127.0.0.1";
    config.advertise_address_wan = "127.0.0.1";
    config.performance.raft_multiplier = 1;
    config.performance.rpc_hold_timeout = 2s;
    return config;
  }
  void StartClient(const std::string& rack = "7") {
    config::Config config = Config("client");
    config.node_meta = {{"rack", rack}};
    config.ports.serf_lan = 8311;
    config.serf_lan_listen = config::Endpoint{"127.0.0.1", 8311};
    client_ = Started(config, &client_logger_);
  }
  void StartServer() {
    config::Config config = Config("server");
    config.server = true;
    config.bootstrap = true;
    config.server_listen = config::Endpoint{"127.0.0.1", 8300};
    config.serf_lan_listen = config::Endpoint{"127.0.0.1", 8301};
    config.serf_wan_listen = config::Endpoint{"127.0.0.1", 8302};
    server_ = Started(config, &server_logger_);
  }
  static std::unique_ptr<Agent> Started(const config::Config& config, base::Logger* logger) {
    auto agent = Agent::Start(config, logger, {});
    EXPECT_TRUE(agent.ok()) << agent.status();
    return *std::move(agent);
  }
  // Both pools have both agents in them.
  void Join() {
    v1::JoinRequest request;
    request.set_address("127.0.0.1:8301");
    v1::JoinResponse response;
    const absl::Status status =
        Ask(client_->backend(), "agent.v1.AgentService/Join", request, &response);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(server_log_.Await("EventMemberJoin: client 127.0.0.1"));
  }

  absl::Status Ask(rpc::Backend* backend, const std::string& path,
                   const google::protobuf::Message& request,
                   google::protobuf::Message* response) {
    google::protobuf::Arena arena;
    const rpc::Method* method = rpc::PublicApi().Find("/consul." + path);
    if (method == nullptr) method = &rpc::InternalApi().Get("/consul." + path);
    auto* const reply = response->New(&arena);
    rpc::Caller caller(*method, &executor_, &request, reply);
    caller.copy = response;
    caller.Begin(backend);
    caller.Wait();
    return caller.status;
  }
  absl::Status Put(rpc::Backend* backend, const std::string& key, const std::string& value) {
    kv::v1::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    kv::v1::PutResponse response;
    return Ask(backend, "kv.v1.KvService/Put", request, &response);
  }
  // The value, or the error's text.
  std::string Get(rpc::Backend* backend, const std::string& key,
                  query::v1::Consistency consistency = query::v1::CONSISTENCY_DEFAULT) {
    kv::v1::GetRequest request;
    request.set_key(key);
    request.mutable_options()->set_consistency(consistency);
    get_.Clear();
    const absl::Status status = Ask(backend, "kv.v1.KvService/Get", request, &get_);
    return status.ok() ? get_.entry().value() : std::string(status.message());
  }
  std::string Rack() {
    catalog::v1::GetNodeRequest request;
    request.set_node("client");
    catalog::v1::GetNodeResponse response;
    const absl::Status status =
        Ask(server_->backend(), "catalog.v1.CatalogService/GetNode", request, &response);
    EXPECT_TRUE(status.ok()) << status;
    const auto& node = response.entry().node();
    return node.meta_size() == 0 ? "" : node.meta(0).value();
  }

  std::string directory_;
  rpc::EventThread executor_{[] {}};
  base::Logger client_logger_{base::LogLevel::kError};
  base::Logger server_logger_{base::LogLevel::kError};
  server::LogLines client_log_{&client_logger_};
  server::LogLines server_log_{&server_logger_};
  kv::v1::GetResponse get_;
  std::unique_ptr<Agent> server_;
  std::unique_ptr<Agent> client_;
};

TEST_F(ClientTest, AClientHasNoLogAndNoServers) {
  StartClient();
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/client/node-id"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/client/raft"));
  EXPECT_EQ(client_log_.lines(),
            (std::vector<std::string>{
                "[INFO] serf: EventMemberJoin: client 127.0.0.1",
                "[ERR] agent: failed to sync remote state: No known Consul servers"}));
  EXPECT_EQ(Get(client_->backend(), "k"), "No known Consul servers");
  EXPECT_EQ(rpc::Detail(Put(client_->backend(), "k", "v")).reason(),
            errors::v1::REASON_NO_SERVERS);
}

TEST_F(ClientTest, AClientSaysWhatItIs) {
  StartClient();
  v1::GetSelfResponse self;
  ASSERT_TRUE(
      Ask(client_->backend(), "agent.v1.AgentService/GetSelf", v1::GetSelfRequest(), &self).ok());
  EXPECT_FALSE(self.config().server());
  EXPECT_EQ(self.member().name(), "client");
  std::string groups;
  for (const v1::StatGroup& group : self.stats()) {
    groups += group.key() + " ";
    if (group.key() != "consul") continue;
    std::string figures;
    for (const auto& pair : group.value()) figures += pair.key() + "=" + pair.value() + " ";
    EXPECT_EQ(figures, "acl=disabled known_servers=0 server=false ");
  }
  EXPECT_EQ(groups, "agent build consul runtime serf_lan ");
  v1::ListMembersRequest wan;
  wan.set_wan(true);
  v1::ListMembersResponse members;
  ASSERT_TRUE(
      Ask(client_->backend(), "agent.v1.AgentService/ListMembers", wan, &members).ok());
  EXPECT_EQ(members.members_size(), 0);
}

TEST_F(ClientTest, AClientNeedsNobodyToLeave) {
  StartClient();
  EXPECT_TRUE(client_->Leave().ok());
  client_->Stop();
  EXPECT_EQ(client_log_.Count("[INFO] consul: client starting leave"), 1);
  EXPECT_EQ(client_log_.Count("[INFO] serf: EventMemberLeave: client 127.0.0.1"), 1);
}

TEST_F(ClientTest, WhatIsAskedOfTheClientTheServerAnswers) {
  StartServer();
  StartClient();
  Join();
  EXPECT_TRUE(client_log_.Await(std::string("adding server for datacenter: dc1, addr: ") +
                                kServerAddress));
  // Held until there is a leader, at the server.
  ASSERT_TRUE(Put(client_->backend(), "k", "v").ok());
  for (const auto consistency : {query::v1::CONSISTENCY_DEFAULT, query::v1::CONSISTENCY_STALE,
                                 query::v1::CONSISTENCY_CONSISTENT}) {
    EXPECT_EQ(Get(client_->backend(), "k", consistency), "v");
    const kv::v1::GetResponse through = get_;
    EXPECT_EQ(Get(server_->backend(), "k", consistency), "v");
    EXPECT_EQ(through.meta().index(), get_.meta().index());
    EXPECT_EQ(through.meta().effective_consistency(), consistency);
    EXPECT_TRUE(through.meta().known_leader());
  }
  kv::v1::GetRequest elsewhere;
  elsewhere.set_key("k");
  elsewhere.mutable_options()->set_datacenter("dc9");
  EXPECT_EQ(rpc::Detail(Ask(client_->backend(), "kv.v1.KvService/Get", elsewhere, &get_)).reason(),
            errors::v1::REASON_NO_PATH_TO_DATACENTER);
}

TEST_F(ClientTest, TheClientsNodeIsInTheCatalogAsTheClientHasIt) {
  StartServer();
  StartClient();
  ASSERT_TRUE(server_log_.Await("marking health alive"));
  EXPECT_EQ(Rack(), "");
  Join();
  ASSERT_TRUE(client_log_.Await("Synced node info"));
  EXPECT_EQ(Rack(), "7");
}

TEST_F(ClientTest, AServerThatComesBackIsFoundAgain) {
  StartServer();
  StartClient();
  Join();
  ASSERT_TRUE(Put(client_->backend(), "k", "v").ok());
  server_->Stop();
  server_.reset();
  EXPECT_NE(Get(client_->backend(), "k"), "v");
  StartServer();
  EXPECT_EQ(Get(client_->backend(), "k"), "v");
}

TEST_F(ClientTest, AServerThatLeftIsForgotten) {
  StartServer();
  StartClient();
  Join();
  ASSERT_TRUE(server_log_.Await("cluster leadership acquired"));
  ASSERT_TRUE(server_->Leave().ok());
  EXPECT_TRUE(
      client_log_.Await("removing server for datacenter: dc1, addr: 127.0.0.1:8300"));
  EXPECT_EQ(Get(client_->backend(), "k"), "No known Consul servers");
}

// What an agent writes of itself is done before it says that it leaves, and nothing of it comes
// back. Each life has another rack to write, and leaves as soon as the leader knows it: one that
// was gone before is never in the catalog.
TEST_F(ClientTest, ALeaveComesAfterWhatTheClientWrites) {
  StartServer();
  ASSERT_TRUE(server_log_.Await("marking health alive"));
  for (int life = 0; life < 10; ++life) {
    StartClient(std::to_string(life));
    Join();
    ASSERT_TRUE(server_log_.Await("member 'client' joined, marking health alive", life + 1));
    EXPECT_TRUE(client_->Leave().ok());
    ASSERT_TRUE(server_log_.Await("member 'client' left, deregistering", life + 1));
    EXPECT_EQ(Rack(), "");
    client_->Stop();
    EXPECT_EQ(Rack(), "");
    client_.reset();
  }
}

TEST_F(ClientTest, TheServerPortServesNothingOfTheAgentItself) {
  StartServer();
  rpc::ChannelBackend outside(kServerAddress, {});
  v1::LeaveResponse left;
  for (const char* method : {"Leave", "GetSelf", "ListMembers"}) {
    const std::string path = std::string("agent.v1.AgentService/") + method;
    const rpc::Method& described = rpc::PublicApi().Get("/consul." + path);
    const std::unique_ptr<google::protobuf::Message> request(described.request_prototype->New());
    const std::unique_ptr<google::protobuf::Message> response(
        described.response_prototype->New());
    const absl::Status status = Ask(&outside, path, *request, response.get());
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_NE(status.message().find("is a method of the agent itself"), std::string::npos);
  }
  const absl::Status monitor = Ask(&outside, "agent.v1.AgentService/Monitor",
                                   v1::MonitorRequest(), &left);
  EXPECT_EQ(monitor.code(), absl::StatusCode::kUnimplemented) << monitor;
  EXPECT_EQ(Get(&outside, "k"), "");
  EXPECT_TRUE(server_log_.Count("leave") == 0);
}

TEST_F(ClientTest, AnInternalWriteWithoutAGenerationIsRefused) {
  StartServer();
  rpc::ChannelBackend outside(kServerAddress, {});
  internal::catalog::v1::SyncNodeRequest request;
  request.mutable_node()->set_node("x");
  internal::catalog::v1::SyncNodeResponse response;
  const absl::Status status = Ask(
      &outside, "internal.catalog.v1.NodeSyncService/SyncNode", request, &response);
  EXPECT_EQ(rpc::Detail(status).reason(), errors::v1::REASON_MISSING_FIELD) << status;
}

TEST_F(ClientTest, TheServerPortOfAnotherAgentIsNamed) {
  StartServer();
  config::Config config = Config("second");
  config.server = true;
  config.server_listen = config::Endpoint{"127.0.0.1", 8300};
  config.serf_lan_listen = config::Endpoint{"127.0.0.1", 8321};
  const auto second = Agent::Start(config, &client_logger_, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(), "listen tcp 127.0.0.1:8300: address already in use");
}

}  // namespace
}  // namespace consul::agent
