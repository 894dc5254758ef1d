// Snapshots: what is written is read back whole, and no damaged byte goes unnoticed.
#include "services/state/snapshot.h"

#include <random>

#include "gtest/gtest.h"
#include "services/base/crc32c.h"
#include "services/state/fsm.h"

namespace consul::state {
namespace {

using internal::raft::v1::Command;

class SnapshotTest : public testing::Test {
 protected:
  void Apply(const Command& command) {
    const std::string bytes = command.SerializeAsString();
    const FsmEntry entry{++index_, true, bytes};
    Fsm::Batch batch;
    ASSERT_TRUE(fsm_.ApplyBatch({&entry, 1}, &batch).ok());
    ASSERT_TRUE(batch.results[0].applied) << batch.results[0].text;
  }
  void Put(std::string_view key, std::string_view value) {
    Command command;
    command.set_proposed_at(1000 + index_);
    command.mutable_kv_put()->set_key(std::string(key));
    command.mutable_kv_put()->set_value(std::string(value));
    Apply(command);
  }
  void Delete(std::string_view key) {
    Command command;
    command.mutable_kv_delete()->set_key(std::string(key));
    Apply(command);
  }
  void Register(const std::string& node, const std::string& service) {
    Command command;
    auto* registration = command.mutable_catalog_register();
    registration->mutable_node()->set_node(node);
    registration->mutable_node()->set_id("id-" + node);
    registration->mutable_node()->set_address("10.0.0.1");
    registration->mutable_service()->set_service(service);
    auto* check = registration->add_checks();
    check->set_check_id("c");
    check->set_service_id(service);
    Apply(command);
  }
  void Deregister(const std::string& node, const std::string& generation) {
    Command command;
    command.set_proposed_at(77);
    command.mutable_catalog_deregister()->set_node(node);
    command.mutable_catalog_deregister()->set_left_generation(generation);
    Apply(command);
  }
  void Collect(uint64_t index) {
    Command command;
    command.mutable_collect_tombstones()->set_index(index);
    Apply(command);
  }
  void SetClusterId() {
    Command command;
    command.mutable_set_cluster_id()->set_cluster_id("0b4e9f5c");
    Apply(command);
  }
  // Some of everything.
  void Fill() {
    SetClusterId();
    Put("a", "1");
    Put(std::string("zero\0byte", 9), "2");
    Put("gone", "3");
    Put("gone too", "4");
    Delete("gone");
    Collect(index_);
    Delete("gone too");
    Register("n1", "web");
    Register("n2", "web");
    Register("n3", "api");
    Deregister("n3", "g3");
  }
  std::string Write() const {
    std::string bytes;
    EXPECT_TRUE(WriteSnapshot(*fsm_.MakeVersion(), [&bytes](std::string_view frame) {
                  bytes.append(frame);
                  return absl::OkStatus();
                }).ok());
    return bytes;
  }
  static absl::StatusOr<Tables> Read(std::string_view bytes, size_t piece = 1 << 20) {
    SnapshotReader reader;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      if (absl::Status status = reader.Add(bytes.substr(at, piece)); !status.ok()) return status;
    }
    return reader.Finish();
  }
  static std::string WriteTables(Tables tables) {
    std::string bytes;
    const Fsm fsm(std::move(tables));
    EXPECT_TRUE(WriteSnapshot(*fsm.MakeVersion(), [&bytes](std::string_view frame) {
                  bytes.append(frame);
                  return absl::OkStatus();
                }).ok());
    return bytes;
  }
  Fsm fsm_;
  uint64_t index_ = 0;
};

TEST_F(SnapshotTest, AnEmptyStateIsReadBack) {
  const auto tables = Read(Write());
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->applied_index, 0u);
  EXPECT_EQ(tables->kv.size(), 0u);
}

TEST_F(SnapshotTest, WhatIsReadBackIsWrittenAsTheSameBytes) {
  Fill();
  const std::string bytes = Write();
  auto tables = Read(bytes);
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->applied_index, index_);
  EXPECT_EQ(tables->cluster_id, "0b4e9f5c");
  EXPECT_EQ(WriteTables(*std::move(tables)), bytes);
}

TEST_F(SnapshotTest, EveryIndexIsTheSameAfterwards) {
  Fill();
  const auto before = fsm_.MakeVersion();
  auto tables = Read(Write());
  ASSERT_TRUE(tables.ok()) << tables.status();
  for (uint16_t map = 0; map <= 12; ++map) {
    for (const std::string_view bytes : {"", "a", "gone", "gone too", "n", "n1", "n3", "web", "id",
                                         "api", "never", "g3", "id-n3", "10.0.0.1"}) {
      for (const Slot::Kind kind : {Slot::Kind::kKey, Slot::Kind::kPrefix}) {
        const Slot slot{MapId{map}, kind, bytes};
        EXPECT_EQ(tables->IndexOf(slot), before->IndexOf(slot)) << map << " " << bytes;
      }
    }
  }
}

