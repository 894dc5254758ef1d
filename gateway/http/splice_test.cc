// Goal: what begins as HTTP/2 on the HTTP port is a connection to RPC, byte by byte, within its
// limits, and everything else is HTTP/1 as before. Method: an RPC service of raw bytes on a socket
// of the test's own.
#include "gateway/http/splice.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "gateway/http/fake_backend.h"
#include "gateway/http/test_client.h"

namespace consul::gateway::http {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kGetFoo = "GET /v1/kv/foo HTTP/1.1\r\nHost: t\r\n\r\n";
constexpr int kTimeoutMs = 5000;

// True once `fact` holds; false after five seconds.
bool Eventually(const std::function<bool()>& fact) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  while (!fact()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// Bytes that tell a hole, a repetition and an exchange of parts.
std::string Pattern(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

// Listens where the RPC service is said to be.
class Service {
 public:
  explicit Service(int backlog = 16) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, backlog), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~Service() { Close(); }

  uint16_t port() const { return port_; }
  // The next connection; not connected when there is none within 5 s.
  std::unique_ptr<TestClient> Accept() const {
    pollfd wait{fd_, POLLIN, 0};
    const int fd = ::poll(&wait, 1, kTimeoutMs) > 0 ? ::accept(fd_, nullptr, nullptr) : -1;
    return std::make_unique<TestClient>(TestClient::Accepted{fd});
  }
  // True when nobody connects within `ms`.
  bool Silent(int ms) const {
    pollfd wait{fd_, POLLIN, 0};
    return ::poll(&wait, 1, ms) == 0;
  }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  uint16_t port_ = 0;
};

class SpliceTest : public testing::Test {
 protected:
  SpliceTest() {
    options_.addresses = {{"127.0.0.1", 0}};
    options_.rpc = {"127.0.0.1", service_.port()};
    backend_.Set("foo", "bar");
  }

  void Start() {
    server_ = std::make_unique<HttpServer>(options_, &backend_);
    const absl::Status status = server_->Start();
    ASSERT_TRUE(status.ok()) << status;
  }
  uint16_t port() const { return server_->ports()[0]; }

  // Both ends of a splice, the preface being through.
  void Join() {
    client_ = std::make_unique<TestClient>(port());
    ASSERT_TRUE(client_->Send(kPreface));
    rpc_ = service_.Accept();
    ASSERT_TRUE(rpc_->connected());
    ASSERT_EQ(rpc_->ReadBytes(kPreface.size()), kPreface);
  }
  // What a client gets until the server closes.
  std::string Exchange(std::string_view bytes) {
    TestClient client(port());
    client.Send(bytes);
    return client.ReadToEnd();
  }
  bool EventuallyEnds() {
    return Eventually([this] { return server_->connections() == 0; });
  }

  FakeBackend backend_;
  Service service_;
  HttpOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<TestClient> client_;
  std::unique_ptr<TestClient> rpc_;
};

// What is passed on.

TEST_F(SpliceTest, WhatCameWithThePrefaceIsPassedOn) {
  Start();
  TestClient client(port());
  client.Send(std::string(kPreface) + "and more");
  const auto rpc = service_.Accept();
  EXPECT_EQ(rpc->ReadBytes(kPreface.size() + 8), std::string(kPreface) + "and more");
  rpc->Send("an answer");
  EXPECT_EQ(client.ReadBytes(9), "an answer");
  EXPECT_EQ(server_->connections(), 1u);
  EXPECT_EQ(server_->rpc_connections(), 1u);
}

TEST_F(SpliceTest, MoreThanOneReadOfTheHeaderIsPassedOn) {
  Start();
  TestClient client(port());
  const std::string sent = std::string(kPreface) + Pattern(60 * 1000, 1);
  client.Send(sent);
  EXPECT_EQ(service_.Accept()->ReadBytes(sent.size()), sent);
}

TEST_F(SpliceTest, ThePrefaceMayComeInPieces) {
  Start();
  TestClient client(port());
  for (const char& c : kPreface) {
    EXPECT_TRUE(client.Silent(1));
    ASSERT_TRUE(client.Send(std::string_view(&c, 1)));
  }
  const auto rpc = service_.Accept();
  EXPECT_EQ(rpc->ReadBytes(kPreface.size()), kPreface);
}

TEST_F(SpliceTest, APrefaceThatDoesNotComeToItsEndIsARequestThatDoesNot) {
  options_.limits.header_timeout = std::chrono::seconds(1);
  Start();
  EXPECT_TRUE(Exchange("PRI * HTTP/2.0\r\n\r\nSM").starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(service_.Silent(0));
}

TEST_F(SpliceTest, WhatOnlyBeginsLikeAPrefaceIsHttp1) {
  Start();
  for (const char* bytes : {"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", "PRI * HTTP/2.0\r\nHost: t\r\n\r\n",
                            "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    EXPECT_TRUE(Exchange(bytes).starts_with("HTTP/1.1 400 ")) << bytes;
  }
  EXPECT_TRUE(Exchange("PRI /v1/kv/foo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                  .starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Exchange("PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                       "Content-Length: 0\r\n\r\n")
                  .starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(service_.Silent(0));
}

// A proxy may send requests of several clients on one connection: none of them may turn it over.
TEST_F(SpliceTest, APrefaceBehindARequestIsHttp1) {
  Start();
  for (const std::string between : {"", "\r\n"}) {
    TestClient client(port());
    client.Send(std::string(kGetFoo) + between + std::string(kPreface));
    EXPECT_EQ(client.Read()->status, 200);
    EXPECT_EQ(client.Read()->status, 400);
  }
  EXPECT_TRUE(service_.Silent(0));
}

TEST_F(SpliceTest, LargeDataGoesBothWaysAtOnce) {
  Start();
  Join();
  const std::string up = Pattern(32 << 20, 1);
  const std::string down = Pattern(32 << 20, 2);
  std::thread sends_up([&] { EXPECT_TRUE(client_->Send(up)); });
  std::thread sends_down([&] { EXPECT_TRUE(rpc_->Send(down)); });
  auto comes_up = std::async(std::launch::async, [&] { return rpc_->ReadBytes(up.size()); });
  EXPECT_TRUE(client_->ReadBytes(down.size()) == down);
  EXPECT_TRUE(comes_up.get() == up);
  sends_up.join();
  sends_down.join();
}

TEST_F(SpliceTest, ManyGoTheirWaysBesideHttp1) {
  options_.settings.connections_per_client_max = 0;
  Start();
  std::vector<std::unique_ptr<TestClient>> clients;
  std::vector<std::unique_ptr<TestClient>> services;
  for (int i = 0; i < 50; ++i) {
    Join();
    clients.push_back(std::move(client_));
    services.push_back(std::move(rpc_));
    EXPECT_TRUE(Exchange("GET /v1/kv/foo?raw HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                    .ends_with("bar"));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    services[i]->Send("to " + std::to_string(100 + i));
    clients[i]->Send("from " + std::to_string(100 + i));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    EXPECT_EQ(clients[i]->ReadBytes(6), "to " + std::to_string(100 + i));
    EXPECT_EQ(services[i]->ReadBytes(8), "from " + std::to_string(100 + i));
  }
}

// Back-pressure.

// What fills the kernel's buffers on both sides holds little of ours.
TEST_F(SpliceTest, AClientThatDoesNotReadStopsTheService) {
  Start();
  Join();
  const size_t before = mallinfo2().uordblks;
  const size_t sent = rpc_->SendUntilStuck('x', 200);
  EXPECT_LT(mallinfo2().uordblks, before + 256 * 1024);
  EXPECT_GT(sent, size_t{512} * 1024);
  // The other way is free.
  client_->Send("still here");
  EXPECT_EQ(rpc_->ReadBytes(10), "still here");
  const std::string received = client_->ReadBytes(sent);
  EXPECT_EQ(received.size(), sent);
  EXPECT_EQ(received.find_first_not_of('x'), std::string::npos);
}

TEST_F(SpliceTest, AServiceThatDoesNotReadStopsTheClient) {
  Start();
  Join();
  const size_t before = mallinfo2().uordblks;
  const size_t sent = client_->SendUntilStuck('x', 200);
  EXPECT_LT(mallinfo2().uordblks, before + 256 * 1024);
  EXPECT_GT(sent, size_t{512} * 1024);
  EXPECT_EQ(rpc_->ReadBytes(sent).size(), sent);
}

TEST_F(SpliceTest, WhoTakesNothingIsCutOffThoughItSends) {
  options_.limits.stall_timeout = std::chrono::seconds(1);
  Start();
  Join();
  rpc_->SendUntilStuck('x', 100);
  EXPECT_TRUE(Eventually([&] {
    client_->Send("word");
    return server_->connections() == 0;
  }));
}

TEST_F(SpliceTest, WhoTakesLittleIsNotCutOff) {
  options_.limits.stall_timeout = std::chrono::seconds(2);
  Start();
  Join();
  const size_t sent = rpc_->SendUntilStuck('x', 100);
  // 2.5 s in all; each part is more than the kernel holds back before it tells the sender.
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(rpc_->Silent(250));
    EXPECT_EQ(client_->ReadBytes(sent / 10).size(), sent / 10);
  }
  EXPECT_EQ(server_->connections(), 1u);
}

// Ends.

TEST_F(SpliceTest, TheClientsEndIsPassedOnAndTheAnswerStillComes) {
  Start();
  Join();
  client_->Send("last words");
  client_->ShutdownSend();
  EXPECT_EQ(rpc_->ReadToEnd(), "last words");
  const std::string answer = Pattern(1 << 20, 3);
  rpc_->Send(answer);
  rpc_->Close();
  EXPECT_TRUE(client_->ReadToEnd() == answer);
  EXPECT_TRUE(EventuallyEnds());
}

TEST_F(SpliceTest, TheServicesEndIsPassedOnAndTheClientMayFinish) {
  Start();
  Join();
  rpc_->Send("goodbye");
  rpc_->ShutdownSend();
  EXPECT_EQ(client_->ReadToEnd(), "goodbye");
  client_->Send("understood");
  client_->Close();
  EXPECT_EQ(rpc_->ReadToEnd(), "understood");
  EXPECT_TRUE(EventuallyEnds());
  EXPECT_TRUE(Eventually([&] { return server_->rpc_connections() == 0; }));
}

TEST_F(SpliceTest, ASideThatDoesNotEndAfterTheOtherIsCutOff) {
  options_.limits.stall_timeout = std::chrono::seconds(1);
  Start();
  Join();
  rpc_->ShutdownSend();
  EXPECT_EQ(client_->ReadBytes(1), "");
  EXPECT_TRUE(EventuallyEnds());
  EXPECT_EQ(rpc_->ReadToEnd(), "");
}

TEST_F(SpliceTest, AResetOfTheClientEndsTheConnectionToTheService) {
  Start();
  Join();
  client_->Reset();
  EXPECT_EQ(rpc_->ReadToEnd(), "");
  EXPECT_TRUE(EventuallyEnds());
}

TEST_F(SpliceTest, AResetOfTheServiceEndsTheConnectionOfTheClient) {
  Start();
  Join();
  rpc_->Reset();
  EXPECT_EQ(client_->ReadToEnd(), "");
  EXPECT_TRUE(EventuallyEnds());
}

TEST_F(SpliceTest, WhereNothingComesThroughItEnds) {
  options_.limits.idle_timeout = std::chrono::seconds(1);
  Start();
  Join();
  // A word each 250 ms, either way, keeps it for longer than that.
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(client_->Silent(250));
    client_->Send("a");
    EXPECT_EQ(rpc_->ReadBytes(1), "a");
    EXPECT_TRUE(rpc_->Silent(250));
    rpc_->Send("b");
    EXPECT_EQ(client_->ReadBytes(1), "b");
  }
  EXPECT_EQ(client_->ReadToEnd(), "");
  EXPECT_EQ(rpc_->ReadToEnd(), "");
  EXPECT_TRUE(EventuallyEnds());
}

// No service.

TEST_F(SpliceTest, WithoutRpcHttp2IsRefused) {
  options_.rpc.reset();
  Start();
  const std::string reply = Exchange(std::string(kPreface) + "and more");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n")) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n505 HTTP Version Not Supported: "
                              "HTTP/2 on this port is for RPC, and RPC is off"))
      << reply;
  EXPECT_TRUE(EventuallyEnds());
}

TEST_F(SpliceTest, AServiceThatDoesNotListenIsNamed) {
  service_.Close();
  Start();
  const std::string reply = Exchange(std::string(kPreface) + "and more");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 502 Bad Gateway\r\n")) << reply;
  EXPECT_NE(reply.find("\r\nConnection: close\r\n"), std::string::npos) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n502 Bad Gateway: RPC at 127.0.0.1:" +
                              std::to_string(service_.port()) +
                              " cannot be reached: Connection refused"))
      << reply;
  EXPECT_TRUE(EventuallyEnds());
  EXPECT_TRUE(Eventually([&] { return server_->rpc_connections() == 0; }));
}

TEST_F(SpliceTest, AServiceThatDoesNotListenAtAnAddressOfIpv6IsNamed) {
  options_.rpc = {"::1", service_.port()};
  Start();
  EXPECT_NE(Exchange(kPreface).find("RPC at [::1]:" + std::to_string(service_.port()) + " cannot"),
            std::string::npos);
}

// Connections that nobody takes fill the queue of a socket that listens: the next gets no answer.
TEST_F(SpliceTest, AServiceThatDoesNotAcceptIsGivenUp) {
  const Service full(0);
  const TestClient first(full.port());
  options_.rpc = {"127.0.0.1", full.port()};
  options_.limits.rpc_connect_timeout = std::chrono::seconds(1);
  Start();
  const std::string reply = Exchange(kPreface);
  EXPECT_TRUE(reply.ends_with("cannot be reached: no answer within 1s")) << reply;
  EXPECT_TRUE(EventuallyEnds());
}

TEST_F(SpliceTest, AServiceMayBeGivenByName) {
  options_.rpc = {"localhost", service_.port()};
  Start();
  Join();
  rpc_->Send("found");
  EXPECT_EQ(client_->ReadBytes(5), "found");
}

TEST_F(SpliceTest, ANameThatIsNoneIsNamed) {
  options_.rpc = {"a..b", 8400};
  Start();
  const std::string reply = Exchange(kPreface);
  EXPECT_TRUE(reply.ends_with("RPC at a..b:8400 cannot be reached: Misformatted domain name"))
      << reply;
}

// Limits.

TEST_F(SpliceTest, CountsAsAConnectionOfItsClient) {
  options_.settings.connections_per_client_max = 2;
  Start();
  Join();
  const auto first_client = std::move(client_);
  const auto first_rpc = std::move(rpc_);
  Join();
  EXPECT_TRUE(Exchange(kGetFoo).starts_with("HTTP/1.1 429 "));
  client_->Close();
  rpc_->Close();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 1; }));
  TestClient third(port());
  third.Send(kGetFoo);
  EXPECT_EQ(third.Read()->status, 200);
}

