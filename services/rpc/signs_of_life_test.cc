// Goal: whoever answers, or takes what stands in line for it, lives; nobody else does.
// Method: connections over the loopback, at whose other end the test does what a server would do.
#include "services/rpc/signs_of_life.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>

#include "services/rpc/test_caller.h"

namespace consul::rpc {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kKeepaliveTimeout = 60s;

class Connection {
 public:
  Connection(int client, int server) : client_(client), server_(server) {}
  ~Connection() { Close(); }
  void Close() {
    for (int* const fd : {&client_, &server_}) {
      if (*fd >= 0) close(*fd);
      *fd = -1;
    }
  }

  void Answer(const std::string& bytes) { SendAll(server_, bytes); }
  // A request that the other system takes at once; its process does not read it.
  void Ask(const std::string& bytes) {
    SendAll(client_, bytes);
    EXPECT_TRUE(Eventually([&] { return Count(SIOCOUTQ) == 0; }));
  }
  // Requests until no more are taken, and what is left stands in line.
  void FillUp() {
    const std::string piece(4096, 'x');
    ASSERT_TRUE(Eventually([&] {
      while (send(client_, piece.data(), piece.size(), MSG_DONTWAIT) > 0) continue;
      return Count(SIOCOUTQNSD) > 0 && Count(SIOCOUTQNSD) == Count(SIOCOUTQ);
    }));
  }
  // The process reads until the system has room for more, and takes it.
  void ReadSome() {
    const int before = Count(SIOCOUTQ);
    std::string piece(65536, '\0');
    EXPECT_TRUE(Eventually([&] {
      EXPECT_GE(recv(server_, piece.data(), piece.size(), MSG_DONTWAIT), -1);
      return Count(SIOCOUTQ) < before;
    }));
  }

 private:
  static void SendAll(int fd, const std::string& bytes) {
    EXPECT_EQ(send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  // SIOCOUTQ: bytes that the other system has not taken; SIOCOUTQNSD: those of them not yet sent.
  int Count(unsigned long which) const {
    int count = 0;
    EXPECT_EQ(ioctl(client_, which, &count), 0);
    return count;
  }

  int client_;
  int server_;
};

class Listener {
 public:
  explicit Listener(int family = AF_INET) : family_(family), fd_(socket(family, SOCK_STREAM, 0)) {
    v4_.sin_family = AF_INET;
    v4_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6_.sin6_family = AF_INET6;
    v6_.sin6_addr = in6addr_loopback;
    const bool is_v4 = family == AF_INET;
    auto* const bound = is_v4 ? reinterpret_cast<sockaddr*>(&v4_)
                              : reinterpret_cast<sockaddr*>(&v6_);
    socklen_t size = is_v4 ? sizeof(v4_) : sizeof(v6_);
    EXPECT_EQ(bind(fd_, bound, size), 0);
    EXPECT_EQ(listen(fd_, 4), 0);
    EXPECT_EQ(getsockname(fd_, bound, &size), 0);
    const uint16_t port = is_v4 ? v4_.sin_port : v6_.sin6_port;
    address_ = (is_v4 ? "127.0.0.1:" : "[::1]:") + std::to_string(ntohs(port));
  }
  ~Listener() { close(fd_); }

  // An IPv6 socket reaches an IPv4 listener where `mapped`.
  std::unique_ptr<Connection> Connect(std::chrono::milliseconds keepalive_timeout,
                                      bool mapped = false) {
    sockaddr_in6 to = v6_;
    if (mapped) {
      to.sin6_port = v4_.sin_port;
      EXPECT_EQ(inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr), 1);
    }
    const bool by_v4 = family_ == AF_INET && !mapped;
    const int client = socket(by_v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    const auto timeout_ms = static_cast<unsigned>(keepalive_timeout.count());
    EXPECT_EQ(setsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)),
              0);
    EXPECT_EQ(by_v4 ? connect(client, reinterpret_cast<const sockaddr*>(&v4_), sizeof(v4_))
                    : connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof(to)),
              0);
    return std::make_unique<Connection>(client, accept(fd_, nullptr, nullptr));
  }
  std::unique_ptr<Connection> Connect() { return Connect(kKeepaliveTimeout); }
  SignsOfLife Look() const { return SignsOfLife(address_, kKeepaliveTimeout); }

