// Replies that are encoded in slices, as the client takes them: their framing, those who are served
// in between, clients that stall or vanish, and what is held meanwhile.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "gateway/http/fake_backend.h"
#include "gateway/http/http_server.h"
#include "gateway/http/test_client.h"

namespace consul::gateway::http {
namespace {

constexpr int kKeys = 100'000;
constexpr std::string_view kAll = "/v1/kv/many/?recurse";

bool Eventually(const std::function<bool()>& fact) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!fact()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

size_t Count(const std::string& text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

// A server of one loop, so that whatever happens happens beside the large reply.
class LargeReplyTest : public testing::Test {
 protected:
  LargeReplyTest() {
    backend_.Set("foo", "bar");
    backend_.SetMany("many/", kKeys, "value");
  }

  void Start() {
    options_.addresses = {{"127.0.0.1", 0}};
    options_.threads = 1;
    server_ = std::make_unique<HttpServer>(options_, &backend_);
    ASSERT_TRUE(server_->Start().ok());
  }
  uint16_t port() const { return server_->ports()[0]; }

  // A client that has asked for everything and does not read.
  std::unique_ptr<TestClient> Stalled() {
    auto client = std::make_unique<TestClient>(port());
    client->Request("GET", kAll);
    EXPECT_TRUE(Eventually([&] { return backend_.holds() == 1; }));
    return client;
  }

  FakeBackend backend_;
  HttpOptions options_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(LargeReplyTest, ComesWholeInChunks) {
  Start();
  TestClient client(port());
  client.Request("GET", kAll);
  const auto answer = client.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 200);
  EXPECT_TRUE(answer->Has("Transfer-Encoding: chunked"));
  EXPECT_TRUE(answer->Has("Content-Type: application/json"));
  EXPECT_EQ(Count(answer->body, "\"Key\":\"many/"), static_cast<size_t>(kKeys));
  EXPECT_TRUE(answer->body.starts_with("[{")) << answer->body.substr(0, 100);
  EXPECT_TRUE(answer->body.ends_with("}]"));
  EXPECT_TRUE(Eventually([&] { return backend_.holds() == 0; }));
}

TEST_F(LargeReplyTest, SmallRepliesTellTheirLength) {
  Start();
  TestClient client(port());
  client.Request("GET", "/v1/kv/foo");
  const auto answer = client.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->Has("Transfer-Encoding: chunked"));
  EXPECT_EQ(backend_.holds(), 0);
}

TEST_F(LargeReplyTest, IndentedTextIsTheSame) {
  Start();
  TestClient client(port());
  client.Request("GET", "/v1/kv/many/?recurse&pretty");
  const auto answer = client.Read();
  ASSERT_TRUE(answer.has_value());
  std::string compact;
  std::remove_copy_if(answer->body.begin(), answer->body.end(), std::back_inserter(compact),
                      [](char c) { return c == ' ' || c == '\n'; });
  client.Request("GET", kAll);
  const auto plain = client.Read();
  ASSERT_TRUE(plain.has_value());
  EXPECT_TRUE(compact == plain->body);
  EXPECT_TRUE(answer->body.ends_with("\n    }\n]\n"));
}

TEST_F(LargeReplyTest, EndsWithTheConnectionInHttp10) {
  Start();
  TestClient client(port());
  client.Send("GET /v1/kv/many/?recurse HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string all = client.ReadToEnd();
  EXPECT_EQ(all.find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(all.find("Content-Length"), std::string::npos);
  EXPECT_EQ(all.find("keep-alive"), std::string::npos);
  EXPECT_EQ(Count(all, "\"Key\":\"many/"), static_cast<size_t>(kKeys));
  EXPECT_TRUE(all.ends_with("}]"));
}

TEST_F(LargeReplyTest, ClosesAfterwardsWhenAsked) {
  Start();
  TestClient client(port());
  client.Request("GET", kAll, "", "Connection: close\r\n");
  const std::string all = client.ReadToEnd();
  EXPECT_NE(all.find("Connection: close\r\nTransfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_TRUE(all.ends_with("}]\r\n0\r\n\r\n"));
}

TEST_F(LargeReplyTest, PipelinedRequestsComeAfterIt) {
  Start();
  TestClient client(port());
  client.Request("GET", kAll);
  client.Request("GET", "/v1/status/leader");
  client.Request("GET", kAll);
  client.Request("GET", "/v1/status/leader");
  for (int i = 0; i < 2; ++i) {
    const auto large = client.Read();
    ASSERT_TRUE(large.has_value());
    EXPECT_EQ(Count(large->body, "\"Key\":\"many/"), static_cast<size_t>(kKeys));
    const auto small = client.Read();
    ASSERT_TRUE(small.has_value());
    EXPECT_EQ(small->body, "\"127.0.0.1:8300\"");
  }
}

TEST_F(LargeReplyTest, AnswersABlockedQuery) {
  Start();
  TestClient client(port());
  client.Request("GET", "/v1/kv/many/?recurse&index=3");
  ASSERT_TRUE(Eventually([&] { return backend_.waiting() == 1; }));
  backend_.Set("foo", "new");
  const auto answer = client.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(Count(answer->body, "\"Key\":\"many/"), static_cast<size_t>(kKeys));
}

// Goal: what is encoded at once has a bound. Method: a slice is a chunk on the wire; none is longer
// than a slice and one row, and there are as many as the body needs.
TEST_F(LargeReplyTest, EveryChunkIsOneSlice) {
  constexpr size_t kSliceBytes = 64 << 10;
  constexpr size_t kRowBytesMax = 1 << 10;
  Start();
  TestClient client(port());
  client.Request("GET", kAll);
  client.ShutdownSend();
  const std::string all = client.ReadToEnd();
  size_t chunks = 0;
  size_t total = 0;
  for (size_t at = all.find("\r\n\r\n") + 4; at < all.size();) {
    const size_t line_end = all.find("\r\n", at);
    ASSERT_NE(line_end, std::string::npos);
    const size_t bytes = std::stoul(all.substr(at, line_end - at), nullptr, 16);
    EXPECT_LE(bytes, kSliceBytes + kRowBytesMax);
    total += bytes;
    chunks += bytes > 0 ? 1 : 0;
    at = line_end + 2 + bytes + 2;
  }
  EXPECT_GT(total, 80 * size_t{kKeys});
  EXPECT_GE(chunks, total / (kSliceBytes + kRowBytesMax));
}

// Goal: a reply that is being sent keeps nobody waiting. Method: while one client reads its large
// reply as fast as it can, another asks again and again; several of its answers must fall between
// the first and the last byte of the large one.
TEST_F(LargeReplyTest, OthersAreServedBetweenSlices) {
  Start();
  std::atomic<bool> over{false};
  TestClient large(port());
  large.Request("GET", kAll);
  ASSERT_FALSE(large.Silent(5000));  // the first slice is there
  std::thread reader([&] {
    EXPECT_TRUE(large.Read().has_value());
    over = true;
  });
  TestClient other(port());
  int served = 0;
  while (!over) {
    other.Request("GET", "/v1/kv/foo");
    if (!other.Read().has_value()) break;
    if (!over) ++served;
  }
  reader.join();
  EXPECT_GE(served, 2);
}

TEST_F(LargeReplyTest, OthersAreServedWhileAReaderStalls) {
  Start();
  const auto stalled = Stalled();
  for (int i = 0; i < 100; ++i) {
    TestClient other(port());
    other.Request("GET", "/v1/kv/foo");
    ASSERT_TRUE(other.Read().has_value());
  }
  EXPECT_EQ(backend_.holds(), 1);
  const auto answer = stalled->Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(Count(answer->body, "\"Key\":\"many/"), static_cast<size_t>(kKeys));
}

// Goal: what is encoded ahead of a reader that stalls is one slice, not the reply. The list of a
// hundred thousand rows itself takes 2 MiB.
TEST_F(LargeReplyTest, AStalledReaderHoldsLittleMemory) {
  backend_.SetMany("many/", kKeys, std::string(400, 'x'));
  Start();
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  const auto stalled = Stalled();
  EXPECT_FALSE(stalled->Silent(5000));
  const size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
  EXPECT_LT(after, before + 6 * 1024 * 1024);
  EXPECT_EQ(backend_.holds(), 1);
}

TEST_F(LargeReplyTest, AClientThatVanishesMidwayLeavesNothing) {
  Start();
  for (int i = 0; i < 5; ++i) {
    const auto stalled = Stalled();
    ASSERT_FALSE(stalled->Silent(5000));
    stalled->Reset();
    EXPECT_TRUE(Eventually([&] { return backend_.holds() == 0; }));
  }
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
}

TEST_F(LargeReplyTest, AReaderThatStallsForTooLongIsCutOff) {
  options_.limits.stall_timeout = std::chrono::seconds(1);
  Start();
  const auto stalled = Stalled();
  EXPECT_TRUE(Eventually([&] { return backend_.holds() == 0; }));
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
}

TEST_F(LargeReplyTest, AClientThatSendsNoMoreStillGetsAll) {
  Start();
  TestClient client(port());
  client.Request("GET", kAll);
  client.ShutdownSend();
  const std::string all = client.ReadToEnd();
  EXPECT_TRUE(all.ends_with("}]\r\n0\r\n\r\n"));
}

TEST_F(LargeReplyTest, StopDoesNotWaitForAStalledReader) {
  Start();
  const auto stalled = Stalled();
  const auto began = std::chrono::steady_clock::now();
  server_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4));
  EXPECT_EQ(backend_.holds(), 0);
}

}  // namespace
}  // namespace consul::gateway::http
