#include "services/gossip/cluster.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"
#include "services/gossip/cluster_context.h"
#include "services/gossip/cluster_coordinates.h"
#include "services/gossip/cluster_events.h"
#include "services/gossip/cluster_keys.h"
#include "services/gossip/cluster_members.h"
#include "services/gossip/cluster_message.h"
#include "services/gossip/cluster_queries.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

// What the clocks stand at, to tell whether they moved.
struct ClockTimes {
  LamportTime member;
  LamportTime event;
  LamportTime query;
  friend bool operator==(const ClockTimes&, const ClockTimes&) = default;
};

// What a note was made of.
struct NoteSource {
  ClockTimes clocks;
  uint64_t events_version = 0;
  friend bool operator==(const NoteSource&, const NoteSource&) = default;
};

template <typename T>
void MoveTo(std::vector<T>* to, std::vector<T>&& from) {
  if (to->empty()) {
    *to = std::move(from);
    return;
  }
  std::move(from.begin(), from.end(), std::back_inserter(*to));
}

pb::KeyOperation ToProto(KeyOperationKind kind) {
  switch (kind) {
    case KeyOperationKind::kList:
      return pb::KEY_OPERATION_LIST;
    case KeyOperationKind::kInstall:
      return pb::KEY_OPERATION_INSTALL;
    case KeyOperationKind::kUse:
      return pb::KEY_OPERATION_USE;
    case KeyOperationKind::kRemove:
      return pb::KEY_OPERATION_REMOVE;
  }
  return pb::KEY_OPERATION_UNSPECIFIED;
}

absl::Status WhyNotOptions(const ClusterOptions& options) {
  if (options.user_event_bytes_max > kUserEventBytesMax) {
    return absl::InvalidArgumentError(
        base::StrCat("user events of ", options.user_event_bytes_max,
                     " bytes do not fit in a packet, ", kUserEventBytesMax, " do"));
  }
  if (options.query_bytes_max > kQueryBytesMax ||
      options.response_bytes_max > kQueryReplyBytesMax) {
    return absl::InvalidArgumentError("queries and responses of more than 1024 bytes do not fit "
                                      "in a packet");
  }
  return absl::OkStatus();
}

}  // namespace

struct Cluster::Parts {
  Parts(const ClusterOptions& options, PoolIdentity pool, MemberInfo self,
        std::optional<Keyring> keyring, const ClusterRestart& restart, uint64_t seed, Time now)
      : context(options, std::move(pool), std::move(self), seed, now),
        members(&context),
        events(&context, restart.event_time),
        keys(&context, std::move(keyring)),
        queries(&context, &keys, restart.query_time),
        coordinates(&context) {
    context.member_clock.WitnessNext(std::min(restart.member_time, kLamportTimeMax));
    context.event_clock.WitnessNext(std::min(restart.event_time, kLamportTimeMax));
    context.query_clock.WitnessNext(std::min(restart.query_time, kLamportTimeMax));
  }

  ClockTimes Clocks() const {
    return {context.member_clock.next(), context.event_clock.next(), context.query_clock.next()};
  }

  ClusterContext context;
  ClusterMembers members;
  ClusterEvents events;
  ClusterKeys keys;
  ClusterQueries queries;
  ClusterCoordinates coordinates;
  NoteSource noted;     // of the note that Swim has
  ClockTimes recorded;  // the clocks in the last ClocksRecord
  Time record_clocks_at = Time::min();
  uint64_t malformed_count = 0;
};

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Create(ClusterOptions options, PoolIdentity pool,
                                                         ClusterSelf self, ClusterRestart restart,
                                                         uint64_t seed, Time now) {
  if (absl::Status status = WhyNotOptions(options); !status.ok()) return status;
  absl::StatusOr<std::string> meta = EncodeMeta({std::move(self.tags), kClusterVersions});
  if (!meta.ok()) return meta.status();
  MemberInfo info{std::move(self.name), std::move(self.id), self.address, *std::move(meta),
                  Protocol{}};
  info.protocol.min = pool.protocol_min;
  info.protocol.max = pool.protocol_max;
  info.protocol.cur = pool.protocol_max;
  if (!info.valid() || !base::IsUtf8(info.name)) {
    return absl::InvalidArgumentError(base::StrCat(
        "a member needs a name of 1 to ", kNameBytesMax, " bytes of UTF-8, an id of 1 to ",
        kIdBytesMax, " bytes and a port"));
  }
  return std::unique_ptr<Cluster>(new Cluster(options, std::move(pool), std::move(info),
                                              std::move(self.keyring), restart, seed, now));
}

