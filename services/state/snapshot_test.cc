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
    Command command;
    command.mutable_set_autopilot_configuration()->mutable_configuration()->set_min_quorum(3);
    Apply(command);
  }
  std::string Write() const {
    std::string bytes;
    EXPECT_TRUE(WriteSnapshot(*fsm_.MakeVersion(), fsm_.staged(), Into(&bytes)).ok());
    return bytes;
  }
  std::string WriteArchived() const {
    std::string bytes;
    EXPECT_TRUE(WriteSnapshot(*fsm_.MakeVersion(), Into(&bytes)).ok());
    return bytes;
  }
  static SnapshotSink Into(std::string* bytes) {
    return [bytes](std::string_view frame) {
      bytes->append(frame);
      return absl::OkStatus();
    };
  }
  void RaiseVersion(uint32_t version) {
    Command command;
    command.mutable_set_cluster_version()->set_version(version);
    Apply(command);
  }
  // Of the header, which comes first.
  static int FormatOf(std::string_view bytes) { return bytes[9] + 256 * bytes[10]; }
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
    EXPECT_TRUE(WriteSnapshot(*fsm.MakeVersion(), fsm.staged(), Into(&bytes)).ok());
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

TEST_F(SnapshotTest, TheClustersVersionIsReadBack) {
  Fill();
  const auto before = Read(Write());
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(before->cluster_version, kBaselineVersion);
  EXPECT_EQ(FormatOf(Write()), 1) << "as long as older programs may have to read it";
  RaiseVersion(4);
  const std::string bytes = Write();
  EXPECT_EQ(FormatOf(bytes), 3);
  auto tables = Read(bytes);
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->cluster_version, 4u);
  EXPECT_EQ(WriteTables(*std::move(tables)), bytes);
}

TEST_F(SnapshotTest, AnArchiveLeavesTheClustersVersionOut) {
  Fill();
  RaiseVersion(4);
  const auto tables = Read(WriteArchived());
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->cluster_version, kBaselineVersion);
  EXPECT_LE(FormatOf(WriteArchived()), kArchivedFormat);
}

TEST_F(SnapshotTest, TheFormatIsKnownByTheHeaderAlone) {
  Fill();
  RaiseVersion(4);
  std::string bytes = Write();
  ASSERT_EQ(FormatOf(bytes), 3);
  EXPECT_TRUE(CheckSnapshotFormat(bytes, 4).ok());
  const absl::Status newer = CheckSnapshotFormat(bytes, 3);
  EXPECT_TRUE(absl::IsFailedPrecondition(newer));
  EXPECT_EQ(newer.message(), "snapshot: format 3 needs state machine version 4, and the cluster is "
                             "at version 3");
  // What is behind the header is not read: it need not even be records.
  std::string payload = bytes.substr(8);
  for (size_t at = 200; at < payload.size(); ++at) payload[at] = '\xff';
  const uint32_t head[] = {static_cast<uint32_t>(payload.size()), base::Crc32c(payload)};
  const std::string forged = std::string(reinterpret_cast<const char*>(head), 8) + payload;
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckSnapshotFormat(forged, 3)));
  // Whoever finds what is wrong with it reads all of it.
  for (size_t size = 0; size < bytes.size(); size += 13) {
    EXPECT_TRUE(CheckSnapshotFormat(std::string_view(bytes).substr(0, size), 3).ok()) << size;
  }
  ++bytes[9];
  EXPECT_TRUE(CheckSnapshotFormat(bytes, 3).ok()) << "it is damaged, not newer";
}

