// Archives: what is written is read back whole, and what is no sound archive is refused with a
// reason, whatever is wrong with it.
#include "services/archive/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "services/archive/gunzip.h"
#include "services/archive/summary.h"
#include "services/base/sha256.h"
#include "services/base/strings.h"
#include "services/state/fsm.h"
#include "services/state/snapshot.h"

namespace consul::archive {
namespace {

using internal::raft::v1::Command;

constexpr uint64_t kTimeMs = 1'795'884'122'278;

class ArchiveTest : public testing::Test {
 protected:
  void Apply(const Command& command) {
    const std::string bytes = command.SerializeAsString();
    const state::FsmEntry entry{++index_, true, bytes};
    state::Fsm::Batch batch;
    ASSERT_TRUE(fsm_.ApplyBatch({&entry, 1}, &batch).ok());
  }
  void Put(const std::string& key, const std::string& value) {
    Command command;
    command.mutable_kv_put()->set_key(key);
    command.mutable_kv_put()->set_value(value);
    Apply(command);
  }
  void Fill() {
    Put("a/b/c", "1");
    Put("a/b/d", "2");
    Put("z", "3");
    Command command;
    command.mutable_catalog_register()->mutable_node()->set_node("n");
    Apply(command);
  }
  std::string State() const {
    std::string bytes;
    EXPECT_TRUE(state::WriteSnapshot(*fsm_.MakeVersion(), [&bytes](std::string_view frame) {
                  bytes.append(frame);
                  return absl::OkStatus();
                }).ok());
    return bytes;
  }
  std::string Archive() const {
    std::string bytes;
    const auto meta = WriteArchive(*fsm_.MakeVersion(), 2, kTimeMs, Append(&bytes));
    EXPECT_TRUE(meta.ok()) << meta.status();
    return bytes;
  }
  static Sink Append(std::string* bytes) {
    return [bytes](std::string_view more) {
      bytes->append(more);
      return absl::OkStatus();
    };
  }
  // What is said of it; empty: it is taken.
  static std::string Told(std::string_view bytes) {
    std::string state;
    const auto meta = ReadArchive(SourceOf(bytes), Append(&state));
    return meta.ok() ? "" : std::string(meta.status().message());
  }

  struct File {
    std::string name;
    std::string bytes;
    int type = AE_IFREG;
  };
  // An archive of any files, with sums that are right for the first two.
  static std::string Forge(std::vector<File> files, bool sums = true) {
    if (sums) {
      std::string text;
      for (size_t i = 0; i < 2 && i < files.size(); ++i) {
        base::Sha256 sum;
        sum.Add(files[i].bytes);
        text += base::Sha256::Hex(sum.Finish()) + "  " + files[i].name + "\n";
      }
      files.insert(files.begin() + static_cast<long>(std::min<size_t>(2, files.size())),
                   {"SHA256SUMS", text});
    }
    std::string out(1 << 20, '\0');
    size_t used = 0;
    ::archive* const writer = archive_write_new();
    archive_write_set_format_pax_restricted(writer);
    archive_write_add_filter_gzip(writer);
    archive_write_open_memory(writer, out.data(), out.size(), &used);
    for (const File& file : files) {
      archive_entry* const entry = archive_entry_new();
      archive_entry_set_pathname(entry, file.name.c_str());
      archive_entry_set_size(entry, static_cast<int64_t>(file.bytes.size()));
      archive_entry_set_filetype(entry, static_cast<unsigned>(file.type));
      archive_entry_set_perm(entry, 0600);
      EXPECT_EQ(archive_write_header(writer, entry), ARCHIVE_OK);
      archive_write_data(writer, file.bytes.data(), file.bytes.size());
      archive_entry_free(entry);
    }
    archive_write_free(writer);
    out.resize(used);
    return out;
  }
  static std::string Gunzipped(std::string_view bytes) {
    const Source source = SourceOf(bytes);
    Gunzip gunzip(source);
    EXPECT_TRUE(gunzip.Open().ok());
    std::string tar;
    for (;;) {
      const auto next = gunzip.Next();
      EXPECT_TRUE(next.ok()) << next.status();
      if (!next.ok() || next->empty()) return tar;
      tar.append(*next);
    }
  }
  static std::string Gzip(std::string text) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
  }
  File MetaFile() const {
    ArchiveMeta meta;
    meta.id = "2-4-1";
    meta.size = State().size();
    return {"meta.json", MetaText(meta)};
  }
  File StateFile() const { return {"state.bin", State()}; }

