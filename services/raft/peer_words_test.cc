// What a leader says of its peers: enough to see that one is away, and little while it stays away.
#include "services/raft/peer_words.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace consul::raft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time kStart{std::chrono::hours(1)};

class PeerWordsTest : public testing::Test {
 protected:
  // The lines of a look at a peer that was heard so long ago.
  std::string Silent(Duration at, Duration heard) {
    std::string text;
    const MemberProgress member{ServerId{"b"}, Index{7}, kStart + heard};
    for (const LogLine& line : words_.OfSilent(kStart + at, {member})) {
      EXPECT_EQ(line.level, LogLevel::kWarn);
      text += line.text + "\n";
    }
    return text;
  }
  static std::string Line(const std::string& time) {
    return "raft: failed to contact: server-id=b time=" + time + "\n";
  }

  PeerWords words_{milliseconds(300)};
};

TEST_F(PeerWordsTest, APeerIsNamedOnceItWasSilentForLongEnough) {
  EXPECT_EQ(Silent(milliseconds(299), Duration{0}), "");
  EXPECT_EQ(Silent(milliseconds(300), Duration{0}), Line("300ms"));
  EXPECT_EQ(Silent(milliseconds(301), Duration{0}), "");
  EXPECT_EQ(Silent(milliseconds(600), Duration{0}), Line("600ms"));
}

TEST_F(PeerWordsTest, OneThatStaysAwayIsNamedOnceAMinuteInTheEnd) {
  int lines = 0;
  for (seconds at{1}; at <= std::chrono::hours(1); ++at) {
    lines += Silent(at, Duration{0}).empty() ? 0 : 1;
  }
  EXPECT_GE(lines, 60);
  EXPECT_LE(lines, 70);
}

TEST_F(PeerWordsTest, OneThatCameBackIsNamedAnew) {
  EXPECT_NE(Silent(seconds(1), Duration{0}), "");
  EXPECT_NE(Silent(seconds(2), Duration{0}), "");
  EXPECT_EQ(Silent(seconds(3), seconds(3)), "");
  EXPECT_EQ(Silent(milliseconds(3400), seconds(3)), Line("400ms"));
}

TEST_F(PeerWordsTest, AnotherLeadBeginsAnew) {
  EXPECT_NE(Silent(seconds(1), Duration{0}), "");
  words_.Clear();
  EXPECT_EQ(Silent(milliseconds(1001), Duration{0}), Line("1.001s"));
}

TEST_F(PeerWordsTest, ARefusalIsSaidNowAndThen) {
  const auto refusal = [this](Duration at, uint64_t next) {
    const auto line = words_.OfRefusal(kStart + at, ServerId{"b"}, "10.0.0.2:8300", Index{next});
    return line.has_value() ? line->text : "";
  };
  EXPECT_EQ(refusal(Duration{0}, 5),
            "raft: appendEntries rejected, sending older logs: peer=b address=10.0.0.2:8300 "
            "next=5");
  EXPECT_EQ(refusal(seconds(9), 4), "");
  EXPECT_NE(refusal(seconds(10), 3), "");
}

}  // namespace
}  // namespace consul::raft
