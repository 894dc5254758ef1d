// Goal: the rule that a leader proposes only what every voter's program knows, through a rolling
// upgrade. Method: three whole servers in one process, over sockets, which tell each other older
// versions of the state machine than this program has; an upgrade is a restart on the same folder
// with a newer one. A write that asks for a version stands for a command that came with it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/check.h"
#include "services/base/metrics.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/gossip/member_list.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_fake_backend.h"
#include "services/rpc/grpc_server.h"
#include "services/server/autopilot.h"
#include "services/server/server.h"
#include "services/server/test_consensus.h"
#include "services/state/command.h"
#include "services/state/version.h"
#include "services/transport/transport_options.h"

namespace consul::server {
namespace {

using namespace std::chrono_literals;

// A test that waits longer has failed.
constexpr auto kPatience = 60s;

class RunningServer {
 public:
  RunningServer(const std::string& name, int port, uint32_t version, bool bootstrap,
                const std::filesystem::path& directory, const gossip::MemberList* lan,
                std::function<void()> leader_changed) {
    Server::Options options;
    options.data_dir = directory;
    options.node_name = name;
    options.node_id = "id-" + name;
    options.datacenter = "dc1";
    options.address = base::StrCat("127.0.0.1:", port);
    options.bootstrap = bootstrap;
    options.state_version = version;
    options.autopilot = DefaultAutopilotConfiguration();
    options.autopilot.mutable_server_stabilization_time()->set_seconds(0);
    rpc::GrpcServer::Options face;
    face.addresses = {options.address};
    server_ = std::make_unique<Server>(std::move(options), lan, &metrics_, &logger_);
    const absl::Status opened = server_->Open();
    EXPECT_TRUE(opened.ok()) << opened;
    face.services = {{transport::kServiceName, server_->service()}};
    face_ = std::make_unique<rpc::GrpcServer>(
        std::move(face), std::initializer_list<const rpc::MethodTable*>{}, &backend_);
    const absl::Status started = face_->Start();
    EXPECT_TRUE(started.ok()) << started;
    server_->Start({.leader_changed = std::move(leader_changed), .duties_begun = [] {},
                    .cluster_named = [](const std::string&) {}});
  }
  ~RunningServer() {
    server_->Stop();
    face_->Stop(0ms);
  }

  Server& server() { return *server_; }
  LogLines& log() { return log_; }
  uint32_t cluster_version() {
    const auto newest = server_->state()->Load();
    return static_cast<const state::Version&>(*newest).cluster_version();
  }
  // A write of something that came with `version`.
  absl::Status Write(uint32_t version) {
    internal::raft::v1::Command command;
    command.mutable_kv_put()->set_key("k");
    state::SealedCommand sealed = state::Seal(&command);
    sealed.cluster_version_min = version;
    std::promise<absl::Status> done;
    server_->consensus()->Propose(std::move(sealed), [&](absl::StatusOr<rpc::Applied> applied) {
      done.set_value(applied.status());
    });
    return done.get_future().get();
  }

 private:
  base::Logger logger_{base::LogLevel::kError};
  LogLines log_{&logger_};
  base::Metrics metrics_;
  rpc::GrpcFakeBackend backend_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<rpc::GrpcServer> face_;
};

class ClusterVersionTest : public testing::Test {
 protected:
  ClusterVersionTest() {
    const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = std::filesystem::path(testing::TempDir()) / test->name();
    std::filesystem::remove_all(directory_);
  }

  // Starts the server, or starts it again; the first one of all founds the cluster.
  RunningServer& Run(const std::string& name, uint32_t version) {
    Stop(name);
    const bool first = known_.empty();
    known_.emplace(name, 8300 + static_cast<int>(known_.size()));
    const std::filesystem::path directory = directory_ / name;
    std::filesystem::create_directories(directory);
    Publish();
    auto& server = running_[name];
    server = std::make_unique<RunningServer>(name, known_.at(name), version, first, directory,
                                             &lan_, [this] { changed_.Signal(); });
    for (const auto& [each, other] : running_) other->server().MembersChanged();
    return *server;
  }
  void Stop(const std::string& name) { running_.erase(name); }

  // Somebody joins, and is in the catalog: the leader has looked at everything once more.
  void HaveTheLeaderLook() {
    ++clients_;
    Publish();
    const std::string last = base::StrCat("client-", clients_);
    Await([&] {
      leader().server().MembersChanged();
      const auto newest = leader().server().state()->Load();
      return static_cast<const state::Version&>(*newest).nodes().Find(last, nullptr) != nullptr;
    });
  }
  // How many leaders say that they raised it so.
  int Raises(const std::string& from_to) {
    int raised = 0;
    for (const auto& [name, each] : running_) {
      raised += each->log().Count("[INFO] consul: cluster version raised from " + from_to +
                                  ": every voter knows it");
    }
    return raised;
  }

  // How many leads of those that run now have begun.
  int Leads() {
    int begun = 0;
    for (const auto& [name, each] : running_) {
      begun += each->log().Count("cluster leadership acquired");
    }
    return begun;
  }

