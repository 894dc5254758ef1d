// How often the living are taken for dead, and what a pool at rest costs.
#include <algorithm>
#include <set>

#include "tests/sim/gossip_scenarios.h"

namespace consul::gossip {
namespace {

constexpr Duration kTurn = std::chrono::minutes(1);

// Counts deaths that are none: nobody dies in these runs. `ill` holds the hosts that do not run
// well.
void Count(SimPool* pool, const std::set<uint32_t>* ill, FalsePositiveFigures* figures) {
  pool->SetListener([ill, figures](HostId, const Output& output) {
    const auto is_ill = [ill](const Endpoint& address) {
      // The host's number is in its address.
      const uint32_t host = static_cast<uint32_t>(address.ip[13]) << 16 |
                            static_cast<uint32_t>(address.ip[14]) << 8 | address.ip[15];
      return ill->count(host) > 0;
    };
    for (const Change& change : output.changes) {
      if (change.kind != ChangeKind::kFailed) continue;
      ++(is_ill(change.entry.member->info.address) ? figures->of_paused : figures->of_running);
    }
    for (const Fact& fact : output.facts) {
      if (fact.kind == FactKind::kSuspected && !is_ill(fact.address)) ++figures->suspicions;
    }
  });
}

}  // namespace

FalsePositiveFigures MeasureLoss(const SwimOptions& options, size_t count, double loss,
                                 Duration duration, uint64_t seed) {
  FalsePositiveFigures figures;
  const std::set<uint32_t> nobody;
  const auto pool = MakePool(options, count, seed);
  pool->network().weather().loss = loss;
  pool->network().weather().stream_loss = loss;
  Count(pool.get(), &nobody, &figures);
  pool->network().RunFor(duration);
  return figures;
}

FalsePositiveFigures MeasurePauses(const SwimOptions& options, size_t count, const Pauses& pauses,
                                   Duration duration, uint64_t seed) {
  FalsePositiveFigures figures;
  std::set<uint32_t> ill;
  const auto pool = MakePool(options, count, seed);
  Count(pool.get(), &ill, &figures);
  SimNetwork& network = pool->network();
  const auto together =
      std::max<size_t>(1, static_cast<size_t>(pauses.share * static_cast<double>(count)));
  uint32_t next = 0;
  for (const Time end = network.now() + duration; network.now() < end;) {
    ill.clear();
    for (size_t i = 0; i < together; ++i) {
      ill.insert(next);
      next = static_cast<uint32_t>((next + 1) % count);
    }
    for (const Time turn_end = network.now() + kTurn; network.now() < turn_end;) {
      for (const uint32_t host : ill) {
        if (pauses.sockets_only) {
          network.Stall(HostId{host}, pauses.pause);
        } else {
          network.Pause(HostId{host}, pauses.pause);
        }
      }
      network.RunFor(pauses.pause + pauses.gap);
    }
    // What the last ones still believe belongs to their turn.
    network.RunFor(std::chrono::seconds(5));
  }
  return figures;
}

RestFigures MeasureRest(const SwimOptions& options, size_t count, Duration duration,
                        uint64_t seed) {
  const auto pool = MakePool(options, count, seed);
  SimNetwork& network = pool->network();
  const auto sum = [&] {
    SimTraffic all;
    for (uint32_t i = 0; i < count; ++i) {
      const SimTraffic& traffic = network.traffic(HostId{i});
      all.packets += traffic.packets;
      all.packet_bytes += traffic.packet_bytes;
      all.streams += traffic.streams;
      all.stream_bytes += traffic.stream_bytes;
    }
    return all;
  };
  network.RunFor(std::chrono::seconds(10));
  const SimTraffic before = sum();
  network.RunFor(duration);
  const SimTraffic after = sum();
  const double seconds = std::chrono::duration<double>(duration).count();
  const double members = static_cast<double>(count);
  const auto streams = static_cast<double>(after.streams - before.streams);
  RestFigures figures;
  figures.packet_bytes =
      static_cast<double>(after.packet_bytes - before.packet_bytes) / members / seconds;
  figures.packets = static_cast<double>(after.packets - before.packets) / members / seconds;
  figures.exchange_bytes =
      static_cast<double>(after.stream_bytes - before.stream_bytes) / std::max(1.0, streams);
  figures.exchanges = streams / seconds;
  return figures;
}

}  // namespace consul::gossip