  state::Fsm fsm_;
  uint64_t index_ = 0;
};

TEST_F(ArchiveTest, WhatIsWrittenIsReadBack) {
  Fill();
  const std::string bytes = Archive();
  std::string state;
  const auto meta = ReadArchive(SourceOf(bytes), Append(&state));
  ASSERT_TRUE(meta.ok()) << meta.status();
  EXPECT_EQ(state, State());
  EXPECT_EQ(meta->id, "2-4-1795884122278");
  EXPECT_EQ(meta->index, 4u);
  EXPECT_EQ(meta->term, 2u);
  EXPECT_EQ(meta->size, state.size());
  EXPECT_EQ(Archive(), bytes) << "equal states, equal archives";
}

TEST_F(ArchiveTest, PiecesOfAnySizeAreRead) {
  Fill();
  const std::string bytes = Archive();
  for (const size_t piece : {1, 9, 10, 11, 500}) {
    size_t at = 0;
    std::string state;
    const auto meta = ReadArchive(
        [&]() -> absl::StatusOr<std::string_view> {
          const std::string_view next = std::string_view(bytes).substr(at, piece);
          at += next.size();
          return next;
        },
        Append(&state));
    ASSERT_TRUE(meta.ok()) << meta.status();
    EXPECT_EQ(state, State());
  }
}

TEST_F(ArchiveTest, ALargeStateGoesInBlocks) {
  for (int i = 0; i < 400; ++i) {
    std::string value;
    for (unsigned j = 0; j < 4096; ++j) value += static_cast<char>(j * j * (i + 7u) >> 3);
    Put("key" + std::to_string(i), value);
  }
  size_t blocks = 0;
  size_t largest = 0;
  std::string bytes;
  ASSERT_TRUE(WriteArchive(*fsm_.MakeVersion(), 1, kTimeMs, [&](std::string_view block) {
                ++blocks;
                largest = std::max(largest, block.size());
                bytes.append(block);
                return absl::OkStatus();
              }).ok());
  EXPECT_GT(blocks, 2u);
  EXPECT_LE(largest, size_t{128} << 10);
  EXPECT_EQ(Told(bytes), "");
}

TEST_F(ArchiveTest, TheErrorsOfSinkAndSourceComeThrough) {
  Fill();
  const auto full = absl::ResourceExhaustedError("disk full");
  EXPECT_EQ(WriteArchive(*fsm_.MakeVersion(), 1, 1, [&full](std::string_view) { return full; })
                .status(),
            full);
  const std::string bytes = Archive();
  EXPECT_EQ(ReadArchive(SourceOf(bytes), [&full](std::string_view) { return full; }).status(),
            full);
  int calls = 0;
  const auto gone = absl::UnavailableError("gone");
  const auto broken = [&]() -> absl::StatusOr<std::string_view> {
    if (++calls > 1) return gone;
    return std::string_view(bytes).substr(0, 40);
  };
  EXPECT_EQ(ReadArchive(broken, [](std::string_view) { return absl::OkStatus(); }).status(), gone);
}

TEST_F(ArchiveTest, WhatIsNoArchiveIsRefusedInTheReferencesWords) {
  EXPECT_EQ(Told(""), "failed to decompress snapshot: EOF");
  EXPECT_EQ(Told("garbage"), "failed to decompress snapshot: unexpected EOF");
  EXPECT_EQ(Told("garbage, and more of it"),
            "failed to decompress snapshot: gzip: invalid header");
  Fill();
  const std::string bytes = Archive();
  EXPECT_EQ(Told(bytes.substr(0, bytes.size() / 2)),
            "failed to read snapshot file: failed reading snapshot: unexpected EOF");
}

TEST_F(ArchiveTest, EveryCutIsRefused) {
  Fill();
  const std::string bytes = Archive();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string told = Told(std::string_view(bytes).substr(0, size));
    EXPECT_TRUE(told.ends_with("EOF")) << size << ": " << told;
  }
}

