// Goal: servers exchange every kind of message in order over real sockets; a foreign one gets
// nothing through; the end of a peer is told; limits hold; and it stops under load.
#include "services/transport/grpc_transport.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "services/transport/narrow_link.h"
#include "services/transport/test_messages.h"
#include "services/transport/test_network.h"

namespace consul::transport {
namespace {

using raft::Body;
using raft::Heartbeat;
using raft::Index;
using raft::Lane;
using raft::Message;
using raft::Round;

// Rounds of the heartbeats among `messages` that came from `from`, in order.
std::vector<uint64_t> Rounds(const std::vector<Message>& messages, const std::string& from) {
  std::vector<uint64_t> rounds;
  for (const Message& message : messages) {
    const auto* heartbeat = std::get_if<Heartbeat>(&message.body);
    if (heartbeat == nullptr || message.from.value != from) continue;
    rounds.push_back(heartbeat->round.value);
  }
  return rounds;
}

std::vector<uint64_t> Count(uint64_t to) {
  std::vector<uint64_t> numbers;
  for (uint64_t i = 1; i <= to; ++i) numbers.push_back(i);
  return numbers;
}

uint64_t AppendedIndex(const Message& message) {
  return std::get<raft::AppendRequest>(message.body).entries.front().index.value;
}

// Sends the same again and again until `enough` says so of all that has come, and returns that:
// what is sent before there is a connection, or room, is dropped.
template <class Enough>
std::vector<Message> SendUntil(TestServer& from, TestServer& to, const Body& body,
                               const Enough& enough) {
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    while (!stop) {
      from.Send(to, body);
      std::this_thread::yield();
    }
  });
  std::vector<Message> came = to.WaitFor(enough);
  stop = true;
  sender.join();
  return came;
}

// A heartbeat of this round.
void SendUntilItCame(TestServer& from, TestServer& to, uint64_t round) {
  SendUntil(from, to, Heartbeat{Index{0}, Round{round}}, [&](const std::vector<Message>& messages) {
    const std::vector<uint64_t> rounds = Rounds(messages, from.id().value);
    return std::find(rounds.begin(), rounds.end(), round) != rounds.end();
  });
}

TEST(GrpcTransportTest, EveryKindArrivesInTheOrderOfItsLane) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  const std::vector<Body> bodies = EveryBody();
  for (const Body& body : bodies) a.Send(b, body, 9);
  const std::vector<Message> received = b.WaitForCount(bodies.size());
  ASSERT_EQ(received.size(), bodies.size());
  for (const Lane lane : {Lane::kControl, Lane::kData}) {
    std::vector<size_t> sent;
    std::vector<size_t> came;
    for (const Body& body : bodies) {
      if (raft::LaneOf({{}, {}, {}, body}) == lane) sent.push_back(body.index());
    }
    for (const Message& message : received) {
      EXPECT_EQ(message.from, a.id());
      EXPECT_EQ(message.to, b.id());
      EXPECT_EQ(message.term, raft::Term{9});
      if (raft::LaneOf(message) == lane) came.push_back(message.body.index());
    }
    EXPECT_EQ(came, sent);
  }
  EXPECT_EQ(a.received_count(), 0u);
}

// One by one, for a batch is one write of gRPC's.
TEST(GrpcTransportTest, AStreamKeepsNothingOfWhatItHasSent) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  SendUntilItCame(a, b, 1);
  const auto send = [&](uint64_t round) {
    a.Send(b, Heartbeat{Index{0}, Round{round}});
    b.WaitFor([&](const std::vector<Message>& messages) {
      return !messages.empty() && Rounds({messages.back()}, "a").back() == round;
    });
    b.ForgetWhatCame();
  };
  send(2);
  constexpr uint64_t kCount = 1000;
  const size_t before = mallinfo2().uordblks;
  for (uint64_t i = 1; i <= kCount; ++i) send(2 + i);
  EXPECT_LT(mallinfo2().uordblks, before + kCount * 100);
}

TEST(GrpcTransportTest, ThreeServersSendToEachOther) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  TestServer c("c", &addresses);
  constexpr uint64_t kCount = 500;
  TestServer* const servers[] = {&a, &b, &c};
  for (uint64_t i = 1; i <= kCount; ++i) {
    for (TestServer* from : servers) {
      for (TestServer* to : servers) {
        if (from != to) from->Send(*to, Heartbeat{Index{0}, Round{i}});
      }
    }
  }
  for (TestServer* to : servers) {
    const std::vector<Message> received = to->WaitForCount(2 * kCount);
    for (TestServer* from : servers) {
      if (from == to) continue;
      EXPECT_EQ(Rounds(received, from->id().value), Count(kCount));
    }
  }
}

