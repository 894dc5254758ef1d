// The log on disk: what is acknowledged comes back, what was cut stays cut, and damage is named.
#include "services/raft/log_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/strings.h"

namespace consul::raft {
namespace {

using base::FaultyFileSystem;
using base::Unsynced;

constexpr char kDirectory[] = "data/raft";
constexpr uint64_t kAllBytes = uint64_t{1} << 40;

Entry Command(uint64_t index, uint64_t term, std::string payload) {
  return {Term{term}, Index{index}, EntryKind::kCommand, MakeBuffer(std::move(payload))};
}

Persist Entries(std::vector<Entry> entries) {
  Persist persist;
  persist.id = PersistId{1};
  persist.entries = std::move(entries);
  return persist;
}

Persist Vote(uint64_t term, std::string id) {
  Persist persist;
  persist.id = PersistId{1};
  persist.hard_state = HardState{Term{term}, {std::move(id)}};
  return persist;
}

class LogStoreTest : public ::testing::Test {
 protected:
  LogStoreTest() {
    options_.file_system = &fs_;
    options_.directory = kDirectory;
    options_.segment_bytes_min = 16 << 10;
    options_.segment_bytes_max = 64 << 10;
    options_.prepare_ahead = false;
    Open();
  }

  void Open() {
    log_.reset();
    auto log = LogStore::Open(options_);
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = std::move(*log);
  }

  void Append(Persist persist) {
    const Persist group[] = {std::move(persist)};
    const absl::Status status = log_->Append(group);
    ASSERT_TRUE(status.ok()) << status;
  }

  // Entries first..last with payloads of `bytes`, one group each.
  void Fill(uint64_t first, uint64_t last, size_t bytes) {
    for (uint64_t i = first; i <= last; ++i) {
      Append(Entries({Command(i, 1, std::string(bytes, static_cast<char>('a' + i % 26)))}));
    }
  }

  std::string Dump() { return Dump(*log_); }
  // "1.1=a 2.1=b": term, index and payload of all entries.
  static std::string Dump(LogStore& log) {
    const auto entries = log.Read(log.first(), log.last(), kAllBytes);
    if (!entries.ok()) return entries.status().ToString();
    std::string text;
    for (const Entry& entry : *entries) {
      base::StrAppend(&text, text.empty() ? "" : " ", entry.term.value, ".", entry.index.value, "=",
                      entry.payload == nullptr ? std::string() : *entry.payload);
    }
    return text;
  }

  std::string PathOf(uint64_t number) { return base::JoinPath(kDirectory, SegmentName(number)); }

