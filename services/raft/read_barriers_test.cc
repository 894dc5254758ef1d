#include "services/raft/read_barriers.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace consul::raft {
namespace {

using std::chrono::milliseconds;

const ServerId kLeader{"leader"};
const ServerId kOther{"other"};
constexpr Time kStart{std::chrono::seconds(100)};
constexpr Term kTerm{3};

class ReadBarriersTest : public testing::Test {
 protected:
  void Add(const std::string& name, ReadMode mode = ReadMode::kReadIndex, Time at = kStart) {
    barriers_.Add(at, mode, [this, name](absl::Status status) {
      EXPECT_FALSE(answers_.contains(name)) << "answered twice";
      answers_[name] = std::move(status);
    });
    Flush();
  }
  std::vector<ReadIndexRequest> Ask(Time at = kStart, const ServerId& leader = kLeader) {
    auto requests = barriers_.Ask(at, leader, kTerm);
    Flush();
    return requests;
  }
  void Grant(const ReadIndexRequest& request, Index index) {
    barriers_.Answered(kStart, kLeader, {request.id, true, index});
    Flush();
  }
  void Applied(Index index) {
    barriers_.Applied(index);
    Flush();
  }
  void Flush() {
    for (AnsweredRead& read : barriers_.TakeAnswered()) read.callback(read.status);
  }
  absl::StatusCode CodeOf(const std::string& name) {
    EXPECT_TRUE(answers_.contains(name)) << name << " is not answered";
    return answers_[name].code();
  }

  ReadBarriers barriers_{
      {.ask_again = milliseconds(120),
       .wait_max = milliseconds(1800),
       .apply_max = milliseconds(10'000),
       .reads_max = 3,
       .entries_late = milliseconds(30)},
      0};
  std::map<std::string, absl::Status> answers_;
};

TEST_F(ReadBarriersTest, AReadWaitsUntilWhatTheLeaderNamedIsAppliedHere) {
  Add("a");
  const auto asked = Ask();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].mode, ReadMode::kReadIndex);
  Grant(asked[0], Index{20});
  Applied(Index{19});
  EXPECT_TRUE(answers_.empty());
  EXPECT_TRUE(barriers_.wait_to_apply());
  Applied(Index{20});
  EXPECT_TRUE(answers_.at("a").ok());
  EXPECT_TRUE(barriers_.empty());
}

// A read must not be answered by a question that was asked before it came.
TEST_F(ReadBarriersTest, AReadThatComesLaterIsPartOfTheNextQuestion) {
  Add("a");
  const auto first = Ask();
  Add("b");
  Add("c");
  EXPECT_TRUE(Ask().empty()) << "one question at a time";
  Grant(first[0], Index{5});
  Applied(Index{100});
  EXPECT_TRUE(answers_.contains("a"));
  EXPECT_FALSE(answers_.contains("b"));
  const auto second = Ask();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(second[0].id, first[0].id);
  Grant(second[0], Index{6});
  Applied(Index{100});
  EXPECT_TRUE(answers_.at("b").ok());
  EXPECT_TRUE(answers_.at("c").ok());
}

TEST_F(ReadBarriersTest, TheTwoModesAskForThemselves) {
  Add("a", ReadMode::kLease);
  Add("b", ReadMode::kReadIndex);
  const auto asked = Ask();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_NE(asked[0].mode, asked[1].mode);
  EXPECT_NE(asked[0].id, asked[1].id);
}

TEST_F(ReadBarriersTest, WithoutALeaderReadsAreRefused) {
  Add("a");
  EXPECT_TRUE(Ask(kStart, ServerId{}).empty());
  EXPECT_EQ(CodeOf("a"), absl::StatusCode::kFailedPrecondition);
}

// Or the raft thread would spin.
TEST_F(ReadBarriersTest, WhileNobodyCanBeAskedAgainThatIsPutOff) {
  Add("a");
  Ask();
  const Time at = kStart + milliseconds(200);
  EXPECT_TRUE(Ask(at, ServerId{}).empty());
  EXPECT_TRUE(answers_.empty());
  EXPECT_GT(barriers_.NextDeadline(), at);
}

