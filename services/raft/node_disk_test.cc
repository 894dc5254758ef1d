// Several servers' consensus while disks are full: one full disk of three stops nobody, two stop
// writes with the reason, and all goes on when there is room. node_full_leader_test.cc has those
// where the leader's is.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "services/base/strings.h"
#include "services/raft/node_disk_fixture.h"

namespace consul::raft {
namespace {

// Writes, and reads that would have to see what it did not take: those alone.
TEST_F(NodeDiskTest, AFollowerWithoutRoomTellsItsCallersSo) {
  Form(3);
  const size_t leader = Leader();
  const size_t full = Follower();
  const auto expect_told = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_TRUE(base::ToStd(status.message())
                    .starts_with("this server's disk is full: make log segment "))
        << status;
  };
  LoseAllOf(3 - leader - full);
  Fill(leader, full);
  ASSERT_LT(node(leader).status().commit_index, node(leader).status().last_index);
  for (const ReadMode mode : {ReadMode::kLease, ReadMode::kReadIndex}) {
    const absl::Status status = Barrier(full, mode);
    EXPECT_TRUE(status.ok()) << "nobody has it: " << status;
  }
  expect_told(Propose(full, "x").status());
  wire_.LoseIf(nullptr);
  WaitUntil([&] {
    return node(leader).status().commit_index == node(leader).status().last_index;
  });
  for (const ReadMode mode : {ReadMode::kLease, ReadMode::kReadIndex}) {
    expect_told(Barrier(full, mode));
  }
  expect_told(Propose(full, "x").status());
  EXPECT_EQ(CountSaysFull(full), 1u);
  EXPECT_FALSE(Has(leader, "x"));
  Unlimit(full);
  WaitUntil([&] { return Propose(full, "later").ok(); });
  EXPECT_TRUE(SaysRoomAgain(full));
  EXPECT_TRUE(Barrier(full, ReadMode::kReadIndex).ok());
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

// No entry of an earlier term is: they are committed with the first of this one.
TEST_F(NodeDiskTest, ANewLeaderSaysThatTheFirstEntryOfItsTermIsNotWritten) {
  const auto soon = [](NodeOptions* options) {
    options->core.commit_wait_max = std::chrono::seconds(1);
  };
  Form(3, soon);
  const size_t leader = Leader();
  const size_t full = (leader + 1) % 3;
  const size_t dead = (leader + 2) % 3;
  LoseEntriesTo(full);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Much(leader).ok());
  const Index last = node(leader).status().last_index;
  for (size_t i = 0; i < 3; ++i) Stop(&At(i));
  wire_.LoseIf(nullptr);
  Limit(full);
  for (const size_t at : {leader, full}) Start(&At(at), soon);
  const std::string begin = base::StrCat(IdOf(leader).value, ": raft: no majority ");
  WaitUntil([&] { return HasLineThatBegins(begin); });
  const std::string behind = base::StrCat("server ", IdOf(full).value, " has not");
  const std::string gone = base::StrCat("server ", IdOf(dead).value, " is not heard");
  EXPECT_TRUE(HasLine(base::StrCat(begin, "has written entry ", last.value + 1, " for 1 s: ",
                                   full < dead ? behind : gone, ", ",
                                   full < dead ? gone : behind)));
}

TEST_F(NodeDiskTest, WhereNobodyWritesEachCallerWaitsForAsLong) {
  // The next caller comes long before that, on a slow machine too.
  static constexpr Duration kMax = std::chrono::seconds(5);
  Form(3, [](NodeOptions* options) { options->core.commit_wait_max = kMax; });
  const size_t leader = Leader();
  Fill(leader, (leader + 1) % 3);
  Fill(leader, (leader + 2) % 3);
  const Time later = BootNow() + kMax / 10;
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

// What it has from a lead that it lost is longer than what it refuses of the next leader.
TEST_F(NodeDiskTest, ALongerTailOfAnOlderTermIsNotWhatWasRefused) {
  Form(3);
  const size_t old = Leader();
  const Index before = node(old).status().last_index;
  wire_.LoseIf([&](const Message& message) {
    return message.from == IdOf(old) && HasEntries(message, message.to);
  });
  for (int i = 0; i < 20; ++i) Leave(old, "nobody else has it");
  WaitUntil([&] { return node(old).status().last_index == before + 20; });
  LoseAllOf(old);
  const size_t heir = WaitUntilAnotherLeads(old);
  ASSERT_TRUE(Propose(heir, std::string(300'000, 'x')).ok());
  Limit(old);
  std::atomic<int> tries{0};
  wire_.Watch([&](const Message& message) { tries += HasEntries(message, IdOf(old)) ? 1 : 0; });
  wire_.LoseIf(nullptr);
  WaitUntil([&] { return SaysFull(old); });
  absl::Status status = ProposeToALeader(old, "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  WaitUntil([&] {
    status = Barrier(old, ReadMode::kReadIndex);
    return status.code() != absl::StatusCode::kFailedPrecondition;
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  const int until = tries + 2;
  WaitUntil([&] { return tries >= until; });
  wire_.Watch(nullptr);
  EXPECT_EQ(CountSaysFull(old), 1u);
  EXPECT_FALSE(SaysRoomAgain(old));
  Unlimit(old);
  WaitUntil([&] { return Propose(old, "later").ok(); });
  EXPECT_TRUE(SaysRoomAgain(old));
}

TEST_F(NodeDiskTest, WhatALaterLeaderDoesNotHaveIsRefusedNoMore) {
  Form(3);
  const size_t dead = Leader();
  const size_t full = (dead + 1) % 3;
  const size_t heir = (dead + 2) % 3;
  LoseEntriesTo(heir);
  Limit(full);
  // In one request, which reaches beyond what the next leader writes here.
  ForwardedProposals commands{.first_id = 1, .commands = {}};
  for (int i = 0; i < 10; ++i) {
    commands.commands.push_back(MakeBuffer(std::string(kMuchBytes, 'x')));
  }
  node(dead).Receive({IdOf(heir), IdOf(dead), node(dead).status().term, commands});
  WaitUntil([&] { return SaysFull(full); });
  EXPECT_EQ(ProposeToALeader(full, "x").code(), absl::StatusCode::kUnavailable);
  LoseAllOf(dead);
  // Its disk is as full as it was: there is room for little.
  WaitUntil([&] { return Propose(full, "later").ok(); });
  EXPECT_TRUE(SaysRoomAgain(full));
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

// Nobody waits for room any more then: what the disk says of it counts for nobody later.
TEST_F(NodeDiskTest, WhatComesLaterIsNotToldOfARoomThatWasMissedBefore) {
  Form(3);
  const size_t at = Leader();
  const ServerId other = IdOf(Follower());
  const NodeStatus before = node(at).status();
  const Term later{before.term.value + 100};
  wire_.LoseIf([](const Message&) { return true; });
  std::atomic<uint64_t> acknowledged{0};
  wire_.Watch([&](const Message& message) {
    const auto* ack = std::get_if<AppendReply>(&message.body);
    if (ack == nullptr || message.from != IdOf(at)) return;
    if (message.term == later && ack->accepted) acknowledged = ack->match.value;
  });
  // Behind the write that stands still the disk looks for room.
  const auto entered = std::make_shared<Countdown>(1), held = std::make_shared<Countdown>(1);
  At(at).fs.SetSyncHook([entered, held] {
    entered->Down();
    held->Wait();
  });
  Leave(at, "x");
  entered->Wait();
  ForwardedProposals commands{.first_id = 1, .commands = {}};
  commands.commands.push_back(MakeBuffer(std::string(300'000, 'x')));
  node(at).Receive({other, IdOf(at), before.term, commands});
  Limit(at);
  Index last = before.last_index;
  Term term = before.term;
  const auto append = [&](size_t bytes) {
    AppendRequest request{.prev_index = last,
                          .prev_term = std::exchange(term, later),
                          .commit = Index{0},
                          .round = Round{1},
                          .entries = {}};
    last = last.Next();
    request.entries.push_back({later, last, EntryKind::kCommand,
                               MakeBuffer(std::string(bytes, 'x'))});
    node(at).Receive({other, IdOf(at), later, std::move(request)});
  };
  node(at).Receive({other, IdOf(at), later, Heartbeat{Index{0}, Round{1}}});
  held->Down();
  // Written behind that.
  for (int i = 0; i < 2; ++i) {
    append(1);
    WaitUntil([&] { return acknowledged == last.value; });
  }
  Unlimit(at);
  append(400'000);
  WaitUntil([&] { return acknowledged == last.value || SaysFull(at); });
  wire_.Watch(nullptr);
  EXPECT_FALSE(SaysFull(at));
}

// A leader's request with one entry behind what it had.
AppendRequest MuchBehind(const NodeStatus& leader) {
  AppendRequest request{.prev_index = leader.last_index,
                        .prev_term = leader.term,
                        .commit = leader.commit_index,
                        .round = Round{0},
                        .entries = {}};
  request.entries.push_back({leader.term, leader.last_index.Next(), EntryKind::kCommand,
                             MakeBuffer(std::string(300'000, 'x'))});
  return request;
}

// Nothing of it is ever written.
TEST_F(NodeDiskTest, NoRoomIsMadeForALeaderOfAnOlderTerm) {
  Form(3);
  const size_t leader = Leader();
  const size_t at = Follower();
  const size_t other = 3 - leader - at;
  const NodeStatus before = CutOff(leader, at);
  const Term later{before.term.value + 100};
  std::atomic<bool> answered{false};
  wire_.Watch([&](const Message& message) {
    if (message.from == IdOf(at) && message.to == IdOf(leader) && message.term == later) {
      answered = true;
    }
  });
  Limit(at);
  node(at).Receive({IdOf(other), IdOf(at), later, Heartbeat{Index{0}, Round{1}}});
  node(at).Receive({IdOf(leader), IdOf(at), before.term, MuchBehind(before)});
  WaitUntil([&] { return answered || CountSaysFull(at) > 0; });
  wire_.Watch(nullptr);
  EXPECT_EQ(CountSaysFull(at), 0u);
}

// It writes nothing of what comes behind that, so it needs no room.
TEST_F(NodeDiskTest, AFullFollowerStillSaysWhereTheLogsPart) {
  Form(3);
  const size_t leader = Leader();
  const size_t at = Follower();
  const NodeStatus before = CutOff(leader, at);
  std::atomic<bool> answered{false};
  wire_.Watch([&](const Message& message) {
    const auto* reply = std::get_if<AppendReply>(&message.body);
    if (reply != nullptr && message.from == IdOf(at) && !reply->accepted) answered = true;
  });
  Limit(at);
  AppendRequest request = MuchBehind(before);
  request.prev_index = request.prev_index + 5;
  request.entries[0].index = request.prev_index.Next();
  node(at).Receive({IdOf(leader), IdOf(at), before.term, std::move(request)});
  WaitUntil([&] { return answered || CountSaysFull(at) > 0; });
  wire_.Watch(nullptr);
  EXPECT_TRUE(answered);
  EXPECT_EQ(CountSaysFull(at), 0u);
}

// Otherwise it would never hear what is committed: its leader goes by what it has acknowledged.
TEST_F(NodeDiskTest, AFullFollowerTellsANewTermsLeaderWhatItHas) {
  Form(3);
  const size_t leader = Leader();
  const size_t at = Follower();
  const NodeStatus before = CutOff(leader, at);
  std::atomic<uint64_t> match{0};
  std::atomic<int> answers{0};
  wire_.Watch([&](const Message& message) {
    const auto* reply = std::get_if<AppendReply>(&message.body);
    if (reply == nullptr || message.from != IdOf(at) || !reply->accepted) return;
    if (message.term == before.term) return;  // the last one before it was cut off may be late
    match = reply->match.value;
    ++answers;
  });
  Limit(at);
  const Message request{IdOf(leader), IdOf(at), before.term.Next(), MuchBehind(before)};
  node(at).Receive(Message(request));
  WaitUntil([&] { return CountSaysFull(at) > 0 && answers > 0; });
  EXPECT_EQ(match, before.last_index.value);
  // Once: then it is as if they had been lost. Of a later term it has refused the same already.
  for (int i = 0; i < 3; ++i) node(at).Receive(Message(request));
  Message later = request;
  later.term = request.term.Next();
  for (int i = 0; i < 3; ++i) node(at).Receive(Message(later));
  WaitUntil([&] { return answers > 1; });
  EXPECT_FALSE(Barrier(at, ReadMode::kReadIndex).ok());
  wire_.Watch(nullptr);
  EXPECT_EQ(answers, 2);
  EXPECT_EQ(match, before.last_index.value);
  EXPECT_EQ(CountSaysFull(at), 1u);
  EXPECT_EQ(node(at).status().last_index, before.last_index);
}

// Goal: what was refused counts once when it comes again. Method: it comes in the turn behind the
// one in which room was found, and the log grows by one segment for it, and one made ahead.
TEST_F(NodeDiskTest, RoomThatWasFoundForWhatWasRefusedIsFreeForIt) {
  const auto on_room = std::make_shared<std::function<void()>>([] {});
  Form(3, [&](NodeOptions* options) {
    options->log = [log = options->log, on_room](LogLevel level, std::string_view text) {
      log(level, text);
      if (text == "raft: disk has room again") (*on_room)();
    };
  });
  const size_t leader = Leader();
  const size_t at = Follower();
  const NodeStatus before = CutOff(leader, at);
  std::atomic<bool> acknowledged{false};
  wire_.Watch([&](const Message& message) {
    const auto* ack = std::get_if<AppendReply>(&message.body);
    if (ack == nullptr || message.from != IdOf(at)) return;
    if (ack->accepted && ack->match == before.last_index.Next()) acknowledged = true;
  });
  const auto send = [this, leader, at, before] {
    node(at).Receive({IdOf(leader), IdOf(at), before.term, MuchBehind(before)});
  };
  *on_room = send;
  Limit(at);
  send();
  WaitUntil([&] { return CountSaysFull(at) == 1; });
  const uint64_t full = At(at).fs.size_total();
  Unlimit(at);
  WaitUntil([&] { return acknowledged.load(); });
  wire_.Watch(nullptr);
  EXPECT_LT(At(at).fs.size_total(), full + 700'000);
}

// A leader's requests wait while room is made for the first, as many as it sends ahead of acks.
TEST_F(NodeDiskTest, WhatWaitsForRoomHasALimit) {
  Form(3);
  const size_t leader = Leader();
  const size_t slow = Follower();
  const NodeStatus before = CutOff(leader, slow);
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