TEST_F(ArchiveTest, AFlippedByteIsRefusedOrIsAnotherWayToSayTheSame) {
  Fill();
  const std::string bytes = Archive();
  const std::string tar = Gunzipped(bytes);
  size_t refused = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    if (!Told(damaged).empty()) {
      ++refused;
      continue;
    }
    // A time in the header of gzip; zeros that repeat others; bits behind the last of deflate.
    EXPECT_EQ(Gunzipped(damaged), tar) << i;
    EXPECT_LE(i, bytes.size() - 9);
  }
  EXPECT_GT(refused, bytes.size() - 20);
}

TEST_F(ArchiveTest, DamageBehindTheFilesIsRefused) {
  Fill();
  const std::string bytes = Archive();
  for (size_t i = bytes.size() - 8; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(Told(damaged), "gzip: invalid checksum") << i;
  }
  EXPECT_EQ(Told(bytes.substr(0, bytes.size() - 3)), "unexpected EOF");
  const std::string behind = "unexpected bytes behind the end of the snapshot";
  EXPECT_EQ(Told(bytes + "xx"), behind);
  EXPECT_EQ(Told(bytes + std::string(512, '\0')), behind);
  EXPECT_EQ(Told(bytes + bytes), behind);
}

TEST_F(ArchiveTest, MoreThanATarAndItsPaddingIsRefused) {
  Fill();
  const std::string tar = Gunzipped(Archive());
  const auto zeros = [](size_t size) { return std::string(size, '\0'); };
  EXPECT_EQ(Told(Gzip(tar)), "");
  EXPECT_EQ(Told(Gzip(tar + zeros(512))), "");
  EXPECT_EQ(Told(Gzip(tar + zeros(1 << 20))), "");
  EXPECT_EQ(Told(Gzip(tar + zeros(511) + "x")), "512 unread uncompressed bytes remain");
  EXPECT_EQ(Told(Gzip(tar + tar)),
            std::to_string(tar.size()) + " unread uncompressed bytes remain");
  EXPECT_NE(Told(Gzip(tar + zeros(1 << 22))), "");
}

TEST_F(ArchiveTest, FilesThatDoNotBelongAreRefused) {
  Fill();
  EXPECT_EQ(Told(Forge({MetaFile(), StateFile()})), "");
  const std::string prefix = "failed to read snapshot file: ";
  EXPECT_EQ(Told(Forge({MetaFile(), StateFile(), {"extra", "x"}})),
            prefix + "unexpected file \"extra\" in snapshot, behind the last");
  EXPECT_EQ(Told(Forge({StateFile(), MetaFile()})),
            prefix + "unexpected file \"state.bin\" in snapshot, where meta.json is to be");
  EXPECT_EQ(Told(Forge({MetaFile(), {"state.bin", State(), AE_IFDIR}})),
            prefix + "unexpected file \"state.bin/\" in snapshot, where state.bin is to be");
  EXPECT_EQ(Told(Forge({MetaFile()}, /*sums=*/false)),
            prefix + "the archive ends before state.bin");
  EXPECT_EQ(Told(Forge({MetaFile(), StateFile()}, /*sums=*/false)),
            prefix + "the archive ends before SHA256SUMS");
  EXPECT_EQ(Told(Forge({MetaFile(), {"state.bin", "short"}})),
            prefix + "state.bin has 5 bytes, and is to have " + std::to_string(State().size()));
  EXPECT_EQ(Told(Forge({{"meta.json", std::string(kMetaBytesMax + 1, ' ')}, StateFile()})),
            prefix + "meta.json has 65537 bytes, the limit is 65536");
}

