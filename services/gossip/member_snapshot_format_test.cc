#include "services/gossip/member_snapshot_format.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "gtest/gtest.h"

namespace consul::gossip {
namespace {

Endpoint At(std::string_view text) { return Endpoint::Parse(text).value(); }

SnapshotClocks Clocks(uint64_t member, uint64_t event, uint64_t query) {
  return {LamportTime{member}, LamportTime{event}, LamportTime{query}};
}

// The file as a story: records, and what a reader makes of them.
class Story {
 public:
  Story& Alive(std::string_view name, std::string_view address) {
    AppendAliveRecord(name, At(address), &bytes);
    return Mark();
  }
  Story& NotAlive(std::string_view name) {
    AppendNotAliveRecord(name, &bytes);
    return Mark();
  }
  Story& SetClocks(uint64_t member, uint64_t event, uint64_t query) {
    AppendClocksRecord(Clocks(member, event, query), &bytes);
    return Mark();
  }
  Story& Leave() {
    AppendLeaveRecord(&bytes);
    return Mark();
  }
  Story& Start() {
    AppendStartRecord(&bytes);
    return Mark();
  }

  std::string Read(bool rejoin_after_leave = false) const {
    return ReadBytes(bytes, rejoin_after_leave);
  }
  static std::string ReadBytes(std::string_view bytes, bool rejoin_after_leave = false) {
    const SnapshotContents contents = ParseMemberSnapshot(bytes, rejoin_after_leave);
    std::string out = Members(contents);
    return contents.damage.empty() ? out : out + "| " + contents.damage;
  }
  static std::string Members(const SnapshotContents& contents) {
    std::string out;
    for (const auto& [name, address] : contents.members) {
      out += name + "@" + address.ToString() + " ";
    }
    const SnapshotClocks& clocks = contents.clocks;
    if (clocks != SnapshotClocks{}) {
      out += absl::StrFormat("%d/%d/%d ", clocks.member_time.value, clocks.event_time.value,
                             clocks.query_time.value);
    }
    return out;
  }

  std::string bytes = SnapshotHeader();
  std::vector<size_t> ends = {bytes.size()};  // of the header and of each record

