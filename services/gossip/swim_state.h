// services/gossip/swim_state.h
//
// What Swim remembers of things under way: its probe, pings for others, and streams.
//
// Threads: pure values; Swim's own.
// Background: services/gossip/swim.md.
#ifndef CONSUL_SERVICES_GOSSIP_SWIM_STATE_H_
#define CONSUL_SERVICES_GOSSIP_SWIM_STATE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/gossip/member.h"
#include "services/gossip/types.h"
#include "services/gossip/wire.h"

namespace consul::gossip {

// The probe of this protocol period, until its verdict.
struct Probe {
  MemberPtr target;
  Incarnation incarnation;  // as it was believed when the ping went out
  Sequence sequence;
  Time sent_at;
  Time ask_at;       // others are asked unless there is an ack; Time::max() once they were
  Time evidence_at;  // from when on the silence of the stream counts; Time::max() before ask_at
  Time end;
  std::vector<std::string> helpers;  // were asked and have not said that it is silent
  size_t asked_count = 0;
  StreamId stream;  // 0: none
};

// A ping for somebody else.
struct Relay {
  Sequence sequence;  // of our ping
  Endpoint asker;
  Sequence asker_sequence;
  std::string target;
  Endpoint address;  // of the target
  Time nack_at;      // Time::max() once it was sent, or when none is to be sent
  Time expires_at;
};

// Another node id that claims this member's own name, and was asked whether it is there.
struct Rival {
  MemberPtr member;
  Sequence sequence;  // of our ping
};

enum class SuccessionKind : uint8_t {
  // Another node id says to be at a member's address: it has to answer there.
  kSuccessor,
  // A member's node id is said to be elsewhere, or to have another name: nobody may answer where
  // the member is.
  kMoved,
  // The same, and nobody did: it has the place for a while whenever it claims it, for its next word
  // may have a higher incarnation.
  kVacant,
  // The same, as a larger pool says, which this member has joined: when somebody answers where that
  // pool says, what is believed here is of a copy.
  kOriginal,
};

// One who says to have a member's place, or of whom others say so. Whether it has is asked first.
struct Succession {
  Entry newcomer;
  std::string asked;  // the name that is to answer
  Endpoint at;        // and where
  SuccessionKind kind = SuccessionKind::kSuccessor;
  Sequence sequence;  // of our pings
  Time ask_at;        // asked again, or given up, or forgotten; Time::max(): over
  int asked_count = 0;
  bool spread = true;   // whether others are told
  bool itself = false;  // it has said so itself, in an exchange
  // It is of this pool, and has the place when it answers, or nobody does. Else only its exchange
  // goes on then: it may refuse our cluster.
  bool of_pool = false;
};

enum class StreamPhase : uint8_t {
  kOpening,     // ours, and not connected yet
  kProbing,     // ours: the ack of a ping is awaited
  kHello,       // the peer's first word is awaited
  kAsking,      // a Succession is awaited, for a member may have the peer's name, or is it
  kDifference,  // ours: Digests, or all Entries, are awaited
  kEntries,     // Entries are awaited, until the last
  kClosing,     // theirs: all is said, and the opener closes
};

struct Stream {
  Endpoint peer;
  StreamPhase phase = StreamPhase::kOpening;
  bool probe = false;  // ours, for a ping
  Time expires_at;
  std::optional<JoinId> join;  // ours, by Join
  std::string peer_name;       // since its Hello
  bool join_of_either = false;
  bool told_cluster = false;  // ours: our Hello had it
  size_t others_count = 0;    // of ours: living members that the peer knows but for this one
  // Of ours, by Join, once its first Entries came: whether the peer's pool is larger than this
  // member's is without the peer.
  std::optional<bool> larger;
  bool turns = false;  // ours, to tell a copy that it is none any more whom it was taken for
  // The pool that this member has just found knows already what it is about to learn.
  bool newcomer = false;
  // The peer does not know its cluster yet, and may refuse ours: it is taken in by its Entries,
  // which it sends when it does not, and its note counts after them.
  std::optional<std::string> held_note;
  std::optional<HelloMessage> held_hello;  // while kAsking
  std::vector<std::string> held_messages;  // ours: what came after it
  size_t received_count = 0;  // entries and digests
  std::vector<uint32_t> buckets;
  std::vector<Digest> digests;
  std::vector<uint64_t> wanted;
  std::vector<std::string> offered;  // names that are to be offered after all has come
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SWIM_STATE_H_