TEST(GrpcTransportTest, ManyAppendsDoNotHoldBackAHeartbeat) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  NarrowLink link(b.port(), 256 << 10);
  addresses.Set("b", link.address());
  constexpr uint64_t kAppends = 12;
  for (uint64_t i = 1; i <= kAppends; ++i) a.Send(b, TestAppend(std::string(1 << 20, 'x'), i));
  a.Send(b, Heartbeat{Index{0}, Round{1}});
  const std::vector<Message> first = b.WaitForCount(1);
  EXPECT_EQ(Rounds(first, "a"), Count(1));
  link.Widen();
  const std::vector<Message> received = b.WaitForCount(kAppends + 1);
  for (uint64_t i = 1; i <= kAppends; ++i) {
    const auto& append = std::get<raft::AppendRequest>(received[i].body);
    ASSERT_EQ(append.entries.size(), 1u);
    EXPECT_EQ(append.entries.front().index, Index{i});
    EXPECT_EQ(append.entries.front().payload_bytes(), size_t{1} << 20);
  }
}

TEST(GrpcTransportTest, WhatHasNoRoomIsDropped) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.limits = {.data_bytes_max = 4 << 20}});
  TestServer b("b", &addresses);
  NarrowLink link(b.port(), 256 << 10);
  addresses.Set("b", link.address());
  constexpr uint64_t kSent = 100;
  for (uint64_t i = 1; i <= kSent; ++i) a.Send(b, TestAppend(std::string(1'000'000, 'x'), i));
  link.Widen();
  // What is sent until it arrives is the last to arrive of all that was.
  const std::vector<Message> received = SendUntil(
      a, b, TestAppend("last", kSent + 1),
      [](const std::vector<Message>& messages) {
        return !messages.empty() && AppendedIndex(messages.back()) == kSent + 1;
      });
  std::vector<uint64_t> indexes;
  for (const Message& message : received) {
    if (AppendedIndex(message) <= kSent) indexes.push_back(AppendedIndex(message));
  }
  EXPECT_GE(indexes.size(), 4u);  // as many had room
  EXPECT_LT(indexes.size(), kSent);
  EXPECT_TRUE(std::is_sorted(indexes.begin(), indexes.end()));
}

TEST(GrpcTransportTest, AMessageLargerThanARequestIsDroppedAndNamed) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  a.Send(b, TestAppend(std::string(kMessageBytesMax, 'x')));
  a.WaitForLine("bytes to server b is dropped");
  // One that is just small enough is taken by the server port.
  a.Send(b, TestAppend(std::string(kMessageBytesMax - 100, 'x')));
  const std::vector<Message> received = b.WaitForCount(1);
  EXPECT_EQ(std::get<raft::AppendRequest>(received.front().body).entries.front().payload_bytes(),
            kMessageBytesMax - 100);
}

TEST(GrpcTransportTest, APeerThatComesBackOnItsAddressIsReached) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  auto b = std::make_unique<TestServer>("b", &addresses);
  SendUntilItCame(a, *b, 1);
  const std::string address = b->address();
  b->Kill();
  b = std::make_unique<TestServer>("b", &addresses, TestServerOptions{.address = address});
  SendUntilItCame(a, *b, 2);
}

TEST(GrpcTransportTest, APeerThatComesBackOnAnotherAddressIsReached) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  auto b = std::make_unique<TestServer>("b", &addresses);
  SendUntilItCame(a, *b, 1);
  // The old one lives on, as a machine that was cut off: the new address counts.
  TestServer again("b", &addresses);
  a.transport().PeersChanged();
  b->WaitForBroken("a");
  SendUntilItCame(a, again, 2);
}

TEST(GrpcTransportTest, AServerWhoseAddressIsNotKnownGetsNothing) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  a.Send(raft::ServerId{"b"}, Heartbeat{Index{0}, Round{1}});
  TestServer b("b", &addresses);
  SendUntilItCame(a, b, 2);
  for (const uint64_t round : Rounds(b.WaitForCount(1), "a")) EXPECT_EQ(round, 2u);
  addresses.Set("b", "");
  a.transport().PeersChanged();
  b.WaitForBroken("a");
}

TEST(GrpcTransportTest, TheEndOfAPeerIsTold) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  SendUntilItCame(a, b, 1);
  EXPECT_EQ(b.broken_count(), 0u);
  a.Kill();
  b.WaitForBroken("a");
}