 private:
  Story& Mark() {
    ends.push_back(bytes.size());
    return *this;
  }
};

TEST(MemberSnapshotFormatTest, BytesAreFrozen) {
  Story story;
  story.Alive("a", "10.0.0.1:8301").NotAlive("b").SetClocks(1, 2, 3).Leave().Start();
  EXPECT_EQ(absl::BytesToHexString(story.bytes),
            "636f6e73756c6d73" "7fe12295" "01000000"
            "6afe1930" "1300" "01" "00000000000000000000ffff0a000001" "6d20" "61"
            "04329a32" "0100" "02" "62"
            "ed559e1f" "1800" "03" "0100000000000000" "0200000000000000" "0300000000000000"
            "6534fea7" "0000" "04"
            "66b79555" "0000" "05");
}

TEST(MemberSnapshotFormatTest, RecordsComeBack) {
  Story story;
  EXPECT_EQ(story.Read(), "");
  story.Alive("a", "10.0.0.1:8301").Alive("b", "[fe80::2]:9000").SetClocks(5, 6, 7);
  EXPECT_EQ(story.Read(), "a@10.0.0.1:8301 b@[fe80::2]:9000 5/6/7 ");
  story.Alive("a", "10.0.0.9:8301").NotAlive("b").NotAlive("never seen");
  EXPECT_EQ(story.Read(), "a@10.0.0.9:8301 5/6/7 ");
}

TEST(MemberSnapshotFormatTest, AClockNeverGoesBack) {
  EXPECT_EQ(Story().SetClocks(5, 6, 7).SetClocks(9, 1, 8).Read(), "9/6/8 ");
}

TEST(MemberSnapshotFormatTest, ALeaveForgetsTheMembersAndNotTheClocks) {
  Story story;
  story.Alive("a", "10.0.0.1:8301").Start().Alive("b", "10.0.0.2:8301").SetClocks(5, 6, 7).Leave();
  EXPECT_EQ(story.Read(), "5/6/7 ");
  EXPECT_EQ(story.Read(true), "b@10.0.0.2:8301 5/6/7 ");
  story.Start().Alive("c", "10.0.0.3:8301");
  EXPECT_EQ(story.Read(), "c@10.0.0.3:8301 5/6/7 ") << "joined again by hand";
}

TEST(MemberSnapshotFormatTest, ALifeThatMetSomebodyForgetsWhomItWasTold) {
  Story story;
  story.Alive("a", "10.0.0.1:8301").Alive("b", "10.0.0.2:8301").Start();
  EXPECT_EQ(story.Read(), "a@10.0.0.1:8301 b@10.0.0.2:8301 ") << "it met nobody yet";
  story.Start();
  EXPECT_EQ(story.Read(), "a@10.0.0.1:8301 b@10.0.0.2:8301 ") << "nor did the next one";
  story.Alive("b", "10.0.0.2:8301");
  EXPECT_EQ(story.Read(), "b@10.0.0.2:8301 ") << "a is not of the pool any more";
  story.NotAlive("b");
  EXPECT_EQ(story.Read(), "a@10.0.0.1:8301 ") << "the last hope";
}

TEST(MemberSnapshotFormatTest, AFileThatEndsAnywhereIsNotDamaged) {
  Story story;
  constexpr uint64_t kNoZeros = ~uint64_t{0};
  story.Alive("a", "10.0.0.1:8301").SetClocks(kNoZeros, kNoZeros, kNoZeros).NotAlive("a").Leave();
  for (size_t size = 0; size <= story.bytes.size(); ++size) {
    size_t whole = 0;
    for (const size_t end : story.ends) whole = end <= size ? end : whole;
    const std::string_view cut = std::string_view(story.bytes).substr(0, size);
    EXPECT_EQ(Story::ReadBytes(cut), Story::ReadBytes(cut.substr(0, whole))) << size;
    const std::string zeros = std::string(cut) + std::string(600, '\0');
    EXPECT_EQ(Story::Members(ParseMemberSnapshot(zeros, false)), Story::ReadBytes(cut)) << size;
    if (size == whole) {
      EXPECT_EQ(ParseMemberSnapshot(zeros, false).damage, "") << size;
    }
  }
}

// Goal: a flipped bit is never believed. Method: what is read is what some number of the first
// records say, and unless the bit is in what might be a torn end, it is named.
TEST(MemberSnapshotFormatTest, EveryFlippedBitIsNamedOrCutsTheEnd) {
  Story story;
  story.Alive("a", "10.0.0.1:8301").SetClocks(5, 6, 7).Alive("b", "10.0.0.2:8301");
  for (int i = 0; i < 20; ++i) story.Alive("member-" + std::to_string(i), "10.0.1.1:8301");
  std::vector<std::string> states;
  for (const size_t end : story.ends) {
    states.push_back(Story::ReadBytes(story.bytes.substr(0, end)));
  }
  for (size_t bit = 0; bit < story.bytes.size() * 8; ++bit) {
    std::string bytes = story.bytes;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const SnapshotContents contents = ParseMemberSnapshot(bytes, false);
    size_t sound = 0;  // records before the damaged one
    while (sound + 1 < story.ends.size() && story.ends[sound + 1] <= bit / 8) ++sound;
    const bool in_header = bit / 8 < kSnapshotHeaderBytes;
    EXPECT_EQ(Story::Members(contents), in_header ? "" : states[sound]) << bit;
    const size_t begin = in_header ? 0 : story.ends[sound];
    if (contents.damage.empty()) {
      EXPECT_GT(begin + kSnapshotRecordHeadBytes + kSnapshotPayloadBytesMax, bytes.size())
          << bit;
    } else {
      EXPECT_EQ(contents.damage.find(absl::StrFormat("damaged at byte %d: ", begin)), 0u) << bit;
    }
  }
}

TEST(MemberSnapshotFormatTest, WhatIsWrongIsSaid) {
  EXPECT_EQ(Story::ReadBytes("alive: vm 127.0.0.1:8301\n"),
            "| damaged at byte 0: it is no member snapshot");
  EXPECT_EQ(Story::ReadBytes("alive"), "| damaged at byte 0: it is no member snapshot");
  EXPECT_EQ(Story::ReadBytes(std::string(100, '\0')), "");
  Story story;
  std::string bytes = story.bytes;
  bytes[9] = 'x';
  EXPECT_EQ(Story::ReadBytes(bytes), "| damaged at byte 0: the header's checksum is wrong");
  story.Alive("a", "10.0.0.1:8301").SetClocks(1, 1, 1);
  bytes = story.bytes;
  bytes[17] = 'x';
  EXPECT_EQ(Story::ReadBytes(bytes), "| damaged at byte 16: the record's checksum is wrong");
  bytes = story.bytes;
  bytes[21] = 'x';
  EXPECT_EQ(Story::ReadBytes(bytes), "| damaged at byte 16: the record is too long");
}

TEST(MemberSnapshotFormatTest, NamesHaveALimit) {
  const std::string longest(kNameBytesMax, 'n');
  EXPECT_EQ(Story().Alive(longest, "10.0.0.1:1").Read(), longest + "@10.0.0.1:1 ");
  std::string out;
  EXPECT_DEATH(AppendAliveRecord(longest + "n", At("10.0.0.1:1"), &out), "kNameBytesMax");
  EXPECT_DEATH(AppendNotAliveRecord("", &out), "empty");
}

TEST(MemberSnapshotFormatTest, MembersOverTheLimitArePassedOver) {
  Story story;
  for (size_t i = 0; i < kSnapshotMembersMax + 10; ++i) {
    story.Alive(absl::StrFormat("%06d", i), "10.0.0.1:8301");
  }
  const SnapshotContents contents = ParseMemberSnapshot(story.bytes, false);
  EXPECT_EQ(contents.members.size(), kSnapshotMembersMax);
  EXPECT_EQ(contents.members.rbegin()->first,
            absl::StrFormat("%06d", kSnapshotMembersMax - 1));
}

}  // namespace
}  // namespace consul::gossip
