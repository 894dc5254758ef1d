// services/raft/node_disk_fixture.h
//
// Several servers, and words for disks that are full.
//
// Threads: tests.
#ifndef CONSUL_SERVICES_RAFT_NODE_DISK_FIXTURE_H_
#define CONSUL_SERVICES_RAFT_NODE_DISK_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "services/base/strings.h"
#include "services/raft/node_cluster.h"
#include "services/raft/node_view.h"

namespace consul::raft {

inline constexpr size_t kMuchBytes = 50'000;

class NodeDiskTest : public NodeClusterTest {
 protected:
  // No segment more than there are.
  void Limit(size_t at) { At(at).fs.SetCapacity(At(at).fs.size_total()); }
  void Unlimit(size_t at) { At(at).fs.SetCapacity(std::nullopt); }
  absl::Status Much(size_t at) { return Propose(at, std::string(kMuchBytes, 'x')).status(); }

  size_t CountLines(const std::string& begin) {
    base::MutexLock lock(&mutex_);
    return std::ranges::count_if(lines_,
                                 [&](const auto& line) { return line.starts_with(begin); });
  }
  bool SaysFull(size_t at) {
    return HasLineThatBegins(base::StrCat(IdOf(at).value, ": raft: disk full: make log segment "));
  }
  bool SaysThatItHandsOn(size_t at) { return CountSaysThatItHandsOn(at) > 0; }
  bool SaysRoomAgain(size_t at) {
    return HasLine(base::StrCat(IdOf(at).value, ": raft: disk has room again"));
  }
  size_t CountSaysFull(size_t at) {
    return CountLines(base::StrCat(IdOf(at).value, ": raft: disk full: "));
  }
  size_t CountSaysThatItHandsOn(size_t at) {
    return CountLines(base::StrCat(IdOf(at).value, ": raft: disk full, handing over"));
  }
  void LoseAllOf(size_t at) {
    wire_.LoseIf([id = IdOf(at)](const Message& message) {
      return message.from == id || message.to == id;
    });
  }
  void LoseEntriesTo(size_t at) {
    wire_.LoseIf([id = IdOf(at)](const Message& message) { return HasEntries(message, id); });
  }
  static bool HasEntries(const Message& message, const ServerId& to) {
    const auto* request = std::get_if<AppendRequest>(&message.body);
    return message.to == to && request != nullptr && !request->entries.empty();
  }
  // Another one than `old`.
  size_t WaitUntilAnotherLeads(size_t old) {
    size_t heir = old;
    WaitUntil([&] {
      for (size_t i = 0; i < servers_.size(); ++i) {
        if (i != old && At(i).up() && node(i).status().leader_ready) heir = i;
      }
      return heir != old;
    });
    return heir;
  }
  // Has whoever leads hand the lead to it, unless it has it already.
  void Lead(size_t at) {
    WaitUntil([&] {
      for (size_t i = 0; i < servers_.size(); ++i) {
        if (i == at || !At(i).up() || !node(i).status().leader_ready) continue;
        Do([&](ChangeCallback done) {
          node(i).TransferLeadership(IdOf(at), std::move(done));
        }).IgnoreError();
      }
      return node(at).status().leader_ready;
    });
  }
  // Nobody waits for it.
  void Leave(size_t at, std::string command) {
    node(at).Propose(std::move(command), [](absl::StatusOr<Applied>) {});
  }
  // What it says once it knows its leader.
  absl::Status ProposeToALeader(size_t at, const std::string& command) {
    absl::Status status;
    WaitUntil([&] {
      status = Propose(at, command).status();
      return status.code() != absl::StatusCode::kFailedPrecondition;
    });
    return status;
  }
  // Of a follower: until it takes no more.
  void Fill(size_t leader, size_t full) {
    Limit(full);
    while (!SaysFull(full)) {
      const Index written = node(leader).status().last_index.Next();
      // Where another one is full already, the last is not committed.
      Leave(leader, std::string(kMuchBytes, 'x'));
      WaitUntil([&] { return SaysFull(full) || node(leader).status().commit_index >= written; });
    }
  }
  // Once `follower` has what the leader has nobody hears of anybody any more. How the leader stood.
  NodeStatus CutOff(size_t leader, size_t follower) {
    const NodeStatus stood = node(leader).status();
    WaitUntil([&] { return node(follower).status().last_index == stood.last_index; });
    wire_.LoseIf([](const Message&) { return true; });
    return stood;
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

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_DISK_FIXTURE_H_
