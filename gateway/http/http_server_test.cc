// The server as a client meets it on the socket: partial, pipelined, malformed and oversized
// requests, limits, clients that vanish, start and stop.
#include "gateway/http/http_server.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <functional>
#include <thread>

#include "gateway/http/fake_backend.h"
#include "gateway/http/test_client.h"

namespace consul::gateway::http {
namespace {

constexpr std::string_view kGetFoo = "GET /v1/kv/foo HTTP/1.1\r\nHost: t\r\n\r\n";

// True once `fact` holds; false after five seconds.
bool Eventually(const std::function<bool()>& fact) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!fact()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    options_.addresses = {{"127.0.0.1", 0}};
    backend_.Set("foo", "bar");
  }

  void Start() {
    server_ = std::make_unique<HttpServer>(options_, &backend_);
    const absl::Status status = server_->Start();
    ASSERT_TRUE(status.ok()) << status;
  }
  uint16_t port() const { return server_->ports()[0]; }

  // What a server answers to `bytes` before it closes.
  std::string Exchange(std::string_view bytes) {
    TestClient client(port());
    client.Send(bytes);
    return client.ReadToEnd();
  }
  // A client whose query waits.
  std::unique_ptr<TestClient> Park() {
    const size_t before = backend_.waiting();
    auto client = std::make_unique<TestClient>(port());
    client->Request("GET", "/v1/kv/foo?index=100");
    EXPECT_TRUE(Eventually([&] { return backend_.waiting() == before + 1; }));
    return client;
  }

  FakeBackend backend_;
  HttpOptions options_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersOneByteAtATime) {
  Start();
  TestClient client(port());
  for (const char c : kGetFoo) ASSERT_TRUE(client.Send(std::string_view(&c, 1)));
  const auto answer = client.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 200);
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  TestClient client(port());
  std::string bytes;
  for (int i = 0; i < 100; ++i) {
    bytes += i % 2 == 0 ? std::string(kGetFoo) : "GET /v1/kv/none HTTP/1.1\r\nHost: t\r\n\r\n";
  }
  client.Send(bytes);
  for (int i = 0; i < 100; ++i) {
    const auto answer = client.Read();
    ASSERT_TRUE(answer.has_value()) << i;
    EXPECT_EQ(answer->status, i % 2 == 0 ? 200 : 404);
  }
}

TEST_F(HttpServerTest, PipelinedRequestsWaitForTheirTurn) {
  Start();
  const auto client = Park();
  client->Request("GET", "/v1/status/leader");
  EXPECT_TRUE(client->Silent(50));
  for (int i = 0; i < 200; ++i) backend_.Set("foo", "new");
  const auto first = client->Read();
  ASSERT_TRUE(first.has_value());
  EXPECT_NE(first->body.find("bmV3"), std::string::npos) << first->body;
  const auto second = client->Read();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->body, "\"127.0.0.1:8300\"");
}

TEST_F(HttpServerTest, PipelinesMoreThanTheSocketHolds) {
  Start();
  backend_.Set("foo", std::string(100 * 1000, 'x'));
  TestClient client(port());
  std::string bytes;
  for (int i = 0; i < 200; ++i) bytes += kGetFoo;
  client.Send(bytes);
  for (int i = 0; i < 200; ++i) {
    const auto answer = client.Read();
    ASSERT_TRUE(answer.has_value()) << i;
    EXPECT_GT(answer->body.size(), 130000u);
  }
}

TEST_F(HttpServerTest, TakesBodiesOfKnownLengthInPieces) {
  Start();
  TestClient client(port());
  const std::string body(300 * 1000, 'b');
  client.Send("PUT /v1/kv/big HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n");
  for (size_t at = 0; at < body.size(); at += 10000) {
    ASSERT_TRUE(client.Send(body.substr(at, 10000)));
  }
  EXPECT_EQ(client.Read()->body, "true");
  client.Request("GET", "/v1/kv/big?raw");
  EXPECT_EQ(client.Read()->body, body);
}

