// services/raft/core/core_fixture.h
//
// What the tests of the core share: a cluster, and words to speak to its servers with. The
// invariants look after every step; a test adds what it is about.
//
// Threads: test code, one thread.
#ifndef CONSUL_SERVICES_RAFT_CORE_CORE_FIXTURE_H_
#define CONSUL_SERVICES_RAFT_CORE_CORE_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "services/raft/core/test_cluster.h"
#include "services/raft/core/text.h"

namespace consul::raft {

class CoreTest : public testing::Test {
 protected:
  void Start(TestCluster::Members members,
             const Options& options = TestCluster::TellsAtOnce()) {
    cluster_ = std::make_unique<TestCluster>(members, 1, options);
  }
  void StartThree() { Start({{"a", "b", "c"}}); }
  void TearDown() override {
    if (cluster_ == nullptr) return;
    EXPECT_EQ(cluster_->Broken(), "");
  }

  TestCluster& cluster() { return *cluster_; }
  Core& core(const std::string& name) { return cluster_->core(name); }
  // Gives `to` a message as if `from` had sent it.
  void Give(const std::string& from, const std::string& to, uint64_t term, Body body) {
    core(to).Receive(cluster_->now(), Message{Id(from), Id(to), Term{term}, std::move(body)});
    cluster_->Pump(cluster_->at(to));
  }
  // The texts of all messages on the wire from `from`.
  std::vector<std::string> Sent(const std::string& from) {
    std::vector<std::string> texts;
    for (const Message& message : cluster_->wire()) {
      if (message.from == Id(from)) texts.push_back(ToText(message));
    }
    return texts;
  }
  void Forget() { cluster_->wire().clear(); }
  // Makes everybody's memory of a leader old enough to vote, without electing anybody.
  void WaitOutVotes() {
    cluster_->Advance(Ms(0));
    for (int i = 0; i < 3; ++i) {
      cluster_->Advance(Ms(100));
      Forget();
    }
  }

  std::unique_ptr<TestCluster> cluster_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_CORE_FIXTURE_H_