TEST_F(ReadBarriersTest, AnotherLeaderOrTermRefusesThem) {
  Add("leader");
  Ask();
  barriers_.LeaderIs(kTerm, ServerId{});
  Flush();
  EXPECT_TRUE(answers_.empty()) << "a silent leader is not lost";
  barriers_.LeaderIs(kTerm, kOther);
  Flush();
  EXPECT_EQ(CodeOf("leader"), absl::StatusCode::kFailedPrecondition);
  Add("term");
  Ask();
  barriers_.LeaderIs(kTerm.Next(), ServerId{});
  Flush();
  EXPECT_EQ(CodeOf("term"), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ReadBarriersTest, ARefusalRefusesThem) {
  Add("a");
  const auto asked = Ask();
  barriers_.Answered(kStart, kOther, {asked[0].id, false, Index{}});
  Flush();
  EXPECT_TRUE(answers_.empty()) << "that was a stranger's";
  barriers_.Answered(kStart, kLeader, {asked[0].id, false, Index{}});
  Flush();
  EXPECT_EQ(CodeOf("a"), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ReadBarriersTest, ALostQuestionIsAskedAgainByItsNumber) {
  Add("a");
  const auto first = Ask();
  Add("late");
  EXPECT_EQ(barriers_.NextDeadline(), kStart + milliseconds(120));
  EXPECT_TRUE(Ask(kStart + milliseconds(119)).empty());
  const auto again = Ask(kStart + milliseconds(120));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].id, first[0].id);
  Grant(first[0], Index{1});
  Applied(Index{1});
  EXPECT_TRUE(answers_.contains("a"));
  EXPECT_FALSE(answers_.contains("late"));
}

TEST_F(ReadBarriersTest, AWaitHasALimit) {
  Add("granted", ReadMode::kLease);
  Add("asked", ReadMode::kReadIndex);
  Grant(Ask()[0], Index{50});
  Add("waiting", ReadMode::kReadIndex);
  barriers_.Expire(kStart + milliseconds(1799));
  Flush();
  EXPECT_TRUE(answers_.empty());
  barriers_.Expire(kStart + milliseconds(1800));
  Flush();
  for (const char* name : {"asked", "waiting"}) {
    EXPECT_EQ(CodeOf(name), absl::StatusCode::kFailedPrecondition);
  }
  // What it was granted stays true, however far this server lags.
  barriers_.Expire(kStart + milliseconds(11'799));
  Flush();
  EXPECT_FALSE(answers_.contains("granted"));
  EXPECT_EQ(barriers_.NextDeadline(), kStart + milliseconds(11'800));
  barriers_.Expire(kStart + milliseconds(11'800));
  Flush();
  EXPECT_EQ(CodeOf("granted"), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(barriers_.NextDeadline(), Time::max());
}

TEST_F(ReadBarriersTest, WhoIsGivenUpWithThoseBeforeItHasAllTheTimeWhenItAsksAgain) {
  const auto at = [](int ms) { return kStart + milliseconds(ms); };
  const auto expire = [&](int ms) {
    barriers_.Expire(at(ms));
    Flush();
  };
  Add("first");
  Ask();
  Add("second", ReadMode::kReadIndex, at(1));
  Add("last", ReadMode::kReadIndex, at(1800));
  expire(1800);
  EXPECT_TRUE(answers_.contains("first"));
  EXPECT_FALSE(answers_.contains("last"));
  EXPECT_EQ(Ask(at(1800)).size(), 1u);
  expire(1801);
  EXPECT_EQ(CodeOf("last"), absl::StatusCode::kFailedPrecondition) << "ask again";
  Add("again", ReadMode::kReadIndex, at(1801));
  EXPECT_EQ(Ask(at(1801)).size(), 1u);
  expire(3600);
  EXPECT_FALSE(answers_.contains("again"));
  expire(3601);
  EXPECT_TRUE(answers_.contains("again"));
}

TEST_F(ReadBarriersTest, WhatTheLogCannotHoldForNowIsRefused) {
  Add("here");
  Grant(Ask()[0], Index{8});
  Add("beyond");
  Grant(Ask()[0], Index{9});
  // Its entries may come behind the answer.
  barriers_.RefuseBeyond(kStart + milliseconds(29), Index{8}, absl::UnavailableError("full"));
  Flush();
  EXPECT_FALSE(answers_.contains("beyond"));
  barriers_.RefuseBeyond(kStart + milliseconds(30), Index{8}, absl::UnavailableError("full"));
  Flush();
  EXPECT_EQ(CodeOf("beyond"), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(answers_.contains("here"));
}

TEST_F(ReadBarriersTest, TooManyAreRefusedWithTheirLimit) {
  for (const char* name : {"a", "b", "c", "d"}) Add(name);
  EXPECT_EQ(CodeOf("d"), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(answers_["d"].ToString().find("limit of 3"), std::string::npos);
  Grant(Ask()[0], Index{0});
  Applied(Index{0});
  Add("e");
  EXPECT_FALSE(answers_.contains("e"));
}

TEST_F(ReadBarriersTest, TheEndAnswersEverybody) {
  Add("granted", ReadMode::kLease);
  Grant(Ask()[0], Index{9});
  Add("asked");
  Ask();
  Add("waiting");
  barriers_.RefuseAll(absl::CancelledError("end"));
  Flush();
  for (const char* name : {"granted", "asked", "waiting"}) {
    EXPECT_EQ(CodeOf(name), absl::StatusCode::kCancelled);
  }
  EXPECT_TRUE(barriers_.empty());
}

}  // namespace
}  // namespace consul::raft
