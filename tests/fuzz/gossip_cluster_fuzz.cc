// Goal: no words of another member crash Cluster or bring its view into disorder, and what its
// decoders take is within every limit and survives being encoded again. The first byte says what
// the rest is: a message, a note, tags, a coordinate, or several messages in one packet.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "consul/internal/gossip/v1/gossip.pb.h"
#include "services/gossip/cluster.h"
#include "services/gossip/cluster_message.h"
#include "services/gossip/pool_invariants.h"
#include "services/gossip/tags.h"

namespace {

namespace pb = consul::internal::gossip::v1;
using consul::gossip::Cluster;
using consul::gossip::ClusterOptions;
using consul::gossip::ClusterSelf;
using consul::gossip::Coordinate;
using consul::gossip::Endpoint;
using consul::gossip::Key;
using consul::gossip::Keyring;
using consul::gossip::MemberMeta;
using consul::gossip::MemberStatus;
using consul::gossip::PoolIdentity;
using consul::gossip::PoolInvariants;
using consul::gossip::Time;

void Require(bool fact) {
  if (!fact) std::abort();
}

std::unique_ptr<Cluster> NewCluster(Time now) {
  ClusterSelf self;
  self.name = "a";
  self.id = "id-a";
  self.address = *Endpoint::Parse("10.0.0.1:8301");
  self.tags = {{"role", "consul"}};
  self.keyring = Keyring(*Key::FromBytes("0123456789abcdef"));
  auto cluster = Cluster::Create(ClusterOptions::Lan(), PoolIdentity{"dc1", false, "", 1, 1},
                                 std::move(self), {}, 1, now);
  Require(cluster.ok());
  return *std::move(cluster);
}

// Takes outputs until there are none, as a driver that stores every keyring does.
void Drain(Cluster& cluster, PoolInvariants& invariants, Time now) {
  for (;;) {
    consul::gossip::ClusterOutput output = cluster.TakeOutput();
    invariants.Check("a", cluster, output);
    if (!invariants.broken().empty()) std::abort();
    if (output.empty()) return;
    if (output.keyring_store.has_value()) {
      cluster.KeyringStored(now, output.keyring_store->id, absl::OkStatus());
    }
  }
}

// What members say, to one that is alone and to one that is leaving.
void Say(const pb::Packet& packet) {
  Time now{std::chrono::hours(1)};
  const std::unique_ptr<Cluster> cluster = NewCluster(now);
  PoolInvariants invariants;
  invariants.Started("a", /*coalesces=*/false);
  Drain(*cluster, invariants, now);
  const Endpoint from = *Endpoint::Parse("10.0.0.2:8301");
  cluster->ReceivePacket(now, from, packet.SerializeAsString());
  Drain(*cluster, invariants, now);
  // Nobody else can make it leave.
  Require(cluster->Self().status == MemberStatus::kAlive);
  for (int i = 0; i < 10; ++i) {
    now += std::chrono::seconds(1);
    cluster->Tick(now);
    Drain(*cluster, invariants, now);
  }
  Require(cluster->Self().status == MemberStatus::kAlive);
  cluster->Leave(now);
  cluster->ReceivePacket(now, from, packet.SerializeAsString());
  Drain(*cluster, invariants, now);
  Require(cluster->Self().status != MemberStatus::kAlive);
}

void Message(std::string_view bytes) {
  const auto message = consul::gossip::DecodeClusterMessage(bytes);
  if (message.has_value()) {
    const std::string again = message->SerializeAsString();
    Require(consul::gossip::DecodeClusterMessage(again).has_value());
  }
  pb::Packet packet;
  packet.add_customs(std::string(bytes));
  Say(packet);
}

void Tags(std::string_view bytes) {
  const absl::StatusOr<MemberMeta> meta = consul::gossip::DecodeMeta(bytes);
  if (!meta.ok()) return;
  const absl::StatusOr<std::string> again = consul::gossip::EncodeMeta(*meta);
  // Encoded the short way it cannot have become longer.
  Require(again.ok());
  Require(*consul::gossip::DecodeMeta(*again) == *meta);
}

void Place(std::string_view bytes) {
  const std::optional<Coordinate> coordinate = consul::gossip::DecodeCoordinate(bytes);
  if (!coordinate.has_value()) return;
  Require(coordinate->valid());
  Require(consul::gossip::DecodeCoordinate(consul::gossip::EncodeCoordinate(*coordinate)) ==
          coordinate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      Message(bytes);
      return 0;
    case 1: {
      const auto note = consul::gossip::DecodeNote(bytes);
      if (note.has_value()) {
        Require(consul::gossip::DecodeNote(note->SerializeAsString()).has_value());
      }
      return 0;
    }
    case 2:
      Tags(bytes);
      return 0;
    case 3:
      Place(bytes);
      return 0;
    default: {
      pb::Packet packet;
      if (packet.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) Say(packet);
      return 0;
    }
  }
}