Cluster::Cluster(const ClusterOptions& options, PoolIdentity pool, MemberInfo self,
                 std::optional<Keyring> keyring, const ClusterRestart& restart, uint64_t seed,
                 Time now)
    : parts_(std::make_unique<Parts>(options, std::move(pool), std::move(self),
                                     std::move(keyring), restart, seed, now)) {
  Settle();
}

Cluster::~Cluster() = default;

// ---- Inputs.

void Cluster::Tick(Time now) {
  Begin(now);
  parts_->context.swim.Tick(parts_->context.now);
  Settle();
  parts_->members.Tick();
  parts_->events.Tick();
  parts_->queries.Tick();
  Settle();
}

void Cluster::ReceivePacket(Time now, const Endpoint& from, std::string_view plain) {
  Begin(now);
  parts_->context.swim.ReceivePacket(parts_->context.now, from, plain);
  Settle();
}

void Cluster::PacketUndeliverable(Time now, const Endpoint& to) {
  Begin(now);
  parts_->context.swim.PacketUndeliverable(parts_->context.now, to);
  Settle();
}

void Cluster::StreamAccepted(Time now, StreamId stream, const Endpoint& from) {
  Begin(now);
  parts_->context.swim.StreamAccepted(parts_->context.now, stream, from);
  Settle();
}

void Cluster::StreamOpened(Time now, StreamId stream) {
  Begin(now);
  parts_->context.swim.StreamOpened(parts_->context.now, stream);
  Settle();
}

void Cluster::StreamReceived(Time now, StreamId stream, std::string_view message) {
  Begin(now);
  parts_->context.swim.StreamReceived(parts_->context.now, stream, message);
  Settle();
}

void Cluster::StreamClosed(Time now, StreamId stream, std::string_view why) {
  Begin(now);
  parts_->context.swim.StreamClosed(parts_->context.now, stream, why);
  Settle();
}

JoinId Cluster::Join(Time now, const Endpoint& to, bool ignore_old_events) {
  Begin(now);
  const JoinId id = parts_->context.swim.Join(parts_->context.now, to);
  if (ignore_old_events) parts_->events.IgnoringJoinBegins(id);
  Settle();
  return id;
}

void Cluster::Leave(Time now) {
  Begin(now);
  parts_->members.Leave();
  Settle();
}

absl::Status Cluster::ForceLeave(Time now, std::string_view name, bool prune) {
  Begin(now);
  const bool known = parts_->members.ForceLeave(name, prune);
  Settle();
  if (known) return absl::OkStatus();
  return absl::NotFoundError(base::StrCat("No node found with name '", name, "'"));
}

absl::Status Cluster::UpdateTags(Time now, Tags tags) {
  if (parts_->members.leaving()) return absl::FailedPreconditionError("this member is leaving");
  absl::StatusOr<std::string> meta = EncodeMeta({std::move(tags), kClusterVersions});
  if (!meta.ok()) return meta.status();
  Begin(now);
  if (*meta != parts_->context.swim.self().meta) {
    parts_->context.swim.UpdateMeta(parts_->context.now, *std::move(meta));
    parts_->members.SelfUpdated();
  }
  Settle();
  return absl::OkStatus();
}

void Cluster::UpdateAddress(Time now, const Endpoint& address) {
  CONSUL_CHECK(address.port != 0);
  Begin(now);
  if (address != parts_->context.swim.self().address && !parts_->members.leaving()) {
    parts_->context.swim.UpdateAddress(parts_->context.now, address);
    parts_->members.SelfUpdated();
  }
  Settle();
}

void Cluster::SetClusterId(std::string cluster_id) {
  parts_->context.swim.SetClusterId(std::move(cluster_id));
}

absl::Status Cluster::SendUserEvent(Time now, std::string_view name, std::string_view payload,
                                    bool coalesce) {
  Begin(now);
  absl::Status status = parts_->events.Send(name, payload, coalesce);
  Settle();
  return status;
}

