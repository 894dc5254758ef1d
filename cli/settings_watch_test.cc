// Goal: an agent is asked until it answers, and again and again from then on, by one call at a
// time. Method: a backend that answers when the test says so, and a clock of the test's.
#include "cli/settings_watch.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace consul::cli {
namespace {

using agent::v1::GetGatewaySettingsResponse;
using Clock = SettingsWatch::Clock;

class ScriptedBackend : public rpc::Backend {
 public:
  void Start(rpc::Call* call) override {
    ++questions;
    asked = call->method().path;
    call_ = call;
    if (at_once) return call->Done();
    call->waiting = std::make_shared<Waiting>(this);
  }
  // Answers the question as the test has filled it, by the executor.
  void Answer(absl::Status status, const std::string& datacenter = "") {
    call_->status = std::move(status);
    if (!datacenter.empty()) {
      static_cast<GetGatewaySettingsResponse*>(call_->response())
          ->mutable_settings()
          ->set_datacenter(datacenter);
    }
    call_->waiting.reset();
    call_->executor()->Post(&end_);
  }

  bool at_once = false;
  int questions = 0;
  int cancels = 0;
  std::string asked;

 private:
  struct Waiting : rpc::Call::Waiting {
    explicit Waiting(ScriptedBackend* backend) : backend(backend) {}
    // As a channel does it: the end comes later, from another thread.
    void Cancel() override {
      ++backend->cancels;
      std::thread([backend = backend] {
        backend->Answer(absl::CancelledError("cancelled"));
      }).detach();
    }
    ScriptedBackend* const backend;
  };
  struct End : rpc::Task {
    explicit End(ScriptedBackend* backend) : backend(backend) {}
    void Run() override { backend->call_->Done(); }
    ScriptedBackend* const backend;
  };

  rpc::Call* call_ = nullptr;
  End end_{this};
};

class SettingsWatchTest : public testing::Test {
 protected:
  // "wait": until it is woken; "10 ms".
  std::string Turn() {
    const auto next = watch_->Turn(now_);
    if (!next.has_value()) return "wait";
    return std::to_string((*next - now_) / std::chrono::milliseconds(1)) + " ms";
  }

  ScriptedBackend backend_;
  int wakes_ = 0;
  std::vector<std::string> heard_;
  Clock::time_point now_{std::chrono::hours(1)};
  std::unique_ptr<SettingsWatch> watch_ = std::make_unique<SettingsWatch>(
      &backend_, [this] { ++wakes_; },
      [this](SettingsWatch::Answer answer) {
        heard_.push_back(answer.ok() ? answer->datacenter() : answer.status().ToString());
      });
};

TEST_F(SettingsWatchTest, TheFirstTurnAsks) {
  EXPECT_EQ(Turn(), "wait");
  EXPECT_EQ(backend_.questions, 1);
  EXPECT_EQ(backend_.asked, "/consul.agent.v1.AgentService/GetGatewaySettings");
  EXPECT_EQ(wakes_, 0);
}

TEST_F(SettingsWatchTest, AnAnswerWakesTheOwnerAndIsToldInATurn) {
  Turn();
  backend_.Answer(absl::OkStatus(), "dc1");
  EXPECT_EQ(wakes_, 1);
  EXPECT_TRUE(heard_.empty());
  EXPECT_EQ(Turn(), "1000 ms");
  EXPECT_EQ(heard_, std::vector<std::string>{"dc1"});
  EXPECT_EQ(backend_.questions, 1);
}

TEST_F(SettingsWatchTest, ItAsksAgainWhenItIsTime) {
  Turn();
  backend_.Answer(absl::OkStatus(), "dc1");
  Turn();
  now_ += kAskAgain - std::chrono::milliseconds(1);
  EXPECT_EQ(Turn(), "1 ms");
  EXPECT_EQ(backend_.questions, 1);
  now_ += std::chrono::milliseconds(1);
  EXPECT_EQ(Turn(), "wait");
  EXPECT_EQ(backend_.questions, 2);
  backend_.Answer(absl::OkStatus(), "dc2");
  Turn();
  EXPECT_EQ(heard_, (std::vector<std::string>{"dc1", "dc2"}));
}

TEST_F(SettingsWatchTest, WhileNobodyAnswersItAsksMoreOften) {
  Turn();
  backend_.Answer(absl::UnavailableError("nobody"));
  EXPECT_EQ(Turn(), "200 ms");
  EXPECT_EQ(heard_, std::vector<std::string>{"UNAVAILABLE: nobody"});
  now_ += kAskUntilAnswered;
  EXPECT_EQ(Turn(), "wait");
  EXPECT_EQ(backend_.questions, 2);
}

TEST_F(SettingsWatchTest, AQuestionThatHangsIsTheOnlyOne) {
  Turn();
  now_ += std::chrono::hours(1);
  EXPECT_EQ(Turn(), "wait");
  EXPECT_EQ(backend_.questions, 1);
}

TEST_F(SettingsWatchTest, AnAnswerWithoutSettingsIsNone) {
  Turn();
  backend_.Answer(absl::OkStatus());
  EXPECT_EQ(Turn(), "200 ms");
  EXPECT_EQ(heard_, std::vector<std::string>{"INTERNAL: the answer holds no settings"});
}

TEST_F(SettingsWatchTest, AnAnswerInsideStartIsToldInTheNextTurn) {
  backend_.at_once = true;
  EXPECT_EQ(Turn(), "0 ms");
  EXPECT_TRUE(heard_.empty());
  Turn();
  EXPECT_EQ(heard_.size(), 1);
}

TEST_F(SettingsWatchTest, TheEndGivesAQuestionUpAndWaitsForIt) {
  Turn();
  watch_.reset();
  EXPECT_EQ(backend_.cancels, 1);
  EXPECT_TRUE(heard_.empty());
}

TEST_F(SettingsWatchTest, TheEndBetweenAnAnswerAndItsTurnCancelsNothing) {
  Turn();
  backend_.Answer(absl::OkStatus(), "dc1");
  watch_.reset();
  EXPECT_EQ(backend_.cancels, 0);
  EXPECT_TRUE(heard_.empty());
}

}  // namespace
}  // namespace consul::cli
