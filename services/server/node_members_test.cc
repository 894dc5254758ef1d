// Goal: a real node, alone, as operators and autopilot see it, and errors that they know. Method: a
// raft::Node in a folder of its own.
#include "services/server/node_members.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <thread>

#include "services/rpc/errors.h"
#include "services/server/replicated_state.h"

namespace consul::server {
namespace {

using raft::MembershipChange;
using raft::ServerId;

class NodeMembersTest : public testing::Test {
 protected:
  NodeMembersTest() {
    const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = std::filesystem::path(testing::TempDir()) / test->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~NodeMembersTest() override {
    if (node_ != nullptr) node_->Stop();
  }

  void Open(bool bootstrap) {
    raft::NodeOptions options;
    options.directory = directory_ / "raft";
    options.bootstrap = bootstrap;
    options.core.self = ServerId{"a"};
    auto opened = raft::Node::Open(std::move(options), &state_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    node_ = *std::move(opened);
    members_.SetNode(node_.get());
    node_->Start();
  }
  void AwaitLead() {
    while (!members_.view().leads) std::this_thread::yield();
  }

  absl::Status Change(MembershipChange::Kind kind, const std::string& id) {
    std::promise<absl::Status> changed;
    members_.Change({kind, ServerId{id}},
                    [&](absl::Status status) { changed.set_value(std::move(status)); });
    return changed.get_future().get();
  }
  absl::Status Transfer(const std::string& id) {
    std::promise<absl::Status> over;
    members_.Transfer(ServerId{id},
                      [&](absl::Status status) { over.set_value(std::move(status)); });
    return over.get_future().get();
  }

  std::filesystem::path directory_;
  ReplicatedState state_{[](const absl::Status&) { std::abort(); }};
  std::atomic<int> changed_{0};
  NodeMembers members_{ServerId{"a"}, [this] { ++changed_; }};
  std::unique_ptr<raft::Node> node_;
};

TEST_F(NodeMembersTest, WithoutANodeNobodyTakesPart) {
  const RaftMembers::View view = members_.view();
  EXPECT_FALSE(view.leads);
  EXPECT_EQ(view.self.value, "a");
  EXPECT_TRUE(view.configuration.configuration.empty());
  EXPECT_EQ(rpc::Detail(Change(MembershipChange::Kind::kRemove, "b")).reason(),
            errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(rpc::Detail(Transfer("")).reason(), errors::v1::REASON_NO_LEADER);
}

TEST_F(NodeMembersTest, AServerAloneLeadsItself) {
  Open(/*bootstrap=*/true);
  AwaitLead();
  const RaftMembers::View view = members_.view();
  EXPECT_EQ(view.leader.value, "a");
  EXPECT_GT(view.term.value, 0);
  EXPECT_GT(view.last_index.value, 0);
  EXPECT_TRUE(view.configuration.configuration.IsSoleVoter(ServerId{"a"}));
  EXPECT_TRUE(view.progress.empty());
}

TEST_F(NodeMembersTest, ALearnerComesAndGoes) {
  Open(/*bootstrap=*/true);
  AwaitLead();
  EXPECT_TRUE(Change(MembershipChange::Kind::kAddLearner, "b").ok());
  EXPECT_EQ(changed_, 1);
  RaftMembers::View view = members_.view();
  EXPECT_TRUE(view.configuration.configuration.Contains(ServerId{"b"}));
  EXPECT_FALSE(view.configuration.configuration.IsVoter(ServerId{"b"}));
  EXPECT_TRUE(Change(MembershipChange::Kind::kRemove, "b").ok());
  view = members_.view();
  EXPECT_FALSE(view.configuration.configuration.Contains(ServerId{"b"}));
}

TEST_F(NodeMembersTest, TheLastVoterStaysAndHasNobodyToHandTheLeadTo) {
  Open(/*bootstrap=*/true);
  AwaitLead();
  EXPECT_TRUE(absl::IsInvalidArgument(Change(MembershipChange::Kind::kRemove, "a")));
  EXPECT_EQ(changed_, 0);
  EXPECT_FALSE(Transfer("").ok());
  EXPECT_TRUE(members_.view().leads);
}

TEST_F(NodeMembersTest, WhoDoesNotLeadChangesNothing) {
  Open(/*bootstrap=*/false);
  EXPECT_EQ(rpc::Detail(Change(MembershipChange::Kind::kRemove, "b")).reason(),
            errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(rpc::Detail(Transfer("")).reason(), errors::v1::REASON_NO_LEADER);
}

}  // namespace
}  // namespace consul::server
