#include "services/state/command.h"

#include <gtest/gtest.h>

#include "consul/internal/raft/v1/command.pb.h"

namespace consul::state {
namespace {

using internal::raft::v1::Command;

uint32_t VersionOf(Command command) {
  Command sealed;
  EXPECT_TRUE(sealed.ParseFromString(Seal(&command)));
  EXPECT_GT(sealed.proposed_at(), 0u);
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

}  // namespace
}  // namespace consul::state