  FaultyFileSystem fs_{1};
  LogOptions options_;
  std::unique_ptr<LogStore> log_;
};

TEST_F(LogStoreTest, AFreshLogIsEmpty) {
  const Restart restart = log_->TakeRestart();
  EXPECT_EQ(restart.hard_state, HardState{});
  EXPECT_EQ(restart.log_first, Index{1});
  EXPECT_EQ(restart.log_last, Index{0});
  EXPECT_TRUE(restart.term_runs.empty());
  EXPECT_EQ(Dump(), "");
}

TEST_F(LogStoreTest, AFreshLogTakesOneSmallSegment) {
  EXPECT_EQ(log_->disk_bytes(), options_.segment_bytes_min);
  EXPECT_EQ(fs_.size_total(), options_.segment_bytes_min);
}

TEST_F(LogStoreTest, EverythingComesBack) {
  Append(Entries({Command(1, 1, "a"), Command(2, 1, ""), Command(3, 2, "ccc")}));
  Append(Vote(3, "server-b"));
  Open();
  EXPECT_EQ(Dump(), "1.1=a 1.2= 2.3=ccc");
  const Restart restart = log_->TakeRestart();
  EXPECT_EQ(restart.hard_state, (HardState{Term{3}, {"server-b"}}));
  EXPECT_EQ(restart.log_last, Index{3});
  EXPECT_EQ(restart.term_runs,
            (std::vector<TermRun>{{Index{1}, Term{1}}, {Index{3}, Term{2}}}));
}

TEST_F(LogStoreTest, OneGroupIsOneSync) {
  const uint64_t before = fs_.syncs();
  const Persist group[] = {Entries({Command(1, 1, "a")}), Vote(2, "b"),
                           Entries({Command(2, 2, "b"), Command(3, 2, "c")})};
  ASSERT_TRUE(log_->Append(group).ok());
  EXPECT_EQ(fs_.syncs(), before + 1);
  EXPECT_EQ(Dump(), "1.1=a 2.2=b 2.3=c");
}

TEST_F(LogStoreTest, AnEmptyGroupIsNoWrite) {
  const uint64_t before = fs_.operations();
  ASSERT_TRUE(log_->Append({}).ok());
  EXPECT_EQ(fs_.operations(), before);
}

TEST_F(LogStoreTest, AcknowledgedEntriesSurviveAPowerCut) {
  Fill(1, 5, 10);
  const std::string before = Dump();
  fs_.Crash();
  log_.reset();
  fs_.Restart(Unsynced::kLost);
  Open();
  EXPECT_EQ(Dump(), before);
}

TEST_F(LogStoreTest, SegmentsGrowUpToTheGreatest) {
  Fill(1, 200, 1000);
  EXPECT_EQ(fs_.Contents(PathOf(1)).size(), 16u << 10);
  EXPECT_EQ(fs_.Contents(PathOf(2)).size(), 32u << 10);
  EXPECT_EQ(fs_.Contents(PathOf(3)).size(), 64u << 10);
  EXPECT_EQ(fs_.Contents(PathOf(4)).size(), 64u << 10);
  const std::string before = Dump();
  Open();
  EXPECT_EQ(Dump(), before);
}

TEST_F(LogStoreTest, AGroupLargerThanASegmentGetsItsOwn) {
  Fill(1, 1, 10);
  Append(Entries({Command(2, 1, std::string(200'000, 'x'))}));
  Fill(3, 3, 10);
  const std::string before = Dump();
  Open();
  EXPECT_EQ(Dump(), before);
  EXPECT_GE(fs_.Contents(PathOf(2)).size(), 200'000u);
}

TEST_F(LogStoreTest, SegmentsArePreparedAheadWhenHalfFull) {
  options_.prepare_ahead = true;
  Open();
  Fill(1, 2, 1000);
  EXPECT_EQ(fs_.Contents(PathOf(2)), "");
  Fill(3, 100, 1000);
  const std::string before = Dump();
  Open();
  EXPECT_EQ(Dump(), before);
}

TEST_F(LogStoreTest, AnEntryOfTheSameIndexCutsTheOld) {
  Append(Entries({Command(1, 1, "a"), Command(2, 1, "b"), Command(3, 1, "c")}));
  Append(Entries({Command(2, 2, "B")}));
  EXPECT_EQ(Dump(), "1.1=a 2.2=B");
  Open();
  EXPECT_EQ(Dump(), "1.1=a 2.2=B");
  EXPECT_EQ(log_->TakeRestart().term_runs,
            (std::vector<TermRun>{{Index{1}, Term{1}}, {Index{2}, Term{2}}}));
}

TEST_F(LogStoreTest, CutsWithinOneGroup) {
  const Persist group[] = {Entries({Command(1, 1, "a"), Command(2, 1, "b"), Command(3, 1, "c")}),
                           Entries({Command(2, 2, "B"), Command(3, 2, "C")}),
                           Entries({Command(3, 3, "CC"), Command(4, 3, "D")})};
  ASSERT_TRUE(log_->Append(group).ok());
  EXPECT_EQ(Dump(), "1.1=a 2.2=B 3.3=CC 3.4=D");
  Open();
  EXPECT_EQ(Dump(), "1.1=a 2.2=B 3.3=CC 3.4=D");
  for (uint64_t i = 1; i <= 4; ++i) {
    const auto one = log_->Read(Index{i}, Index{i}, kAllBytes);
    ASSERT_TRUE(one.ok());
    ASSERT_EQ(one->size(), 1u);
    EXPECT_EQ((*one)[0].index, Index{i});
  }
}

TEST_F(LogStoreTest, CutsAcrossSegments) {
  Fill(1, 60, 1000);
  Append(Entries({Command(10, 2, "new")}));
  Append(Entries({Command(11, 2, "newer")}));
  Open();
  EXPECT_EQ(log_->last(), Index{11});
  const auto entries = log_->Read(Index{9}, Index{20}, kAllBytes);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ(*(*entries)[1].payload, "new");
  EXPECT_EQ(*(*entries)[2].payload, "newer");
}

TEST_F(LogStoreTest, AResetForgetsEverythingButTheVote) {
  Append(Vote(4, "b"));
  Fill(1, 30, 1000);
  Persist reset = Entries({Command(501, 4, "first")});
  reset.reset_to = Index{500};
  Append(std::move(reset));
  EXPECT_EQ(Dump(), "4.501=first");
  Open();
  EXPECT_EQ(Dump(), "4.501=first");
  EXPECT_EQ(log_->first(), Index{501});
  EXPECT_EQ(log_->TakeRestart().hard_state.term, Term{4});
}

TEST_F(LogStoreTest, AResetWithoutEntriesKeepsThePosition) {
  Fill(1, 3, 10);
  Persist reset;
  reset.id = PersistId{1};
  reset.reset_to = Index{500};
  Append(std::move(reset));
  Open();
  EXPECT_EQ(log_->first(), Index{501});
  EXPECT_EQ(log_->last(), Index{500});
  Append(Entries({Command(501, 1, "x")}));
  Open();
  EXPECT_EQ(Dump(), "1.501=x");
}

TEST_F(LogStoreTest, ConfigurationsAreKeptApart) {
  const Configuration one({{ServerId{"a"}, MemberKind::kVoter}});
  const Configuration two = one.With(ServerId{"b"}, MemberKind::kVoter);
  Entry first{Term{1}, Index{1}, EntryKind::kConfiguration, MakeBuffer(one.Encode())};
  Entry second{Term{1}, Index{2}, EntryKind::kConfiguration, MakeBuffer(two.Encode())};
  Append(Entries({first, second}));
  EXPECT_EQ(log_->TakeRestart().configurations.size(), 2u);
  Append(Entries({Command(2, 2, "cut")}));
  Open();
  const auto configurations = log_->TakeRestart().configurations;
  ASSERT_EQ(configurations.size(), 1u);
  EXPECT_EQ(configurations[0].configuration, one);
}

TEST_F(LogStoreTest, DroppedSegmentsGiveTheirSpaceBack) {
  Fill(1, 200, 1000);
  const uint64_t before = fs_.size_total();
  ASSERT_TRUE(log_->DropBefore(Index{150}).ok());
  EXPECT_LT(fs_.size_total(), before);
  EXPECT_LE(log_->first(), Index{150});
  EXPECT_GT(log_->first(), Index{1});
  EXPECT_EQ(fs_.Contents(PathOf(1)), "");
  const Index first = log_->first();
  const std::string kept = Dump();
  Open();
  EXPECT_EQ(log_->first(), first);
  EXPECT_EQ(Dump(), kept);
  EXPECT_EQ(log_->TakeRestart().term_runs, (std::vector<TermRun>{{first, Term{1}}}));
}

TEST_F(LogStoreTest, SegmentsGoOneByOne) {
  Fill(1, 200, 1000);
  size_t segments = log_->segments_count();
  ASSERT_GT(segments, 2u);
  for (; log_->segments_count() > 1; --segments) {
    ASSERT_EQ(log_->segments_count(), segments);
    const auto dropped = log_->DropSegmentBefore(Index{201});
    ASSERT_TRUE(dropped.ok() && *dropped);
  }
  const auto last = log_->DropSegmentBefore(Index{201});
  ASSERT_TRUE(last.ok());
  EXPECT_FALSE(*last);
}

TEST_F(LogStoreTest, TheNewestSegmentsWithinSomeBytesBeginAtAnEntry) {
  Fill(1, 200, 1000);
  EXPECT_EQ(log_->FirstWithin(kAllBytes), Index{1});
  EXPECT_EQ(log_->FirstWithin(0), Index{201});
  const Index first = log_->FirstWithin(log_->disk_bytes() / 2);
  EXPECT_GT(first, Index{1});
  EXPECT_LE(first, Index{200});
  // It is a segment's first: all before it can go.
  ASSERT_TRUE(log_->DropBefore(first).ok());
  EXPECT_EQ(log_->first(), first);
}

TEST_F(LogStoreTest, TheVoteOutlivesTheSegmentItWasWrittenIn) {
  Append(Vote(7, "b"));
  Fill(1, 100, 1000);
  ASSERT_TRUE(log_->DropBefore(Index{100}).ok());
  Open();
  EXPECT_EQ(log_->TakeRestart().hard_state, (HardState{Term{7}, {"b"}}));
}

TEST_F(LogStoreTest, DroppingEverythingKeepsTheEnd) {
  Fill(1, 100, 1000);
  ASSERT_TRUE(log_->DropBefore(Index{101}).ok());
  EXPECT_EQ(log_->last(), Index{100});
  Fill(101, 103, 10);
  Open();
  EXPECT_EQ(log_->last(), Index{103});
}

TEST_F(LogStoreTest, DropAfterACutBelowTheSegmentsBegin) {
  Fill(1, 30, 1000);
  Append(Entries({Command(5, 2, "new")}));
  ASSERT_TRUE(log_->DropBefore(Index{5}).ok());
  const Index first = log_->first();
  Open();
  EXPECT_EQ(log_->first(), first);
  EXPECT_EQ(log_->last(), Index{5});
}

TEST_F(LogStoreTest, ReadStopsBeforeTheLimitButGivesOne) {
  Fill(1, 10, 1000);
  const auto one = log_->Read(Index{3}, Index{10}, 10);
  ASSERT_TRUE(one.ok());
  ASSERT_EQ(one->size(), 1u);
  EXPECT_EQ((*one)[0].index, Index{3});
  const auto three = log_->Read(Index{3}, Index{10}, 3 * (1000 + Entry::kOverheadBytes));
  ASSERT_TRUE(three.ok());
  EXPECT_EQ(three->size(), 3u);
}

TEST_F(LogStoreTest, ReadOfWhatIsNotThereIsEmpty) {
  Fill(1, 100, 1000);
  ASSERT_TRUE(log_->DropBefore(Index{90}).ok());
  EXPECT_TRUE(log_->Read(Index{1}, Index{5}, kAllBytes)->empty());
  EXPECT_TRUE(log_->Read(Index{101}, Index{105}, kAllBytes)->empty());
}

TEST_F(LogStoreTest, EveryRangeReadsWhatWasWritten) {
  Fill(1, 120, 700);
  for (uint64_t first = 1; first <= 120; first += 7) {
    for (uint64_t last = first; last <= 120; last += 11) {
      const auto entries = log_->Read(Index{first}, Index{last}, kAllBytes);
      ASSERT_TRUE(entries.ok());
      ASSERT_EQ(entries->size(), last - first + 1);
      EXPECT_EQ(entries->front().index, Index{first});
      EXPECT_EQ((*entries->back().payload)[0], static_cast<char>('a' + last % 26));
    }
  }
}

TEST_F(LogStoreTest, ASecondOwnerIsRefused) {
  const auto second = LogStore::Open(options_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().ToString().find("data/raft/LOCK"), std::string::npos);
}

// --- A disk that fails. ---

TEST_F(LogStoreTest, AFailedSyncIsFatalAndNeverRetried) {
  Fill(1, 2, 10);
  fs_.FailSync(0);
  const Persist group[] = {Entries({Command(3, 1, "x")})};
  EXPECT_FALSE(log_->Append(group).ok());
  ASSERT_TRUE(fs_.fatal().has_value());
  EXPECT_NE(fs_.fatal()->ToString().find(PathOf(1)), std::string::npos);
  const uint64_t operations = fs_.operations();
  EXPECT_FALSE(log_->Append(group).ok());
  EXPECT_FALSE(log_->Settle().ok());
  EXPECT_FALSE(log_->Reserve(1).ok());
  EXPECT_EQ(fs_.operations(), operations) << "the disk is left alone";
}

TEST_F(LogStoreTest, AFailedSyncOfANewSegmentIsFatal) {
  Fill(1, 10, 1000);
  fs_.FailSync(1);  // behind that of the mark that stays behind
  EXPECT_FALSE(log_->Reserve(10'000).ok());
  ASSERT_TRUE(fs_.fatal().has_value());
  EXPECT_NE(fs_.fatal()->ToString().find(PathOf(2)), std::string::npos) << *fs_.fatal();
}

TEST_F(LogStoreTest, AFullDiskIsMetBeforeAnythingIsWritten) {
  Fill(1, 10, 1000);
  fs_.SetCapacity(fs_.size_total());
  const std::string before = Dump();
  const Persist group[] = {Entries({Command(11, 1, std::string(4000, 'x'))})};
  const absl::Status full = log_->Append(group);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(full.ToString().find(PathOf(2)), std::string::npos) << full;
  EXPECT_NE(full.ToString().find("12288 bytes"), std::string::npos) << full << ": the least";
  EXPECT_FALSE(fs_.fatal().has_value());
  EXPECT_EQ(Dump(), before);
  EXPECT_EQ(fs_.List(kDirectory)->size(), 1u) << "nothing half-made remains";
}

TEST_F(LogStoreTest, ASmallGroupStillFitsOnAFullDisk) {
  Fill(1, 10, 1000);
  fs_.SetCapacity(fs_.size_total());
  const Persist large[] = {Entries({Command(11, 1, std::string(4000, 'x'))})};
  EXPECT_FALSE(log_->Append(large).ok());
  Append(Entries({Command(11, 1, "small")}));
  Open();
  EXPECT_EQ(log_->last(), Index{11});
}

TEST_F(LogStoreTest, ItGoesOnWhenThereIsRoomAgain) {
  Fill(1, 10, 1000);
  fs_.SetCapacity(fs_.size_total() + 5000);
  const Persist group[] = {Entries({Command(11, 1, std::string(4000, 'x'))})};
  EXPECT_EQ(log_->Append(group).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(log_->Append(group).code(), absl::StatusCode::kResourceExhausted);
  fs_.SetCapacity(std::nullopt);
  EXPECT_TRUE(log_->Append(group).ok());
  Open();
  EXPECT_EQ(log_->last(), Index{11});
}

TEST_F(LogStoreTest, ASegmentThatIsNoLongerWantedIsGivenUp) {
  const std::atomic<bool> cancelled{true};
  const uint64_t before = fs_.bytes_written();
  const auto segment = Segment::Create(
      &fs_, kDirectory, {.number = 2, .salt = 1, .size_bytes = 64 << 20}, &cancelled);
  EXPECT_EQ(segment.status().code(), absl::StatusCode::kCancelled);
  EXPECT_LT(fs_.bytes_written() - before, 1u << 20);
  EXPECT_EQ(fs_.List(kDirectory)->size(), 1u);
  EXPECT_FALSE(fs_.fatal().has_value());
}

TEST_F(LogStoreTest, AFullDiskWhilePreparingIsMetWhenItMatters) {
  options_.prepare_ahead = true;
  Open();
  fs_.SetCapacity(fs_.size_total() + 100);
  Fill(1, 10, 1000);  // more than half: preparing begins, and fails
  const Persist group[] = {Entries({Command(11, 1, std::string(4000, 'x'))})};
  EXPECT_EQ(log_->Append(group).code(), absl::StatusCode::kResourceExhausted);
  fs_.SetCapacity(std::nullopt);
  EXPECT_TRUE(log_->Append(group).ok());
  EXPECT_FALSE(fs_.fatal().has_value());
}

TEST_F(LogStoreTest, WithHardlyAnyRoomASegmentOfWhatIsNeededDoes) {
  Fill(1, 10, 1000);
  fs_.SetCapacity(fs_.size_total() + (12 << 10));
  Append(Entries({Command(11, 1, std::string(4000, 'x'))}));
  EXPECT_EQ(fs_.Contents(PathOf(2)).size(), 12u << 10);
  // With room they grow again.
  fs_.SetCapacity(std::nullopt);
  Append(Entries({Command(12, 1, std::string(8000, 'x'))}));
  Open();
  EXPECT_EQ(log_->last(), Index{12});
  EXPECT_EQ(fs_.Contents(PathOf(3)).size(), 24u << 10);
}

TEST_F(LogStoreTest, WithLittleRoomASmallSegmentDoes) {
  Fill(1, 10, 1000);
  fs_.SetCapacity(fs_.size_total() + (20 << 10));
  Append(Entries({Command(11, 1, std::string(4000, 'x'))}));
  EXPECT_EQ(fs_.Contents(PathOf(2)).size(), 16u << 10);
}

// --- Damage. ---

TEST_F(LogStoreTest, AMissingSegmentIsNamed) {
  Fill(1, 100, 1000);
  log_.reset();
  ASSERT_TRUE(fs_.Remove(PathOf(2)).ok());
  const absl::Status status = LogStore::Open(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.ToString().find(PathOf(2)), std::string::npos) << status;
}

TEST_F(LogStoreTest, LeftoversOfAnUnfinishedSegmentAreRemoved) {
  ASSERT_TRUE(fs_.Create(PathOf(2) + ".new").ok());
  Open();
  EXPECT_EQ(fs_.List(kDirectory)->size(), 1u);
}

TEST_F(LogStoreTest, DamageFoundWhileReadingIsNamed) {
  Fill(1, 3, 100);
  fs_.FlipBit(PathOf(1), kSegmentHeaderBytes + 200, 3);
  const auto entries = log_->Read(Index{1}, Index{3}, kAllBytes);
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(entries.status().ToString().find(PathOf(1)), std::string::npos);
}

// It is the last thing in the log, as after a downgrade: no torn write, for its checksum is right.
TEST_F(LogStoreTest, ARecordOfAKindThatANewerProgramWroteIsRefusedAndNotCut) {
  Append(Entries({Command(1, 1, "a")}));
  log_.reset();
  const std::string before = fs_.Contents(PathOf(1));
  const uint64_t salt = DecodeSegmentHeader(before.substr(0, kSegmentHeaderBytes))->salt;
  uint64_t end = kSegmentHeaderBytes;  // of the groups
  GroupSequence next;
  for (;;) {
    const auto header = DecodeGroupHeader(std::string_view(before).substr(end), salt);
    if (!header.has_value() || header->records_count == 0) break;
    next = header->sequence.Next();
    end += kGroupHeaderBytes + header->body_bytes;
  }
  ASSERT_GT(next, GroupSequence{1});
  GroupBuilder group;
  group.Add({static_cast<RecordKind>(77), Index{2}, Term{1}, "of tomorrow"}, salt);
  const auto file = fs_.Open(PathOf(1));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->WriteAt(end, group.Finish(next, salt)).ok());
  const std::string written = fs_.Contents(PathOf(1));
  const absl::Status status = LogStore::Open(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_NE(status.ToString().find("a record of kind 77"), std::string::npos) << status;
  EXPECT_TRUE(fs_.Contents(PathOf(1)) == written) << "nothing is cut";
}

// A user's value that looks like a group of the future must not pass for proof of damage.
TEST_F(LogStoreTest, AForgedGroupInAValueIsNoProof) {
  std::string forged(8, 'x');
  for (uint64_t sequence = 1; sequence < 10; ++sequence) {
    forged += EncodeGroupHeader({{sequence}, 64, 1}, /*salt=*/0);
  }
  forged += "the end";
  Append(Entries({Command(1, 1, "a")}));
  fs_.CrashAfterBytes(kGroupHeaderBytes + kRecordHeaderBytes + forged.size() - 1);
  const Persist group[] = {Entries({Command(2, 1, forged)})};
  EXPECT_FALSE(log_->Append(group).ok());
  log_.reset();
  fs_.Restart(Unsynced::kKept);
  Open();
  EXPECT_EQ(Dump(), "1.1=a");
  EXPECT_NE(log_->cut(), "");
}

// Goal: a bit flipped anywhere in a closed log is either named or provably changes nothing.
// Method: flip each bit of each byte that was ever written, open, compare.
TEST_F(LogStoreTest, EveryFlippedBitOfASettledLogIsNamedOrHarmless) {
  Append(Vote(1, "a"));
  Append(Entries({Command(1, 1, "one"), Command(2, 1, "two")}));
  Append(Entries({Command(2, 2, "TWO")}));
  Append(Entries({Command(3, 2, "last")}));
  const std::string good = Dump();
  const HardState good_state = log_->TakeRestart().hard_state;
  log_.reset();
  const std::string contents = fs_.Contents(PathOf(1));
  const uint64_t end = contents.find_last_not_of('\0') + 1;
  uint64_t named = 0, harmless = 0;
  for (uint64_t offset = 0; offset < end + 64; ++offset) {
    for (int bit = 0; bit < 8; bit += offset < kSegmentHeaderBytes ? 7 : 1) {
      auto copy = fs_.Clone();
      copy->FlipBit(PathOf(1), offset, bit);
      LogOptions options = options_;
      options.file_system = copy.get();
      auto log = LogStore::Open(options);
      if (!log.ok()) {
        ASSERT_EQ(log.status().code(), absl::StatusCode::kDataLoss) << log.status();
        ASSERT_NE(log.status().ToString().find(PathOf(1)), std::string::npos);
        ASSERT_NE(log.status().ToString().find("offset "), std::string::npos);
        ++named;
      } else {
        ASSERT_EQ(Dump(**log), good) << "offset " << offset << " bit " << bit;
        ASSERT_EQ((*log)->TakeRestart().hard_state, good_state);
        ++harmless;
      }
    }
  }
  EXPECT_GT(named, 2000u);
  // Only behind the last group: the mark and the zeros.
  EXPECT_LE(harmless, (64 + kGroupHeaderBytes) * 8);
}

}  // namespace
}  // namespace consul::raft
