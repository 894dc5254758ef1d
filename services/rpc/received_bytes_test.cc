// Goal: what came is counted, of the connections that lead to an address and of no others.
#include "services/rpc/received_bytes.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace consul::rpc {
namespace {

// A connection over the loopback; IPv6 sockets reach an IPv4 listener where `mapped`.
class Connection {
 public:
  explicit Connection(int family, bool mapped = false) {
    listener_ = socket(family, SOCK_STREAM, 0);
    client_ = socket(mapped ? AF_INET6 : family, SOCK_STREAM, 0);
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    auto* const bound = family == AF_INET ? reinterpret_cast<sockaddr*>(&v4)
                                          : reinterpret_cast<sockaddr*>(&v6);
    socklen_t size = family == AF_INET ? sizeof(v4) : sizeof(v6);
    EXPECT_EQ(bind(listener_, bound, size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, bound, &size), 0);
    const uint16_t port = family == AF_INET ? v4.sin_port : v6.sin6_port;
    address_ = (family == AF_INET ? "127.0.0.1:" : "[::1]:") + std::to_string(ntohs(port));
    sockaddr_in6 as_v6 = v6;
    as_v6.sin6_port = port;
    EXPECT_EQ(inet_pton(AF_INET6, "::ffff:127.0.0.1", &as_v6.sin6_addr), 1);
    const auto* const to = mapped ? reinterpret_cast<const sockaddr*>(&as_v6) : bound;
    EXPECT_EQ(connect(client_, to, mapped ? sizeof(as_v6) : size), 0);
    server_ = accept(listener_, nullptr, nullptr);
  }
  ~Connection() {
    for (const int fd : {listener_, client_, server_}) close(fd);
  }

  // From the listener's side.
  void Send(const std::string& bytes) {
    EXPECT_EQ(send(server_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  const std::string& address() const { return address_; }

 private:
  int listener_;
  int client_;
  int server_;
  std::string address_;
};

TEST(ReceivedBytesTest, WhatComesIsCountedBeforeAnybodyReadsIt) {
  Connection one(AF_INET);
  Connection other(AF_INET);
  EXPECT_EQ(BytesReceivedFrom(one.address()), 0);
  one.Send("12345");
  EXPECT_EQ(BytesReceivedFrom(one.address()), 5);
  other.Send("123");
  one.Send("67");
  EXPECT_EQ(BytesReceivedFrom(one.address()), 7);
  EXPECT_EQ(BytesReceivedFrom(other.address()), 3);
}

TEST(ReceivedBytesTest, TheFamilyOfTheSocketIsNoMatter) {
  Connection mapped(AF_INET, /*mapped=*/true);
  mapped.Send("12345");
  EXPECT_EQ(BytesReceivedFrom(mapped.address()), 5);
  Connection v6(AF_INET6);
  v6.Send("123");
  EXPECT_EQ(BytesReceivedFrom(v6.address()), 3);
}

TEST(ReceivedBytesTest, NothingComesFromWhatIsNoAddress) {
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:8x",
                           "localhost:8300", "[::1:8300", "127.0.0.1:1"}) {
    EXPECT_EQ(BytesReceivedFrom(text), 0) << text;
  }
}

}  // namespace
}  // namespace consul::rpc
