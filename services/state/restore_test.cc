// Restores: a state comes in chunks through the log, is a part of what all servers have until its
// commit, and then takes the place of what was there on all of them at one index, or on none.
#include <map>
#include <random>

#include "gtest/gtest.h"
#include "services/base/sha256.h"
#include "services/state/fsm.h"
#include "services/state/snapshot.h"
#include "services/state/version_source.h"

namespace consul::state {
namespace {

using errors::v1::Reason;
using internal::raft::v1::Command;

std::string SnapshotOf(const Fsm& fsm) {
  std::string bytes;
  EXPECT_TRUE(WriteSnapshot(*fsm.MakeVersion(), fsm.staged(), [&bytes](std::string_view frame) {
                bytes.append(frame);
                return absl::OkStatus();
              }).ok());
  return bytes;
}

// What an archive of it holds.
std::string StateOf(const Fsm& fsm) {
  std::string bytes;
  EXPECT_TRUE(WriteSnapshot(*fsm.MakeVersion(), [&bytes](std::string_view frame) {
                bytes.append(frame);
                return absl::OkStatus();
              }).ok());
  return bytes;
}

Command Put(std::string_view key, std::string_view value) {
  Command command;
  command.mutable_kv_put()->set_key(std::string(key));
  command.mutable_kv_put()->set_value(std::string(value));
  return command;
}
Command Delete(std::string_view key) {
  Command command;
  command.mutable_kv_delete()->set_key(std::string(key));
  return command;
}
Command Chunk(const std::string& id, uint64_t offset, std::string_view bytes) {
  Command command;
  auto* const chunk = command.mutable_restore_chunk();
  chunk->set_id(id);
  chunk->set_offset(offset);
  chunk->set_chunk(std::string(bytes));
  return command;
}
Command Commit(const std::string& id, std::string_view state) {
  base::Sha256 sum;
  sum.Add(state);
  Command command;
  auto* const commit = command.mutable_restore_commit();
  commit->set_id(id);
  commit->set_size(state.size());
  commit->set_sha256(sum.Finish());
  return command;
}
Command Drop(const std::string& id) {
  Command command;
  command.mutable_restore_drop()->set_id(id);
  return command;
}

// A state machine and the log that it has applied.
class Machine {
 public:
  explicit Machine(uint64_t index = 0) : index_(index) {}

  CommandResult Apply(const Command& command, uint64_t proposed_at = 0) {
    Command sealed = command;
    sealed.set_proposed_at(proposed_at);
    log.push_back(sealed.SerializeAsString());
    const FsmEntry entry{++index_, true, log.back()};
    Fsm::Batch batch;
    EXPECT_TRUE(fsm.ApplyBatch({&entry, 1}, &batch).ok());
    restored = batch.restored;
    touched = std::move(batch.touched);
    return batch.results[0];
  }
  // In chunks of `chunk` bytes; all but the commit.
  void Stage(const std::string& id, std::string_view state, size_t chunk = 100) {
    for (size_t at = 0; at < state.size(); at += chunk) {
      ASSERT_TRUE(Apply(Chunk(id, at, state.substr(at, chunk))).applied);
    }
  }
  CommandResult Restore(const std::string& state) {
    Stage("r", state);
    return Apply(Commit("r", state));
  }
  std::string Value(std::string_view key) const {
    const kv::v1::KeyValue* const row = fsm.tables().kv.Find(key, nullptr);
    return row == nullptr ? "(none)" : row->value();
  }
  const kv::v1::KeyValue& Row(std::string_view key) const {
    return *fsm.tables().kv.Find(key, nullptr);
  }
  uint64_t IndexOf(std::string_view key) const {
    return fsm.tables().IndexOf({kKvMap, Slot::Kind::kKey, key});
  }
  uint64_t index() const { return index_; }

  Fsm fsm;
  std::vector<std::string> log;
  SlotList touched;
  bool restored = false;