TEST_F(ArchiveTest, SumsThatDoNotFitAreRefused) {
  Fill();
  const std::string prefix =
      "failed to read snapshot file: failed checking integrity of snapshot: ";
  const auto told = [&](const std::string& sums) {
    return Told(Forge({MetaFile(), StateFile(), {"SHA256SUMS", sums}}, /*sums=*/false));
  };
  const auto line = [](const File& file) {
    base::Sha256 sum;
    sum.Add(file.bytes);
    return base::Sha256::Hex(sum.Finish()) + "  " + file.name + "\n";
  };
  EXPECT_EQ(told(line(MetaFile()) + line(StateFile())), "");
  EXPECT_EQ(told(line(StateFile()) + line(MetaFile())), "");
  EXPECT_EQ(told(""), prefix + "a file has no sum");
  EXPECT_EQ(told(line(MetaFile())), prefix + "a file has no sum");
  EXPECT_EQ(told(line(MetaFile()) + line({"state.bin", "other"})),
            prefix + "hash check failed for \"state.bin\"");
  EXPECT_EQ(told(line(MetaFile()) + line(MetaFile())),
            prefix + "hash check failed for \"meta.json\"");
  EXPECT_EQ(told("nonsense\n"), prefix + "a sum is of no file that is there");
}

TEST_F(ArchiveTest, AnArchiveOfTheReferenceIsRefusedByName) {
  EXPECT_EQ(Told(Forge({{"meta.json",
                         R"({"Version":1,"ID":"2-13-1795884122278","Index":13,"Term":2,)"
                         R"("Peers":"ka8xMjcuMC4wLjE6MTgzMDA=","Configuration":{"Servers":[]},)"
                         R"("ConfigurationIndex":1,"Size":5})"},
                        {"state.bin", "state"}})),
            "the snapshot was made by HashiCorp's Consul, whose state is its own: it cannot be "
            "read here");
}

// One flipped bit makes of this program's archive one of a newer one, to the eye.
TEST_F(ArchiveTest, WhatIsDamagedIsNotTakenForAnotherProgramsArchive) {
  Fill();
  File damaged = MetaFile();
  const size_t at = damaged.bytes.find("consul.state");
  ASSERT_NE(at, std::string::npos);
  damaged.bytes[at] ^= 1;
  const auto line = [](const File& file) {
    base::Sha256 sum;
    sum.Add(file.bytes);
    return base::Sha256::Hex(sum.Finish()) + "  " + file.name + "\n";
  };
  const auto told = [&](const File& meta) {
    const File sums = {"SHA256SUMS", line(meta) + line(StateFile())};
    return Told(Forge({damaged, StateFile(), sums}, /*sums=*/false));
  };
  EXPECT_EQ(told(MetaFile()),
            "failed to read snapshot file: failed checking integrity of snapshot: hash check "
            "failed for \"meta.json\"");
  EXPECT_EQ(told(damaged),
            "the snapshot was made by a newer version of this program, and is not known to this "
            "one");
}

