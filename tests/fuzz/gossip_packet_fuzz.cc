// Goal: no datagram crashes a member of a pool, breaks its tables, or makes it send what it would
// itself drop. Method: the input is a list of packets for one member of a pool of five, with time
// passing between them. Each begins with a byte: its low half is how much time has passed, its high
// half who the sender is; then follow a byte of length (0: what is left) and the packet.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/stubs/logging.h"
#include "services/gossip/swim.h"

namespace consul::gossip {
namespace {

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

void Require(bool fact) {
  if (!fact) std::abort();
}

Endpoint AddressOf(int host) {
  const char bytes[] = {10, 0, 0, static_cast<char>(host)};
  return *Endpoint::FromBytes({bytes, sizeof bytes}, 7946);
}

MemberInfo InfoOf(int host) {
  MemberInfo info;
  info.name = std::string(1, static_cast<char>('a' + host));
  info.id = "id-" + info.name;
  info.address = AddressOf(host);
  return info;
}

void Use(Swim* swim) {
  const Output output = swim->TakeOutput();
  for (const Packet& packet : output.packets) {
    Require(packet.bytes.size() <= swim->options().packet_bytes_max);
    Require(DecodePacket(packet.bytes).has_value());
  }
  const MemberTable& table = swim->table_for_test();
  Require(table.ConsistentForTest());
  Require(table.bucket_hashes() == table.RecomputeBucketHashesForTest());
  Require(table.counts().total() <= swim->options().members_max);
  Require(swim->queue_lengths().membership <= swim->options().broadcasts_max);
  Require(swim->Find("a")->incarnation == swim->incarnation());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  SwimOptions options;
  options.members_max = 8;
  options.broadcasts_max = 6;
  options.relays_max = 3;
  Time now{};
  Swim swim(options, {}, InfoOf(0), 1, now);
  std::vector<MemberPtr> members;
  for (int host = 1; host < 5; ++host) {
    members.push_back(std::make_shared<const Member>(InfoOf(host)));
  }
  swim.PreloadForTest(members);
  std::string_view input(reinterpret_cast<const char*>(data), size);
  while (input.size() >= 2) {
    const auto head = static_cast<uint8_t>(input[0]);
    size_t length = static_cast<uint8_t>(input[1]);
    input.remove_prefix(2);
    if (length == 0 || length > input.size()) length = input.size();
    now += std::chrono::milliseconds((head & 15) * 100);
    if (swim.NextDeadline() <= now) swim.Tick(now);
    Use(&swim);
    swim.ReceivePacket(now, AddressOf(head >> 4), input.substr(0, length));
    Use(&swim);
    input.remove_prefix(length);
  }
  for (int i = 0; i < 5; ++i) {
    now += std::chrono::milliseconds(200);
    swim.Tick(now);
    Use(&swim);
  }
  return 0;
}

}  // namespace consul::gossip
