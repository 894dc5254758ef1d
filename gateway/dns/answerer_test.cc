#include "gateway/dns/answerer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/dns/dump.h"
#include "gateway/dns/fake_resolver.h"
#include "gateway/dns/query_text.h"
#include "gateway/dns/text_test.h"

namespace consul::gateway::dns {
namespace {

// Runs tasks when the test says so.
class ManualExecutor final : public rpc::Executor {
 public:
  void Post(rpc::Task* task) override { tasks_.push_back(task); }
  void RunAll() {
    std::vector<rpc::Task*> tasks;
    tasks.swap(tasks_);
    for (rpc::Task* const task : tasks) task->Run();
  }

 private:
  std::vector<rpc::Task*> tasks_;
};

class AnswererTest : public ::testing::Test, private Answerer::Sink {
 protected:
  AnswererTest() { resolver_.SetNode("web", "10.0.0.1"); }
  ~AnswererTest() override { answerer_.CancelAll(); }

  // The response that comes at once; "later" or "none".
  std::string Ask(const std::string& words, uint64_t number = 1) {
    const std::vector<uint8_t> bytes = QueryFromWords(SplitWords(words), 7).value();
    std::vector<uint8_t> out(kUdpBytesMax);
    Client client;
    client.number = number;
    const Answerer::Outcome outcome = answerer_.Answer(bytes, client, 1000, now_, out);
    if (outcome.later) return "later";
    if (outcome.bytes == 0) return "none";
    return Dump(std::span(out).first(outcome.bytes));
  }

  void SendLate(const Client& client, std::span<const uint8_t> response) override {
    late_.push_back(std::to_string(client.number) + ": " + Dump(response));
  }

  static std::string WebAnswer() {
    return "id 7 QUERY NOERROR qr aa rd\n"
           "question web.node.consul. IN A\n"
           "answer web.node.consul. 0 IN A 10.0.0.1\n";
  }

  FakeResolver resolver_;
  ManualExecutor executor_;
  LoopCounters counters_;
  static std::shared_ptr<const Responder> ResponderOf(const std::string& domain) {
    return std::make_shared<const Responder>(ResponderOptions{
        .domain = Name::FromText(domain).value(), .alt_domain = std::nullopt, .datacenter = "dc1"});
  }