TEST_F(HttpServerTest, TakesChunkedBodies) {
  Start();
  TestClient client(port());
  client.Send("PUT /v1/kv/c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.Send("3;x=y\r\nabc\r\n");
  EXPECT_TRUE(client.Silent(20));
  client.Send("a\r\n0123456789\r");
  client.Send("\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(client.Read()->body, "true");
  client.Request("GET", "/v1/kv/c?raw");
  EXPECT_EQ(client.Read()->body, "abc0123456789");
}

TEST_F(HttpServerTest, RefusesChunkedBodiesOverTheLimit) {
  Start();
  TestClient client(port());
  client.Send("PUT /v1/kv/c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n80001\r\n");
  client.Send(std::string(524289, 'x'));
  const auto answer = client.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 413);
  EXPECT_TRUE(answer->Has("Connection: close"));
}

TEST_F(HttpServerTest, RefusesALongBodyBeforeItComes) {
  Start();
  const std::string reply =
      Exchange("PUT /v1/kv/c HTTP/1.1\r\nHost: t\r\nContent-Length: 524289\r\n\r\nonly this");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 413 ")) << reply;
  EXPECT_NE(reply.find("Request body(524289 bytes) too large, max size: 524288 bytes. See "),
            std::string::npos);
}

TEST_F(HttpServerTest, ContinuesWhenAskedTo) {
  Start();
  TestClient client(port());
  client.Send("PUT /v1/kv/e HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n"
              "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Read()->status, 100);
  client.Send("abc");
  EXPECT_EQ(client.Read()->body, "true");
}

TEST_F(HttpServerTest, DoesNotContinueWhatItRefuses) {
  Start();
  const std::string reply = Exchange(
      "PUT /v1/kv/e?cas=x HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 400 ")) << reply;
}

TEST_F(HttpServerTest, RefusesOtherExpectations) {
  Start();
  EXPECT_TRUE(Exchange("GET / HTTP/1.1\r\nHost: t\r\nExpect: more\r\n\r\n")
                  .starts_with("HTTP/1.1 417 "));
}

TEST_F(HttpServerTest, PassesOverBodiesThatNobodyReads) {
  Start();
  TestClient client(port());
  client.Request("GET", "/v1/kv/foo", std::string(100 * 1000, 'x'));
  EXPECT_EQ(client.Read()->status, 200);
  client.Request("POST", "/v1/kv/foo", "body");
  EXPECT_EQ(client.Read()->status, 405);
  client.Request("GET", "/v1/status/leader");
  EXPECT_EQ(client.Read()->status, 200);
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequest) {
  Start();
  for (const char* bytes :
       {"nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\nHost: t\n\n",
        "GET / HTTP/2.5\r\nHost: t\r\n\r\n", "GET / HTTP/1.1\r\nHost t\r\n\r\n",
        "GET / HTTP/1.1\r\n: t\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nHost: t\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: t\r\n\r\n"}) {
    const std::string reply = Exchange(bytes);
    EXPECT_TRUE(reply.starts_with("HTTP/1.1 400 ")) << bytes << "\n" << reply;
    EXPECT_NE(reply.find("Connection: close\r\n"), std::string::npos) << bytes;
  }
}

TEST_F(HttpServerTest, RefusesUnknownTransferEncodings) {
  Start();
  EXPECT_TRUE(Exchange("PUT /v1/kv/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n")
                  .starts_with("HTTP/1.1 501 "));
}

TEST_F(HttpServerTest, RefusesBrokenChunks) {
  Start();
  EXPECT_TRUE(
      Exchange("PUT /v1/kv/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
          .starts_with("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, LimitsTheHeader) {
  options_.limits.header_bytes_max = 1000;
  Start();
  const std::string reply =
      Exchange("GET / HTTP/1.1\r\nHost: t\r\nX: " + std::string(1000, 'x') + "\r\n\r\n");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 431 ")) << reply;
  EXPECT_NE(reply.find("header_bytes_max (1000 bytes)"), std::string::npos) << reply;
}

TEST_F(HttpServerTest, LimitsAHeaderThatDoesNotEnd) {
  options_.limits.header_bytes_max = 1000;
  Start();
  EXPECT_TRUE(Exchange("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x'))
                  .starts_with("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, LimitsTheUrl) {
  options_.limits.url_bytes_max = 100;
  Start();
  const std::string reply =
      Exchange("GET /" + std::string(100, 'x') + " HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 414 ")) << reply;
  EXPECT_NE(reply.find("url_bytes_max (100 bytes)"), std::string::npos) << reply;
}

TEST_F(HttpServerTest, LimitsTheTimeOfAHeader) {
  options_.limits.header_timeout = std::chrono::seconds(1);
  Start();
  EXPECT_TRUE(Exchange("GET / HTTP/1.1\r\n").starts_with("HTTP/1.1 408 "));
}

TEST_F(HttpServerTest, LimitsTheTimeBetweenRequests) {
  options_.limits.idle_timeout = std::chrono::seconds(1);
  Start();
  const std::string reply = Exchange(kGetFoo);
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 200 ")) << reply;
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, LimitsTheConnectionsOfOneClient) {
  options_.settings.connections_per_client_max = 2;
  Start();
  TestClient a(port());
  auto b = std::make_unique<TestClient>(port());
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 2; }));
  const std::string reply = TestClient(port()).ReadToEnd();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 429 ")) << reply;
  EXPECT_NE(reply.find("limits.http_max_conns_per_client is 2"), std::string::npos) << reply;
  b.reset();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 1; }));
  TestClient c(port());
  c.Send(kGetFoo);
  EXPECT_EQ(c.Read()->status, 200);
}

