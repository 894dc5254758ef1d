// services/gossip/cluster.h
//
// A pool as its users know it, on top of Swim: members with tags and a status (alive, leaving,
// left, failed), user events, queries, keys and coordinates. Swim knows who answers; Cluster knows
// who means to be there. Lamport-clocked intents to join and to leave order what is said about a
// member, so that a graceful leave is told apart from a failure everywhere and for good, in
// whatever order the words arrive.
//
// It owns its Swim and has the same shape: inputs are method calls that say what happened,
// TakeOutput says what is to be done about all of them. No clock, thread, lock, file, socket, log
// line or chance of its own. Bytes are encoded but not sealed.
//
// Threads: none of its own. One thread (the driver's) makes all calls.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gossip/cluster_options.h"
#include "services/gossip/cluster_output.h"
#include "services/gossip/coordinate.h"
#include "services/gossip/keyring.h"
#include "services/gossip/member.h"
#include "services/gossip/swim.h"
#include "services/gossip/tags.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// Who this member is.
struct ClusterSelf {
  std::string name;
  std::string id;  // a UUID
  Endpoint address;  // where others reach it
  Tags tags;
  std::optional<Keyring> keyring;  // nullopt: the pool is not encrypted
};

// A question to the members.
struct QueryRequest {
  std::string name;
  std::string payload;
  std::vector<std::string> nodes;  // only these; empty: all
  Tags tags;                       // only members that have all of these with these values
  bool want_acks = false;
  uint32_t relay_factor = 0;  // each answer also goes by way of so many others
  Duration timeout{0};        // 0: Cluster::DefaultQueryTimeout
};

// A change of everybody's keyring.
struct KeyRequest {
  KeyOperationKind operation = KeyOperationKind::kList;
  std::optional<Key> key;  // REQUIRED, except to list
  uint32_t relay_factor = 0;
};

// What `consul info` shows of a pool, under the same names.
struct ClusterStats {
  uint64_t coordinate_resets = 0;
  bool encrypted = false;
  size_t event_queue = 0;   // broadcasts that wait
  LamportTime event_time;   // the next one
  size_t failed = 0;
  int health_score = 0;
  size_t intent_queue = 0;
  size_t left = 0;
  LamportTime member_time;
  size_t members = 0;       // as listed: the failed and those that left included
  size_t query_queue = 0;
  LamportTime query_time;
};

class Cluster {
 public:
  // A pool of one that has joined: the first output has its kJoin. `seed` should differ from member
  // to member and from start to start. INVALID_ARGUMENT or RESOURCE_EXHAUSTED, with words for the
  // operator, when `self` breaks a limit (EncodeMeta, MemberInfo::valid).
  static absl::StatusOr<std::unique_ptr<Cluster>> Create(ClusterOptions options, PoolIdentity pool,
                                                         ClusterSelf self, ClusterRestart restart,
                                                         uint64_t seed, Time now);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // ---- Inputs. Each may change what TakeOutput gives. Time never goes back: an earlier `now`
  // counts as the latest one seen.

  // As Swim's of the same names.
  void Tick(Time now);
  void ReceivePacket(Time now, const Endpoint& from, std::string_view plain);
  void PacketUndeliverable(Time now, const Endpoint& to);
  void StreamAccepted(Time now, StreamId stream, const Endpoint& from);
  void StreamOpened(Time now, StreamId stream);
  void StreamReceived(Time now, StreamId stream, std::string_view message);
  void StreamClosed(Time now, StreamId stream, std::string_view why);

  // Joins the pool of the member at `to`. Followed by exactly one JoinResult with this id. With
  // `ignore_old_events`, user events from before the join are not told. After Leave the result is
  // an error.
  JoinId Join(Time now, const Endpoint& to, bool ignore_old_events);

  // Leaves gracefully: tells everybody, then Output::leave_done, at once in a pool of one and
  // within the times of ClusterOptions otherwise. Idempotent, and final.
  void Leave(Time now);

