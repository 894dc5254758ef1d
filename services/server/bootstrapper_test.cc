// Goal: servers that expect each other found one cluster, by real threads and calls. Method:
// several bootstrappers in one process, whose calls go from one to the other without a network.
#include "services/server/bootstrapper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/rpc/test_caller.h"

namespace consul::server {
namespace {

using namespace std::chrono_literals;
using internal::bootstrap::v1::ConfirmRequest;
using internal::bootstrap::v1::ConfirmResponse;
using internal::bootstrap::v1::FoundRequest;
using internal::bootstrap::v1::PledgeRequest;

class MemoryFile final : public PledgeFile {
 public:
  MemoryFile() : PledgeFile(base::FileSystem::Posix(), "") {}
  absl::Status Store(const std::optional<Foundation>& pledge) override {
    if (!pledge.has_value()) ++withdrawn;
    return absl::OkStatus();
  }
  std::atomic<int> withdrawn{0};
};

using rpc::Eventually;

class Datacenter;

// Answers with what the server at its address says; where there is none, never.
class Line final : public rpc::Backend {
 public:
  Line(Datacenter* datacenter, std::string address)
      : datacenter_(datacenter), address_(std::move(address)) {}
  void Start(rpc::Call* call) override;

 private:
  // Posts the end of a call to its executor.
  struct End final : rpc::Task, std::enable_shared_from_this<End> {
    explicit End(rpc::Call* call) : call(call) {}
    void Run() override {
      call->waiting.reset();
      const auto self = std::move(kept);
      call->Done();
    }
    void Post() {
      kept = shared_from_this();
      call->executor()->Post(this);
    }
    rpc::Call* const call;
    std::shared_ptr<End> kept;
  };
  // Waits until it is cancelled.
  struct Silent final : rpc::Call::Waiting {
    explicit Silent(rpc::Call* call) : end(std::make_shared<End>(call)) {}
    void Cancel() override {
      end->call->status = absl::CancelledError("");
      end->Post();
    }
    std::shared_ptr<End> end;
  };

  Datacenter* const datacenter_;
  const std::string address_;
};

class Datacenter {
 public:
  explicit Datacenter(size_t expect) : expect_(expect) {}
  ~Datacenter() { Stop(); }
  void Stop() {
    for (auto& [address, server] : servers) server->bootstrapper->Stop();
  }

  struct Server {
    std::atomic<bool> has_state{false};
    base::Mutex mutex;
    std::vector<std::string> voters GUARDED_BY(mutex);
    MemoryFile file;
    std::unique_ptr<Bootstrapper> bootstrapper;
  };

  Server* Add(const std::string& id, bool reachable = true) {
    const std::string ip = "10.0.0." + std::to_string(servers.size() + 1);
    auto& members = members_;
    auto* const member = members.add_members();
    member->set_name("n" + id);
    member->set_addr(ip);
    member->set_status(agent::v1::MEMBER_STATUS_ALIVE);
    for (const auto& [key, value] : std::map<std::string, std::string>{
             {"role", "consul"}, {"dc", "dc1"}, {"id", id}, {"port", "8300"},
             {"expect", std::to_string(expect_)}}) {
      auto* const tag = member->add_tags();
      tag->set_key(key);
      tag->set_value(value);
    }
    if (!reachable) return nullptr;
    auto server = std::make_unique<Server>();
    Server* const raw = server.get();
    Bootstrapper::Options options;
    options.datacenter = "dc1";
    options.self = id;
    options.expect = expect_;
    options.interval = 5ms;
    options.connect = [this](const std::string& address) {
      return std::make_unique<Line>(this, address);
    };
    options.has_state = [raw] { return raw->has_state.load(); };
    options.found = [raw](const Foundation& foundation,
                          std::function<void(absl::Status)> done) {
      {
        base::MutexLock lock(&raw->mutex);
        raw->voters.assign(foundation.servers().begin(), foundation.servers().end());
      }
      raw->has_state = true;
      done(absl::OkStatus());
    };
    server->bootstrapper = std::make_unique<Bootstrapper>(std::move(options), std::nullopt,
                                                          &raw->file, &lan_, &logger_);
    servers.emplace(ip + ":8300", std::move(server));
    return raw;
  }

  void Start() {
    lan_.Publish(std::make_shared<agent::v1::ListMembersResponse>(members_));
    for (auto& [address, server] : servers) server->bootstrapper->Start();
  }

  std::map<std::string, std::unique_ptr<Server>> servers;
  std::atomic<int> unanswered{0};

 private:
  const size_t expect_;
  agent::v1::ListMembersResponse members_;
  gossip::MemberList lan_;
  base::Logger logger_{base::LogLevel::kError};
};

void Line::Start(rpc::Call* call) {
  const auto found = datacenter_->servers.find(address_);
  if (found == datacenter_->servers.end()) {
    call->waiting = std::make_shared<Silent>(call);
    ++datacenter_->unanswered;
    return;
  }
  Bootstrapper* const other = found->second->bootstrapper.get();
  const auto end = std::make_shared<End>(call);
  if (const auto* pledge = dynamic_cast<const PledgeRequest*>(&call->request())) {
    other->Pledge(pledge->foundation(), [end](absl::StatusOr<PledgeResponse> response) {
      end->call->status = response.status();
      if (response.ok()) *static_cast<PledgeResponse*>(end->call->response()) = *response;
      end->Post();
    });
  } else if (const auto* confirm = dynamic_cast<const ConfirmRequest*>(&call->request())) {
    other->Confirm(confirm->foundation(), [end](absl::StatusOr<bool> stands) {
      end->call->status = stands.status();
      if (stands.ok()) {
        static_cast<ConfirmResponse*>(end->call->response())->set_stands(*stands);
      }
      end->Post();
    });
  } else if (const auto* told = dynamic_cast<const FoundRequest*>(&call->request())) {
    other->Found(told->foundation(), [end](absl::Status status) {
      end->call->status = std::move(status);
      end->Post();
    });
  }
}

TEST(BootstrapperTest, AllOfThemWriteTheSameFirstEntry) {
  Datacenter datacenter(3);
  for (const char* id : {"c", "a", "b"}) datacenter.Add(id);
  datacenter.Start();
  for (auto& [address, server] : datacenter.servers) {
    const auto& has_state = server->has_state;
    ASSERT_TRUE(Eventually([&has_state] { return has_state.load(); })) << address;
    base::MutexLock lock(&server->mutex);
    EXPECT_EQ(server->voters, (std::vector<std::string>{"a", "b", "c"}));
  }
}

TEST(BootstrapperTest, AServerThatComesToAClusterFoundsNone) {
  Datacenter datacenter(3);
  auto* const fresh = datacenter.Add("a");
  for (const char* id : {"b", "c", "d"}) datacenter.Add(id)->has_state = true;
  datacenter.Start();
  ASSERT_TRUE(Eventually([fresh] { return fresh->file.withdrawn == 1; }));
  datacenter.Stop();
  EXPECT_FALSE(fresh->has_state);
}

TEST(BootstrapperTest, WithoutOneOfTheThreeNothingIsFounded) {
  Datacenter datacenter(3);
  auto* const a = datacenter.Add("a");
  auto* const b = datacenter.Add("b");
  datacenter.Add("c", /*reachable=*/false);
  datacenter.Start();
  ASSERT_TRUE(Eventually([&datacenter] { return datacenter.unanswered >= 1; }));
  // And it ends while a request is under way.
  datacenter.Stop();
  EXPECT_FALSE(a->has_state);
  EXPECT_FALSE(b->has_state);
}

}  // namespace
}  // namespace consul::server