TEST(GrpcTransportTest, ALeaderSaysWhomItCannotReachInTheReferencesWords) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  a.Send(b, Heartbeat{Index{0}, Round{1}});
  a.Send(b, TestAppend("x"));
  b.WaitForCount(2);
  b.Kill();
  EXPECT_NE(a.WaitForLine("[ERR] raft: failed to heartbeat to: peer=b address=").find(" error="),
            std::string::npos);
  a.WaitForLine("[ERR] raft: failed to appendEntries to: peer=b address=");
}

TEST(GrpcTransportTest, AServerWithoutTheLeadOnlySaysWhomItDoesNotReach) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  a.Send(b, raft::VoteRequest{});
  b.WaitForCount(1);
  b.Kill();
  a.WaitForLine("no connection to server b: lane=control address=");
  EXPECT_EQ(a.CountLines("failed to heartbeat to"), 0u);
}

TEST(GrpcTransportTest, AServerOfAnotherClusterIsRefusedAndBothSaySoOnce) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.cluster_id = "ours"});
  TestServer b("b", &addresses, {.cluster_id = "theirs"});
  const std::string text = "this is a server of cluster theirs, not ours";
  a.Send(b, Heartbeat{Index{0}, Round{1}});
  EXPECT_NE(a.WaitForLine("refused by server b").find(text), std::string::npos);
  EXPECT_NE(b.WaitForLine("refused server a").find(text), std::string::npos);
  // A retry is refused in silence: the data lane's first one is such.
  a.Send(b, TestAppend("x"));
  // Then they agree, and what is sent arrives.
  b.SetClusterId("ours");
  SendUntilItCame(a, b, 2);
  for (const uint64_t round : Rounds(b.WaitForCount(1), "a")) EXPECT_EQ(round, 2u);
  EXPECT_EQ(a.CountLines("refused by server b"), 1u);
  EXPECT_EQ(b.CountLines("refused server a"), 1u);
}

TEST(GrpcTransportTest, WhoKnowsNoClusterYetIsTakenUntilItDoes) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.cluster_id = ""});
  TestServer b("b", &addresses, {.cluster_id = "theirs"});
  SendUntilItCame(a, b, 1);
  a.SetClusterId("ours");
  a.Send(b, Heartbeat{Index{0}, Round{2}});
  a.WaitForLine("refused by server b");
}

// Its streams go on: to make them anew would look as if it had died.
TEST(GrpcTransportTest, WhoLearnsOfItsClusterSaysSoOnTheStreamsThatThereAre) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.cluster_id = ""});
  TestServer b("b", &addresses, {.cluster_id = ""});
  a.Send(b, Heartbeat{Index{0}, Round{1}});
  a.Send(b, TestAppend("x"));
  b.WaitForCount(2);
  a.SetClusterId("ours");
  a.Send(b, Heartbeat{Index{0}, Round{2}});
  a.Send(b, TestAppend("y"));
  b.WaitForCount(4);
  EXPECT_EQ(b.broken_count(), 0u);
  EXPECT_EQ(b.WaitForHeard(1).size(), 1u) << "it is known already what its program knows";
  // What was said then counts.
  b.SetClusterId("theirs");
  while (a.CountLines("refused by server b") == 0) {
    a.Send(b, Heartbeat{Index{0}, Round{3}});
    std::this_thread::yield();
  }
  EXPECT_NE(a.WaitForLine("refused by server b").find("this is a server of cluster theirs"),
            std::string::npos);
}

// Goes on until the id is there, whatever is being written then.
TEST(GrpcTransportTest, WhoLearnsOfItsClusterWhileItSendsSaysSoAndLosesNothing) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.cluster_id = ""});
  TestServer b("b", &addresses, {.cluster_id = ""});
  constexpr uint64_t kCount = 2000;
  std::thread learns([&] {
    b.WaitForCount(kCount / 10);
    a.SetClusterId("ours");
  });
  for (uint64_t round = 1; round <= kCount; ++round) {
    a.Send(b, Heartbeat{Index{0}, Round{round}});
  }
  EXPECT_EQ(Rounds(b.WaitForCount(kCount), "a"), Count(kCount));
  learns.join();
  EXPECT_EQ(b.broken_count(), 0u);
}

