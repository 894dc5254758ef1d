#include "gateway/dns/server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gateway/dns/fake_resolver.h"
#include "gateway/dns/tcp_connections.h"
#include "gateway/dns/test_client.h"
#include "gateway/dns/udp_batch.h"

namespace consul::gateway::dns {
namespace {

constexpr char kWebA[] =
    "id 7 QUERY NOERROR qr aa rd\n"
    "question web.node.consul. IN A\n"
    "answer web.node.consul. 0 IN A 10.0.0.1\n";

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    resolver_.SetNode("web", "10.0.0.1");
    options_.listen = {{"127.0.0.1", 0}};
    options_.settings->datacenter = "dc1";
  }

  void Start() { ASSERT_EQ(server_.Start(options_).message(), ""); }

  // Waits until `fact` holds, up to 5 s.
  static bool Eventually(const std::function<bool()>& fact) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!fact()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  UdpClient Udp() { return UdpClient("127.0.0.1", server_.port()); }
  TcpClient Tcp() { return TcpClient("127.0.0.1", server_.port()); }

  FakeResolver resolver_;
  DnsServer server_{&resolver_};
  DnsServer::Options options_;
};

TEST_F(ServerTest, AnswersOverUdpAndTcp) {
  Start();
  EXPECT_EQ(Udp().Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(Tcp().Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, KeptAnswersNeedNoLookup) {
  options_.threads = 1;
  Start();
  UdpClient client = Udp();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(resolver_.lookups(), 1);
  EXPECT_EQ(server_.stats().kept_answers, 9u);
  EXPECT_EQ(server_.stats().udp_queries, 10u);
}

TEST_F(ServerTest, AChangeIsSeenByTheNextQuery) {
  Start();
  UdpClient client = Udp();
  EXPECT_EQ(client.Ask("web.node.consul A"), kWebA);
  for (int i = 2; i < 20; ++i) {
    const std::string address = "10.0.0." + std::to_string(i);
    resolver_.SetNode("web", address);
    EXPECT_NE(client.Ask("web.node.consul A").find(" A " + address + "\n"), std::string::npos);
  }
  resolver_.SetNode("web", "");
  EXPECT_NE(client.Ask("web.node.consul A").find("NXDOMAIN"), std::string::npos);
}

TEST_F(ServerTest, NegativeAnswersEndWhenTheNodeAppears) {
  Start();
  UdpClient client = Udp();
  EXPECT_NE(client.Ask("new.node.consul A").find("NXDOMAIN"), std::string::npos);
  EXPECT_NE(client.Ask("new.node.consul A").find("NXDOMAIN"), std::string::npos);
  resolver_.SetNode("new", "10.0.0.2");
  EXPECT_NE(client.Ask("new.node.consul A").find(" A 10.0.0.2\n"), std::string::npos);
}

TEST_F(ServerTest, FailedLookupsAreServFailAndNotKept) {
  Start();
  UdpClient client = Udp();
  resolver_.Fail(true);
  EXPECT_NE(client.Ask("web.node.consul A").find("SERVFAIL"), std::string::npos);
  resolver_.Fail(false);
  EXPECT_EQ(client.Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, LateAnswersGoToWhoAsked) {
  Start();
  resolver_.Hold();
  UdpClient udp = Udp();
  TcpClient tcp = Tcp();
  udp.Send(QueryBytes("web.node.consul A"));
  tcp.Send(QueryBytes("WEB.node.consul A", 8));
  ASSERT_TRUE(Eventually([this] {
    const Stats stats = server_.stats();
    return stats.lookups + stats.lookups_joined == 2;
  }));
  resolver_.Release();
  EXPECT_EQ(udp.Receive(), kWebA);
  EXPECT_EQ(tcp.Receive(),
            "id 8 QUERY NOERROR qr aa rd\n"
            "question WEB.node.consul. IN A\n"
            "answer WEB.node.consul. 0 IN A 10.0.0.1\n");
}

TEST_F(ServerTest, QueriesForOneNameShareALookup) {
  options_.threads = 1;
  Start();
  resolver_.Hold();
  UdpClient client = Udp();
  for (uint16_t id = 1; id <= 20; ++id) client.Send(QueryBytes("web.node.consul A", id));
  ASSERT_TRUE(Eventually([this] { return server_.stats().lookups_joined == 19; }));
  EXPECT_EQ(resolver_.lookups(), 1);
  resolver_.Release();
  for (int i = 0; i < 20; ++i) {
    EXPECT_NE(client.Receive().find(" A 10.0.0.1\n"), std::string::npos);
  }
  EXPECT_EQ(client.Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(resolver_.lookups(), 1);
}

TEST_F(ServerTest, ALookupThatTakesTooLongIsServFail) {
  Start();
  resolver_.Hold();
  EXPECT_NE(Udp().Ask("web.node.consul A").find("SERVFAIL"), std::string::npos);
  EXPECT_EQ(server_.stats().lookups_timed_out, 1u);
  // The client is answered first.
  EXPECT_TRUE(Eventually([this] { return resolver_.cancels() == 1; }));
}

TEST_F(ServerTest, StopCancelsLookups) {
  Start();
  resolver_.Hold();
  UdpClient client = Udp();
  client.Send(QueryBytes("web.node.consul A"));
  client.Send(QueryBytes("web.node.consul AAAA"));
  ASSERT_TRUE(Eventually([this] { return resolver_.lookups() == 2; }));
  server_.Stop();
  EXPECT_EQ(resolver_.cancels(), 2);
}

// Goal: a stop is not lost when the loop is woken for something else at the same moment. Method:
// let a held lookup go and stop at once, many times.
TEST_F(ServerTest, StopRightAfterALateAnswerIsNotLost) {
  for (int round = 0; round < 300; ++round) {
    DnsServer server(&resolver_);
    options_.threads = 1;
    ASSERT_EQ(server.Start(options_).message(), "");
    resolver_.Hold();
    const int before = resolver_.lookups();
    UdpClient client("127.0.0.1", server.port());
    client.Send(QueryBytes("web.node.consul A"));
    ASSERT_TRUE(Eventually([&] { return resolver_.lookups() > before; }));
    resolver_.Release();
    server.Stop();
  }
}

// A wake that had begun before the stop comes after it.
TEST_F(ServerTest, AnExecutorTakesPostsAfterTheStop) {
  struct CountingTask final : rpc::Task {
    void Run() override { ++runs; }
    int runs = 0;
  };
  CountingTask task;
  {
    DnsServer server(&resolver_);
    ASSERT_EQ(server.Start(options_).message(), "");
    resolver_.Hold();
    UdpClient client("127.0.0.1", server.port());
    client.Send(QueryBytes("web.node.consul A"));
    ASSERT_TRUE(Eventually([this] { return resolver_.lookups() == 1; }));
    server.Stop();
    resolver_.executor()->Post(&task);
  }
  EXPECT_EQ(task.runs, 1);
}

TEST_F(ServerTest, StopsWithOpenConnectionsAndTwice) {
  Start();
  TcpClient tcp = Tcp();
  EXPECT_EQ(tcp.Ask("web.node.consul A"), kWebA);
  server_.Stop();
  EXPECT_EQ(tcp.Receive(), "closed");
  server_.Stop();
}

TEST_F(ServerTest, ThePortIsFreeAgainAtOnce) {
  Start();
  const uint16_t port = server_.port();
  TcpClient tcp = Tcp();
  EXPECT_EQ(tcp.Ask("web.node.consul A"), kWebA);
  server_.Stop();
  DnsServer second(&resolver_);
  options_.listen = {{"127.0.0.1", port}};
  EXPECT_EQ(second.Start(options_).message(), "");
  EXPECT_EQ(Udp().Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, ASecondServerOnThePortIsRefused) {
  Start();
  DnsServer second(&resolver_);
  options_.listen = {{"127.0.0.1", server_.port()}};
  const absl::Status status = second.Start(options_);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message(), "listen tcp 127.0.0.1:" + std::to_string(server_.port()) +
                                  ": address already in use");
  EXPECT_EQ(Udp().Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, ATakenUdpPortIsNamed) {
  const SocketAddress any = ParseSocketAddress("127.0.0.1", 0).value();
  const Fd taken(socket(AF_INET, SOCK_DGRAM, 0));
  ASSERT_EQ(bind(taken.get(), any.get(), any.bytes), 0);
  options_.listen = {{"127.0.0.1", BoundPort(taken)}};
  const absl::Status status = server_.Start(options_);
  EXPECT_EQ(status.message(), "listen udp 127.0.0.1:" + std::to_string(BoundPort(taken)) +
                                  ": address already in use");
  // Nothing stays behind: the same object starts elsewhere.
  options_.listen = {{"127.0.0.1", 0}};
  Start();
}

TEST_F(ServerTest, AnAddressOfAnotherMachineIsNamed) {
  options_.listen = {{"127.0.0.1", 0}, {"192.0.2.1", 8600}};
  const absl::Status status = server_.Start(options_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "listen tcp 192.0.2.1:8600: cannot assign requested address");
}

TEST_F(ServerTest, BadOptionsAreNamed) {
  const auto message = [this] { return std::string(server_.Start(options_).message()); };
  options_.listen = {{"localhost", 0}};
  EXPECT_EQ(message(), "not an IP address: localhost");
  options_.listen = {};
  EXPECT_EQ(message(), "dns: no listen address");
  options_.settings->domain = "a..b";
  EXPECT_EQ(message(), "dns: domain: not a domain name: \"a..b\"");
  options_.settings->domain = ".";
  EXPECT_EQ(message(), "dns: domain: not a domain name: \".\"");
  options_.settings->domain = "consul";
  options_.settings->alt_domain = "-..";
  EXPECT_EQ(message(), "dns: alt_domain: not a domain name: \"-..\"");
}

TEST_F(ServerTest, WithoutSettingsEverythingIsServFailUntilTheyCome) {
  const std::optional<DnsServer::Settings> settings = options_.settings;
  options_.settings.reset();
  Start();
  for (const char* const name : {"web.node.consul A", "consul SOA", "a.example TXT"}) {
    EXPECT_NE(Udp().Ask(name).find("id 7 QUERY SERVFAIL qr rd\n"), std::string::npos) << name;
    EXPECT_NE(Tcp().Ask(name).find("id 7 QUERY SERVFAIL qr rd\n"), std::string::npos) << name;
  }
  EXPECT_EQ(resolver_.lookups(), 0);
  ASSERT_TRUE(server_.Apply(*settings).ok());
  EXPECT_TRUE(Eventually([this] { return Udp().Ask("web.node.consul A") == kWebA; }));
  EXPECT_NE(Udp().Ask("a.example TXT").find("REFUSED"), std::string::npos);
}

TEST_F(ServerTest, AppliedSettingsAreAnsweredByOnEveryLoop) {
  options_.threads = 3;
  Start();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Udp().Ask("web.node.consul A"), kWebA);
  options_.settings->domain = "example";
  options_.settings->node_ttl_s = 9;
  ASSERT_TRUE(server_.Apply(*options_.settings).ok());
  const auto all_answer = [this] {
    for (int i = 0; i < 20; ++i) {
      if (Udp().Ask("web.node.example A").find(" 9 IN A 10.0.0.1\n") == std::string::npos) {
        return false;
      }
      if (Tcp().Ask("web.node.consul A").find("REFUSED") == std::string::npos) return false;
    }
    return true;
  };
  EXPECT_TRUE(Eventually(all_answer));
}

TEST_F(ServerTest, SettingsThatAreWrongChangeNothing) {
  Start();
  DnsServer::Settings wrong = *options_.settings;
  wrong.domain = ".";
  EXPECT_EQ(server_.Apply(wrong).message(), "dns: domain: not a domain name: \".\"");
  EXPECT_EQ(Udp().Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, ListensOnManyAddresses) {
  options_.listen = {{"127.0.0.1", 0}, {"127.0.0.2", 0}, {"::1", 0}};
  Start();
  EXPECT_EQ(UdpClient("127.0.0.1", server_.port(0)).Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(UdpClient("127.0.0.2", server_.port(1)).Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(UdpClient("::1", server_.port(2)).Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(TcpClient("::1", server_.port(2)).Ask("web.node.consul A"), kWebA);
}

// A connected UDP socket takes replies from the address it asked only.
TEST_F(ServerTest, OnTheWildcardRepliesLeaveFromTheAddressAsked) {
  options_.listen = {{"0.0.0.0", 0}};
  Start();
  for (const char* ip : {"127.0.0.1", "127.0.0.2", "127.1.2.3"}) {
    EXPECT_EQ(UdpClient(ip, server_.port()).Ask("web.node.consul A"), kWebA) << ip;
  }
  resolver_.Hold();
  UdpClient client("127.0.0.9", server_.port());
  client.Send(QueryBytes("new.node.consul A"));
  ASSERT_TRUE(Eventually([this] { return server_.stats().lookups >= 1 + 1; }));
  resolver_.Release();
  EXPECT_NE(client.Receive().find("NXDOMAIN"), std::string::npos);
}

TEST_F(ServerTest, TheIpv6WildcardServesBothFamilies) {
  options_.listen = {{"::", 0}};
  Start();
  for (const char* ip : {"::1", "127.0.0.1", "127.0.0.7"}) {
    EXPECT_EQ(UdpClient(ip, server_.port()).Ask("web.node.consul A"), kWebA) << ip;
    EXPECT_EQ(TcpClient(ip, server_.port()).Ask("web.node.consul A"), kWebA) << ip;
  }
}

TEST_F(ServerTest, BothWildcardsOnOnePort) {
  options_.listen = {{"0.0.0.0", 8600}, {"::", 8600}};
  Start();
  EXPECT_EQ(UdpClient("::1", 8600).Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(UdpClient("127.0.0.4", 8600).Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, WhatIsNoQueryIsNotAnswered) {
  Start();
  UdpClient client = Udp();
  client.Send(std::vector<uint8_t>{1, 2, 3});
  client.Send({});
  client.Send(QueryBytes("web.node.consul A qr"));
  client.Send(std::vector<uint8_t>(kUdpQueryBytesMax + 1, 0));
  EXPECT_EQ(client.Ask("web.node.consul A"), kWebA);
  EXPECT_EQ(client.Receive(0), "timeout");
  EXPECT_EQ(server_.stats().dropped, 4u);
}

TEST_F(ServerTest, MalformedQueriesGetFormErr) {
  Start();
  UdpClient client = Udp();
  std::vector<uint8_t> bytes = QueryBytes("web.node.consul A");
  bytes.push_back(0);
  client.Send(bytes);
  EXPECT_EQ(client.Receive(), "id 7 QUERY FORMERR qr rd\n");
  TcpClient tcp = Tcp();
  tcp.Send(bytes);
  EXPECT_EQ(tcp.Receive(), "id 7 QUERY FORMERR qr rd\n");
  EXPECT_EQ(tcp.Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, AResponseCutOverUdpIsWholeOverTcp) {
  for (int i = 0; i < 100; ++i) {
    resolver_.SetMeta("web", "key" + std::to_string(i), std::string(200, 'v'));
  }
  Start();
  const std::string cut = Udp().Ask("web.node.consul TXT edns=1232");
  EXPECT_NE(cut.find("qr aa tc rd"), std::string::npos);
  const std::string whole = Tcp().Ask("web.node.consul TXT edns=1232");
  EXPECT_NE(whole.find("qr aa rd"), std::string::npos);
  EXPECT_NE(whole.find("key99="), std::string::npos);
}

TEST_F(ServerTest, Rfc7766ManyQueriesOnOneConnection) {
  Start();
  TcpClient tcp = Tcp();
  std::vector<uint8_t> all;
  for (uint16_t id = 0; id < 500; ++id) {
    const std::vector<uint8_t> query = QueryBytes("web.node.consul A", id);
    all.push_back(0);
    all.push_back(static_cast<uint8_t>(query.size()));
    all.insert(all.end(), query.begin(), query.end());
  }
  tcp.SendRaw(all);
  for (int id = 0; id < 500; ++id) {
    const std::string answer = tcp.Receive();
    ASSERT_EQ(answer.substr(0, answer.find(' ', 3)), "id " + std::to_string(id));
  }
}

TEST_F(ServerTest, Rfc7766AnswersComeAsTheyAreReady) {
  Start();
  TcpClient tcp = Tcp();
  EXPECT_EQ(tcp.Ask("web.node.consul A"), kWebA);
  resolver_.Hold();
  tcp.Send(QueryBytes("slow.node.consul A", 1));
  tcp.Send(QueryBytes("0a000001.addr.consul A", 2));
  EXPECT_EQ(tcp.Receive().substr(0, 5), "id 2 ");
  resolver_.Release();
  EXPECT_EQ(tcp.Receive().substr(0, 5), "id 1 ");
}

TEST_F(ServerTest, QueriesBeyondThePipelineWaitTheirTurn) {
  Start();
  resolver_.Hold();
  TcpClient tcp = Tcp();
  constexpr int kQueries = kTcpPipelineMax + 50;
  for (int i = 0; i < kQueries; ++i) {
    tcp.Send(QueryBytes("n" + std::to_string(i) + ".node.consul A"));
  }
  ASSERT_TRUE(Eventually([this] { return resolver_.lookups() == kTcpPipelineMax; }));
  EXPECT_EQ(tcp.Receive(50), "timeout");
  EXPECT_EQ(resolver_.lookups(), kTcpPipelineMax);
  resolver_.Release();
  for (int i = 0; i < kQueries; ++i) ASSERT_NE(tcp.Receive().find("NXDOMAIN"), std::string::npos);
}

TEST_F(ServerTest, AQueryMayComeByteByByte) {
  Start();
  TcpClient tcp = Tcp();
  std::vector<uint8_t> bytes = QueryBytes("web.node.consul A");
  bytes.insert(bytes.begin(), {0, static_cast<uint8_t>(bytes.size())});
  for (const uint8_t byte : bytes) tcp.SendRaw({&byte, 1});
  EXPECT_EQ(tcp.Receive(), kWebA);
}

TEST_F(ServerTest, AClientThatEndsSendingGetsItsAnswers) {
  Start();
  resolver_.Hold();
  TcpClient tcp = Tcp();
  tcp.Send(QueryBytes("web.node.consul A"));
  tcp.EndSending();
  ASSERT_TRUE(Eventually([this] { return resolver_.lookups() == 1; }));
  resolver_.Release();
  EXPECT_EQ(tcp.Receive(), kWebA);
  EXPECT_EQ(tcp.Receive(), "closed");
}

TEST_F(ServerTest, AClientThatIsGoneGetsNoLateAnswer) {
  Start();
  resolver_.Hold();
  {
    TcpClient tcp = Tcp();
    tcp.Send(QueryBytes("web.node.consul A"));
    ASSERT_TRUE(Eventually([this] { return resolver_.lookups() == 1; }));
  }
  resolver_.Release();
  EXPECT_EQ(Udp().Ask("web.node.consul A"), kWebA);
}

TEST_F(ServerTest, TcpQueriesOverTheLimitCloseTheConnection) {
  Start();
  TcpClient tcp = Tcp();
  const size_t bytes = kTcpQueryBytesMax + 1;
  tcp.SendRaw(std::vector<uint8_t>{static_cast<uint8_t>(bytes >> 8), static_cast<uint8_t>(bytes)});
  EXPECT_EQ(tcp.Receive(), "closed");
}

TEST_F(ServerTest, NoQueryOverTcpClosesTheConnection) {
  Start();
  TcpClient tcp = Tcp();
  tcp.Send(std::vector<uint8_t>{1, 2, 3});
  EXPECT_EQ(tcp.Receive(), "closed");
}

TEST_F(ServerTest, IdleConnectionsAreClosed) {
  options_.tcp_idle_timeout = std::chrono::milliseconds(100);
  Start();
  TcpClient silent = Tcp();
  TcpClient half = Tcp();
  half.SendRaw(std::vector<uint8_t>{0});
  EXPECT_EQ(silent.Receive(), "closed");
  EXPECT_EQ(half.Receive(), "closed");
  EXPECT_EQ(server_.stats().tcp_closed_idle, 2u);
}

TEST_F(ServerTest, ConnectionsOverTheLimitAreClosedAtOnce) {
  options_.tcp_connections_max = 2;
  Start();
  TcpClient first = Tcp();
  EXPECT_EQ(first.Ask("web.node.consul A"), kWebA);
  {
    TcpClient second = Tcp();
    EXPECT_EQ(second.Ask("web.node.consul A"), kWebA);
    EXPECT_EQ(Tcp().Receive(), "closed");
    EXPECT_EQ(server_.stats().tcp_refused, 1u);
  }
  // The second is gone, so there is room again.
  EXPECT_TRUE(Eventually([this] { return Tcp().Ask("web.node.consul A") == kWebA; }));
}

// Goal: a client that asks without reading costs bounded memory and gets all when it reads. Method:
// ask for far more than the kernel's buffers and our limit hold, then read.
TEST_F(ServerTest, AClientThatDoesNotReadIsNotReadFrom) {
  for (int i = 0; i < 250; ++i) {
    resolver_.SetMeta("web", "key" + std::to_string(i), std::string(240, 'v'));
  }
  Start();
  TcpClient tcp = Tcp();
  constexpr int kQueries = 400;  // of 60 KB each
  std::thread sender([&tcp] {
    for (int i = 0; i < kQueries; ++i) tcp.Send(QueryBytes("web.node.consul TXT"));
  });
  sender.join();
  for (int i = 0; i < kQueries; ++i) {
    ASSERT_NE(tcp.Receive().find("key249="), std::string::npos) << i;
  }
}

TEST_F(ServerTest, ManyClientsAtOnce) {
  options_.threads = 3;
  Start();
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t, &right] {
      for (int i = 0; i < 200; ++i) {
        const bool tcp = (i + t) % 4 == 0;
        const std::string answer =
            tcp ? Tcp().Ask("web.node.consul A") : Udp().Ask("web.node.consul A");
        if (answer == kWebA) ++right;
        if (i % 20 == 0) resolver_.SetNode("web", "10.0.0.1");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 800);
}

}  // namespace
}  // namespace consul::gateway::dns