  RunningServer& leader() {
    RunningServer* leader = nullptr;
    Await([&] {
      for (const auto& [name, each] : running_) {
        if (each->server().view().leads) leader = each.get();
      }
      return leader != nullptr;
    });
    return *leader;
  }
  RunningServer& follower() {
    for (const auto& [name, each] : running_) {
      if (!each->server().view().leads) return *each;
    }
    ADD_FAILURE() << "all lead";
    return *running_.begin()->second;
  }
  size_t voters() {
    const auto configuration = leader().server().raft_configuration();
    return static_cast<size_t>(std::count_if(configuration.servers().begin(),
                                             configuration.servers().end(),
                                             [](const auto& each) { return each.voter(); }));
  }
  // Looks at each change of the lead, and every few milliseconds for what is told to nobody.
  void Await(const std::function<bool()>& fact) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!fact()) {
      CONSUL_CHECK(std::chrono::steady_clock::now() < end);
      base::MutexLock lock(&mutex_);
      changed_.WaitFor(&mutex_, 5ms);
    }
  }
  void AwaitVersionEverywhere(uint32_t version) {
    Await([&] {
      for (const auto& [name, each] : running_) {
        if (each->cluster_version() != version) return false;
      }
      return true;
    });
  }
  // What a write of `version` is told at the leader, once that has heard all voters.
  std::string RefusalOf(uint32_t version) {
    std::string text;
    Await([&] {
      const absl::Status status = leader().Write(version);
      const errors::v1::Reason reason = rpc::Detail(status).reason();
      if (reason == errors::v1::REASON_NO_LEADER) return false;
      EXPECT_EQ(reason, errors::v1::REASON_CLUSTER_TOO_OLD) << status;
      EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
      text = std::string(status.message());
      return text.find("was not heard") == std::string::npos;
    });
    return text;
  }

  base::Mutex mutex_;
  base::CondVar changed_;
  gossip::MemberList lan_;
  std::map<std::string, std::unique_ptr<RunningServer>> running_;  // stop before the rest goes

 private:
  void Publish() {
    auto members = std::make_shared<gossip::MemberList::Members>();
    for (const auto& [each, port] : known_) *members->add_members() = MemberOf(each, port);
    for (int i = 1; i <= clients_; ++i) {
      agent::v1::Member& client = *members->add_members();
      client.set_name(base::StrCat("client-", i));
      client.set_addr("127.0.0.1");
      client.set_status(agent::v1::MEMBER_STATUS_ALIVE);
      auto* const id = client.add_tags();
      id->set_key("id");
      id->set_value(base::StrCat("id-client-", i));
    }
    lan_.Publish(std::move(members));
  }
  static agent::v1::Member MemberOf(const std::string& name, int port) {
    agent::v1::Member member;
    member.set_name(name);
    member.set_addr("127.0.0.1");
    member.set_status(agent::v1::MEMBER_STATUS_ALIVE);
    for (const auto& [key, value] : std::map<std::string, std::string>{
             {"role", "consul"}, {"dc", "dc1"}, {"id", "id-" + name}, {"build", "1.0:"},
             {"port", std::to_string(port)}}) {
      auto* const tag = member.add_tags();
      tag->set_key(key);
      tag->set_value(value);
    }
    return member;
  }

  std::filesystem::path directory_;
  std::map<std::string, int> known_;  // name to port
  int clients_ = 0;
};

TEST_F(ClusterVersionTest, ALeaderProposesOnlyWhatEveryVoterKnows) {
  Run("a", 3);
  leader();
  Run("b", 3);
  Run("c", 3);
  Await([this] { return voters() == 3; });
  const std::string too_old = "the command needs state machine version 4, and the cluster is at "
                              "version 3: ";
  EXPECT_EQ(RefusalOf(4), too_old + "a (id-a) knows version 3, b (id-b) knows version 3, "
                                    "c (id-c) knows version 3");
  EXPECT_TRUE(leader().Write(3).ok());

  // Two of three know it, and one of them may lead: the third would stop at such an entry.
  Run("b", 4);
  EXPECT_EQ(RefusalOf(4), too_old + "a (id-a) knows version 3, c (id-c) knows version 3");
  Run("c", 4);
  EXPECT_EQ(RefusalOf(4), too_old + "a (id-a) knows version 3");
  EXPECT_EQ(rpc::Detail(follower().Write(4)).reason(), errors::v1::REASON_CLUSTER_TOO_OLD);
  Stop("a");
  Await([this] { return leader().Write(3).ok(); });
  EXPECT_EQ(rpc::Detail(leader().Write(4)).reason(), errors::v1::REASON_CLUSTER_TOO_OLD)
      << "who is away may come back as it was";
  HaveTheLeaderLook();
  EXPECT_EQ(leader().cluster_version(), 3u);
  EXPECT_EQ(Raises("3 to 4"), 0);

  const int leads = Leads();
  Run("a", 4);
  AwaitVersionEverywhere(4);
  Await([this] { return leader().Write(4).ok(); });
  Await([this] { return follower().Write(4).ok(); });
  // Whoever loses the lead before it hears of it does not say so.
  Await([&] { return Raises("3 to 4") > 0 || Leads() > leads; });
  EXPECT_LE(Raises("3 to 4"), 1);

  // What was raised stays, whoever is away.
  Stop("a");
  Run("b", 4);
  Run("c", 4);
  Await([this] { return leader().Write(4).ok(); });
}

TEST_F(ClusterVersionTest, ANewServerBeginsWithWhatItKnowsAndWithoutAnEntryMore) {
  RunningServer& a = Run("a", 4);
  AwaitVersionEverywhere(4);
  EXPECT_TRUE(a.Write(4).ok());
  EXPECT_EQ(a.log().Count("cluster version"), 0);
  Run("b", 3);
  ASSERT_TRUE(a.log().Await("[WARN] autopilot: server b (id-b) is not promoted to a voter: its "
                            "program knows version 3 of the state machine, and the cluster is at "
                            "version 4"));
  EXPECT_EQ(voters(), 1);
  Run("b", 4);
  Await([this] { return voters() == 2; });
}

}  // namespace
}  // namespace consul::server