 private:
  uint64_t index_;
};

TEST(RestoreTest, TheArchivedStateTakesThePlaceOfThePresentOne) {
  Machine machine;
  machine.Apply(Put("kept", "1"));
  machine.Apply(Put("changed", "old"));
  machine.Apply(Put("deleted", "1"));
  const std::string state = StateOf(machine.fsm);
  machine.Apply(Put("changed", "new"));
  machine.Apply(Delete("deleted"));
  machine.Apply(Put("later", "1"));
  machine.Stage("r", state);
  EXPECT_EQ(machine.Value("changed"), "new") << "before its commit nothing shows";
  EXPECT_EQ(machine.fsm.staged().size(), state.size());
  const CommandResult result = machine.Apply(Commit("r", state));
  EXPECT_TRUE(result.applied) << result.text;
  EXPECT_TRUE(machine.restored);
  EXPECT_TRUE(machine.fsm.staged().empty());
  EXPECT_EQ(machine.Value("kept"), "1");
  EXPECT_EQ(machine.Value("changed"), "old");
  EXPECT_EQ(machine.Value("deleted"), "1");
  EXPECT_EQ(machine.Value("later"), "(none)");
  EXPECT_EQ(machine.fsm.applied_index(), machine.index()) << "the log's index goes on";
  EXPECT_EQ(machine.Row("changed").modify_index(), 2u) << "rows keep theirs";
  machine.Apply(Put("changed", "newest"));
  EXPECT_FALSE(machine.restored);
  EXPECT_EQ(machine.Row("changed").create_index(), 2u);
  EXPECT_EQ(machine.Row("changed").modify_index(), machine.index());
}

// A reader who has an index from before the restore would wait for ever for a smaller one.
TEST(RestoreTest, NoIndexFallsAndNoneFromBeforeIsWaitedFor) {
  Machine machine;
  machine.Apply(Put("a", "1"));
  const std::string state = StateOf(machine.fsm);
  machine.Apply(Put("a", "2"));
  machine.Apply(Put("gone", "1"));
  ASSERT_TRUE(machine.Restore(state).applied);
  const uint64_t at = machine.index();
  for (const std::string_view key : {"a", "gone", "never"}) EXPECT_EQ(machine.IndexOf(key), at);
  machine.Apply(Put("b", "1"));
  EXPECT_EQ(machine.IndexOf("a"), at);
  EXPECT_EQ(machine.IndexOf("b"), at + 1);
  machine.Apply(Delete("a"));
  EXPECT_EQ(machine.IndexOf("a"), at + 2);
}

class CountingWaiter : public Waiter {
 public:
  void Fire() override { ++fired; }
  int fired = 0;
};

TEST(RestoreTest, EveryWaiterIsWoken) {
  Machine machine;
  machine.Apply(Put("a", "1"));
  const std::string state = StateOf(machine.fsm);
  machine.Apply(Put("a", "2"));
  VersionSource source(machine.fsm.MakeVersion());
  std::vector<std::shared_ptr<CountingWaiter>> waiters;
  for (uint16_t map = 1; map <= 12; ++map) {
    for (const std::string_view place : {"", "a", "never"}) {
      WatchSet key;
      key.AddKey(MapId{map}, place);
      WatchSet prefix;
      prefix.AddPrefix(MapId{map}, place);
      for (const WatchSet* const set : {&key, &prefix}) {
        waiters.push_back(std::make_shared<CountingWaiter>());
        // Even one with an index that is far ahead.
        ASSERT_TRUE(source.Park(waiters.back(), *set, 1000));
      }
    }
  }
  ASSERT_TRUE(machine.Restore(state).applied);
  for (const auto& waiter : source.Publish(machine.fsm.MakeVersion(), machine.touched)) {
    waiter->Fire();
  }
  for (const auto& waiter : waiters) EXPECT_EQ(waiter->fired, 1);
  source.FreeRetired();
}

TEST(RestoreTest, ARowFromALongerLogGetsTheIndexOfTheRestore) {
  Machine old(5000);
  old.Apply(Put("a", "1"));
  old.Apply(Put("b", "1"));
  old.Apply(Delete("b"));
  Machine fresh;
  fresh.Apply(Put("x", "1"));
  ASSERT_TRUE(fresh.Restore(StateOf(old.fsm)).applied);
  EXPECT_EQ(fresh.Row("a").modify_index(), fresh.index());
  EXPECT_EQ(fresh.Row("a").create_index(), fresh.index());
  EXPECT_EQ(fresh.IndexOf("b"), fresh.index());
  // What was made of it is a state that the next start can read.
  SnapshotReader reader;
  ASSERT_TRUE(reader.Add(SnapshotOf(fresh.fsm)).ok());
  EXPECT_TRUE(reader.Finish().ok());
}

TEST(RestoreTest, WhatBelongsToTheClusterAsItRunsStays) {
  const auto id = [](const std::string& text) {
    Command command;
    command.mutable_set_cluster_id()->set_cluster_id(text);
    return command;
  };
  const auto left = [](const std::string& generation) {
    Command command;
    command.mutable_catalog_deregister()->set_node("n");
    command.mutable_catalog_deregister()->set_left_generation(generation);
    return command;
  };
  Machine archived;
  archived.Apply(id("theirs"), 9000);
  archived.Apply(left("gone there"), 9000);
  Machine machine;
  machine.Apply(id("ours"), 500);
  machine.Apply(left("gone here"), 500);
  ASSERT_TRUE(machine.Restore(StateOf(archived.fsm)).applied);
  const Tables& tables = machine.fsm.tables();
  EXPECT_EQ(tables.cluster_id, "ours");
  EXPECT_EQ(tables.cluster_id_index, 1u);
  EXPECT_EQ(tables.time_ns, 500u);
  EXPECT_NE(tables.left_generations.Find("gone here"), nullptr);
  EXPECT_EQ(tables.left_generations.Find("gone there"), nullptr);
}

Command Raise(uint32_t version) {
  Command command;
  command.mutable_set_cluster_version()->set_version(version);
  return command;
}

TEST(RestoreTest, TheVersionOfTheClusterStaysWhatItWas) {
  Machine raised;
  raised.Apply(Put("a", "1"));
  raised.Apply(Raise(4));
  Machine old;
  old.Apply(Put("a", "2"));
  ASSERT_TRUE(old.Restore(StateOf(raised.fsm)).applied);
  EXPECT_EQ(old.Value("a"), "1");
  EXPECT_EQ(old.fsm.tables().cluster_version, kBaselineVersion);
  ASSERT_TRUE(raised.Restore(StateOf(old.fsm)).applied);
  EXPECT_EQ(raised.fsm.tables().cluster_version, 4u);
}

// Servers with older programs could not read it: all refuse it, those that can read it as well.
TEST(RestoreTest, AFormatThatTheClustersVersionDoesNotKnowIsRefusedByAllServers) {
  Machine raised;
  raised.Apply(Put("a", "1"));
  raised.Apply(Raise(4));
  const std::string newer = SnapshotOf(raised.fsm);
  Machine machine;
  machine.Apply(Put("a", "2"));
  CommandResult result = machine.Restore(newer);
  EXPECT_FALSE(result.applied);
  EXPECT_EQ(result.reason, errors::v1::REASON_CLUSTER_TOO_OLD);
  EXPECT_EQ(result.text,
            "snapshot restore: snapshot: format 3 needs state machine version 4, and the cluster "
            "is at version 3");
  EXPECT_TRUE(machine.fsm.staged().empty());
  EXPECT_EQ(machine.Value("a"), "2");
  machine.Apply(Raise(4));
  result = machine.Restore(newer);
  EXPECT_TRUE(result.applied) << result.text;
  EXPECT_EQ(machine.Value("a"), "1");
}

TEST(RestoreTest, ADamagedStateIsRefusedAndNothingChanges) {
  Machine machine;
  machine.Apply(Put("a", "1"));
  const std::string state = StateOf(machine.fsm);
  machine.Apply(Put("a", "2"));
  const std::string before = StateOf(machine.fsm);
  const auto tables_part = [](std::string bytes) { return bytes.substr(bytes.size() / 2); };
  for (size_t at = 0; at < state.size(); ++at) {
    std::string damaged = state;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    // Its sum is that of the damaged bytes: the state itself has to be looked at.
    const CommandResult result = machine.Restore(damaged);
    ASSERT_FALSE(result.applied) << at;
    ASSERT_EQ(result.reason, errors::v1::REASON_INVALID_FIELD);
    ASSERT_TRUE(machine.fsm.staged().empty());
    ASSERT_EQ(machine.Value("a"), "2");
  }
  for (size_t size = 1; size < state.size(); ++size) {
    ASSERT_FALSE(machine.Restore(state.substr(0, size)).applied);
  }
  EXPECT_EQ(machine.Value("a"), "2");
  EXPECT_EQ(machine.fsm.tables().restored_index, 0u);
  EXPECT_EQ(tables_part(StateOf(machine.fsm)).size(), tables_part(before).size());
}

TEST(RestoreTest, ACommitOfOtherBytesIsRefused) {
  Machine machine;
  machine.Apply(Put("a", "1"));
  const std::string state = StateOf(machine.fsm);
  machine.Stage("r", state);
  CommandResult result = machine.Apply(Commit("other", state));
  EXPECT_EQ(result.reason, errors::v1::REASON_NOT_FOUND);
  EXPECT_EQ(result.text, "snapshot restore: restore other is not under way, or no longer");
  EXPECT_FALSE(machine.fsm.staged().empty()) << "that of another is none of its matter";
  std::string flipped = state;
  flipped[7] = static_cast<char>(flipped[7] ^ 1);
  result = machine.Apply(Commit("r", flipped));
  EXPECT_EQ(result.text, "snapshot restore: the state is not that of its SHA-256");
  EXPECT_TRUE(machine.fsm.staged().empty());
  machine.Stage("r", state);
  result = machine.Apply(Commit("r", state + "x"));
  EXPECT_EQ(result.text, "snapshot restore: the state is to have " +
                             std::to_string(state.size() + 1) + " bytes, and " +
                             std::to_string(state.size()) + " have come");
  EXPECT_EQ(machine.Apply(Commit("r", state)).reason, errors::v1::REASON_NOT_FOUND);
}

TEST(RestoreTest, ChunksComeInTheirOrder) {
  Machine machine;
  EXPECT_EQ(machine.Apply(Chunk("r", 5, "x")).reason, errors::v1::REASON_NOT_FOUND);
  EXPECT_TRUE(machine.Apply(Chunk("r", 0, "abc")).applied);
  EXPECT_EQ(machine.Apply(Chunk("r", 2, "x")).text,
            "snapshot restore: the next chunk is that at 3, not at 2");
  EXPECT_EQ(machine.Apply(Chunk("r", 4, "x")).reason, errors::v1::REASON_INVALID_FIELD);
  EXPECT_EQ(machine.Apply(Chunk("s", 3, "x")).reason, errors::v1::REASON_NOT_FOUND);
  EXPECT_TRUE(machine.Apply(Chunk("r", 3, "d")).applied);
  EXPECT_EQ(machine.fsm.staged().size(), 4u);
  EXPECT_TRUE(machine.Apply(Chunk("s", 0, "new")).applied);
  EXPECT_EQ(machine.fsm.staged().id(), "s");
  EXPECT_EQ(machine.fsm.staged().size(), 3u);
}

TEST(RestoreTest, TheLimitsAreKept) {
  StagedRestore staged;
  const auto reason = [&staged](const std::string& id, uint64_t offset, std::string chunk) {
    return staged.Add(id, offset, std::move(chunk), 1).reason;
  };
  EXPECT_EQ(reason("", 0, "x"), errors::v1::REASON_INVALID_FIELD);
  EXPECT_EQ(reason(std::string(65, 'i'), 0, "x"), errors::v1::REASON_INVALID_FIELD);
  EXPECT_EQ(reason("r", 0, ""), errors::v1::REASON_INVALID_FIELD);
  EXPECT_EQ(reason("r", 0, std::string(StagedRestore::kChunkBytesMax + 1, 'x')),
            errors::v1::REASON_INVALID_FIELD);
  EXPECT_TRUE(staged.empty());
  for (size_t i = 0; i < StagedRestore::kChunksMax; ++i) {
    ASSERT_EQ(reason("r", i, "x"), errors::v1::REASON_UNSPECIFIED) << i;
  }
  EXPECT_EQ(reason("r", StagedRestore::kChunksMax, "x"), errors::v1::REASON_TOO_LARGE);
  EXPECT_EQ(staged.size(), StagedRestore::kChunksMax);
  // Whole chunks reach the limit of bytes first.
  static_assert(StagedRestore::kBytesMax / StagedRestore::kChunkBytesMax <
                StagedRestore::kChunksMax);
}

TEST(RestoreTest, ADropForgetsIt) {
  Machine machine;
  machine.Apply(Chunk("r", 0, "abc"));
  EXPECT_FALSE(machine.Apply(Drop("s")).applied);
  EXPECT_FALSE(machine.fsm.staged().empty());
  EXPECT_TRUE(machine.Apply(Drop("r")).applied);
  EXPECT_TRUE(machine.fsm.staged().empty());
  EXPECT_FALSE(machine.Apply(Drop("r")).applied);
}

TEST(RestoreTest, OneThatNobodyGoesOnWithIsForgotten) {
  Machine machine;
  machine.Apply(Chunk("r", 0, "abc"), 1000);
  machine.Apply(Chunk("r", 3, "d"), 2000);
  machine.Apply(Put("a", "1"), 2000 + StagedRestore::kKeptNs - 1);
  EXPECT_FALSE(machine.fsm.staged().empty());
  machine.Apply(Put("a", "2"), 2000 + StagedRestore::kKeptNs);
  EXPECT_TRUE(machine.fsm.staged().empty());
  EXPECT_EQ(machine.Apply(Chunk("r", 4, "e")).reason, errors::v1::REASON_NOT_FOUND);
}

// A server that went by way of a snapshot, whenever it was taken, has what the others have: a
// commit must not be refused on some servers and done on others.
TEST(RestoreTest, ASnapshotInTheMiddleOfARestoreGoesOnTheSame) {
  Machine machine;
  machine.Apply(Put("a", "1"));
  machine.Apply(Put("b", std::string(300, 'b')));
  const std::string state = StateOf(machine.fsm);
  machine.Apply(Put("a", "2"));
  machine.Apply(Chunk("given up", 0, "abc"));
  machine.Stage("r", state, 64);
  machine.Apply(Put("a", "3"));
  ASSERT_TRUE(machine.Apply(Commit("r", state)).applied);
  machine.Apply(Put("c", "1"));
  machine.Apply(Chunk("left over", 0, "xyz"));
  const std::string end = SnapshotOf(machine.fsm);
  for (size_t cut = 0; cut <= machine.log.size(); ++cut) {
    auto fsm = std::make_unique<Fsm>();
    for (size_t i = 0; i < machine.log.size(); ++i) {
      if (i == cut) {
        SnapshotReader reader;
        ASSERT_TRUE(reader.Add(SnapshotOf(*fsm)).ok());
        auto tables = reader.Finish();
        ASSERT_TRUE(tables.ok()) << tables.status();
        fsm = std::make_unique<Fsm>(*std::move(tables), reader.TakeStaged());
      }
      const FsmEntry entry{i + 1, true, machine.log[i]};
      Fsm::Batch batch;
      ASSERT_TRUE(fsm->ApplyBatch({&entry, 1}, &batch).ok());
    }
    ASSERT_EQ(SnapshotOf(*fsm), end) << "with a snapshot before entry " << cut + 1;
  }
}

TEST(RestoreTest, AnArchiveHoldsNoRestoreAndOneThatDoesIsRefused) {
  Machine machine;
  machine.Apply(Put("a", "1"));
  machine.Apply(Chunk("r", 0, "abc"));
  const std::string with = SnapshotOf(machine.fsm);
  EXPECT_LT(StateOf(machine.fsm).size(), with.size());
  const CommandResult result = machine.Restore(with);
  EXPECT_EQ(result.text, "snapshot restore: snapshot: a restore is under way in it");
  EXPECT_TRUE(machine.Restore(StateOf(machine.fsm)).applied);
}

}  // namespace
}  // namespace consul::state