 private:
  const int family_;
  const int fd_;
  sockaddr_in v4_{};
  sockaddr_in6 v6_{};
  std::string address_;
};

TEST(SignsOfLifeTest, WhatComesIsOneBeforeAnybodyReadsIt) {
  Listener server;
  Listener other;
  const auto line = server.Connect();
  const auto others_line = other.Connect();
  line->Answer("12345");
  const SignsOfLife signs = server.Look();
  EXPECT_FALSE(signs.Since());
  others_line->Answer("123");
  EXPECT_FALSE(signs.Since());
  line->Answer("6");
  EXPECT_TRUE(signs.Since());
}

TEST(SignsOfLifeTest, TheFamilyOfTheSocketIsNoMatter) {
  Listener v4;
  const auto mapped_line = v4.Connect(kKeepaliveTimeout, /*mapped=*/true);
  const SignsOfLife mapped = v4.Look();
  mapped_line->Answer("1");
  EXPECT_TRUE(mapped.Since());
  Listener v6(AF_INET6);
  const auto v6_line = v6.Connect();
  const SignsOfLife signs = v6.Look();
  v6_line->Answer("1");
  EXPECT_TRUE(signs.Since());
}

TEST(SignsOfLifeTest, AConnectionThatEndsTakesNoSignOfAnotherAway) {
  Listener server;
  const auto ends = server.Connect();
  const auto stays = server.Connect();
  ends->Answer("much more than comes on the other one");
  const SignsOfLife signs = server.Look();
  ends->Close();
  EXPECT_FALSE(signs.Since());
  stays->Answer("1");
  EXPECT_TRUE(signs.Since());
}

// What has the number of one that was closed is not that one.
TEST(SignsOfLifeTest, AConnectionThatIsMadeMeanwhileIsNotLookedAt) {
  Listener server;
  const auto ends = server.Connect();
  const SignsOfLife signs = server.Look();
  ends->Close();
  const auto begins = server.Connect();
  begins->Answer("1");
  EXPECT_FALSE(signs.Since());
}

TEST(SignsOfLifeTest, WhatComesToAnotherChannelIsNone) {
  Listener server;
  const auto calls = server.Connect();
  const auto raft = server.Connect(3s);
  const SignsOfLife signs = server.Look();
  raft->Answer("1");
  EXPECT_FALSE(signs.Since());
  calls->Answer("1");
  EXPECT_TRUE(signs.Since());
}

// A process that stands still looks like this: its system has taken what it was asked.
TEST(SignsOfLifeTest, ARequestThatIsTakenIsNone) {
  Listener server;
  const auto line = server.Connect();
  const SignsOfLife signs = server.Look();
  line->Ask("does it serve?");
  EXPECT_FALSE(signs.Since());
}

TEST(SignsOfLifeTest, ALineThatMovesIsOneAndOneThatDoesNotIsNone) {
  Listener server;
  const auto line = server.Connect();
  const SignsOfLife empty = server.Look();
  line->FillUp();
  EXPECT_TRUE(empty.Since());
  const SignsOfLife full = server.Look();
  EXPECT_FALSE(full.Since());
  line->ReadSome();
  EXPECT_TRUE(full.Since());
}

TEST(SignsOfLifeTest, NothingComesFromWhatIsNoAddress) {
  Listener server;
  const auto line = server.Connect();
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:8x",
                           "localhost:8300", "[::1:8300", "127.0.0.1:1"}) {
    const SignsOfLife signs(text, kKeepaliveTimeout);
    line->Answer("1");
    EXPECT_FALSE(signs.Since()) << text;
  }
}

}  // namespace
}  // namespace consul::rpc