absl::StatusOr<QueryId> Cluster::Query(Time now, const QueryRequest& request) {
  pb::Query query;
  bool is_utf8 = base::IsUtf8(request.name);
  for (const std::string& node : request.nodes) {
    is_utf8 = is_utf8 && base::IsUtf8(node);
    query.add_nodes(node);
  }
  for (const auto& [key, value] : request.tags) {
    is_utf8 = is_utf8 && base::IsUtf8(key) && base::IsUtf8(value);
    query.add_tags()->set_key(key);
    query.mutable_tags()->rbegin()->set_value(value);
  }
  if (!is_utf8) return absl::InvalidArgumentError("the text of a query is not valid UTF-8");
  query.set_want_ack(request.want_acks);
  query.set_relay_factor(request.relay_factor);
  query.mutable_user()->set_name(request.name);
  query.mutable_user()->set_payload(request.payload);
  Begin(now);
  absl::StatusOr<QueryId> id =
      parts_->queries.Ask(std::move(query), request.timeout, std::nullopt);
  Settle();
  return id;
}

absl::Status Cluster::Respond(Time now, ReceivedQueryId id, std::string_view payload) {
  Begin(now);
  absl::Status status = parts_->queries.Respond(id, payload);
  Settle();
  return status;
}

absl::StatusOr<QueryId> Cluster::ChangeKeys(Time now, const KeyRequest& request) {
  CONSUL_CHECK(request.key.has_value() || request.operation == KeyOperationKind::kList);
  pb::Query query;
  query.set_relay_factor(request.relay_factor);
  query.mutable_keys()->set_operation(ToProto(request.operation));
  if (request.operation != KeyOperationKind::kList) {
    query.mutable_keys()->set_key(std::string(request.key->bytes()));
  }
  KeyResult result;
  result.operation = request.operation;
  result.nodes = parts_->context.swim.counts().living();
  Begin(now);
  absl::StatusOr<QueryId> id =
      parts_->queries.Ask(std::move(query), Duration{0}, std::move(result));
  Settle();
  return id;
}

void Cluster::KeyringStored(Time now, uint64_t id, const absl::Status& status) {
  Begin(now);
  parts_->keys.Stored(id, status);
  Settle();
}

// ---- Handing out.

void Cluster::Begin(Time now) {
  ClusterContext& context = parts_->context;
  context.now = std::max(context.now, now);
  const NoteSource source{parts_->Clocks(), parts_->events.version()};
  if (source == std::exchange(parts_->noted, source)) return;
  pb::Note note;
  note.set_member_time(context.member_clock.next().value);
  note.set_event_time(context.event_clock.next().value);
  note.set_query_time(context.query_clock.next().value);
  parts_->events.FillNote(&note);
  context.swim.SetStreamNote(note.SerializeAsString());
}

void Cluster::Settle() {
  ClusterContext& context = parts_->context;
  for (;;) {
    parts_->queries.AnswerKeys();
    parts_->members.Proceed();
    Output said = context.swim.TakeOutput();
    if (said.empty()) break;
    HandOut(std::move(said));
  }
  for (const std::string& name : parts_->members.TakeForgotten()) {
    parts_->coordinates.Forget(name);
  }
  RecordClocks();
}

void Cluster::HandOut(Output said) {
  ClusterOutput& output = parts_->context.output;
  MoveTo(&output.packets, std::move(said.packets));
  MoveTo(&output.stream_opens, std::move(said.stream_opens));
  MoveTo(&output.stream_sends, std::move(said.stream_sends));
  MoveTo(&output.stream_closes, std::move(said.stream_closes));
  // Members before what is said about them and by them.
  if (said.name_lost_to != nullptr) {
    const MemberInfo& self = parts_->context.swim.self();
    const MemberInfo& winner = said.name_lost_to->info;
    output.name_lost =
        NameConflict{self.name, winner.id, winner.address, self.id, self.address, ""};
    parts_->members.NameLost();
  }
  if (!said.copy_of.empty()) {
    const MemberInfo& self = parts_->context.swim.self();
    output.name_lost = NameConflict{self.name, "", {}, self.id, self.address, said.copy_of};
    parts_->members.NameLost();
  }
  parts_->members.Heard(said.changes, said.intents);
  for (const NoteReceived& note : said.notes) HandOutNote(note);
  for (const CustomReceived& custom : said.customs) HandOutCustom(custom);
  for (const RttSample& rtt : said.rtts) parts_->coordinates.Received(rtt);
  for (JoinResult& result : said.join_results) HandOutJoinResult(std::move(result));
  MoveTo(&output.facts, std::move(said.facts));
  if (said.left_done) parts_->members.SwimLeft();
}

