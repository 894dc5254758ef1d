#include "services/gossip/cluster_message.h"

#include <algorithm>
#include <span>

#include "services/gossip/event_buffer.h"
#include "services/gossip/keyring.h"
#include "services/gossip/lamport_clock.h"
#include "services/gossip/member.h"
#include "services/gossip/types.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

bool IsName(std::string_view name) { return !name.empty() && name.size() <= kNameBytesMax; }

// Of a word that was said: 0 is never.
bool IsTime(uint64_t time) { return time > 0 && time <= kLamportTimeMax.value; }

bool IsValid(const pb::UserEvent& event) {
  return IsTime(event.time()) && event.name().size() + event.payload().size() <= kUserEventBytesMax;
}

bool IsValid(const pb::UserEvents& events) {
  return events.events_size() > 0 &&
         std::all_of(events.events().begin(), events.events().end(),
                     [](const pb::UserEvent& event) { return IsValid(event); });
}

bool IsValid(const pb::KeyQuery& keys) {
  switch (keys.operation()) {
    case pb::KEY_OPERATION_LIST:
      return keys.key().empty();
    case pb::KEY_OPERATION_INSTALL:
    case pb::KEY_OPERATION_USE:
    case pb::KEY_OPERATION_REMOVE:
      return Key::FromBytes(keys.key()).ok();
    default:  // of a later version, or none
      return false;
  }
}

bool IsValid(const pb::Query& query) {
  if (!IsTime(query.time()) || !IsName(query.source()) ||
      !Endpoint::FromBytes(query.ip(), query.port()).has_value() ||
      query.relay_factor() > kRelayFactorMax || query.timeout_ms() == 0 ||
      query.timeout_ms() > kQueryTimeoutMax.count() || query.ByteSizeLong() > kQueryBytesMax) {
    return false;
  }
  switch (query.question_case()) {
    case pb::Query::kUser:
      return true;
    case pb::Query::kKeys:
      return IsValid(query.keys());
    case pb::Query::QUESTION_NOT_SET:
      return false;
  }
  return false;
}

bool IsValid(const pb::QueryReply& reply) {
  if (!IsTime(reply.time()) || !IsName(reply.from()) ||
      reply.ByteSizeLong() > kQueryReplyBytesMax) {
    return false;
  }
  switch (reply.body_case()) {
    case pb::QueryReply::kAck:
    case pb::QueryReply::kPayload:
      return true;
    case pb::QueryReply::kKeys:
      return std::all_of(reply.keys().keys().begin(), reply.keys().keys().end(),
                         [](const std::string& key) { return Key::FromBytes(key).ok(); });
    case pb::QueryReply::BODY_NOT_SET:
      return false;
  }
  return false;
}

bool IsValid(const pb::ClusterMessage& message) {
  switch (message.kind_case()) {
    case pb::ClusterMessage::kJoin:
      return IsTime(message.join().time()) && IsName(message.join().name());
    case pb::ClusterMessage::kLeave:
      return IsTime(message.leave().time()) && IsName(message.leave().name());
    case pb::ClusterMessage::kUserEvent:
      return IsValid(message.user_event());
    case pb::ClusterMessage::kQuery:
      return IsValid(message.query());
    case pb::ClusterMessage::kReply:
      return IsValid(message.reply());
    case pb::ClusterMessage::kRelay:
      return IsName(message.relay().to()) && IsValid(message.relay().reply());
    case pb::ClusterMessage::kReplay:
      return IsValid(message.replay());
    case pb::ClusterMessage::KIND_NOT_SET:
      return false;
  }
  return false;
}

}  // namespace

std::optional<pb::ClusterMessage> DecodeClusterMessage(std::string_view bytes) {
  pb::ClusterMessage message;
  if (bytes.size() > kClusterMessageBytesMax ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !IsValid(message)) {
    return std::nullopt;
  }
  return message;
}

std::optional<pb::Note> DecodeNote(std::string_view bytes) {
  pb::Note note;
  if (!note.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !IsTime(note.member_time()) || !IsTime(note.event_time()) || !IsTime(note.query_time()) ||
      (note.event_hashes_size() != 0 &&
       note.event_hashes_size() != static_cast<int>(EventBuffer::kGroups))) {
    return std::nullopt;
  }
  return note;
}

std::string EncodeCoordinate(const Coordinate& coordinate) {
  pb::CoordinateWord word;
  for (const double place : coordinate.position) word.add_position(place);
  word.set_error(coordinate.error);
  word.set_adjustment(coordinate.adjustment);
  word.set_height(coordinate.height);
  return word.SerializeAsString();
}

std::optional<Coordinate> DecodeCoordinate(std::string_view bytes) {
  pb::CoordinateWord word;
  if (!word.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  const std::span<const double> position(word.position().data(),
                                         static_cast<size_t>(word.position_size()));
  return Coordinate::FromParts(position, word.error(), word.adjustment(), word.height());
}

}  // namespace consul::gossip