  Answerer answerer_{ResponderOf("consul"), &resolver_, &executor_, this, &counters_};
  Answerer::Time now_{std::chrono::hours(1)};
  std::vector<std::string> late_;
};

TEST_F(AnswererTest, AnswersAtOnceAndKeeps) {
  EXPECT_EQ(Ask("web.node.consul A"), WebAnswer());
  EXPECT_EQ(Ask("web.node.consul A"), WebAnswer());
  EXPECT_EQ(resolver_.lookups(), 1);
  EXPECT_EQ(counters_.kept_answers.value(), 1u);
  EXPECT_TRUE(answerer_.idle());
}

TEST_F(AnswererTest, SizesAndSpellingsShareALookupWhileItWaits) {
  resolver_.Hold();
  EXPECT_EQ(Ask("web.node.consul A", 1), "later");
  EXPECT_EQ(Ask("WEB.node.consul A edns=1232", 2), "later");
  EXPECT_EQ(Ask("web.node.consul AAAA", 3), "later");
  EXPECT_EQ(resolver_.lookups(), 2);
  resolver_.Release();
  EXPECT_TRUE(late_.empty());
  executor_.RunAll();
  ASSERT_EQ(late_.size(), 3u);
  EXPECT_EQ(late_[0], "1: " + WebAnswer());
  EXPECT_EQ(late_[1],
            "2: id 7 QUERY NOERROR qr aa rd\n"
            "question WEB.node.consul. IN A\n"
            "answer WEB.node.consul. 0 IN A 10.0.0.1\n"
            "edns version 0 udp 1232\n");
  EXPECT_TRUE(answerer_.idle());
  // All three were kept.
  Ask("web.node.consul A edns=4096");
  Ask("web.node.consul AAAA");
  EXPECT_EQ(resolver_.lookups(), 2);
}

TEST_F(AnswererTest, TimeoutIsServFailOnceAndTheLateAnswerIsLost) {
  resolver_.Hold();
  Ask("web.node.consul A");
  now_ += kLookupTimeout - std::chrono::milliseconds(1);
  answerer_.Tick(now_);
  EXPECT_TRUE(late_.empty());
  now_ += std::chrono::milliseconds(1);
  answerer_.Tick(now_);
  ASSERT_EQ(late_.size(), 1u);
  EXPECT_EQ(late_[0], "1: id 7 QUERY SERVFAIL qr rd\nquestion web.node.consul. IN A\n");
  resolver_.Release();
  executor_.RunAll();
  EXPECT_EQ(late_.size(), 1u);
  EXPECT_TRUE(answerer_.idle());
  EXPECT_EQ(counters_.lookups_timed_out.value(), 1u);
}

TEST_F(AnswererTest, ALookupOnItsWayWhenCancelledIsAwaited) {
  resolver_.Hold();
  Ask("web.node.consul A");
  resolver_.Release();  // posted, not run
  now_ += kLookupTimeout;
  answerer_.Tick(now_);
  EXPECT_EQ(late_.size(), 1u);
  EXPECT_FALSE(answerer_.idle());
  // A new query does not wait for the abandoned lookup.
  EXPECT_EQ(Ask("web.node.consul A"), WebAnswer());
  executor_.RunAll();
  EXPECT_TRUE(answerer_.idle());
  EXPECT_EQ(late_.size(), 1u);
}

TEST_F(AnswererTest, TimeoutsGoByAge) {
  resolver_.Hold();
  Ask("a.node.consul A", 1);
  now_ += std::chrono::seconds(1);
  Ask("b.node.consul A", 2);
  now_ += kLookupTimeout - std::chrono::seconds(1);
  answerer_.Tick(now_);
  ASSERT_EQ(late_.size(), 1u);
  EXPECT_EQ(late_[0][0], '1');
}

TEST_F(AnswererTest, CancelAllIsSilent) {
  resolver_.Hold();
  Ask("a.node.consul A");
  Ask("b.node.consul A");
  answerer_.CancelAll();
  EXPECT_TRUE(answerer_.idle());
  EXPECT_TRUE(late_.empty());
  EXPECT_EQ(resolver_.cancels(), 2);
}

TEST_F(AnswererTest, MoreWaitingQueriesThanTheLimitAreRefused) {
  resolver_.Hold();
  for (size_t i = 0; i < kWaitingQueriesMax; ++i) {
    ASSERT_EQ(Ask("n" + std::to_string(i % 10) + ".node.consul A"), "later");
  }
  EXPECT_EQ(Ask("n1.node.consul A"), "id 7 QUERY SERVFAIL qr rd\nquestion n1.node.consul. IN A\n");
  EXPECT_EQ(Ask("x.node.consul A"), "id 7 QUERY SERVFAIL qr rd\nquestion x.node.consul. IN A\n");
  EXPECT_EQ(counters_.lookups_refused.value(), 2u);
  // What needs no lookup is answered all the same.
  EXPECT_NE(Ask("0a000001.addr.consul A").find("10.0.0.1"), std::string::npos);
  resolver_.Release();
  executor_.RunAll();
  EXPECT_EQ(late_.size(), kWaitingQueriesMax);
  EXPECT_EQ(Ask("web.node.consul A"), WebAnswer());
}

TEST_F(AnswererTest, ServersAreNotKeptWithoutValidity) {
  resolver_.SetServers({{"s1", "10.0.0.1"}});
  Ask("consul NS");
  Ask("consul NS");
  EXPECT_EQ(resolver_.lookups(), 2);
}

constexpr char kRefused[] = "id 7 QUERY REFUSED qr rd\nquestion web.node.consul. IN A\n";

TEST_F(AnswererTest, AnotherResponderForgetsWhatWasKept) {
  EXPECT_EQ(Ask("web.node.consul A"), WebAnswer());
  answerer_.SetResponder(ResponderOf("example"));
  EXPECT_EQ(Ask("web.node.consul A"), kRefused);
  EXPECT_NE(Ask("web.node.example A").find("10.0.0.1"), std::string::npos);
  answerer_.SetResponder(ResponderOf("consul"));
  EXPECT_EQ(Ask("web.node.consul A"), WebAnswer());
  EXPECT_EQ(counters_.kept_answers.value(), 0u);
}

TEST_F(AnswererTest, ALookupEndsAsItBeganAndIsNotKeptForTheNextResponder) {
  resolver_.Hold();
  EXPECT_EQ(Ask("web.node.consul A", 1), "later");
  answerer_.SetResponder(ResponderOf("example"));
  // Nor does it answer what is asked by the new rules.
  EXPECT_EQ(Ask("web.node.consul A", 2), kRefused);
  answerer_.SetResponder(ResponderOf("consul"));
  EXPECT_EQ(Ask("web.node.consul A", 3), "later");
  EXPECT_EQ(resolver_.lookups(), 2);
  resolver_.Release();
  executor_.RunAll();
  ASSERT_EQ(late_.size(), 2u);
  EXPECT_EQ(late_[0], "1: " + WebAnswer());
  EXPECT_EQ(late_[1], "3: " + WebAnswer());
  EXPECT_TRUE(answerer_.idle());
  EXPECT_EQ(Ask("web.node.consul A"), WebAnswer());
  EXPECT_EQ(counters_.kept_answers.value(), 1u);
}

TEST_F(AnswererTest, AnOldLookupThatTimesOutLeavesTheNewOneInPlace) {
  resolver_.Hold();
  EXPECT_EQ(Ask("web.node.consul A", 1), "later");
  answerer_.SetResponder(ResponderOf("consul"));
  now_ += std::chrono::seconds(1);
  EXPECT_EQ(Ask("web.node.consul A", 2), "later");
  now_ += kLookupTimeout - std::chrono::seconds(1);
  answerer_.Tick(now_);
  EXPECT_EQ(late_.size(), 1u);
  EXPECT_EQ(Ask("web.node.consul A", 3), "later");
  EXPECT_EQ(counters_.lookups_joined.value(), 1u);
}

TEST_F(AnswererTest, WhatIsNoQueryIsDropped) {
  EXPECT_EQ(Ask("web.node.consul A qr"), "none");
  EXPECT_EQ(counters_.dropped.value(), 1u);
}

}  // namespace
}  // namespace consul::gateway::dns
