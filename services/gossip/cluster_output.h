// services/gossip/cluster_output.h
//
// What gossip::Cluster wants done and tells: the contract between it and its driver. Streams and
// packets are Swim's own and pass through unchanged.
//
// Threads: pure values.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_OUTPUT_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "services/gossip/keyring.h"
#include "services/gossip/member.h"
#include "services/gossip/swim_output.h"
#include "services/gossip/tags.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// What a user sees of a member. Numbers are those of agent.v1.MemberStatus.
enum class MemberStatus : uint8_t {
  kAlive = 1,
  kLeaving = 2,  // has said that it is leaving, or is being made to; refutes when it is not
  kLeft = 3,
  kFailed = 4,
};

// A member as a user sees it.
struct ClusterMember {
  std::string name;
  std::string id;
  Endpoint address;
  Tags tags;  // empty when its words could not be read
  MemberStatus status = MemberStatus::kAlive;
  LamportTime status_time;  // of the newest intent about it
  Protocol protocol;  // of the packets
  Protocol versions;  // of the cluster's messages
  friend bool operator==(const ClusterMember&, const ClusterMember&) = default;
};

enum class MemberEventKind : uint8_t {
  kJoin,    // has appeared, or is back
  kLeave,   // has left, or was made to; also one that has failed
  kFailed,  // also one that left, in a later life of which only the end was heard
  kUpdate,  // tags, address or protocol of a member that is there are new
  kReap,    // is forgotten; the member is as it was last
};

// What became of a member, self included.
struct MemberEvent {
  MemberEventKind kind = MemberEventKind::kJoin;
  ClusterMember member;
  // kLeave and kFailed: this member was not on the list and is first heard of as gone (by one that
  // has just joined), so no kJoin came before. Not news for a log.
  bool heard_late = false;
};

// A user event, self's own included: each exactly once while it is among the last 512 Lamport
// times.
struct UserEvent {
  LamportTime time;
  std::string name;
  std::string payload;
  bool coalesce = false;
  friend bool operator==(const UserEvent&, const UserEvent&) = default;
};

// One of our own queries, from Cluster::Query or Cluster::ChangeKeys.
struct QueryId {
  uint64_t value = 0;
  friend constexpr auto operator<=>(QueryId, QueryId) = default;
};

// A query that came, self's own included; answered, if at all, by Cluster::Respond until
// `deadline`.
struct ReceivedQueryId {
  uint64_t value = 0;
  friend constexpr auto operator<=>(ReceivedQueryId, ReceivedQueryId) = default;
};

// Each exactly once while it is among the last 512 Lamport times.
struct QueryReceived {
  ReceivedQueryId id;
  LamportTime time;
  std::string source;  // name of the member that asks
  std::string name;
  std::string payload;
  Time deadline;
};

// A member said that it received our query, or answered it. Each at most once for each member.
struct QueryProgress {
  QueryId id;
  std::string from;
  std::optional<std::string> payload;  // nullopt: an ack
};

// The timeout of a query of Cluster::Query has passed; nothing else comes with this id.
struct QueryDone {
  QueryId id;
  size_t acks = 0;
  size_t responses = 0;
};

enum class KeyOperationKind : uint8_t { kList = 1, kInstall = 2, kUse = 3, kRemove = 4 };

// What became of a ChangeKeys: all members have answered, or the timeout has passed. Maps are by
// member, or by key in base64. For the operator: `error` is empty when everybody did it, else
// `1/3 nodes reported failure` or `2/3 nodes reported success`.
struct KeyResult {
  QueryId id;
  KeyOperationKind operation = KeyOperationKind::kList;
  size_t nodes = 0;     // living members when it was asked
  size_t answered = 0;
  size_t failed = 0;    // that answered with an error
  std::map<std::string, std::string> messages;  // errors, and words beside a success
  std::map<std::string, size_t> keys;           // of a list: members that have it
  std::map<std::string, size_t> primary_keys;   // of a list: members that encode with it
  std::string error;
};

// The keyring is to become `keyring`: make it durable where the driver keeps it, then encode and
// decode with it, then call Cluster::KeyringStored with this id; the member that asked is answered
// by that. One is under way at a time. When it cannot be made durable it does not become it.
struct KeyringStore {
  uint64_t id = 0;
  Keyring keyring;
};

