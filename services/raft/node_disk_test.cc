// Several servers' consensus while disks are full: one full disk of three stops nobody, two stop
// writes with the reason, and all goes on when there is room.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "services/base/strings.h"
#include "services/raft/node_cluster.h"
#include "services/raft/node_view.h"

namespace consul::raft {
namespace {

using Kind = MembershipChange::Kind;

constexpr size_t kMuchBytes = 50'000;

class NodeDiskTest : public NodeClusterTest {
 protected:
  // No segment more than there are.
  void Limit(size_t at) { At(at).fs.SetCapacity(At(at).fs.size_total()); }
  void Unlimit(size_t at) { At(at).fs.SetCapacity(std::nullopt); }
  absl::Status Much(size_t at) { return Propose(at, std::string(kMuchBytes, 'x')).status(); }

  bool HasLineThatBegins(const std::string& begin) {
    base::MutexLock lock(&mutex_);
    return std::ranges::any_of(lines_, [&](const auto& line) { return line.starts_with(begin); });
  }
  bool SaysFull(size_t at) {
    return HasLineThatBegins(base::StrCat(IdOf(at).value, ": raft: disk full: make log segment "));
  }
  bool SaysThatItHandsOn(size_t at) {
    return HasLineThatBegins(base::StrCat(IdOf(at).value, ": raft: disk full, handing over"));
  }
  // Of a follower: until it takes no more.
  void Fill(size_t leader, size_t full) {
    Limit(full);
    while (!SaysFull(full)) {
      const Index written = node(leader).status().last_index.Next();
      // Where another one is full already, the last is not committed.
      node(leader).Propose(std::string(kMuchBytes, 'x'), [](absl::StatusOr<Applied>) {});
      WaitUntil([&] { return SaysFull(full) || node(leader).status().commit_index >= written; });
    }
  }
  // Until a new leader has heard of all what they have: before, it trusts none of them to go on.
  void WaitUntilAllAcknowledge(size_t leader) {
    WaitUntil([&] {
      const auto members = node(leader).Members();
      return !members.empty() &&
             std::ranges::all_of(members, [](const auto& m) { return m.match > Index{0}; });
    });
  }
  // Until the leader takes it for silent.
  void WaitUntilSilent(size_t leader, size_t dead) {
    const Duration patience = OptionsOf(&At(leader)).core.election_timeout_max;
    WaitUntil([&] {
      const auto members = node(leader).Members();
      return std::ranges::any_of(members, [&](const MemberProgress& member) {
        return member.id == IdOf(dead) && BootNow() >= member.heard_at + patience;
      });
    });
  }
  // Of a leader that is full and keeps the lead: says the reason at once, and goes on with room.
  void ExpectRefusesAndGoesOn(size_t leader) {
    Limit(leader);
    absl::Status status;
    while (status.ok()) status = Much(leader);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_NE(status.ToString().find("No space left"), std::string::npos) << status;
    EXPECT_FALSE(SaysThatItHandsOn(leader));
    EXPECT_EQ(node(leader).status().role, Role::kLeader);
    EXPECT_TRUE(Barrier(leader, ReadMode::kReadIndex).ok());
    Unlimit(leader);
    EXPECT_TRUE(Much(leader).ok());
  }
};

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
  status = Propose(1, std::string(300'000, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "the disk of the leader, server a, is full");
  EXPECT_EQ(node(0).status().role, Role::kLeader);
  Unlimit(0);
  EXPECT_TRUE(Propose(1, std::string(300'000, 'x')).ok());
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

TEST_F(NodeDiskTest, AFollowerWithoutRoomTellsItsCallersSo) {
  Form(3, [](NodeOptions* options) { options->core.in_flight_requests_max = 2; });
  const size_t leader = Leader();
  const size_t full = Follower();
  Limit(full);
  absl::Status status;
  for (int i = 0; i < 100 && status.code() != absl::StatusCode::kUnavailable; ++i) {
    ASSERT_TRUE(Propose(leader, std::string(kMuchBytes, 'x')).ok());
    status = Barrier(full, ReadMode::kReadIndex);
  }
  EXPECT_TRUE(base::ToStd(status.message()).starts_with("this server's disk is full: ")) << status;
  status = Propose(full, "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(base::ToStd(status.message()).starts_with("this server's disk is full: ")) << status;
  Unlimit(full);
  WaitUntil([&] { return Propose(full, "later").ok(); });
  EXPECT_TRUE(Barrier(full, ReadMode::kReadIndex).ok());
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

TEST_F(NodeDiskTest, WithTwoOfThreeFullCallersHearOfItAndItGoesOnWithRoom) {
  Form(3, [](NodeOptions* options) { options->core.commit_wait_max = std::chrono::seconds(1); });
  const size_t leader = Leader();
  const size_t one = (leader + 1) % 3;
  const size_t two = (leader + 2) % 3;
  Fill(leader, one);
  Fill(leader, two);
  const Index committed = node(leader).status().commit_index;
  const std::string words = base::StrCat("no majority has written entry ", committed.value + 1,
                                         " for 1 s: server ", std::min(IdOf(one), IdOf(two)).value,
                                         " has not, server ", std::max(IdOf(one), IdOf(two)).value,
                                         " has not");
  // In the log of the leader, and only there.
  absl::Status status = Much(leader);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown) << status;
  EXPECT_EQ(base::ToStd(status.message()),
            words + "; the command may yet be applied, or not");
  EXPECT_TRUE(HasLine(base::StrCat(IdOf(leader).value, ": raft: ", words)));
  status = Much(leader);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  EXPECT_EQ(base::ToStd(status.message()), words);
  EXPECT_EQ(node(leader).status().role, Role::kLeader);
  EXPECT_TRUE(Barrier(leader, ReadMode::kReadIndex).ok());
  status = Much(one);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(base::ToStd(status.message()).starts_with("this server's disk is full: "));
  Unlimit(one);
  WaitUntil([&] { return Propose(leader, "later").ok(); });
  WaitUntil([&] { return Propose(one, "later").ok(); });
  EXPECT_FALSE(Has(two, "later"));
}

TEST_F(NodeDiskTest, WhereNobodyWritesEachCallerWaitsForAsLong) {
  static constexpr Duration kMax = std::chrono::seconds(2);
  Form(3, [](NodeOptions* options) { options->core.commit_wait_max = kMax; });
  const size_t leader = Leader();
  Fill(leader, (leader + 1) % 3);
  Fill(leader, (leader + 2) % 3);
  const Time later = BootNow() + kMax / 4;
  WaitUntil([&] { return BootNow() >= later; });
  const Time begun = BootNow();
  EXPECT_EQ(Much(leader).code(), absl::StatusCode::kUnknown);
  EXPECT_GE(BootNow(), begun + kMax);
}

TEST_F(NodeDiskTest, WithOneFullAndOneDeadCallersHearOfItAndItGoesOnWithRoom) {
  Form(3, [](NodeOptions* options) { options->core.commit_wait_max = std::chrono::seconds(1); });
  const size_t leader = Leader();
  const size_t full = (leader + 1) % 3;
  const size_t dead = (leader + 2) % 3;
  Fill(leader, full);
  Stop(&At(dead));
  absl::Status status;
  while (status.ok()) status = Much(leader);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown) << status;
  const std::string text = status.ToString();
  EXPECT_NE(text.find(base::StrCat("server ", IdOf(full).value, " has not")), text.npos) << text;
  EXPECT_NE(text.find(base::StrCat("server ", IdOf(dead).value, " is not heard")), text.npos)
      << text;
  EXPECT_EQ(Much(leader).code(), absl::StatusCode::kAborted);
  Unlimit(full);
  WaitUntil([&] { return Propose(leader, "later").ok(); });
}

// Its vote stands behind nothing that it has no room for.
TEST_F(NodeDiskTest, AFollowerWithoutRoomElectsOneThatHasSome) {
  Form(3);
  const size_t dead = Leader();
  const size_t full = (dead + 1) % 3;
  const size_t heir = (dead + 2) % 3;
  Fill(dead, full);
  const std::string last = "the full one does not have it";
  ASSERT_TRUE(Propose(heir, last + std::string(kMuchBytes, 'x')).ok());
  Stop(&At(dead));
  WaitUntil([&] { return node(heir).status().role == Role::kLeader; });
  WaitUntil([&] { return node(full).leader().id == IdOf(heir); });
  EXPECT_EQ(Propose(full, "x").status().code(), absl::StatusCode::kUnavailable);
  Unlimit(full);
  EXPECT_EQ(Leader(), heir);
  EXPECT_TRUE(Propose(full, "later").ok());
}

// Terms and votes of it stand in what its disk has not written.
TEST_F(NodeDiskTest, WhatWaitsForTheDiskHasALimit) {
  Form(3);
  const size_t slow = Follower();
  const ServerId from = IdOf((slow + 1) % 3);
  const Term later{node(slow).status().term.value + 100};
  wire_.LoseIf([](const Message&) { return true; });
  const auto held = std::make_shared<Countdown>(1);
  At(slow).fs.SetSyncHook([held] { held->Wait(); });
  constexpr uint64_t kCount = 5000;
  std::atomic<uint64_t> answers{0};
  std::atomic<bool> all_taken{false};
  std::atomic<bool> last{false};
  wire_.Watch([&](const Message& message) {
    if (message.from == IdOf(slow) && std::holds_alternative<ReadIndexReply>(message.body)) {
      all_taken = true;
    }
    const auto* reply = std::get_if<HeartbeatReply>(&message.body);
    if (reply == nullptr || message.from != IdOf(slow) || message.term != later) return;
    ++answers;
    if (reply->round == Round{kCount}) last = true;
  });
  for (uint64_t i = 1; i <= kCount; ++i) {
    node(slow).Receive({from, IdOf(slow), later, Heartbeat{Index{0}, Round{i}}});
  }
  // That it does not lead it says at once.
  node(slow).Receive({from, IdOf(slow), later, ReadIndexRequest{ReadId{1}}});
  WaitUntil([&] { return all_taken.load(); });
  EXPECT_EQ(answers, 0u) << "its term is not durable";
  held->Down();
  WaitUntil([&] { return last.load(); });
  wire_.Watch(nullptr);
  EXPECT_GT(answers, 256u) << "more than a leader has under way";
  EXPECT_LE(answers, 1024u);
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

// A leader's requests wait while room is made for the first, as many as it sends ahead of acks.
TEST_F(NodeDiskTest, WhatWaitsForRoomHasALimit) {
  Form(3);
  const size_t leader = Leader();
  const size_t slow = Follower();
  const NodeStatus before = node(leader).status();
  WaitUntil([&] { return node(slow).status().last_index == before.last_index; });
  wire_.LoseIf([](const Message&) { return true; });
  std::atomic<bool> all_taken{false};
  std::atomic<uint64_t> acknowledged{0};
  wire_.Watch([&](const Message& message) {
    if (message.from != IdOf(slow)) return;
    if (std::holds_alternative<ReadIndexReply>(message.body)) all_taken = true;
    const auto* ack = std::get_if<AppendReply>(&message.body);
    if (ack != nullptr && ack->accepted) acknowledged = ack->match.value;
  });
  const auto held = std::make_shared<Countdown>(1);
  At(slow).fs.SetSyncHook([held] { held->Wait(); });
  Index last = before.last_index;
  const auto send = [&](size_t bytes) {
    AppendRequest request{.prev_index = last,
                          .prev_term = before.term,
                          .commit = before.commit_index,
                          .round = Round{0},
                          .entries = {}};
    last = last.Next();
    request.entries.push_back({before.term, last, EntryKind::kCommand,
                               MakeBuffer(std::string(bytes, 'x'))});
    node(slow).Receive({IdOf(leader), IdOf(slow), before.term, std::move(request)});
  };
  // The first two are more than a segment, so that the second is the first that waits.
  for (int i = 0; i < 2; ++i) send(kMuchBytes);
  for (int i = 0; i < 1000; ++i) send(10);
  node(slow).Receive({IdOf(leader), IdOf(slow), before.term, ReadIndexRequest{ReadId{1}}});
  WaitUntil([&] { return all_taken.load(); });
  EXPECT_LE(acknowledged, before.last_index.value);
  held->Down();
  const uint64_t expected = before.last_index.value + 1 + 256;
  WaitUntil([&] { return acknowledged >= expected; });
  EXPECT_EQ(node(slow).status().last_index.value, expected);
  wire_.Watch(nullptr);
}

}  // namespace
}  // namespace consul::raft