TEST_F(ArchiveTest, MetaThatIsNewerOrMalformedIsRefused) {
  const auto told = [](std::string_view text) {
    const auto meta = ParseMeta(text);
    return meta.ok() ? "" : std::string(meta.status().message());
  };
  ArchiveMeta meta;
  meta.id = "1-2-3";
  EXPECT_EQ(told(MetaText(meta)), "");
  const std::string newer =
      "the snapshot was made by a newer version of this program, and is not known to this one";
  meta.version = kArchiveVersion + 1;
  EXPECT_EQ(told(MetaText(meta)), newer);
  const std::string members = R"("Version":1,"ID":"i","Index":1,"Term":1,"Size":1,)";
  const auto format = [&](int number) {
    return told(base::StrCat("{", members, R"("State":"consul.state","StateFormat":)", number,
                             "}"));
  };
  EXPECT_EQ(format(state::kArchivedFormat), "");
  // A state's own snapshots may be in it; no archive is.
  EXPECT_EQ(format(state::kArchivedFormat + 1), newer);
  EXPECT_EQ(told("{" + members + R"("State":"other","StateFormat":1})"), newer);
  meta = ArchiveMeta();
  meta.size = kStateBytesMax + 1;
  const std::string prefix =
      "failed to read snapshot file: failed to decode snapshot metadata: ";
  EXPECT_EQ(told(MetaText(meta)),
            prefix + "a state of 4294967297 bytes is over the limit of 4294967296");
  EXPECT_EQ(told("[]"), prefix + "it is no object");
  EXPECT_EQ(told("{}"), prefix + "there is no Version");
  EXPECT_EQ(told(R"({"Version":-1})"), prefix + "Version is no number that it may be");
  EXPECT_EQ(told(R"({"Version":1,"Index":1,"Term":1,"Size":1})"), prefix + "there is no ID");
}

TEST_F(ArchiveTest, ASummaryCountsRowsAndKeys) {
  Fill();
  const std::string bytes = Archive();
  SummaryOptions options;
  options.keys = true;
  const auto summary = Summarize(SourceOf(bytes), options);
  ASSERT_TRUE(summary.ok()) << summary.status();
  ASSERT_EQ(summary->tables.size(), 2u);
  EXPECT_EQ(summary->tables[0].name, "KVS");
  EXPECT_EQ(summary->tables[0].count, 3u);
  EXPECT_EQ(summary->tables[1].name, "Node");
  ASSERT_EQ(summary->keys.size(), 2u);
  EXPECT_EQ(summary->keys[0].name, "a/b");
  EXPECT_EQ(summary->keys[0].count, 2u);
  options.key_prefix = "z";
  EXPECT_EQ(Summarize(SourceOf(bytes), options)->keys.size(), 1u);
  EXPECT_FALSE(Summarize(SourceOf(bytes.substr(0, 100)), options).ok());
}

TEST_F(ArchiveTest, ASummaryTellsOfDamageWhatARestoreTells) {
  Fill();
  const auto told = [](std::string_view bytes) {
    return std::string(Summarize(SourceOf(bytes), {}).status().message());
  };
  std::string tar = Gunzipped(Archive());
  const size_t at = tar.find("a/b/c");
  ASSERT_NE(at, std::string::npos);
  tar[at] ^= 1;
  const std::string damaged = Gzip(tar);
  EXPECT_EQ(told(damaged), Told(damaged));
  EXPECT_EQ(told(damaged),
            "failed to read snapshot file: failed checking integrity of snapshot: hash check "
            "failed for \"state.bin\"");
  // Sound, but of a state that is none.
  const File meta = MetaFile();
  const std::string state = Forge({meta, {"state.bin", std::string(State().size(), 'x')}});
  EXPECT_EQ(Told(state), "");
  EXPECT_NE(told(state), "");
}

TEST(KeyBeginningTest, Depths) {
  EXPECT_EQ(KeyBeginning("a/b/c", 1), "a");
  EXPECT_EQ(KeyBeginning("a/b/c", 2), "a/b");
  EXPECT_EQ(KeyBeginning("a/b/c", 3), "a/b/c");
  EXPECT_EQ(KeyBeginning("a/b/c", 9), "a/b/c");
  EXPECT_EQ(KeyBeginning("a", 2), "a");
  EXPECT_EQ(KeyBeginning("", 2), "");
  EXPECT_EQ(KeyBeginning("/a", 1), "");
}

}  // namespace
}  // namespace consul::archive
