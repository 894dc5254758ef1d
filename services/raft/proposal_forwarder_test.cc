#include "services/raft/proposal_forwarder.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/base/strings.h"

namespace consul::raft {
namespace {

const ServerId kLeader{"leader"};
const ServerId kOther{"other"};
constexpr Time kStart{std::chrono::seconds(100)};

class ProposalForwarderTest : public testing::Test {
 protected:
  // Passes on `count` commands in one batch; answers are noted by "NAME0", "NAME1", ...
  ForwardedProposals Forward(const std::string& name, int count, Term term = Term{3}) {
    std::vector<Proposed> batch;
    for (int i = 0; i < count; ++i) {
      const std::string command = base::StrCat(name, i);
      batch.push_back({MakeBuffer(command), 40, [this, command](absl::StatusOr<Applied> applied) {
                         EXPECT_FALSE(answers_.contains(command)) << "answered twice";
                         answers_[command] = applied.status();
                       }});
    }
    return forwarder_.Forward(kStart, kLeader, term, std::move(batch));
  }
  void Placed(const ForwardedProposals& sent, ForwardStatus status, Index first = Index{},
              Term term = Term{3}, ServerId from = kLeader) {
    forwarder_.Placed(from, term, {sent.first_id, sent.commands.size(), status, first},
                      [this](Index index) -> std::optional<Term> {
                        const auto found = log_.find(index);
                        return found == log_.end() ? std::nullopt : std::optional(found->second);
                      });
    Flush();
  }
  // Entries first, first + 1, ... of `term` go to the state machine, which answers.
  void Commit(Index first, int count, Term term) {
    std::vector<Entry> entries;
    for (int i = 0; i < count; ++i) entries.push_back({term, first + i, EntryKind::kNoOp, nullptr});
    std::vector<Waiter> waiters;
    forwarder_.Committed(now_, entries, &waiters);
    for (Waiter& waiter : waiters) {
      EXPECT_GE(waiter.index, first);
      waiter.callback(Applied{waiter.index, nullptr});
    }
    Flush();
  }
  void Flush() {
    for (RefusedProposal& refused : forwarder_.TakeRefused()) refused.callback(refused.why);
  }
  absl::StatusCode CodeOf(const std::string& command) {
    const auto found = answers_.find(command);
    EXPECT_NE(found, answers_.end()) << command << " is not answered";
    return found == answers_.end() ? absl::StatusCode::kInternal : found->second.code();
  }