TEST_F(HttpServerTest, LimitsAllConnections) {
  options_.limits.connections_max = 1;
  Start();
  TestClient a(port());
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 1; }));
  EXPECT_TRUE(TestClient(port()).ReadToEnd().starts_with("HTTP/1.1 503 "));
}

TEST_F(HttpServerTest, ClosesWhenAsked) {
  Start();
  const std::string reply =
      Exchange("GET /v1/kv/foo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  EXPECT_NE(reply.find("Connection: close\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, KeepsHttp10AliveOnlyWhenAsked) {
  Start();
  // The connection ends with the reply, and nothing in it says so.
  EXPECT_EQ(Exchange("GET /v1/kv/foo HTTP/1.0\r\n\r\n").find("Connection:"), std::string::npos);
  TestClient client(port());
  for (int i = 0; i < 2; ++i) {
    client.Send("GET /v1/kv/foo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const auto answer = client.Read();
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer->Has("Connection: keep-alive"));
  }
}

TEST_F(HttpServerTest, ReadsTokens) {
  Start();
  TestClient client(port());
  client.Request("GET", "/v1/kv/foo", "", "x-consul-TOKEN: one\r\n");
  client.Read();
  EXPECT_EQ(backend_.last_token(), "one");
  client.Request("GET", "/v1/kv/foo", "", "Authorization: Bearer two\r\n");
  client.Read();
  EXPECT_EQ(backend_.last_token(), "two");
  client.Request("GET", "/v1/kv/foo?token=three");
  client.Read();
  EXPECT_EQ(backend_.last_token(), "three");
}

TEST_F(HttpServerTest, CancelsTheCallOfAClientThatCloses) {
  Start();
  auto client = Park();
  client->Close();
  EXPECT_TRUE(Eventually([&] { return backend_.cancelled() == 1; }));
  EXPECT_EQ(backend_.waiting(), 0u);
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, CancelsTheCallOfAClientThatResets) {
  Start();
  auto client = Park();
  client->Request("GET", "/v1/kv/foo");  // something is waiting to be read as well
  client->Reset();
  EXPECT_TRUE(Eventually([&] { return backend_.cancelled() == 1; }));
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, AnswersABlockedQueryOnAConnectionThatStays) {
  Start();
  auto client = Park();
  for (int i = 0; i < 150; ++i) backend_.Set("other", "x");
  EXPECT_EQ(client->Read()->status, 200);
  client->Request("GET", "/v1/status/leader");
  EXPECT_EQ(client->Read()->status, 200);
}

TEST_F(HttpServerTest, ManyBlockedQueriesAreAnsweredByOneWrite) {
  options_.settings.connections_per_client_max = 0;
  Start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 300; ++i) clients.push_back(Park());
  backend_.Set("foo", "new");
  for (const auto& client : clients) EXPECT_EQ(client->Read()->status, 200);
}

