// services/gossip/cluster_message.h
//
// Bytes from other members to messages of cluster.proto, within their limits: the one place where
// the layer above Swim believes nothing. What comes out may be used without further questions.
//
// Threads: pure functions.
// Background: proto/consul/internal/gossip/v1/cluster.proto.
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_MESSAGE_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_MESSAGE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "consul/internal/gossip/v1/cluster.pb.h"
#include "services/gossip/coordinate.h"

namespace consul::gossip {

// Of a user event's name and payload together, and of an encoded query or answer, whoever sends
// them: the largest that ClusterOptions may allow. With an envelope they fit in one packet.
inline constexpr size_t kUserEventBytesMax = 1024;
inline constexpr size_t kQueryBytesMax = 1024;
inline constexpr size_t kQueryReplyBytesMax = 1024;
// Of one encoded ClusterMessage: a Relay with the longest name around the longest answer.
inline constexpr size_t kClusterMessageBytesMax = 1300;
// What a query may ask for.
inline constexpr uint32_t kRelayFactorMax = 5;
inline constexpr std::chrono::milliseconds kQueryTimeoutMax = std::chrono::hours(1);

// The message, when it is whole, says something, and keeps every limit that cluster.proto states.
std::optional<internal::gossip::v1::ClusterMessage> DecodeClusterMessage(std::string_view bytes);

// The same of a note.
std::optional<internal::gossip::v1::Note> DecodeNote(std::string_view bytes);

// What an ack carries, and back: nothing for bytes that are no valid coordinate.
std::string EncodeCoordinate(const Coordinate& coordinate);
std::optional<Coordinate> DecodeCoordinate(std::string_view bytes);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_MESSAGE_H_
