#include "services/server/replicated_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

using internal::raft::v1::Command;

raft::Entry PutEntry(uint64_t index, const std::string& key, std::optional<uint64_t> cas = {}) {
  Command command;
  command.set_min_version(1);
  command.mutable_kv_put()->set_key(key);
  if (cas.has_value()) command.mutable_kv_put()->set_cas(*cas);
  return {.term = raft::Term{1},
          .index = raft::Index{index},
          .kind = raft::EntryKind::kCommand,
          .payload = raft::MakeBuffer(command.SerializeAsString())};
}

raft::Entry NoOp(uint64_t index) {
  return {.term = raft::Term{1}, .index = raft::Index{index}, .kind = raft::EntryKind::kNoOp,
          .payload = nullptr};
}

class FiredWaiter : public state::Waiter {
 public:
  explicit FiredWaiter(std::function<void()> fired) : fired_(std::move(fired)) {}
  void Fire() override { fired_(); }

 private:
  const std::function<void()> fired_;
};

class ReplicatedStateTest : public testing::Test {
 protected:
  const state::CommandResult& Result(size_t i) {
    return *static_cast<const state::CommandResult*>(results_.at(i).get());
  }
  bool Has(const std::string& key) {
    const auto version = state_.source().Load();
    return static_cast<const state::Version&>(*version).kv().Find(key, nullptr) != nullptr;
  }
  void Watch(const std::string& key, std::function<void()> fired) {
    state::WatchSet set;
    set.AddKey(state::kKvMap, key);
    ASSERT_TRUE(state_.source().Park(std::make_shared<FiredWaiter>(std::move(fired)), set, 1000));
  }

  ReplicatedState state_{[](const absl::Status& status) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    std::_Exit(3);
  }};
  std::vector<raft::ApplyResult> results_;
};

TEST_F(ReplicatedStateTest, ABatchIsOneVersion) {
  const uint64_t before = state_.source().counter();
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), NoOp(2), PutEntry(3, "b")};
  state_.ApplyBatch(entries, &results_);
  EXPECT_EQ(state_.source().counter(), before + 1);
  EXPECT_EQ(state_.source().Load()->index(), 3);
  EXPECT_TRUE(Has("a"));
  EXPECT_TRUE(Has("b"));
}

TEST_F(ReplicatedStateTest, EveryEntryHasAResult) {
  const std::vector<raft::Entry> entries{NoOp(4), PutEntry(5, "a", 0), PutEntry(6, "a", 0)};
  state_.ApplyBatch(entries, &results_);
  ASSERT_EQ(results_.size(), 3);
  EXPECT_EQ(Result(0).index, 4);
  EXPECT_EQ(Result(1).index, 5);
  EXPECT_TRUE(Result(1).applied);
  EXPECT_FALSE(Result(2).applied);
}

TEST_F(ReplicatedStateTest, AResultOutlivesItsBatch) {
  const std::vector<raft::Entry> first{PutEntry(1, "a"), PutEntry(2, "a", 99)};
  state_.ApplyBatch(first, &results_);
  const raft::ApplyResult kept = results_[1];
  results_.clear();
  const std::vector<raft::Entry> second{PutEntry(3, "b")};
  state_.ApplyBatch(second, &results_);
  EXPECT_EQ(static_cast<const state::CommandResult*>(kept.get())->index, 2);
  EXPECT_FALSE(static_cast<const state::CommandResult*>(kept.get())->applied);
}

TEST_F(ReplicatedStateTest, AReplayMakesNoResults) {
  const std::vector<raft::Entry> entries{PutEntry(1, "a")};
  state_.ApplyBatch(entries, nullptr);
  EXPECT_TRUE(Has("a"));
}

TEST_F(ReplicatedStateTest, AnEntryWithoutACommandMovesTheIndexAlone) {
  const std::vector<raft::Entry> entries{
      NoOp(1),
      {.term = raft::Term{1}, .index = raft::Index{2}, .kind = raft::EntryKind::kConfiguration,
       .payload = raft::MakeBuffer("not a command")}};
  state_.ApplyBatch(entries, &results_);
  EXPECT_EQ(state_.source().Load()->index(), 2);
}

// The bytes of a frozen state, in pieces of 7, as a source gives them.
raft::SnapshotSource SourceOf(std::string bytes) {
  return [bytes = std::move(bytes), at = size_t{0}]() mutable -> absl::StatusOr<std::string_view> {
    const std::string_view piece = std::string_view(bytes).substr(at, 7);
    at += piece.size();
    return piece;
  };
}

std::string BytesOf(const raft::FrozenState& frozen) {
  std::string bytes;
  EXPECT_TRUE(frozen.Write([&bytes](std::string_view piece) {
    bytes += piece;
    return absl::OkStatus();
  }).ok());
  return bytes;
}

void NeverFatal(const absl::Status& status) { ADD_FAILURE() << status; }