  // Makes a failed member one that has left, at every member; with `prune` it vanishes from their
  // lists, too, as one that has left does. One that is alive after all comes back by itself.
  // NOT_FOUND: `No node found with name 'x'`.
  absl::Status ForceLeave(Time now, std::string_view name, bool prune);

  // Self has other tags or another address from now on; told to all. Errors as EncodeMeta's, and
  // then nothing changes; neither does it after Leave, which is FAILED_PRECONDITION for tags.
  absl::Status UpdateTags(Time now, Tags tags);
  void UpdateAddress(Time now, const Endpoint& address);

  // The cluster's id has become known: exchanges with members of others are refused from now on.
  // One that is not told belongs to the cluster of the first member that it meets and that knows.
  void SetClusterId(std::string cluster_id);

  // Tells `payload` under `name` to all members, self included. RESOURCE_EXHAUSTED over the limit:
  // `user event exceeds configured limit of 512 bytes before encoding`.
  absl::Status SendUserEvent(Time now, std::string_view name, std::string_view payload,
                             bool coalesce);

  // Asks the members; self is one of them. Answers come as QueryProgress, then one QueryDone.
  // RESOURCE_EXHAUSTED: `query exceeds limit of 1024 bytes`, or queries_max are under way.
  // INVALID_ARGUMENT: relay factor above 5, timeout above one hour, text that is not UTF-8.
  absl::StatusOr<QueryId> Query(Time now, const QueryRequest& request);

  // Answers a query that came. DEADLINE_EXCEEDED: `response is past the deadline`; also for ids
  // that are not known. ALREADY_EXISTS: `response already sent`. RESOURCE_EXHAUSTED: `response
  // exceeds limit of 1024 bytes`.
  absl::Status Respond(Time now, ReceivedQueryId id, std::string_view payload);

  // Changes or lists the keys of all members, self included. Followed by one KeyResult. Errors as
  // Query's. A pool without encryption answers too: each member with
  // `Keyring is empty (encryption not enabled)`, or `No keyring to modify (encryption not
  // enabled)`.
  absl::StatusOr<QueryId> ChangeKeys(Time now, const KeyRequest& request);

  // The answer to Output::keyring_store `id`.
  void KeyringStored(Time now, uint64_t id, const absl::Status& status);

  // ---- Outputs.

  // Everything that is to be done since the last call, which the caller now owes.
  ClusterOutput TakeOutput();

  // When Tick is due next; Time::max() when only other inputs matter.
  Time NextDeadline() const;

  // ---- What is known. Members that were pruned or reaped are not there.

  std::optional<ClusterMember> Find(std::string_view name) const;
  std::vector<ClusterMember> Members() const;  // by name, self included
  ClusterMember Self() const;
  ClusterStats Stats() const;
  Duration DefaultQueryTimeout() const;
  const std::optional<Keyring>& keyring() const;

  // The own coordinate. Meaningless, but valid, without ClusterOptions::coordinates.
  const Coordinate& coordinate() const;
  // Another member's, as it last told in an ack, or the own; nothing when it is not known.
  std::optional<Coordinate> CoordinateOf(std::string_view name) const;

  const Swim& swim() const;

 private:
  struct Parts;

  Cluster(const ClusterOptions& options, PoolIdentity pool, MemberInfo self,
          std::optional<Keyring> keyring, const ClusterRestart& restart, uint64_t seed, Time now);

  // Around each input: time goes on and the note for exchanges is as new as can be; then what Swim
  // says is handed out to the parts, until nobody has anything left to say.
  void Begin(Time now);
  void Settle();
  void HandOut(Output said);
  void HandOutCustom(const CustomReceived& custom);
  void HandOutNote(const NoteReceived& note);
  void HandOutJoinResult(JoinResult result);
  void RecordClocks();

  const std::unique_ptr<Parts> parts_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_H_
