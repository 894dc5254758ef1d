// Goal: what a user may write to say whom to join. Names are looked up by /etc/hosts alone here:
// the test's network has no name server.
#include "services/gossip/resolver.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <optional>

namespace consul::gossip {
namespace {

std::string Parsed(std::string_view text) {
  const absl::StatusOr<JoinTarget> target = ParseJoinTarget(text);
  if (!target.ok()) return "error: " + std::string(target.status().message());
  return target->host + " " + std::to_string(target->port);
}

TEST(JoinTargetTest, AddressesAndNamesWithAndWithoutAPort) {
  EXPECT_EQ(Parsed("10.0.0.1"), "10.0.0.1 0");
  EXPECT_EQ(Parsed("10.0.0.1:8301"), "10.0.0.1 8301");
  EXPECT_EQ(Parsed("web-1.example.com"), "web-1.example.com 0");
  EXPECT_EQ(Parsed("web:1"), "web 1");
  EXPECT_EQ(Parsed("fe80::1"), "fe80::1 0");
  EXPECT_EQ(Parsed("[fe80::1]"), "fe80::1 0");
  EXPECT_EQ(Parsed("[fe80::1]:65535"), "fe80::1 65535");
}

TEST(JoinTargetTest, WhatIsWrongIsNamed) {
  EXPECT_EQ(Parsed(""), "error: address is empty");
  EXPECT_EQ(Parsed(":8301"), "error: address :8301: missing host in address");
  EXPECT_EQ(Parsed("[]"), "error: address []: missing host in address");
  EXPECT_EQ(Parsed("[::1"), "error: address [::1: missing ']' in address");
  EXPECT_EQ(Parsed("[::1]8301"), "error: address [::1]8301: unexpected text behind ']'");
  for (const char* port : {"", "0", "65536", "-1", "x", "1x", " 1"}) {
    EXPECT_EQ(Parsed(std::string("web:") + port), std::string("error: address web:") + port +
                                                      ": invalid port \"" + port +
                                                      "\", it is 1 to 65535");
  }
  EXPECT_EQ(Parsed("a b"),
            "error: address a b: a host has no spaces, slashes or control characters");
  EXPECT_EQ(Parsed("http://a"),
            "error: address http://a: invalid port \"//a\", it is 1 to 65535");
  EXPECT_EQ(Parsed(std::string(300, 'a')), "error: address is 300 bytes long, the limit is 259");
}

class ResolverTest : public testing::Test {
 protected:
  absl::StatusOr<std::vector<Endpoint>> Resolve(std::string_view target) {
    std::optional<absl::StatusOr<std::vector<Endpoint>>> result;
    resolver_.Resolve(target, 8301, [&](auto endpoints) { result = std::move(endpoints); });
    io_.restart();
    while (!result.has_value() && io_.run_one() != 0) {
    }
    return *result;
  }

  boost::asio::io_context io_;
  Resolver resolver_{&io_};
};

TEST_F(ResolverTest, AnAddressIsItself) {
  EXPECT_EQ(*Resolve("10.0.0.1"), std::vector{*Endpoint::Parse("10.0.0.1:8301")});
  EXPECT_EQ(*Resolve("[fe80::1]:9"), std::vector{*Endpoint::Parse("[fe80::1]:9")});
}

TEST_F(ResolverTest, ANameIsLookedUp) {
  const auto endpoints = Resolve("localhost:77");
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  EXPECT_NE(std::find(endpoints->begin(), endpoints->end(), *Endpoint::Parse("127.0.0.1:77")),
            endpoints->end());
}

TEST_F(ResolverTest, ANameThatNobodyKnowsIsAnErrorWithTheName) {
  const auto endpoints = Resolve("nosuch.invalid");
  ASSERT_FALSE(endpoints.ok());
  EXPECT_TRUE(endpoints.status().message().find("lookup nosuch.invalid: ") == 0)
      << endpoints.status();
}

TEST_F(ResolverTest, WhatIsUnderWayEndsWithTheResolver) {
  std::optional<absl::Status> status;
  {
    Resolver resolver(&io_);
    resolver.Resolve("nosuch.invalid", 1, [&](auto endpoints) { status = endpoints.status(); });
  }
  EXPECT_TRUE(status.has_value());
  io_.restart();
  io_.poll();  // nothing of it is left to run
}

}  // namespace
}  // namespace consul::gossip