TEST_F(ReplicatedStateTest, AFrozenStateStaysAndIsRestored) {
  const std::vector<raft::Entry> before{PutEntry(1, "a"), NoOp(2)};
  state_.ApplyBatch(before, &results_);
  const auto frozen = state_.Freeze();
  const std::vector<raft::Entry> after{PutEntry(3, "b")};
  state_.ApplyBatch(after, nullptr);
  const std::string bytes = BytesOf(*frozen);

  ReplicatedState restored(NeverFatal);
  const absl::Status status = restored.Restore(raft::Index{2}, SourceOf(bytes));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(BytesOf(*restored.Freeze()), bytes);
  EXPECT_EQ(restored.source().Load()->index(), 2);
  // The log behind it goes on from there.
  restored.ApplyBatch(after, nullptr);
  EXPECT_EQ(BytesOf(*restored.Freeze()), BytesOf(*state_.Freeze()));
}

TEST_F(ReplicatedStateTest, WhatIsNoStateAtThatIndexChangesNothing) {
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), NoOp(2)};
  state_.ApplyBatch(entries, nullptr);
  const std::string bytes = BytesOf(*state_.Freeze());
  ReplicatedState restored(NeverFatal);
  const std::string empty = BytesOf(*restored.Freeze());
  EXPECT_EQ(restored.Restore(raft::Index{3}, SourceOf(bytes)).code(),
            absl::StatusCode::kDataLoss);
  const std::string cut = bytes.substr(0, bytes.size() - 1);
  EXPECT_EQ(restored.Restore(raft::Index{2}, SourceOf(cut)).code(), absl::StatusCode::kDataLoss);
  const auto unreadable = []() -> absl::StatusOr<std::string_view> {
    return absl::InternalError("the disk");
  };
  EXPECT_EQ(restored.Restore(raft::Index{2}, unreadable).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(BytesOf(*restored.Freeze()), empty);
  EXPECT_TRUE(restored.Restore(raft::Index{2}, SourceOf(bytes)).ok());
}

TEST_F(ReplicatedStateTest, TheStateOfAClusterThatKnowsMoreThanThisProgramIsNotTaken) {
  Command raise;
  raise.mutable_set_cluster_version()->set_version(state::Fsm::kVersion + 1);
  const raft::Entry entry{.term = raft::Term{1},
                          .index = raft::Index{1},
                          .kind = raft::EntryKind::kCommand,
                          .payload = raft::MakeBuffer(raise.SerializeAsString())};
  state_.ApplyBatch({&entry, 1}, nullptr);
  ReplicatedState older(NeverFatal);
  const absl::Status status =
      older.Restore(raft::Index{1}, SourceOf(BytesOf(*state_.Freeze())));
  EXPECT_EQ(status, absl::FailedPreconditionError(
                        "the state is of a cluster of version 5; this program knows versions up "
                        "to 4"));
  EXPECT_EQ(older.source().Load()->index(), 0);
}

// Of a server that went on until entry 5 while another stopped at 2.
std::string LaterState() {
  ReplicatedState later(NeverFatal);
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), NoOp(2), PutEntry(3, "b"), NoOp(4),
                                         PutEntry(5, "c")};
  later.ApplyBatch(entries, nullptr);
  return BytesOf(*later.Freeze());
}

TEST_F(ReplicatedStateTest, ARunningStateIsReplacedAndEveryWaiterLooksAnew) {
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), NoOp(2)};
  state_.ApplyBatch(entries, nullptr);
  const auto old = state_.source().Load();
  std::vector<std::string> fired;
  for (const std::string key : {"a", "b", "never"}) {
    Watch(key, [this, key, &fired] {
      EXPECT_EQ(state_.source().Load()->index(), 5) << "fired before the new state is there";
      fired.push_back(key);
    });
  }
  const uint64_t counter = state_.source().counter();
  const std::string later = LaterState();
  const absl::Status status = state_.Restore(raft::Index{5}, SourceOf(later));
  ASSERT_TRUE(status.ok()) << status;
  std::sort(fired.begin(), fired.end());
  EXPECT_EQ(fired, (std::vector<std::string>{"a", "b", "never"}));
  EXPECT_EQ(state_.source().registry().waiter_count(), 0);
  EXPECT_EQ(state_.source().counter(), counter + 1);
  EXPECT_EQ(BytesOf(*state_.Freeze()), later);
  // Whoever waits from an index on finds what came since, and no more than that.
  const auto index_of = [this](const std::string& key) {
    state::WatchSet set;
    set.AddKey(state::kKvMap, key);
    return state_.source().Load()->IndexOf(set);
  };
  EXPECT_EQ(index_of("a"), 1);
  EXPECT_EQ(index_of("b"), 3);
  // A reader of before reads on, and the log goes on from the new state.
  EXPECT_EQ(old->index(), 2);
  const std::vector<raft::Entry> after{PutEntry(6, "d")};
  state_.ApplyBatch(after, &results_);
  EXPECT_TRUE(Has("c"));
  EXPECT_TRUE(Has("d"));
}

