// Goal: no packet, no message of a stream and no target to join crashes Swim or brings its table
// into disorder. Method, by the first byte of the input:
//   0  the rest is a packet
//   1  the rest is a message of a stream that another has opened
//   2  the rest is a message of a stream that we have opened to join
//   3  the rest is a target, in words
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/gossip/resolver.h"
#include "services/gossip/swim.h"
#include "services/gossip/types.h"
#include "services/gossip/wire.h"

namespace consul::gossip {
namespace {

constexpr Time kStart{std::chrono::hours(1)};

void Require(bool fact) {
  if (!fact) std::abort();
}

MemberInfo Info(const std::string& name, const char* address) {
  MemberInfo info;
  info.name = name;
  info.id = "id-" + name;
  info.address = *Endpoint::Parse(address);
  return info;
}

// The words of a target are read, and read again from what was read.
void ReadTarget(std::string_view text) {
  const auto target = ParseJoinTarget(text);
  if (!target.ok()) return;
  Require(!target->host.empty() && target->host.size() <= Resolver::kTargetBytesMax);
  const auto endpoint = Endpoint::ParseIp(target->host, target->port == 0 ? 1 : target->port);
  if (!endpoint.has_value()) return;
  const auto again = Endpoint::Parse(endpoint->ToString());
  Require(again.has_value() && *again == *endpoint);
}

void Feed(uint8_t kind, std::string_view bytes) {
  PoolIdentity pool;
  pool.datacenter = "dc1";
  Swim swim(SwimOptions::Lan(), pool, Info("a", "10.0.0.1:8301"), 1, kStart);
  const Endpoint other = *Endpoint::Parse("10.0.0.2:8301");
  if (kind == 0) {
    swim.ReceivePacket(kStart, other, bytes);
    swim.ReceivePacket(kStart, other, bytes);
  } else if (kind == 1) {
    swim.StreamAccepted(kStart, StreamId{1}, other);
    swim.StreamReceived(kStart, StreamId{1}, bytes);
    swim.StreamReceived(kStart, StreamId{1}, bytes);
  } else {
    swim.Join(kStart, other);
    for (const StreamOpen& open : swim.TakeOutput().stream_opens) {
      swim.StreamOpened(kStart, open.stream);
      swim.StreamReceived(kStart, open.stream, bytes);
      swim.StreamReceived(kStart, open.stream, bytes);
    }
  }
  for (int tick = 1; tick <= 20; ++tick) swim.Tick(kStart + tick * std::chrono::seconds(1));
  for (const Packet& packet : swim.TakeOutput().packets) {
    Require(packet.bytes.size() <= swim.options().packet_bytes_max);
  }
  Require(swim.Find("a").has_value() && swim.counts().living() >= 1);
}

}  // namespace
}  // namespace consul::gossip

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 4 == 3) {
    consul::gossip::ReadTarget(rest);
  } else {
    consul::gossip::Feed(data[0] % 4, rest);
  }
  return 0;
}
