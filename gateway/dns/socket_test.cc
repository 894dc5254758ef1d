#include "gateway/dns/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace consul::gateway::dns {
namespace {

SocketAddress A(std::string_view ip, uint16_t port) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress(ip, port);
  EXPECT_TRUE(address.ok()) << address.status();
  return address.value_or(SocketAddress());
}

TEST(SocketTest, AddressesAsText) {
  EXPECT_EQ(A("127.0.0.1", 8600).ToText(), "127.0.0.1:8600");
  EXPECT_EQ(A("0.0.0.0", 0).ToText(), "0.0.0.0:0");
  EXPECT_EQ(A("::1", 8600).ToText(), "[::1]:8600");
  EXPECT_EQ(A("2001:DB8::1", 65535).ToText(), "[2001:db8::1]:65535");
}

TEST(SocketTest, BadAddressesAreRefused) {
  for (const char* ip :
       {"", "localhost", "127.0.0", "127.0.0.1:53", "[::1]", "::g", "1.2.3.4%lo"}) {
    EXPECT_EQ(ParseSocketAddress(ip, 1).status().code(), absl::StatusCode::kInvalidArgument) << ip;
  }
}

TEST(SocketTest, WhatStandsBehindAZeroByteCounts) {
  using namespace std::string_view_literals;
  for (const std::string_view ip : {"127.0.0.1\0x"sv, "::1\0"sv, "fe80::1%lo\0x"sv}) {
    EXPECT_EQ(ParseSocketAddress(ip, 1).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(SocketTest, ZonesNameInterfaces) {
  EXPECT_NE(A("fe80::1%lo", 1).storage.sin6_scope_id, 0u);
  EXPECT_EQ(ParseSocketAddress("fe80::1%nosuch", 1).status().message(),
            "no interface nosuch for fe80::1%nosuch");
}

TEST(SocketTest, Wildcards) {
  EXPECT_TRUE(A("0.0.0.0", 1).wildcard());
  EXPECT_TRUE(A("::", 1).wildcard());
  EXPECT_FALSE(A("127.0.0.1", 1).wildcard());
  EXPECT_FALSE(A("::1", 1).wildcard());
}

TEST(SocketTest, ManyUdpSocketsShareAPort) {
  SocketAddress address = A("127.0.0.1", 0);
  const absl::StatusOr<Fd> first = BindUdp(address, {});
  ASSERT_TRUE(first.ok());
  address.set_port(BoundPort(*first));
  EXPECT_TRUE(BindUdp(address, {}).ok());
}

TEST(SocketTest, TcpSocketsDoNot) {
  SocketAddress address = A("127.0.0.1", 0);
  const absl::StatusOr<Fd> first = ListenTcp(address, {});
  ASSERT_TRUE(first.ok());
  address.set_port(BoundPort(*first));
  const absl::Status status = ListenTcp(address, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message(), "listen tcp " + address.ToText() + ": address already in use");
}

TEST(SocketTest, FdIsMovedAndClosedOnce) {
  Fd first(dup(0));
  const int number = first.get();
  Fd second = std::move(first);
  EXPECT_FALSE(first.open());
  EXPECT_EQ(second.get(), number);
  second = Fd();
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace consul::gateway::dns