// What was encoded for one is given to the next who is given the same answer in the same form.
TEST_F(HttpServerTest, ASharedAnswerIsEncodedOnce) {
  options_.threads = 1;
  Start();
  TestClient client(port());
  const auto get = [&](std::string_view target) {
    client.Request("GET", target);
    return client.Read()->body;
  };
  backend_.NumberAnswers(7);
  const std::string first = get("/v1/kv/foo");
  backend_.Set("foo", "new");
  EXPECT_EQ(get("/v1/kv/foo"), first);
  EXPECT_NE(get("/v1/kv/foo?pretty"), first);
  EXPECT_EQ(get("/v1/kv/foo?raw"), "new");
  EXPECT_NE(get("/v1/kv/foo"), first);
}

TEST_F(HttpServerTest, AnotherAnswerIsEncodedAnew) {
  options_.threads = 1;
  Start();
  TestClient client(port());
  std::string last;
  for (const uint64_t number : {7, 8, 0, 0}) {
    backend_.NumberAnswers(number);
    backend_.Set("foo", "the index of the key moves");
    client.Request("GET", "/v1/kv/foo");
    std::string body = client.Read()->body;
    EXPECT_NE(body, last) << number;
    last = std::move(body);
  }
}

TEST_F(HttpServerTest, ASharedAnswerGoesToConnectionsThatCloseAndThatStay) {
  options_.threads = 1;
  Start();
  backend_.NumberAnswers(7);
  const std::string stays = Exchange(
      "GET /v1/kv/foo HTTP/1.1\r\nHost: t\r\n\r\n"
      "GET /v1/kv/foo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  const size_t second = stays.find("HTTP/1.1 200 OK", 1);
  ASSERT_NE(second, std::string::npos);
  EXPECT_EQ(stays.substr(0, second).find("Connection: close"), std::string::npos);
  EXPECT_NE(stays.substr(second).find("Connection: close"), std::string::npos);
}

TEST_F(HttpServerTest, AnErrorBetweenSharedAnswersIsNotGivenOn) {
  options_.threads = 1;
  Start();
  TestClient client(port());
  backend_.NumberAnswers(7);
  client.Request("GET", "/v1/kv/foo");
  const std::string first = client.Read()->body;
  backend_.FailWith(absl::UnavailableError("No cluster leader"));
  client.Request("GET", "/v1/kv/foo");
  EXPECT_EQ(client.Read()->body, "No cluster leader");
  backend_.FailWith(absl::OkStatus());
  client.Request("GET", "/v1/kv/foo");
  const auto again = client.Read();
  EXPECT_EQ(again->status, 200);
  EXPECT_EQ(again->body, first);
}

// What the allocator has given out grows by 4 kB at most for each query that waits.
TEST_F(HttpServerTest, ABlockedQueryHoldsLittle) {
  options_.settings.connections_per_client_max = 0;
  options_.threads = 1;
  Start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(Park());
  const size_t before = mallinfo2().uordblks;
  constexpr size_t kMore = 300;
  for (size_t i = 0; i < kMore; ++i) clients.push_back(Park());
  EXPECT_LE((mallinfo2().uordblks - before) / kMore, 4096u);
}

TEST_F(HttpServerTest, ErrorsOfTheBackendBecomeReplies) {
  Start();
  backend_.FailWith(absl::UnavailableError("No cluster leader"));
  TestClient client(port());
  client.Send(kGetFoo);
  const auto answer = client.Read();
  EXPECT_EQ(answer->status, 500);
  EXPECT_EQ(answer->body, "No cluster leader");
  EXPECT_TRUE(answer->Has("Content-Type: text/plain; charset=utf-8"));
}

TEST_F(HttpServerTest, StopsWithQueriesThatWait) {
  Start();
  auto client = Park();
  TestClient idle(port());
  server_->Stop();
  EXPECT_EQ(client->Read()->status, 500);
  EXPECT_EQ(idle.ReadToEnd(), "");
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_FALSE(TestClient(port()).connected());
}

TEST_F(HttpServerTest, ServesSeveralAddresses) {
  options_.addresses = {{"127.0.0.1", 0}, {"::1", 0}, {"127.0.0.2", 0}};
  Start();
  for (size_t i = 0; i < 3; ++i) {
    TestClient client(server_->ports()[i], options_.addresses[i].host);
    client.Send(kGetFoo);
    const auto answer = client.Read();
    ASSERT_TRUE(answer.has_value()) << i;
    EXPECT_EQ(answer->status, 200);
  }
}

TEST_F(HttpServerTest, ASecondServerOnThePortNamesIt) {
  Start();
  HttpOptions options;
  options.addresses = {{"127.0.0.1", 0}, {"127.0.0.1", port()}};
  HttpServer second(options, &backend_);
  const absl::Status status = second.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "HTTP server on 127.0.0.1:" + std::to_string(port()) +
                                  ": bind: Address already in use");
}

