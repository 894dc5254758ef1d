// Goal: a server knows of which cluster its data is before any of it is applied.
#include "services/server/cluster_name.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "consul/internal/raft/v1/command.pb.h"

namespace consul::server {
namespace {

using internal::raft::v1::Command;

raft::Entry EntryOf(std::string payload, raft::EntryKind kind = raft::EntryKind::kCommand) {
  return {raft::Term{1}, raft::Index{3}, kind, raft::MakeBuffer(std::move(payload))};
}

raft::PlacedConfiguration Placed(uint64_t index, const std::vector<std::string>& ids) {
  std::vector<raft::Member> members;
  for (const std::string& id : ids) members.push_back({raft::ServerId{id}});
  return {raft::Index{index}, raft::Configuration(std::move(members))};
}

Foundation Of(const std::vector<std::string>& ids) {
  Foundation foundation;
  for (const std::string& id : ids) foundation.add_servers(id);
  return foundation;
}

TEST(ClusterNameTest, OneCommandNamesACluster) {
  Command command;
  command.mutable_set_cluster_id()->set_cluster_id("beef");
  const std::string naming = command.SerializeAsString();
  EXPECT_EQ(NameIn(EntryOf(naming)), "beef");
  EXPECT_EQ(NameIn(EntryOf(naming, raft::EntryKind::kConfiguration)), "");
  EXPECT_EQ(NameIn(EntryOf("\xff\xff")), "") << "no command";
  EXPECT_EQ(NameIn({raft::Term{1}, raft::Index{1}, raft::EntryKind::kNoOp, nullptr}), "");
  command.mutable_kv_put()->set_key("cluster_id");
  EXPECT_EQ(NameIn(EntryOf(command.SerializeAsString())), "");
}

TEST(ClusterNameTest, ALogIsThatOfAFoundationWhileNothingElseHasChangedItsMembers) {
  EXPECT_TRUE(BeginsWith(Placed(1, {"a", "b", "c"}), Of({"a", "b", "c"})));
  EXPECT_FALSE(BeginsWith(Placed(1, {"a", "b", "c"}), Of({"a", "b", "d"})));
  EXPECT_FALSE(BeginsWith(Placed(1, {"a", "b", "c"}), Of({"a", "b"})));
  EXPECT_FALSE(BeginsWith(Placed(2, {"a", "b", "c"}), Of({"a", "b", "c"})));
  EXPECT_FALSE(BeginsWith(Placed(0, {}), Of({"a"}))) << "no log";
}

TEST(ClusterNameTest, EachFoundationOfOneHasANameOfItsOwn) {
  const Foundation one = FoundationOf("a");
  EXPECT_TRUE(BeginsWith(Placed(1, {"a"}), one));
  EXPECT_NE(one.cluster_id(), "");
  EXPECT_NE(one.cluster_id(), FoundationOf("a").cluster_id());
}

}  // namespace
}  // namespace consul::server
