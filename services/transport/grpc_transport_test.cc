// Goal: servers exchange every kind of message in order over real sockets; a foreign one gets
// nothing through; the end of a peer is told; limits hold; and it stops under load.
#include "services/transport/grpc_transport.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

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
    if (heartbeat != nullptr && message.from.value == from) rounds.push_back(heartbeat->round.value);
  }
  return rounds;
}

std::vector<uint64_t> Count(uint64_t to) {
  std::vector<uint64_t> numbers;
  for (uint64_t i = 1; i <= to; ++i) numbers.push_back(i);
  return numbers;
}

// Sends heartbeats of this round until one has arrived: those before a connection are dropped.
void SendUntilItCame(TestServer& from, TestServer& to, uint64_t round) {
  const auto came = [&](const std::vector<Message>& messages) {
    const std::vector<uint64_t> rounds = Rounds(messages, from.id().value);
    return std::find(rounds.begin(), rounds.end(), round) != rounds.end();
  };
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    while (!stop) {
      from.Send(to, Heartbeat{Index{0}, Round{round}});
      std::this_thread::yield();
    }
  });
  to.WaitFor(came);
  stop = true;
  sender.join();
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
      if (from != to) EXPECT_EQ(Rounds(received, from->id().value), Count(kCount));
    }
  }
}

}  // namespace
}  // namespace consul::transport
