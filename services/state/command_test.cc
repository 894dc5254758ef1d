#include "services/state/command.h"

#include <gtest/gtest.h>

#include "consul/internal/raft/v1/command.pb.h"

namespace consul::state {
namespace {

using internal::raft::v1::Command;

uint32_t VersionOf(Command command) {
  Command sealed;
  const SealedCommand whole = Seal(&command);
  EXPECT_TRUE(sealed.ParseFromString(whole.bytes));
  EXPECT_GT(sealed.proposed_at(), 0u);
  EXPECT_EQ(whole.cluster_version_min, sealed.min_version());
  return sealed.min_version();
}

TEST(CommandTest, ItNeedsTheOldestVersionThatKnowsIt) {
  Command command;
  command.mutable_kv_put()->set_key("k");
  EXPECT_EQ(VersionOf(command), 1u);
  command.mutable_update_coordinate();
  EXPECT_EQ(VersionOf(command), 2u);
  command.mutable_set_autopilot_configuration();
  EXPECT_EQ(VersionOf(command), 3u);
}

TEST(CommandTest, ARegistrationThatTakesAGenerationBackIsNewerThanTheOthers) {
  Command command;
  auto* const registration = command.mutable_catalog_register();
  registration->set_by_membership(true);
  EXPECT_EQ(VersionOf(command), 1u);
  registration->set_generation("g1");
  EXPECT_EQ(VersionOf(command), 2u);
  registration->set_by_membership(false);
  EXPECT_EQ(VersionOf(command), 1u);
}

// By whoever has seen to it that every voter knows it, so that it asks for no version of the
// cluster; but a server that does not know the version stops there already.
TEST(CommandTest, ARaiseIsOfTheVersionThatItNamesAndMayAlwaysBeProposed) {
  const auto told = [](Command command) {
    const SealedCommand whole = Seal(&command);
    Command sealed;
    EXPECT_TRUE(sealed.ParseFromString(whole.bytes));
    EXPECT_EQ(whole.cluster_version_min, 0u);
    return sealed.min_version();
  };
  Command raise;
  raise.mutable_set_cluster_version()->set_version(4);
  EXPECT_EQ(told(raise), 4u);
  raise.mutable_set_cluster_version()->set_version(7);
  EXPECT_EQ(told(raise), 7u);
  Command name;
  name.mutable_set_cluster_id()->set_cluster_id("c");
  EXPECT_EQ(VersionOf(name), 1u) << "as it was before there were versions";
  name.mutable_set_cluster_id()->set_version(4);
  EXPECT_EQ(told(name), 4u);
}

}  // namespace
}  // namespace consul::state
