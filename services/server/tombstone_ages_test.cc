#include "services/server/tombstone_ages.h"

#include <gtest/gtest.h>

#include "services/server/test_consensus.h"

namespace consul::server {
namespace {

using namespace std::chrono_literals;
using Command = TestConsensus::Command;

constexpr uint64_t kSecondNs = 1'000'000'000;

Command Put(const std::string& key) {
  Command command;
  command.mutable_kv_put()->set_key(key);
  return command;
}
Command Delete(const std::string& key) {
  Command command;
  command.mutable_kv_delete()->set_key(key);
  return command;
}

class TombstoneAgesTest : public testing::Test {
 protected:
  std::optional<uint64_t> DueAt(std::chrono::seconds at, uint64_t wall_ns = 0) {
    return ages_.Due(TombstoneAges::Time(at), wall_ns, *state_.version());
  }
  // Collects as the leader does.
  void Collect(uint64_t index) {
    Command command;
    command.mutable_collect_tombstones()->set_index(index);
    state_.Apply(command);
    ages_.Collected(index);
  }
  size_t TombstoneCount() {
    return state_.version()->kv().rows().tombstones().size();
  }

  TestConsensus state_;
  TombstoneAges ages_{900s};
};

TEST_F(TombstoneAgesTest, AStateWithoutTombstonesAsksForNothing) {
  for (int i = 0; i < 3; ++i) state_.Apply(Put("k"));
  EXPECT_EQ(DueAt(0s), std::nullopt);
  EXPECT_EQ(DueAt(10'000s), std::nullopt);
}

TEST_F(TombstoneAgesTest, ATombstoneIsKeptForItsTimeFromWhenItWasSeen) {
  state_.Apply(Put("k"));
  state_.Apply(Delete("k"));
  EXPECT_EQ(DueAt(100s), std::nullopt);
  EXPECT_EQ(DueAt(999s), std::nullopt);
  EXPECT_EQ(DueAt(1000s), 2);
}

TEST_F(TombstoneAgesTest, WhatIsYoungerStays) {
  state_.Apply(Put("a"));
  state_.Apply(Put("b"));
  state_.Apply(Delete("a"));  // 3
  EXPECT_EQ(DueAt(0s), std::nullopt);
  state_.Apply(Delete("b"));  // 4
  EXPECT_EQ(DueAt(30s), std::nullopt);
  ASSERT_EQ(DueAt(900s), 3);
  Collect(3);
  EXPECT_EQ(TombstoneCount(), 1);
  EXPECT_EQ(DueAt(929s), std::nullopt);
  EXPECT_EQ(DueAt(930s), 4);
}

TEST_F(TombstoneAgesTest, SeveralThatAreDueGoTogether) {
  state_.Apply(Put("a"));
  state_.Apply(Put("b"));
  state_.Apply(Delete("a"));
  DueAt(0s);
  state_.Apply(Delete("b"));
  DueAt(30s);
  EXPECT_EQ(DueAt(5000s), 4);
}

TEST_F(TombstoneAgesTest, ACollectionThatFailedIsAskedForAgain) {
  state_.Apply(Put("k"));
  state_.Apply(Delete("k"));
  DueAt(0s);
  EXPECT_EQ(DueAt(900s), 2);
  EXPECT_EQ(DueAt(930s), 2);
}

// A collection is an entry itself; it must not lead to another.
TEST_F(TombstoneAgesTest, AfterTheCollectionThereIsRest) {
  state_.Apply(Put("k"));
  state_.Apply(Delete("k"));
  DueAt(0s);
  ASSERT_EQ(DueAt(900s), 2);
  Collect(2);
  EXPECT_EQ(TombstoneCount(), 0);
  for (auto at = 930s; at < 10'000s; at += 30s) EXPECT_EQ(DueAt(at), std::nullopt);
}

// The delete comes between the look at the state and the collection's own entry.
TEST_F(TombstoneAgesTest, ADeleteBesideACollectionIsCollectedLater) {
  state_.Apply(Put("a"));
  state_.Apply(Put("b"));
  state_.Apply(Delete("a"));
  DueAt(0s);
  ASSERT_EQ(DueAt(900s), 3);
  state_.Apply(Delete("b"));  // 4
  Collect(3);                 // 5
  EXPECT_EQ(DueAt(930s), std::nullopt);
  EXPECT_EQ(DueAt(1830s), 4);
}

TEST_F(TombstoneAgesTest, AKeyThatCameBackLeavesNothingToCollect) {
  state_.Apply(Put("k"));
  state_.Apply(Delete("k"));
  DueAt(0s);
  state_.Apply(Put("k"));
  EXPECT_EQ(DueAt(900s), std::nullopt);
}

TEST_F(TombstoneAgesTest, ANewLeadStartsToCountAnew) {
  state_.Apply(Put("k"));
  state_.Apply(Delete("k"));
  DueAt(0s);
  ages_.Clear();
  EXPECT_EQ(DueAt(900s), std::nullopt);
  EXPECT_EQ(DueAt(1800s), 2);
}

TEST_F(TombstoneAgesTest, TombstonesOfTheCatalogCount) {
  Command command;
  command.mutable_catalog_register()->mutable_node()->set_node("n");
  state_.Apply(command);
  command.mutable_catalog_deregister()->set_node("n");
  state_.Apply(command);
  DueAt(0s);
  EXPECT_EQ(DueAt(900s), 2);
}

TEST_F(TombstoneAgesTest, ALeftGenerationGoesAfterADay) {
  Command command;
  command.mutable_catalog_deregister()->set_node("n");
  command.mutable_catalog_deregister()->set_left_generation("g");
  state_.Apply(command);
  const uint64_t left_at = state_.version()->time_ns();
  EXPECT_EQ(DueAt(0s, left_at + state::kLeftGenerationNs - kSecondNs), std::nullopt);
  EXPECT_EQ(DueAt(0s, left_at + state::kLeftGenerationNs), 0);
}

}  // namespace
}  // namespace consul::server
