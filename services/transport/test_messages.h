// services/transport/test_messages.h
//
// For tests: a message of every kind, with every field set, and what is equal.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_TRANSPORT_TEST_MESSAGES_H_
#define CONSUL_SERVICES_TRANSPORT_TEST_MESSAGES_H_

#include <chrono>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "services/raft/configuration.h"
#include "services/raft/message.h"
#include "services/transport/message_codec.h"

namespace consul::transport {

inline raft::Entry TestEntry(uint64_t index, raft::EntryKind kind, std::string payload) {
  return {raft::Term{7}, raft::Index{index}, kind, raft::MakeBuffer(std::move(payload))};
}

inline raft::AppendRequest TestAppend(std::string payload, uint64_t index = 9) {
  raft::AppendRequest append{raft::Index{index - 1}, raft::Term{6}, raft::Index{5}, raft::Round{4},
                             {}};
  append.entries.push_back(TestEntry(index, raft::EntryKind::kCommand, std::move(payload)));
  return append;
}

inline raft::SnapshotMeta TestMeta() {
  const raft::Configuration members(
      {{raft::ServerId{"a"}, raft::MemberKind::kVoter},
       {raft::ServerId{"b"}, raft::MemberKind::kLearner}});
  return {raft::Index{90}, raft::Term{3}, {raft::Index{80}, members}, "90-3-abc", 1 << 20};
}

inline std::vector<raft::Body> EveryBody() {
  using namespace raft;
  AppendRequest append = TestAppend("small");
  append.entries.push_back(TestEntry(10, EntryKind::kCommand, std::string(100'000, 'x')));
  append.entries.push_back(TestEntry(11, EntryKind::kConfiguration,
                                     TestMeta().configuration.configuration.Encode()));
  append.entries.push_back({Term{7}, Index{12}, EntryKind::kNoOp, nullptr});
  append.entries.push_back(TestEntry(13, EntryKind::kCommand, std::string("\0\xff", 2)));
  return {
      VoteRequest{Index{3}, Term{2}, true, true},
      VoteReply{true, true, std::chrono::milliseconds(123)},
      append,
      AppendReply{true, Index{1}, Index{2}, Index{3}, Term{4}, Round{5}},
      Heartbeat{Index{kNumberMax}, Round{7}},
      HeartbeatReply{Round{8}},
      SnapshotChunk{TestMeta(), 4096, MakeBuffer(std::string(5000, 'y')), true},
      SnapshotReply{"90-3-abc", 77, true, Index{88}},
      TimeoutNow{},
      ForwardedProposals{5, {MakeBuffer("one"), MakeBuffer(""), MakeBuffer(std::string(9000, 'z'))}},
      ProposalsPlaced{5, 3, ForwardStatus::kDiskFull, Index{44}},
      ReadIndexRequest{ReadId{~uint64_t{0}}, ReadMode::kLease},
      ReadIndexReply{ReadId{6}, true, Index{55}},
  };
}

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_TEST_MESSAGES_H_