TEST_F(SpliceTest, TheirNumberHasALimit) {
  options_.limits.rpc_connections_max = 1;
  Start();
  Join();
  const std::string reply = Exchange(kPreface);
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 503 ")) << reply;
  EXPECT_TRUE(reply.ends_with("Too many connections to RPC: rpc_connections_max is 1")) << reply;
  client_->Close();
  rpc_->Close();
  ASSERT_TRUE(Eventually([&] { return server_->rpc_connections() == 0; }));
  Join();
}

// The server stops.

TEST_F(SpliceTest, AStopEndsWhatIsQuiet) {
  Start();
  Join();
  const auto before = std::chrono::steady_clock::now();
  server_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(900));
  EXPECT_EQ(client_->ReadToEnd(), "");
  EXPECT_EQ(rpc_->ReadToEnd(), "");
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(SpliceTest, AStopSendsWhatIsDue) {
  Start();
  Join();
  const size_t sent = rpc_->SendUntilStuck('x', 100);
  auto received = std::async(std::launch::async, [&] { return client_->ReadToEnd(); });
  server_->Stop();
  EXPECT_EQ(received.get().size(), sent);
}

TEST_F(SpliceTest, AStopWaitsForNobodyWhoTakesNothing) {
  Start();
  Join();
  rpc_->SendUntilStuck('x', 100);
  const auto before = std::chrono::steady_clock::now();
  server_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(2000));
}

TEST_F(SpliceTest, AStopEndsOneThatConnects) {
  const Service full(0);
  const TestClient first(full.port());
  options_.rpc = {"127.0.0.1", full.port()};
  Start();
  TestClient client(port());
  client.Send(kPreface);
  ASSERT_TRUE(Eventually([&] { return server_->rpc_connections() == 1; }));
  const auto before = std::chrono::steady_clock::now();
  server_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(900));
  EXPECT_EQ(client.ReadToEnd(), "");
}

}  // namespace
}  // namespace consul::gateway::http