TEST(GrpcTransportTest, AServerOfAnotherDatacenterIsRefused) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.datacenter = "dc1"});
  TestServer b("b", &addresses, {.datacenter = "dc2"});
  a.Send(b, Heartbeat{Index{0}, Round{1}});
  EXPECT_NE(a.WaitForLine("refused by server b").find("this is datacenter dc2, not dc1"),
            std::string::npos);
  EXPECT_EQ(b.received_count(), 0u);
}

TEST(GrpcTransportTest, AnotherServerAtThePeersAddressIsRefused) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer c("c", &addresses);
  addresses.Set("b", c.address());
  a.Send(raft::ServerId{"b"}, Heartbeat{Index{0}, Round{1}});
  EXPECT_NE(a.WaitForLine("refused by server b").find("this is server c, not b"),
            std::string::npos);
  EXPECT_EQ(c.received_count(), 0u);
}

using Heard = std::vector<std::string>;

TEST(GrpcTransportTest, WhatAPeersProgramKnowsIsHeardOnce) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.state_version = 7});
  TestServer b("b", &addresses, {.state_version = 4});
  EXPECT_EQ(b.transport().StateVersionOf(a.id()), std::nullopt);
  a.Send(b, Heartbeat{Index{0}, Round{1}});
  a.Send(b, TestAppend("x"));
  b.WaitForCount(2);
  EXPECT_EQ(b.transport().StateVersionOf(a.id()), 7u);
  EXPECT_EQ(b.WaitForHeard(1), Heard{"a 7"}) << "the other lane says the same";
  EXPECT_EQ(a.transport().StateVersionOf(b.id()), std::nullopt) << "b has said nothing yet";
  SendUntilItCame(b, a, 1);
  EXPECT_EQ(a.WaitForHeard(1), Heard{"b 4"});
}

// Its hello is without the field, which is a zero on the wire.
TEST(GrpcTransportTest, AProgramThatIsTooOldToSayWhatItKnowsIsHeardAsThat) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.state_version = 0});
  TestServer b("b", &addresses, {.state_version = 4});
  SendUntilItCame(a, b, 1);
  EXPECT_EQ(b.transport().StateVersionOf(a.id()), 0u);
  EXPECT_EQ(b.WaitForHeard(1), Heard{"a 0"});
}

TEST(GrpcTransportTest, WhatIsKnownOfAPeerEndsWithItAndBeginsAnewWithTheNextOne) {
  TestAddresses addresses;
  auto a = std::make_unique<TestServer>("a", &addresses, TestServerOptions{.state_version = 7});
  TestServer b("b", &addresses);
  SendUntilItCame(*a, b, 1);
  a->Kill();
  b.WaitForBroken("a");
  EXPECT_EQ(b.transport().StateVersionOf(a->id()), std::nullopt);
  a = std::make_unique<TestServer>("a", &addresses, TestServerOptions{.state_version = 6});
  SendUntilItCame(*a, b, 2);
  EXPECT_EQ(b.WaitForHeard(2), (Heard{"a 7", "a 6"}));
}

// As when a machine vanished and its connections did not end.
TEST(GrpcTransportTest, OfTwoProcessesOfAPeerTheOlderOneCounts) {
  TestAddresses addresses;
  TestServer a("a", &addresses, {.state_version = 6});
  TestServer again("a", &addresses, {.state_version = 7});
  TestServer b("b", &addresses);
  a.Send(b, TestAppend("x"));
  b.WaitForCount(1);
  SendUntilItCame(again, b, 1);
  EXPECT_EQ(b.transport().StateVersionOf(a.id()), 6u);
  a.Kill();
  EXPECT_EQ(b.WaitForHeard(2), (Heard{"a 6", "a 7"}));
  b.WaitForBroken("a");
  EXPECT_EQ(b.transport().StateVersionOf(a.id()), 7u);
}

TEST(GrpcTransportTest, StopsUnderLoad) {
  TestAddresses addresses;
  TestServer a("a", &addresses);
  TestServer b("b", &addresses);
  std::atomic<bool> stop{false};
  std::vector<std::thread> senders;
  for (auto [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
    senders.emplace_back([&stop, from = from, to = to] {
      for (uint64_t i = 1; !stop; ++i) {
        from->Send(*to, TestAppend(std::string(10'000, 'x'), i));
        from->Send(*to, Heartbeat{Index{0}, Round{i}});
      }
    });
  }
  b.WaitForCount(1000);
  a.WaitForCount(1000);
  a.Stop();
  b.Stop();
  const size_t count = a.received_count();
  stop = true;
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(a.received_count(), count);
}

}  // namespace
}  // namespace consul::transport
