// services/raft/node_cluster.h
//
// Several real Nodes in one process, each on a disk in memory of its own, with a network of queues
// that a test can cut and listen to.
//
// Threads: tests; the network is called by whoever has a node's turn.
#ifndef CONSUL_SERVICES_RAFT_NODE_CLUSTER_H_
#define CONSUL_SERVICES_RAFT_NODE_CLUSTER_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/node.h"
#include "services/raft/node_fixture.h"
#include "services/raft/test_wire.h"

namespace consul::raft {

class NodeClusterTest : public testing::Test {
 protected:
  struct Server {
    ServerId id;
    FaultyFileSystem fs{1};
    std::unique_ptr<Recorder> machine;
    std::unique_ptr<Node> node;
    bool up() const { return node != nullptr; }
  };

  ~NodeClusterTest() override {
    wire_.LoseIf(nullptr);
    for (auto& server : servers_) server->fs.SetSyncHook(nullptr);
    for (auto& server : servers_) Stop(server.get());
  }

  static ServerId IdOf(size_t i) { return ServerId{std::string(1, static_cast<char>('a' + i))}; }
  Server& At(size_t i) { return *servers_[i]; }
  Node& node(size_t i) { return *servers_[i]->node; }

  NodeOptions OptionsOf(Server* server) {
    NodeOptions options;
    options.file_system = &server->fs;
    options.directory = "data/raft";
    options.address = base::StrCat(server->id.value, ":8300");
    options.address_of = [](const ServerId& id) { return base::StrCat(id.value, ":8300"); };
    options.core.self = server->id;
    options.core.seed = 1 + static_cast<uint64_t>(server->id.value[0]);
    options.transport = &wire_;
    options.segment_bytes_min = 64 << 10;
    options.segment_bytes_max = 256 << 10;
    options.log = [this, id = server->id.value](LogLevel, std::string_view text) {
      base::MutexLock lock(&mutex_);
      lines_.push_back(base::StrCat(id, ": ", text));
      changed_.SignalAll();
    };
    options.on_role_change = [this](const RoleChange&) {
      base::MutexLock lock(&mutex_);
      changed_.SignalAll();
    };
    return options;
  }

  void Start(Server* server, const std::function<void(NodeOptions*)>& change = nullptr) {
    server->machine = std::make_unique<Recorder>();
    NodeOptions options = OptionsOf(server);
    if (change) change(&options);
    auto node = Node::Open(std::move(options), server->machine.get());
    ASSERT_TRUE(node.ok()) << node.status();
    server->node = std::move(*node);
    wire_.Plug(server->id, server->node.get());
    server->node->Start();
  }
  // As a process that dies: the others notice that its connections broke.
  void Stop(Server* server) {
    if (!server->up()) return;
    wire_.Unplug(server->id);
    server->node->Stop();
    server->node.reset();
    for (auto& other : servers_) {
      if (other->up()) other->node->StreamBroken(server->id);
    }
  }
  Server* Add(const std::function<void(NodeOptions*)>& change = nullptr) {
    servers_.push_back(std::make_unique<Server>());
    servers_.back()->id = IdOf(servers_.size() - 1);
    Start(servers_.back().get(), change);
    return servers_.back().get();
  }
  // `count` servers that were given one configuration, and lead by one of them.
  void Form(size_t count, const std::function<void(NodeOptions*)>& change = nullptr) {
    Configuration all;
    for (size_t i = 0; i < count; ++i) {
      Add(change);
      all = all.With(IdOf(i), MemberKind::kVoter);
    }
    for (size_t i = 0; i < count; ++i) {
      EXPECT_TRUE(Do([&](ChangeCallback done) { node(i).Bootstrap(all, std::move(done)); }).ok());
    }
    Leader();
  }

  void WaitUntil(const std::function<bool()>& holds) {
    while (!holds()) {
      base::MutexLock lock(&mutex_);
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(1));
    }
  }
  // The one that leads and is ready, once all that are up and can know know of it.
  size_t Leader() {
    size_t leader = 0;
    WaitUntil([&] {
      for (size_t i = 0; i < servers_.size(); ++i) {
        if (!At(i).up()) continue;
        const NodeStatus status = node(i).status();
        if (status.role != Role::kLeader || !status.leader_ready) continue;
        leader = i;
        return std::all_of(servers_.begin(), servers_.end(), [&](const auto& server) {
          return !server->up() || !Takes(server->id) || server->node->leader().id == IdOf(i);
        });
      }
      return false;
    });
    return leader;
  }
  size_t Follower() { return (Leader() + 1) % servers_.size(); }
  // Whether a server is a member, as far as any knows.
  bool Takes(const ServerId& id) {
    return std::any_of(servers_.begin(), servers_.end(), [&](const auto& server) {
      return server->up() && server->node->status().role == Role::kLeader &&
             server->node->configuration().configuration.Contains(id);
    });
  }

  static absl::Status Do(const std::function<void(ChangeCallback)>& order) {
    Countdown done(1);
    absl::Status answer = absl::InternalError("never called");
    order([&](absl::Status status) {
      answer = std::move(status);
      done.Down();
    });
    done.Wait();
    return answer;
  }
  absl::Status Change(size_t at, MembershipChange::Kind kind, const ServerId& id) {
    return Do([&](ChangeCallback done) { node(at).ChangeMembership({kind, id}, std::move(done)); });
  }
  absl::StatusOr<Applied> Propose(size_t at, std::string command,
                                  std::optional<Term> term = std::nullopt) {
    Countdown done(1);
    absl::StatusOr<Applied> answer = absl::InternalError("never called");
    node(at).Propose(MakeBuffer(std::move(command)), term, [&](absl::StatusOr<Applied> applied) {
      answer = std::move(applied);
      done.Down();
    });
    done.Wait();
    return answer;
  }
  absl::Status Barrier(size_t at, ReadMode mode) {
    return Do([&](ChangeCallback done) { node(at).ReadBarrier(mode, std::move(done)); });
  }
  bool Has(size_t at, const std::string& command) {
    const auto commands = At(at).machine->commands();
    return std::find(commands.begin(), commands.end(), command) != commands.end();
  }
  bool HasLineThatBegins(std::string_view begin) {
    base::MutexLock lock(&mutex_);
    return std::any_of(lines_.begin(), lines_.end(), [begin](const std::string& line) {
      return line.starts_with(begin);
    });
  }
  bool HasLine(const std::string& line) {
    base::MutexLock lock(&mutex_);
    return std::find(lines_.begin(), lines_.end(), line) != lines_.end();
  }

  Wire wire_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<std::string> lines_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_CLUSTER_H_
