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

#include "services/raft/core/configuration.h"
#include "services/raft/core/message.h"
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
  raft::AppendRequest append = TestAppend("small");
  append.entries.push_back(TestEntry(10, raft::EntryKind::kCommand, std::string(100'000, 'x')));
  append.entries.push_back(TestEntry(11, raft::EntryKind::kConfiguration,
                                     TestMeta().configuration.configuration.Encode()));
  append.entries.push_back({raft::Term{7}, raft::Index{12}, raft::EntryKind::kNoOp, nullptr});
  append.entries.push_back(TestEntry(13, raft::EntryKind::kCommand, std::string("\0\xff", 2)));
  return {
      raft::VoteRequest{raft::Index{3}, raft::Term{2}, true, true},
      raft::VoteReply{true, true, std::chrono::milliseconds(123)},
      append,
      raft::AppendReply{true, raft::Index{1}, raft::Index{2}, raft::Index{3}, raft::Term{4},
                        raft::Round{5}},
      raft::Heartbeat{raft::Index{kNumberMax}, raft::Round{7}, raft::Term{6}},
      raft::HeartbeatReply{raft::Round{8}, true},
      raft::SnapshotChunk{TestMeta(), 4096, raft::MakeBuffer(std::string(5000, 'y')), true},
      raft::SnapshotReply{"90-3-abc", 77, true, raft::Index{88}},
      raft::TimeoutNow{},
      raft::ForwardedProposals{~uint64_t{0},
                               {raft::MakeBuffer("one"), raft::MakeBuffer(""),
                                raft::MakeBuffer(std::string(9000, 'z'))}},
      raft::ProposalsPlaced{~uint64_t{0}, 3, raft::ForwardStatus::kDiskFull, raft::Index{44}},
      raft::ReadIndexRequest{raft::ReadId{~uint64_t{0}}, raft::ReadMode::kLease},
      raft::ReadIndexReply{raft::ReadId{6}, true, raft::Index{55}},
  };
}

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_TEST_MESSAGES_H_
