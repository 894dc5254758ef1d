// Goal: a user event survives its way through gossip, and reaches whom it is for and nobody else.
#include "services/agent/user_event.h"

#include <gtest/gtest.h>

#include "services/base/strings.h"

namespace consul::agent {
namespace {

event::v1::Event Deploy() {
  event::v1::Event event;
  event.set_id("5ad9cd25-0000-1111-2222-333344445555");
  event.set_name("deploy");
  event.set_payload(std::string("\0\xff", 2));
  event.set_node_filter("^web");
  event.set_version(1);
  return event;
}

gossip::UserEvent Sent(const event::v1::Event& event) {
  GossipEvent wire = ToGossip(event);
  return {gossip::LamportTime{7}, wire.name, wire.payload, false};
}

std::string WhyNot(const gossip::UserEvent& event) {
  return std::string(base::ToStd(FromGossip(event).status().message()));
}

TEST(UserEventTest, ComesAsItWasSentWithItsTime) {
  const gossip::UserEvent sent = Sent(Deploy());
  EXPECT_TRUE(IsUserEvent(sent));
  event::v1::Event expected = Deploy();
  expected.set_l_time(7);
  const auto heard = FromGossip(sent);
  ASSERT_TRUE(heard.ok());
  EXPECT_EQ(heard->SerializeAsString(), expected.SerializeAsString());
}

TEST(UserEventTest, AgentsOwnEventsAreNone) {
  EXPECT_FALSE(IsUserEvent({gossip::LamportTime{1}, "consul:new-leader", "", false}));
}

TEST(UserEventTest, WhatCannotBeReadIsRefused) {
  gossip::UserEvent sent = Sent(Deploy());
  sent.payload = "\xff";
  EXPECT_EQ(WhyNot(sent), "failed to decode event: malformed payload");
  event::v1::Event event = Deploy();
  event.set_id("x");
  EXPECT_EQ(WhyNot(Sent(event)), "failed to decode event: its id is no UUID");
  event = Deploy();
  event.set_version(2);
  EXPECT_EQ(WhyNot(Sent(event)),
            "failed to decode event: version 2 is not known, the newest is 1");
}

TEST(UserEventTest, FiltersOfNodes) {
  EXPECT_TRUE(*IsFor(Deploy(), "web1"));
  EXPECT_FALSE(*IsFor(Deploy(), "db1"));
  event::v1::Event all = Deploy();
  all.clear_node_filter();
  EXPECT_TRUE(*IsFor(all, "db1"));
  event::v1::Event broken = Deploy();
  broken.set_node_filter("(");
  EXPECT_FALSE(IsFor(broken, "db1").ok());
}

TEST(UserEventTest, WhoHasNoServicesTakesNoEventsOfServices) {
  event::v1::Event event = Deploy();
  event.set_service_filter(".*");
  EXPECT_FALSE(*IsFor(event, "web1"));
}

}  // namespace
}  // namespace consul::agent