TEST_F(ReplicatedStateTest, TheReplacedVersionIsFreed) {
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), NoOp(2)};
  state_.ApplyBatch(entries, nullptr);
  auto held = state_.source().Load();
  const std::string later = LaterState();
  ASSERT_TRUE(state_.Restore(raft::Index{5}, SourceOf(later)).ok());
  EXPECT_EQ(state_.source().FreeRetired(), 0) << "somebody reads it";
  held.reset();
  EXPECT_EQ(state_.source().FreeRetired(), 1);
}

TEST_F(ReplicatedStateTest, AFailedReplacementChangesNothingAndWakesNobody) {
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), NoOp(2)};
  state_.ApplyBatch(entries, nullptr);
  const std::string before = BytesOf(*state_.Freeze());
  int fired = 0;
  Watch("b", [&] { ++fired; });
  const uint64_t counter = state_.source().counter();
  const std::string later = LaterState();
  for (size_t byte = 0; byte < later.size(); ++byte) {
    std::string damaged = later;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 1);
    ASSERT_FALSE(state_.Restore(raft::Index{5}, SourceOf(damaged)).ok()) << byte;
    ASSERT_FALSE(state_.Restore(raft::Index{5}, SourceOf(later.substr(0, byte))).ok()) << byte;
  }
  EXPECT_FALSE(state_.Restore(raft::Index{6}, SourceOf(later)).ok());
  EXPECT_EQ(state_.source().counter(), counter);
  EXPECT_EQ(fired, 0);
  EXPECT_EQ(BytesOf(*state_.Freeze()), before);
  const std::vector<raft::Entry> after{PutEntry(3, "b")};
  state_.ApplyBatch(after, nullptr);
  EXPECT_EQ(fired, 1) << "it still waits";
}

// Raft answers who proposed when ApplyBatch has returned.
TEST_F(ReplicatedStateTest, AWaiterIsFiredAfterThePublishAndBeforeTheAnswer) {
  bool seen = false;
  bool answered = true;
  Watch("a", [&] {
    seen = Has("a");
    answered = !results_.empty();
  });
  const std::vector<raft::Entry> entries{PutEntry(1, "a")};
  state_.ApplyBatch(entries, &results_);
  EXPECT_TRUE(seen);
  EXPECT_FALSE(answered);
}

TEST_F(ReplicatedStateTest, AWaiterOfManyWritesOfABatchIsFiredOnce) {
  int fired = 0;
  Watch("a", [&] { ++fired; });
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), PutEntry(2, "a", 1), PutEntry(3, "b")};
  state_.ApplyBatch(entries, &results_);
  EXPECT_EQ(fired, 1);
}

TEST_F(ReplicatedStateTest, WhatIsNotTouchedIsNotFired) {
  int fired = 0;
  Watch("other", [&] { ++fired; });
  const std::vector<raft::Entry> entries{PutEntry(1, "a"), NoOp(2)};
  state_.ApplyBatch(entries, &results_);
  EXPECT_EQ(fired, 0);
}

TEST_F(ReplicatedStateTest, OldVersionsAreFreedWithTheNextBatchOrWhenIdle) {
  auto held = state_.source().Load();
  const std::vector<raft::Entry> entries{PutEntry(1, "a")};
  state_.ApplyBatch(entries, nullptr);
  EXPECT_EQ(held->index(), 0);
  held.reset();
  state_.Idle();
  EXPECT_EQ(state_.source().FreeRetired(), 0);
}

using ReplicatedStateDeathTest = ReplicatedStateTest;

TEST_F(ReplicatedStateDeathTest, AnUnknownCommandIsFatalAndNamed) {
  const std::vector<raft::Entry> entries{
      {.term = raft::Term{1}, .index = raft::Index{7}, .kind = raft::EntryKind::kCommand,
       .payload = raft::MakeBuffer("")}};
  EXPECT_EXIT(state_.ApplyBatch(entries, &results_), testing::ExitedWithCode(3),
              "log entry 7: unknown command");
}

TEST_F(ReplicatedStateDeathTest, ACommandOfANewerVersionIsFatalAndNamed) {
  Command command;
  command.set_min_version(99);
  const std::vector<raft::Entry> entries{
      {.term = raft::Term{1}, .index = raft::Index{7}, .kind = raft::EntryKind::kCommand,
       .payload = raft::MakeBuffer(command.SerializeAsString())}};
  EXPECT_EXIT(state_.ApplyBatch(entries, &results_), testing::ExitedWithCode(3),
              "needs state machine version 99");
}

TEST_F(ReplicatedStateDeathTest, BytesThatAreNoCommandAreFatal) {
  const std::vector<raft::Entry> entries{
      {.term = raft::Term{1}, .index = raft::Index{7}, .kind = raft::EntryKind::kCommand,
       .payload = raft::MakeBuffer("\xff\xff")}};
  EXPECT_EXIT(state_.ApplyBatch(entries, &results_), testing::ExitedWithCode(3),
              "log entry 7: the command does not parse");
}

}  // namespace
}  // namespace consul::server