// For the member snapshot, in this order. The driver appends them to its file.
struct AliveRecord {  // another member is alive, or has another address
  std::string name;
  Endpoint address;
};
// Has left or is forgotten. One that failed stays: a member that was cut off, saw all others fail
// and is started anew would know nobody to join.
struct NotAliveRecord {
  std::string name;
};
struct ClocksRecord {  // the next Lamport times
  LamportTime member_time;
  LamportTime event_time;
  LamportTime query_time;
};
struct LeaveRecord {};  // this member leaves on purpose
using ClusterRecord = std::variant<AliveRecord, NotAliveRecord, ClocksRecord, LeaveRecord>;

// Another node id has this member's name and keeps it. The agent should say so and end.
struct NameConflict {
  std::string name;
  std::string winner_id;
  Endpoint winner_address;
  std::string own_id;
  Endpoint own_address;
  // Not empty: there is no winner, for this member's data is a copy, as this says.
  std::string copy_of;
};

// Events of this layer worth a line in the log, which the driver words.
enum class ClusterFactKind : uint8_t {
  kReconnecting,       // name, address: a failed member is tried again
  kRefutedLeave,       // number: the time of our newer intent to stay
  kIntentsFull,        // name: an intent about an unknown member was dropped; number: the limit
  kEventTooOld,        // name: of the user event; number: its time
  kEventsFull,         // name: of the user event that was dropped; number: its time
  kQueryTooOld,        // number: its time; name: who asks
  kReplyUnknown,       // name: answered a query that is over or never was; number: its time
  kReplyRepeated,      // name: answered twice
  kLeaveTimedOut,      // the intent to leave was not passed on in time; left all the same
  kMetaUnreadable,     // name: its tags cannot be read; text: why
  kCoordinateRefused,  // name: its coordinate makes no sense; text: why
  kKeysAsked,          // name: who asks; number: KeyOperationKind; text: why it was refused, if so
  kMalformed,          // address; number: messages so far; said for powers of two
};

struct ClusterFact {
  ClusterFactKind kind = ClusterFactKind::kReconnecting;
  std::string name;
  Endpoint address;
  uint64_t number = 0;
  std::string text;
};

// One step's outputs. The order within each list is the order of events; among lists there is none,
// except that streams are opened before they are sent on and sent on before they are closed.
// Outputs are taken in turn and none is lost.
struct ClusterOutput {
  // Swim's: see swim_output.h.
  std::vector<Packet> packets;
  std::vector<StreamOpen> stream_opens;
  std::vector<StreamSend> stream_sends;
  std::vector<StreamClose> stream_closes;
  std::vector<JoinResult> join_results;  // of Cluster::Join alone
  std::vector<Fact> facts;

  // For users and the agent.
  std::vector<MemberEvent> member_events;
  std::vector<UserEvent> user_events;
  std::vector<QueryReceived> queries;
  std::vector<QueryProgress> query_progress;
  std::vector<QueryDone> queries_done;
  std::vector<KeyResult> key_results;
  // Names whose ClusterMember is not what it was at the last output, ascending, each once: to
  // publish by Cluster::Find, which knows nothing of those that are gone. Coalescing does not hold
  // them up.
  std::vector<std::string> members_changed;

  // For the driver.
  std::optional<KeyringStore> keyring_store;
  std::vector<ClusterRecord> records;
  std::vector<ClusterFact> cluster_facts;
  std::optional<NameConflict> name_lost;  // once
  bool leave_done = false;                // once: the process may end

  bool empty() const {
    return packets.empty() && stream_opens.empty() && stream_sends.empty() &&
           stream_closes.empty() && join_results.empty() && facts.empty() &&
           member_events.empty() && user_events.empty() && queries.empty() &&
           query_progress.empty() && queries_done.empty() && key_results.empty() &&
           members_changed.empty() && !keyring_store.has_value() && records.empty() &&
           cluster_facts.empty() && !name_lost.has_value() && !leave_done;
  }
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_OUTPUT_H_