void Cluster::HandOutNote(const NoteReceived& received) {
  const std::optional<pb::Note> note = DecodeNote(received.note);
  if (!note.has_value()) return;
  ClusterContext& context = parts_->context;
  context.member_clock.WitnessNext(LamportTime{note->member_time()});
  context.query_clock.WitnessNext(LamportTime{note->query_time()});
  parts_->events.NoteReceived(received.member, *note, received.join);
}

void Cluster::HandOutCustom(const CustomReceived& custom) {
  const std::optional<pb::ClusterMessage> message = DecodeClusterMessage(custom.message);
  if (!message.has_value()) {
    const uint64_t count = ++parts_->malformed_count;
    if ((count & (count - 1)) == 0) {
      parts_->context.Say({ClusterFactKind::kMalformed, "", custom.from, count, ""});
    }
    return;
  }
  switch (message->kind_case()) {
    case pb::ClusterMessage::kJoin:
      return parts_->members.Received(message->join());
    case pb::ClusterMessage::kLeave:
      return parts_->members.Received(message->leave());
    case pb::ClusterMessage::kUserEvent:
      return parts_->events.Received(message->user_event());
    case pb::ClusterMessage::kQuery:
      return parts_->queries.Received(message->query());
    case pb::ClusterMessage::kReply:
      return parts_->queries.Received(message->reply());
    case pb::ClusterMessage::kRelay:
      return parts_->queries.Received(message->relay());
    case pb::ClusterMessage::kReplay:
      return parts_->events.Received(message->replay());
    case pb::ClusterMessage::KIND_NOT_SET:
      return;
  }
}

void Cluster::HandOutJoinResult(JoinResult result) {
  if (parts_->members.JoinEnded(result)) return;
  parts_->events.JoinEnded(result.id);
  if (result.joined) parts_->members.AnnounceJoin();
  parts_->context.output.join_results.push_back(std::move(result));
}

// At most one record an interval: a clock that is written late only repeats what was said since.
void Cluster::RecordClocks() {
  ClusterContext& context = parts_->context;
  const ClockTimes clocks = parts_->Clocks();
  if (clocks == parts_->recorded || context.now < parts_->record_clocks_at) return;
  parts_->recorded = clocks;
  parts_->record_clocks_at = context.now + context.options.clock_record_interval;
  context.output.records.push_back(ClocksRecord{clocks.member, clocks.event, clocks.query});
}

// ---- Outputs.

ClusterOutput Cluster::TakeOutput() {
  ClusterContext& context = parts_->context;
  context.output.members_changed.assign(context.members_changed.begin(),
                                        context.members_changed.end());
  context.members_changed.clear();
  return std::exchange(context.output, {});
}

Time Cluster::NextDeadline() const {
  Time next = std::min({parts_->context.swim.NextDeadline(), parts_->members.NextDeadline(),
                        parts_->events.NextDeadline(), parts_->queries.NextDeadline()});
  if (parts_->Clocks() != parts_->recorded) next = std::min(next, parts_->record_clocks_at);
  return next;
}

// ---- What is known.

std::optional<ClusterMember> Cluster::Find(std::string_view name) const {
  return parts_->members.Find(name);
}

std::vector<ClusterMember> Cluster::Members() const { return parts_->members.All(); }

ClusterMember Cluster::Self() const { return *parts_->members.Find(parts_->context.self_name()); }

ClusterStats Cluster::Stats() const {
  const ClusterContext& context = parts_->context;
  const ClusterMembers::Counts counts = parts_->members.counts();
  const QueueLengths queues = context.swim.queue_lengths();
  ClusterStats stats;
  stats.coordinate_resets = parts_->coordinates.resets();
  stats.encrypted = parts_->keys.keyring().has_value();
  stats.event_queue = queues.events;
  stats.event_time = context.event_clock.next();
  stats.failed = counts.failed;
  stats.health_score = context.swim.health_score();
  stats.intent_queue = queues.intents;
  stats.left = counts.left;
  stats.member_time = context.member_clock.next();
  stats.members = counts.listed;
  stats.query_queue = queues.queries;
  stats.query_time = context.query_clock.next();
  return stats;
}

Duration Cluster::DefaultQueryTimeout() const { return parts_->queries.DefaultTimeout(); }

const std::optional<Keyring>& Cluster::keyring() const { return parts_->keys.keyring(); }

const Coordinate& Cluster::coordinate() const { return parts_->coordinates.own(); }

std::optional<Coordinate> Cluster::CoordinateOf(std::string_view name) const {
  return parts_->coordinates.Of(name);
}

const Swim& Cluster::swim() const { return parts_->context.swim; }

}  // namespace consul::gossip