TEST_F(HttpServerTest, RefusesWhatIsNoAddress) {
  options_.addresses = {{"localhost", 0}};
  HttpServer server(options_, &backend_);
  EXPECT_EQ(server.Start().message(), "HTTP address \"localhost\" is not an IP address");
}

TEST_F(HttpServerTest, TheConfiguredLimitOfBodiesGoesBeforeTheRoutes) {
  for (const size_t max : {size_t{10}, size_t{600 * 1024}}) {
    options_.settings.method_body_bytes_max = {{"/consul.kv.v1.KvService/Put", max}};
    Start();
    TestClient client(port());
    client.Request("PUT", "/v1/kv/a", std::string(max, 'x'));
    const auto taken = client.Read();
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(taken->status, 200);
    client.Request("PUT", "/v1/kv/a", std::string(max + 1, 'x'));
    const auto refused = client.Read();
    ASSERT_TRUE(refused.has_value());
    EXPECT_EQ(refused->status, 413);
    EXPECT_NE(refused->body.find("max size: " + std::to_string(max) + " bytes"),
              std::string::npos)
        << refused->body;
  }
}

TEST_F(HttpServerTest, AppliedSettingsHoldForConnectionsThatAreThere) {
  Start();
  const auto put = [](TestClient& client, size_t bytes) {
    client.Request("PUT", "/v1/kv/a", std::string(bytes, 'x'));
    const auto answer = client.Read();
    return answer.has_value() ? answer->status : 0;
  };
  auto client = std::make_unique<TestClient>(port());
  EXPECT_EQ(put(*client, 12), 200);
  server_->Apply({.method_body_bytes_max = {{"/consul.kv.v1.KvService/Put", 11}},
                  .connections_per_client_max = 1});
  EXPECT_EQ(put(*client, 11), 200);
  const std::string reply = TestClient(port()).ReadToEnd();
  EXPECT_NE(reply.find("limits.http_max_conns_per_client is 1"), std::string::npos) << reply;
  EXPECT_EQ(put(*client, 12), 413);
  client.reset();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  // The methods that are not named keep what they had.
  server_->Apply({.method_body_bytes_max = {}, .connections_per_client_max = 0});
  TestClient first(port());
  TestClient second(port());
  EXPECT_EQ(put(first, 11), 200);
  EXPECT_EQ(put(second, 12), 413);
}

TEST_F(HttpServerTest, ALimitOfNothingTakesEmptyBodies) {
  options_.settings.method_body_bytes_max = {{"/consul.kv.v1.KvService/Put", 0}};
  Start();
  TestClient client(port());
  client.Request("PUT", "/v1/kv/a", "");
  EXPECT_EQ(client.Read()->status, 200);
  client.Request("PUT", "/v1/kv/a", "x");
  EXPECT_EQ(client.Read()->status, 413);
}

TEST_F(HttpServerTest, ALoopSaysOnceThatItIsIdle) {
  options_.threads = 1;
  Start();
  ASSERT_TRUE(Eventually([&] { return backend_.idles() == 1; }));
  TestClient client(port());
  client.Send(kGetFoo);
  ASSERT_TRUE(client.Read().has_value());
  ASSERT_TRUE(Eventually([&] { return backend_.idles() == 2; }));
}

}  // namespace
}  // namespace consul::gateway::http
