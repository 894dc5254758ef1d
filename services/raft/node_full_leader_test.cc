// A leader whose disk is full: it hands the lead on where that helps, else it says what is wrong,
// and goes on when there is room.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "services/base/strings.h"
#include "services/raft/node_disk_fixture.h"

namespace consul::raft {
namespace {

using Kind = MembershipChange::Kind;

TEST_F(NodeDiskTest, AFullDiskOfALeaderWithoutAnHeirRefusesAndGoesOn) {
  Add([](NodeOptions* options) { options->bootstrap = true; });
  WaitUntil([&] { return node(0).status().alone; });
  Add();
  ASSERT_TRUE(Change(0, Kind::kAddLearner, IdOf(1)).ok());
  WaitUntil([&] { return node(1).leader().id == IdOf(0); });
  Limit(0);
  absl::Status status;
  for (int i = 0; i < 20 && status.ok(); ++i) {
    status = Propose(i % 2, std::string(kMuchBytes, 'x')).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  status = Propose(0, std::string(kMuchBytes, 'x')).status();
  EXPECT_TRUE(base::ToStd(status.message()).starts_with("this server's disk is full: ")) << status;
  status = Propose(1, std::string(300'000, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "the disk of the leader, server a, is full");
  EXPECT_EQ(node(0).status().role, Role::kLeader);
  Unlimit(0);
  EXPECT_TRUE(Propose(1, std::string(300'000, 'x')).ok());
}

// Goal: that there is no room is told to who passes commands on, though callers of the leader's own
// ask all the time. Method: each refusal brings on the next proposal, larger or smaller than what
// the other server passes on.
TEST_F(NodeDiskTest, AFullDiskOfALeaderIsToldToOthersThoughItsOwnCallersGoOn) {
  Add([](NodeOptions* options) { options->bootstrap = true; });
  WaitUntil([&] { return node(0).status().alone; });
  Add();
  ASSERT_TRUE(Change(0, Kind::kAddLearner, IdOf(1)).ok());
  WaitUntil([&] { return node(1).leader().id == IdOf(0); });
  Limit(0);
  while (Much(0).ok()) {
  }
  for (const size_t bytes : {kMuchBytes, 4 * kMuchBytes}) {
    std::atomic<bool> goes_on{true};
    Countdown over(2);
    std::function<void()> propose = [&] {
      if (!goes_on) return over.Down();
      node(0).Propose(std::string(bytes, 'x'), [&](absl::StatusOr<Applied>) { propose(); });
    };
    propose();
    propose();
    for (int i = 0; i < 10; ++i) {
      const absl::Status status = Propose(1, std::string(2 * kMuchBytes, 'x')).status();
      EXPECT_EQ(status.message(), "the disk of the leader, server a, is full") << status;
    }
    goes_on = false;
    over.Wait();
  }
}

TEST_F(NodeDiskTest, ALeaderWithoutRoomHandsOnToOneThatHasSome) {
  Form(3);
  const size_t full = Leader();
  WaitUntilAllAcknowledge(full);
  Limit(full);
  absl::Status status;
  for (int i = 0; i < 20 && status.ok(); ++i) {
    status = Propose(full, std::string(kMuchBytes, 'x')).status();
  }
  // In no log: it may be proposed again.
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  WaitUntil([&] { return node(full).status().role != Role::kLeader; });
  const size_t heir = Leader();
  ASSERT_NE(heir, full);
  EXPECT_TRUE(Propose(heir, std::string(300'000, 'x')).ok());
}

TEST_F(NodeDiskTest, ALeaderWithoutRoomHandsOnForAChangeOfMembersAsWell) {
  Form(3);
  const size_t full = Leader();
  WaitUntilAllAcknowledge(full);
  Limit(full);
  ASSERT_TRUE(Much(full).ok());
  absl::Status status;
  for (bool add = true; status.ok(); add = !add) {
    status = Change(full, add ? Kind::kAddLearner : Kind::kRemove, IdOf(3));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(SaysThatItHandsOn(full));
  WaitUntil([&] { return node(full).status().role != Role::kLeader; });
}

// Room for a change of members is none for commands.
TEST_F(NodeDiskTest, AChangeOfMembersDoesNotHastenTheNextHandOver) {
  static constexpr Duration kPause = std::chrono::milliseconds(200);
  Form(3, [](NodeOptions* options) { options->hand_on_pause = kPause; });
  const size_t full = Leader();
  Limit(full);
  // Until it has handed on so often. Returns a time before it did.
  const auto hand_on = [&](size_t times) {
    Time before;
    while (CountSaysThatItHandsOn(full) < times) {
      Lead(full);
      before = BootNow();
      Propose(full, std::string(kMuchBytes, 'x'), node(full).status().term).IgnoreError();
    }
    return before;
  };
  hand_on(1);
  hand_on(2);
  WaitUntil([&] {
    Lead(full);
    return Change(full, Kind::kAddLearner, IdOf(3)).ok();
  });
  // This one comes two pauses after the second, and the next one twice as many after this.
  const Time third = hand_on(3);
  hand_on(4);
  EXPECT_GE(BootNow(), third + 4 * kPause);
}

// Not that its disk is full, as it is.
TEST_F(NodeDiskTest, WhoDoesNotLeadSaysSoToWhoWantsAChangeOfMembers) {
  Form(3);
  const size_t full = Leader();
  const size_t dead = (full + 1) % 3;
  Stop(&At(dead));
  WaitUntilSilent(full, dead);
  Limit(full);
  absl::Status status;
  while (status.ok()) status = Much(full);
  status = absl::OkStatus();
  for (bool add = true; status.ok(); add = !add) {
    status = Change(full, add ? Kind::kAddLearner : Kind::kRemove, IdOf(3));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  Lead(3 - full - dead);
  status = Change(full, Kind::kAddLearner, IdOf(4));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST_F(NodeDiskTest, ALeaderWithoutRoomKeepsTheLeadWhereAnotherIsDead) {
  Form(3);
  const size_t leader = Leader();
  const size_t dead = (leader + 1) % 3;
  Stop(&At(dead));
  WaitUntilSilent(leader, dead);
  ExpectRefusesAndGoesOn(leader);
}

// The reserve is for that as well.
TEST_F(NodeDiskTest, ALeaderWithoutRoomForCommandsChangesMembers) {
  Form(3);
  const size_t leader = Leader();
  const size_t dead = (leader + 1) % 3;
  Stop(&At(dead));
  WaitUntilSilent(leader, dead);
  Limit(leader);
  for (const size_t bytes : {kMuchBytes, size_t{500}, size_t{1}}) {
    absl::Status status;
    while (status.ok()) status = Propose(leader, std::string(bytes, 'x')).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  }
  EXPECT_TRUE(Change(leader, Kind::kRemove, IdOf(dead)).ok());
  EXPECT_EQ(node(leader).status().role, Role::kLeader);
}

TEST_F(NodeDiskTest, ALeaderWithoutRoomKeepsTheLeadWhereAnotherIsFull) {
  Form(3);
  const size_t leader = Leader();
  const size_t full = (leader + 1) % 3;
  Fill(leader, full);
  // It has acknowledged nothing for a while then.
  const Duration patience = OptionsOf(&At(leader)).core.election_timeout_max;
  const Time until = BootNow() + patience;
  WaitUntil([&] { return BootNow() >= until; });
  ExpectRefusesAndGoesOn(leader);
  Unlimit(full);
  WaitUntil([&] { return At(full).machine->commands() == At(leader).machine->commands(); });
}

// What another server passed on may be proposed again, whatever became of the room.
TEST_F(NodeDiskTest, WhoLosesTheLeadWhileRoomIsMadeSaysThatItDoesNotLead) {
  Form(3);
  const size_t leader = Leader();
  const size_t other = Follower();
  const Term later{node(leader).status().term.value + 100};
  wire_.LoseIf([](const Message&) { return true; });
  std::atomic<bool> answered{false};
  std::atomic<ForwardStatus> status{ForwardStatus::kPlaced};
  wire_.Watch([&](const Message& message) {
    const auto* placed = std::get_if<ProposalsPlaced>(&message.body);
    if (placed == nullptr || message.from != IdOf(leader)) return;
    status = placed->status;
    answered = true;
  });
  Limit(leader);
  const auto held = std::make_shared<Countdown>(1);
  At(leader).fs.SetSyncHook([held] { held->Wait(); });
  node(leader).Propose(MakeBuffer("x"), std::nullopt, [](absl::StatusOr<Applied>) {});
  ForwardedProposals commands{.first_id = 1, .commands = {}};
  commands.commands.push_back(MakeBuffer(std::string(300'000, 'x')));
  node(leader).Receive({IdOf(other), IdOf(leader), node(leader).status().term, commands});
  node(leader).Receive({IdOf(other), IdOf(leader), later, Heartbeat{Index{0}, Round{1}}});
  WaitUntil([&] { return answered.load(); });
  EXPECT_EQ(status, ForwardStatus::kNotLeader);
  held->Down();
  wire_.Watch(nullptr);
}

}  // namespace
}  // namespace consul::raft