  ProposalForwarder forwarder_{Index{10}, 0};
  Time now_ = kStart;
  std::map<Index, Term> log_;
  std::map<std::string, absl::Status> answers_;
};

TEST_F(ProposalForwarderTest, CommandsAreAnsweredWhenTheirIndexIsAppliedHere) {
  const auto sent = Forward("a", 3);
  EXPECT_EQ(sent.commands.size(), 3u);
  Placed(sent, ForwardStatus::kPlaced, Index{12});
  Commit(Index{11}, 2, Term{3});
  EXPECT_TRUE(answers_.at("a0").ok());
  EXPECT_FALSE(answers_.contains("a1"));
  Commit(Index{13}, 2, Term{3});
  EXPECT_EQ(answers_.size(), 3u);
  EXPECT_TRUE(forwarder_.empty());
}

TEST_F(ProposalForwarderTest, AnotherTermAtTheIndexMeansThatItWasNeverApplied) {
  Placed(Forward("a", 1), ForwardStatus::kPlaced, Index{12});
  Commit(Index{11}, 2, Term{4});
  EXPECT_EQ(CodeOf("a0"), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ProposalForwarderTest, ALaterTermBeforeTheIndexMeansTheSameAtOnce) {
  Placed(Forward("a", 1), ForwardStatus::kPlaced, Index{20});
  Commit(Index{11}, 1, Term{3});
  EXPECT_TRUE(answers_.empty());
  Commit(Index{12}, 1, Term{4});
  EXPECT_EQ(CodeOf("a0"), absl::StatusCode::kFailedPrecondition);
  Placed(Forward("b", 1, Term{3}), ForwardStatus::kPlaced, Index{21});
  EXPECT_EQ(CodeOf("b0"), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ProposalForwarderTest, TwoTermsMayNameOneIndex) {
  Placed(Forward("a", 1, Term{3}), ForwardStatus::kPlaced, Index{12}, Term{3});
  Placed(Forward("b", 1, Term{4}), ForwardStatus::kPlaced, Index{12}, Term{4});
  Commit(Index{11}, 2, Term{4});
  EXPECT_EQ(CodeOf("a0"), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(answers_.at("b0").ok());
}

TEST_F(ProposalForwarderTest, RefusalsHaveTheCodesOfTheLeaderItself) {
  const std::vector<std::pair<ForwardStatus, absl::StatusCode>> cases = {
      {ForwardStatus::kNotLeader, absl::StatusCode::kFailedPrecondition},
      {ForwardStatus::kTransferring, absl::StatusCode::kFailedPrecondition},
      {ForwardStatus::kBusy, absl::StatusCode::kResourceExhausted},
      {ForwardStatus::kTooLarge, absl::StatusCode::kInvalidArgument},
      {ForwardStatus::kDiskFull, absl::StatusCode::kUnavailable},
      {ForwardStatus::kNoMajority, absl::StatusCode::kAborted},
  };
  for (const auto& [status, code] : cases) {
    answers_.clear();
    Placed(Forward("a", 2), status);
    EXPECT_EQ(CodeOf("a0"), code);
    EXPECT_EQ(CodeOf("a1"), code);
  }
}

// What was passed on and not answered may be in the old leader's log: a second try could apply it
// twice.
TEST_F(ProposalForwarderTest, ALostLeaderLeavesTheOutcomeUnknown) {
  Forward("term", 1);
  const Time later = kStart + kFormerLeaderWaitMax;
  forwarder_.LeaderIs(kStart, Term{3}, ServerId{});
  forwarder_.Expire(later);
  Flush();
  EXPECT_TRUE(answers_.empty()) << "a silent leader is not lost";
  // One that leads no more says so, or where it stands.
  forwarder_.LeaderIs(later, Term{4}, ServerId{});
  EXPECT_EQ(forwarder_.NextDeadline(), later + kFormerLeaderWaitMax);
  forwarder_.LeaderIs(later + Duration{1}, Term{4}, kOther);
  EXPECT_EQ(forwarder_.NextDeadline(), later + kFormerLeaderWaitMax) << "it is said in each turn";
  forwarder_.Expire(later + kFormerLeaderWaitMax - Duration{1});
  Flush();
  EXPECT_TRUE(answers_.empty());
  forwarder_.Expire(later + kFormerLeaderWaitMax);
  Flush();
  EXPECT_EQ(CodeOf("term0"), absl::StatusCode::kUnknown);
  Forward("stream", 1);
  forwarder_.StreamBroken(kOther);
  Flush();
  EXPECT_FALSE(answers_.contains("stream0"));
  forwarder_.StreamBroken(kLeader);
  Flush();
  EXPECT_EQ(CodeOf("stream0"), absl::StatusCode::kUnknown);
}

TEST_F(ProposalForwarderTest, WhoLeadsNoMoreSaysWhatBecameOfIt) {
  const auto refused = Forward("refused", 1);
  const auto placed = Forward("placed", 1);
  forwarder_.LeaderIs(kStart, Term{4}, kOther);
  Placed(refused, ForwardStatus::kNotLeader, Index{}, Term{4});
  EXPECT_EQ(CodeOf("refused0"), absl::StatusCode::kFailedPrecondition) << "it may be tried again";
  Placed(placed, ForwardStatus::kPlaced, Index{11}, Term{3});
  forwarder_.Expire(kStart + kForwardedWaitMax - Duration{1});
  Flush();
  EXPECT_FALSE(answers_.contains("placed0")) << "its place has the time that every one has";
  Commit(Index{11}, 1, Term{3});
  EXPECT_TRUE(answers_.at("placed0").ok());
}

TEST_F(ProposalForwarderTest, APlacedCommandOutlivesItsLeader) {
  Placed(Forward("a", 1), ForwardStatus::kPlaced, Index{11});
  forwarder_.LeaderIs(kStart, Term{4}, kOther);
  forwarder_.StreamBroken(kLeader);
  Flush();
  EXPECT_TRUE(answers_.empty());
  Commit(Index{11}, 1, Term{3});
  EXPECT_TRUE(answers_.at("a0").ok());
}

// A deadline of the past that nobody takes back would keep the raft thread awake for ever.
TEST_F(ProposalForwarderTest, WhatIsAnsweredHasNoDeadline) {
  EXPECT_EQ(forwarder_.NextDeadline(), Time::max());
  const auto sent = Forward("a", 1);
  EXPECT_LT(forwarder_.NextDeadline(), Time::max());
  Placed(sent, ForwardStatus::kPlaced, Index{11});
  Commit(Index{11}, 1, Term{3});
  EXPECT_EQ(forwarder_.NextDeadline(), Time::max());
}

TEST_F(ProposalForwarderTest, AWaitHasALimit) {
  Forward("sent", 1);
  Placed(Forward("placed", 1), ForwardStatus::kPlaced, Index{11});
  EXPECT_EQ(forwarder_.NextDeadline(), kStart + kForwardedWaitMax);
  forwarder_.Expire(kStart + kForwardedWaitMax - Duration{1});
  Flush();
  EXPECT_TRUE(answers_.empty());
  forwarder_.Expire(kStart + kForwardedWaitMax);
  Flush();
  EXPECT_EQ(CodeOf("sent0"), absl::StatusCode::kUnknown);
  EXPECT_EQ(CodeOf("placed0"), absl::StatusCode::kUnknown);
  EXPECT_EQ(forwarder_.NextDeadline(), Time::max());
}

// This server only lags: the entry comes.
TEST_F(ProposalForwarderTest, WhatIsPlacedStaysWhileTheLogGoesOnTowardsIt) {
  Forward("sent", 1);
  Placed(Forward("placed", 1), ForwardStatus::kPlaced, Index{100});
  now_ = kStart + kForwardedWaitMax - Duration{1};
  Commit(Index{11}, 1, Term{3});
  forwarder_.Expire(kStart + kForwardedWaitMax);
  Flush();
  EXPECT_EQ(CodeOf("sent0"), absl::StatusCode::kUnknown) << "nobody knows its place";
  EXPECT_FALSE(answers_.contains("placed0"));
  EXPECT_EQ(forwarder_.NextDeadline(), now_ + kForwardedWaitMax);
  forwarder_.Expire(now_ + kForwardedWaitMax - Duration{1});
  now_ += kForwardedWaitMax - Duration{1};
  Commit(Index{12}, 88, Term{3});
  EXPECT_FALSE(answers_.contains("placed0"));
  Commit(Index{100}, 1, Term{3});
  EXPECT_TRUE(answers_.at("placed0").ok());
}

TEST_F(ProposalForwarderTest, WhatIsPlacedIsGivenUpOnceTheLogStandsStill) {
  Placed(Forward("placed", 1), ForwardStatus::kPlaced, Index{100});
  now_ = kStart + std::chrono::seconds(3);
  Commit(Index{11}, 1, Term{3});
  forwarder_.Expire(now_ + kForwardedWaitMax - Duration{1});
  Flush();
  EXPECT_TRUE(answers_.empty());
  forwarder_.Expire(now_ + kForwardedWaitMax);
  Flush();
  EXPECT_EQ(CodeOf("placed0"), absl::StatusCode::kUnknown);
}

TEST_F(ProposalForwarderTest, ALogThatIsTooFarBehindIsNotWaitedForForEver) {
  Placed(Forward("placed", 1), ForwardStatus::kPlaced, Index{100});
  Index next{11};
  while (now_ < kStart + kPlacedWaitMax - Duration{1}) {
    now_ = std::min(now_ + std::chrono::seconds(1), kStart + kPlacedWaitMax - Duration{1});
    Commit(next, 1, Term{3});
    next = next + 1;
    forwarder_.Expire(now_);
    Flush();
    EXPECT_TRUE(answers_.empty());
  }
  forwarder_.Expire(kStart + kPlacedWaitMax);
  Flush();
  EXPECT_EQ(CodeOf("placed0"), absl::StatusCode::kUnknown);
}

TEST_F(ProposalForwarderTest, ASnapshotOverTheIndexLeavesTheOutcomeUnknown) {
  Placed(Forward("a", 2), ForwardStatus::kPlaced, Index{30});
  forwarder_.SnapshotInstalled(kStart, Index{30});
  Flush();
  EXPECT_EQ(CodeOf("a0"), absl::StatusCode::kUnknown);
  Commit(Index{31}, 1, Term{3});
  EXPECT_TRUE(answers_.at("a1").ok());
}

TEST_F(ProposalForwarderTest, AWordThatComesBehindItsEntryIsWeighed) {
  log_ = {{Index{11}, Term{3}}, {Index{12}, Term{4}}};
  Commit(Index{11}, 1, Term{3});
  Placed(Forward("same", 1), ForwardStatus::kPlaced, Index{11});
  EXPECT_EQ(CodeOf("same0"), absl::StatusCode::kUnknown) << "applied; its result is gone";
  Commit(Index{12}, 1, Term{4});
  Placed(Forward("other", 1), ForwardStatus::kPlaced, Index{12});
  EXPECT_EQ(CodeOf("other0"), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ProposalForwarderTest, StrangersAndOldAnswersAreNotHeard) {
  const auto sent = Forward("a", 1);
  Placed(sent, ForwardStatus::kNotLeader, Index{}, Term{3}, kOther);
  Placed({.first_id = sent.first_id + 7, .commands = sent.commands}, ForwardStatus::kNotLeader);
  EXPECT_TRUE(answers_.empty());
  Placed({.first_id = sent.first_id, .commands = {}}, ForwardStatus::kPlaced, Index{11});
  EXPECT_EQ(CodeOf("a0"), absl::StatusCode::kUnknown) << "a count that does not fit";
}

TEST_F(ProposalForwarderTest, NumbersGoOnFromTheSeed) {
  ProposalForwarder seeded(Index{0}, 1000);
  std::vector<Proposed> batch;
  batch.push_back({MakeBuffer("x"), 33, [](absl::StatusOr<Applied>) {}});
  EXPECT_EQ(seeded.Forward(kStart, kLeader, Term{1}, std::move(batch)).first_id, 1001u);
}

}  // namespace
}  // namespace consul::raft