TEST_F(SnapshotTest, AFormatIsKnownToTheVersionsThatCameWithItAndToLaterOnes) {
  const auto read = [](std::string_view bytes, uint32_t version) {
    SnapshotReader reader(1000, version);
    const absl::Status status = reader.Add(bytes);
    if (status.ok()) return std::string();
    EXPECT_TRUE(absl::IsFailedPrecondition(status));
    return std::string(status.message());
  };
  Fill();
  const std::string first = Write();
  Command chunk;
  chunk.mutable_restore_chunk()->set_id("r");
  chunk.mutable_restore_chunk()->set_chunk("abc");
  Apply(chunk);
  const std::string second = Write();
  RaiseVersion(4);
  const std::string third = Write();
  EXPECT_EQ(read(first, 1), "");
  EXPECT_EQ(read(second, 2),
            "snapshot: format 2 needs state machine version 3, and the cluster is at version 2");
  EXPECT_EQ(read(second, 3), "");
  EXPECT_EQ(read(third, 3),
            "snapshot: format 3 needs state machine version 4, and the cluster is at version 3");
  EXPECT_EQ(read(third, 4), "");
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

// What no state machine writes, each as the records between a sound header (index 9) and the end.
class ForgedSnapshotTest : public SnapshotTest {
 protected:
  enum Kind : uint8_t {
    kHeader = 1, kRow, kTombstone, kFloor, kLeftGeneration, kEnd, kStagedChunk
  };

  static std::string Number(uint64_t number, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(number >> (8 * i));
    return text;
  }
  static std::string Record(Kind kind, MapId map, uint64_t index, std::string_view key,
                            std::string_view value = {}) {
    std::string record = Number(kind, 1) + Number(static_cast<uint16_t>(map), 2);
    record += Number(index, 8) + Number(key.size(), 4) + Number(value.size(), 4);
    return record.append(key).append(value);
  }
  static std::string Node(const std::string& name, const std::string& id, uint64_t index = 5) {
    catalog::v1::Node node;
    node.set_node(name);
    node.set_id(id);
    node.set_modify_index(index);
    return Record(kRow, kNodeMap, 0, {}, node.SerializeAsString());
  }
  static std::string Service(const std::string& node, const std::string& id,
                             const std::string& name) {
    catalog::v1::Service service;
    service.set_node(node);
    service.set_id(id);
    service.set_service(name);
    service.set_modify_index(5);
    return Record(kRow, kServiceMap, 0, {}, service.SerializeAsString());
  }
  static std::string Entry(const std::string& key, uint64_t index = 5) {
    kv::v1::KeyValue entry;
    entry.set_key(key);
    entry.set_modify_index(index);
    return Record(kRow, kKvMap, 0, {}, entry.SerializeAsString());
  }
  // What is said about the records; empty: they are taken.
  std::string Told(const std::vector<std::string>& records, std::string_view cluster_id = {},
                   uint64_t cluster_id_index = 0) const {
    std::string value = Number(77, 8) + Number(cluster_id_index, 8);
    if (format_ > 1) value += Number(restored_index_, 8);
    if (format_ > 2) value += Number(cluster_version_, 4);
    std::string payload = Record(kHeader, MapId{format_}, 9, cluster_id, value);
    for (const std::string& record : records) payload += record;
    payload += Record(kEnd, MapId{0}, records.size() + 1, {});
    const std::string frame =
        Number(payload.size(), 4) + Number(base::Crc32c(payload), 4) + payload;
    const auto tables = Read(frame);
    if (tables.ok()) return "";
    EXPECT_EQ(tables.status().code(), absl::StatusCode::kDataLoss);
    const std::string text(tables.status().message());
    const std::string_view place = "snapshot: frame 0 at byte 0: ";
    EXPECT_EQ(text.substr(0, place.size()), place);
    return text.substr(place.size());
  }

  uint16_t format_ = 1;
  uint64_t restored_index_ = 0;
  uint32_t cluster_version_ = 0;
};

TEST_F(ForgedSnapshotTest, SoundRecordsAreTaken) {
  EXPECT_EQ(Told({Entry("a"), Entry("b"), Record(kTombstone, kKvMap, 4, "c"),
                  Record(kFloor, kKvMap, 3, {}), Node("n", "i"), Node("o", ""),
                  Record(kTombstone, kNodeIdMap, 4, "j"), Service("n", "s", "web"),
                  Record(kLeftGeneration, kLeftGenerationMap, 9, "g", Number(7, 8))},
                 "cluster", 1),
            "");
}

// The state machine would end the process when the second of them is removed.
TEST_F(ForgedSnapshotTest, TwoRowsWithOneKeyOfAnIndexAreRefused) {
  EXPECT_EQ(Told({Node("n", "i"), Node("o", "I")}), "two rows of a table have one key");
  const std::string zero(1, '\0');
  EXPECT_EQ(Told({Service("m", "c", "a" + zero + "n"), Service("n" + zero + "m", "c", "a")}),
            "two rows of a table have one key");
}

TEST_F(ForgedSnapshotTest, RecordsOutOfTheirOrderAreRefused) {
  const std::string text = "the records are not in order";
  EXPECT_EQ(Told({Entry("b"), Entry("a")}), text);
  EXPECT_EQ(Told({Entry("a"), Entry("a")}), text);
  EXPECT_EQ(Told({Node("n", ""), Entry("a")}), text);
  EXPECT_EQ(Told({Entry("a"), Node("n", ""), Entry("b")}), text);
  EXPECT_EQ(Told({Record(kTombstone, kKvMap, 4, "b"), Record(kTombstone, kKvMap, 4, "a")}), text);
  EXPECT_EQ(Told({Record(kTombstone, kKvMap, 4, "b"), Entry("a")}), text);
  EXPECT_EQ(Told({Record(kFloor, kKvMap, 4, {}), Record(kFloor, kKvMap, 4, {})}), text);
  const std::string left =
      Record(kLeftGeneration, kLeftGenerationMap, 9, "g", Number(7, 8));
  EXPECT_EQ(Told({left, left}), text);
  EXPECT_EQ(Told({left, Entry("a")}), text);
}

TEST_F(ForgedSnapshotTest, ATombstoneOfARowIsRefused) {
  EXPECT_EQ(Told({Entry("a"), Record(kTombstone, kKvMap, 4, "a")}),
            "a tombstone is of a place that is taken");
  EXPECT_EQ(Told({Node("n", "i"), Record(kTombstone, kNodeIdMap, 4, "i")}),
            "a tombstone is of a place that is taken");
}

TEST_F(ForgedSnapshotTest, IndexesThatNoEntryHasAreRefused) {
  EXPECT_EQ(Told({Entry("a", 0)}), "index 0 is not one of 1 to 9");
  EXPECT_EQ(Told({Entry("a", 10)}), "index 10 is not one of 1 to 9");
  EXPECT_EQ(Told({Record(kTombstone, kKvMap, 10, "a")}), "index 10 is not one of 1 to 9");
  EXPECT_EQ(Told({Record(kFloor, kKvMap, 0, {})}), "index 0 is not one of 1 to 9");
  EXPECT_EQ(Told({Record(kLeftGeneration, kLeftGenerationMap, 0, "g", Number(7, 8))}),
            "index 0 is not one of 1 to 9");
  EXPECT_EQ(Told({}, "cluster", 10), "index 10 is not one of 1 to 9");
  EXPECT_EQ(Told({}, "cluster", 0), "the cluster id and its index do not go together");
  EXPECT_EQ(Told({}, "", 1), "the cluster id and its index do not go together");
}

TEST_F(ForgedSnapshotTest, RecordsOfNothingKnownAreRefused) {
  EXPECT_EQ(Told({Record(kRow, MapId{99}, 0, {})}), "a record is of an unknown map");
  EXPECT_EQ(Told({Record(kTombstone, kClusterMap, 4, "a")}), "a record is of an unknown map");
  EXPECT_EQ(Told({Record(static_cast<Kind>(8), kKvMap, 4, "a")}),
            "a record is of unknown kind 8");
  EXPECT_EQ(Told({Record(kRow, kKvMap, 0, {}, "\xff")}), "a row does not parse");
}

TEST_F(ForgedSnapshotTest, WhatRestoresLeaveBehindNeedsFormat2) {
  const auto chunk = [](uint64_t at, std::string_view id, std::string_view bytes) {
    return Record(kStagedChunk, MapId{0}, at, id, bytes);
  };
  EXPECT_EQ(Told({chunk(5, "r", "abc")}), "format 1 has no restores that are under way");
  format_ = 2;
  EXPECT_EQ(Told({Entry("a"), chunk(5, "r", "abc"), chunk(5, "r", "d")}), "");
  EXPECT_EQ(Told({chunk(5, "r", "abc"), chunk(5, "s", "d")}), "two restores are under way");
  EXPECT_EQ(Told({chunk(5, "r", "")}), "snapshot restore: a chunk is to have 1 to 524288 bytes");
  EXPECT_EQ(Told({chunk(5, "", "abc")}), "snapshot restore: the id is to have 1 to 64 bytes");
  EXPECT_EQ(Told({chunk(5, "r", "abc"), Entry("a")}), "the records are not in order");
  restored_index_ = 9;
  EXPECT_EQ(Told({Entry("a")}), "");
  restored_index_ = 10;
  EXPECT_EQ(Told({Entry("a")}), "index 10 is not one of 1 to 9");
}

TEST_F(ForgedSnapshotTest, Format3IsOfAClusterThatWasRaised) {
  format_ = 3;
  EXPECT_EQ(Told({Entry("a")}), "the cluster's version 0 needs no format 3");
  cluster_version_ = 3;
  EXPECT_EQ(Told({Entry("a")}), "the cluster's version 3 needs no format 3");
  cluster_version_ = 4;
  EXPECT_EQ(Told({Entry("a")}), "");
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