TEST_F(SnapshotTest, TheStateGoesOnFromWhatWasRead) {
  Fill();
  auto tables = Read(Write());
  ASSERT_TRUE(tables.ok()) << tables.status();
  Fsm other(*std::move(tables));
  Command command;
  command.mutable_catalog_deregister()->set_node("n1");
  const std::string bytes = command.SerializeAsString();
  const FsmEntry entry{index_ + 1, true, bytes};
  for (Fsm* fsm : {&fsm_, &other}) {
    Fsm::Batch batch;
    ASSERT_TRUE(fsm->ApplyBatch({&entry, 1}, &batch).ok());
    EXPECT_EQ(batch.touched.size(), 7u);
  }
  EXPECT_EQ(WriteTables(Tables(other.tables())), Write());
}

TEST_F(SnapshotTest, PiecesOfAnySizeGiveTheSame) {
  Fill();
  const std::string bytes = Write();
  for (const size_t piece : {1, 7, 8, 100, 4096}) {
    auto tables = Read(bytes, piece);
    ASSERT_TRUE(tables.ok()) << tables.status();
    EXPECT_EQ(WriteTables(*std::move(tables)), bytes);
  }
}

TEST_F(SnapshotTest, ManyRowsMakeManyFrames) {
  for (int i = 0; i < 300; ++i) Put("key" + std::to_string(i), std::string(4096, 'v'));
  size_t frames = 0;
  size_t longest = 0;
  std::string bytes;
  ASSERT_TRUE(WriteSnapshot(*fsm_.MakeVersion(), [&](std::string_view frame) {
                ++frames;
                longest = std::max(longest, frame.size());
                bytes.append(frame);
                return absl::OkStatus();
              }).ok());
  EXPECT_GT(frames, 8u);
  EXPECT_LT(longest, kSnapshotFrameBytes + 8192);
  auto tables = Read(bytes, 100'000);
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->kv.size(), 300u);
}

TEST_F(SnapshotTest, TheSinksErrorEndsTheWriting) {
  for (int i = 0; i < 100; ++i) Put("key" + std::to_string(i), std::string(8192, 'v'));
  int frames = 0;
  const absl::Status status = WriteSnapshot(*fsm_.MakeVersion(), [&](std::string_view) {
    return ++frames == 2 ? absl::ResourceExhaustedError("disk full") : absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(frames, 2);
}

TEST_F(SnapshotTest, EveryFlippedByteIsFound) {
  Fill();
  const std::string bytes = Write();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    const auto tables = Read(damaged);
    ASSERT_FALSE(tables.ok()) << "byte " << i;
    EXPECT_EQ(tables.status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(SnapshotTest, EveryCutIsFound) {
  Fill();
  const std::string bytes = Write();
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(Read(std::string_view(bytes).substr(0, size)).ok()) << size;
  }
}

TEST_F(SnapshotTest, AMissingFrameIsFound) {
  for (int i = 0; i < 100; ++i) Put("key" + std::to_string(i), std::string(8192, 'v'));
  std::vector<std::string> frames;
  ASSERT_TRUE(WriteSnapshot(*fsm_.MakeVersion(), [&](std::string_view frame) {
                frames.emplace_back(frame);
                return absl::OkStatus();
              }).ok());
  ASSERT_GT(frames.size(), 3u);
  for (size_t missing = 0; missing < frames.size(); ++missing) {
    std::string bytes;
    for (size_t i = 0; i < frames.size(); ++i) bytes += i == missing ? "" : frames[i];
    EXPECT_FALSE(Read(bytes).ok()) << missing;
  }
}

TEST_F(SnapshotTest, BytesBehindTheEndAreRefused) {
  Fill();
  const std::string bytes = Write();
  EXPECT_FALSE(Read(bytes + "x").ok());
  EXPECT_FALSE(Read(bytes + bytes).ok());
}

TEST_F(SnapshotTest, AnErrorNamesFrameAndByte) {
  Fill();
  std::string bytes = Write();
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  const auto tables = Read(bytes);
  EXPECT_EQ(tables.status().message(),
            "snapshot: frame 0 at byte 0: the checksum does not match");
}

// Goal: frames with right checksums and wrong contents do no harm. Method: random payloads, and
// random changes of a good one, under a fresh checksum.
TEST_F(SnapshotTest, RandomRecordsUnderAGoodChecksumDoNoHarm) {
  Fill();
  const std::string good = Write();
  // The whole state is one frame.
  const std::string payload = good.substr(8);
  std::mt19937_64 random(5);
  for (int i = 0; i < 3000; ++i) {
    SCOPED_TRACE("seed 5, round " + std::to_string(i));
    std::string changed = payload;
    for (uint64_t n = 1 + random() % 3; n > 0; --n) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    std::string frame;
    for (int b = 0; b < 4; ++b) frame += static_cast<char>(changed.size() >> (8 * b));
    const uint32_t crc = base::Crc32c(changed);
    for (int b = 0; b < 4; ++b) frame += static_cast<char>(crc >> (8 * b));
    auto tables = Read(frame + changed);
    if (tables.ok()) WriteTables(*std::move(tables));
  }
}

}  // namespace
}  // namespace consul::state
