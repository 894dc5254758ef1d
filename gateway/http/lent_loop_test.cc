// Loops of the HTTP server that lend what they run to the threads that bring answers.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "gateway/http/fake_backend.h"
#include "gateway/http/http_server.h"
#include "gateway/http/test_client.h"
#include "services/base/lending.h"

namespace consul::gateway::http {
namespace {

bool Eventually(const std::function<bool()>& fact) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!fact()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class LentLoopTest : public testing::Test {
 protected:
  void Start(bool lends = true) {
    HttpOptions options;
    options.addresses = {{"127.0.0.1", 0}};
    options.threads = 1;
    options.lends = lends;
    backend_.Set("foo", "bar");
    backend_.AnswerSoon();
    server_ = std::make_unique<HttpServer>(options, &backend_);
    const absl::Status status = server_->Start();
    ASSERT_TRUE(status.ok()) << status;
  }
  std::unique_ptr<TestClient> Connect() {
    return std::make_unique<TestClient>(server_->ports()[0]);
  }
  // Its query waits for an answer that somebody else brings.
  void Park(TestClient* client) {
    const size_t before = backend_.waiting();
    client->Request("GET", "/v1/kv/foo?index=1000000");
    ASSERT_TRUE(Eventually([&] { return backend_.waiting() == before + 1; }));
  }
  // Whether this thread itself went on with the calls that it had answers for.
  bool BringsAndRuns(std::chrono::seconds time_max = std::chrono::seconds(30)) {
    {
      base::Borrower borrower(time_max);
      backend_.Set("foo", "new");
    }
    return backend_.last_thread() == std::this_thread::get_id();
  }

  FakeBackend backend_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(LentLoopTest, WhoBringsTheAnswerRunsTheLoop) {
  Start();
  const auto client = Connect();
  EXPECT_TRUE(Eventually([&] {
    // A loop that nobody came for in time is not lent again at once.
    EXPECT_TRUE(client->Silent(10));
    Park(client.get());
    const bool ran = BringsAndRuns();
    const auto answer = client->Read();
    EXPECT_TRUE(answer.has_value() && answer->status == 200);
    return ran || !answer.has_value();
  }));
}

TEST_F(LentLoopTest, ALoopThatLendsNothingIsRunByItsThread) {
  Start(/*lends=*/false);
  const auto client = Connect();
  for (int i = 0; i < 20; ++i) {
    Park(client.get());
    EXPECT_FALSE(BringsAndRuns());
    ASSERT_TRUE(client->Read().has_value());
  }
}

TEST_F(LentLoopTest, WhatABorrowerHasNoTimeForIsItsThreads) {
  Start();
  const auto client = Connect();
  for (int i = 0; i < 50; ++i) {
    Park(client.get());
    EXPECT_FALSE(BringsAndRuns(std::chrono::seconds(0)));
    const auto answer = client->Read();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status, 200);
  }
}

// Nor is any answer lost, whoever is first: borrowers, others that post, clients that come.
TEST_F(LentLoopTest, IsServedWhateverComes) {
  Start();
  const auto waits = Connect();
  const auto other = Connect();
  for (int i = 0; i < 500; ++i) {
    Park(waits.get());
    if (i % 3 == 0) {
      other->Request("GET", "/v1/kv/foo");
      const auto answer = other->Read();
      ASSERT_TRUE(answer.has_value()) << "beside a query that waits, round " << i;
      EXPECT_EQ(answer->status, 200);
    }
    if (i % 2 == 0) {
      BringsAndRuns();
    } else {
      backend_.Set("foo", "new");  // by a thread that borrows nothing
    }
    const auto answer = waits->Read();
    ASSERT_TRUE(answer.has_value()) << "round " << i;
    EXPECT_EQ(answer->status, 200);
  }
}

// The borrower serves what came while the loop was lent.
TEST_F(LentLoopTest, ManyClientsBesideSeveralBringers) {
  Start();
  std::atomic<bool> over = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([this, &over] {
      while (!over) {
        if (backend_.waiting() > 0) BringsAndRuns();
        std::this_thread::yield();
      }
    });
  }
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([this, c] {
      const auto client = Connect();
      for (int i = 0; i < 300; ++i) {
        client->Request("GET", c % 2 == 0 ? "/v1/kv/foo" : "/v1/kv/foo?index=1000000");
        const auto answer = client->Read();
        ASSERT_TRUE(answer.has_value()) << "client " << c << ", request " << i;
        EXPECT_EQ(answer->status, 200);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(LentLoopTest, StopsWhileItIsLent) {
  Start();
  const auto client = Connect();
  Park(client.get());
  server_->Stop();
  const auto answer = client->Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 500);
}

}  // namespace
}  // namespace consul::gateway::http
