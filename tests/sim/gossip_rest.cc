// How often the living are taken for dead, and what a pool at rest costs.
#include <algorithm>

#include "tests/sim/gossip_scenarios.h"

namespace consul::gossip {
namespace {

// Counts deaths that are none: nobody dies in these runs.
void Count(SimPool* pool, FalsePositiveFigures* figures) {
  pool->SetListener([pool, figures](HostId, const Output& output) {
    const auto paused = [pool](const Endpoint& address) {
      // The host's number is in its address.
      const uint32_t host = static_cast<uint32_t>(address.ip[13]) << 16 |
                            static_cast<uint32_t>(address.ip[14]) << 8 | address.ip[15];
      return pool->network().paused(HostId{host});
    };
    for (const Change& change : output.changes) {
      if (change.kind != ChangeKind::kFailed) continue;
      ++(paused(change.entry.member->info.address) ? figures->of_paused : figures->of_running);
    }
    for (const Fact& fact : output.facts) {
      if (fact.kind == FactKind::kSuspected && !paused(fact.address)) ++figures->suspicions;
    }
  });
}

}  // namespace

FalsePositiveFigures MeasureLoss(const SwimOptions& options, size_t count, double loss,
                                 Duration duration, uint64_t seed) {
  FalsePositiveFigures figures;
  const auto pool = MakePool(options, count, seed);
  pool->network().weather().loss = loss;
  pool->network().weather().stream_loss = loss;
  Count(pool.get(), &figures);
  pool->network().RunFor(duration);
  return figures;
}

FalsePositiveFigures MeasurePauses(const SwimOptions& options, size_t count, double share,
                                   Duration pause, Duration duration, uint64_t seed) {
  FalsePositiveFigures figures;
  const auto pool = MakePool(options, count, seed);
  Count(pool.get(), &figures);
  SimNetwork& network = pool->network();
  const auto together =
      std::max<size_t>(1, static_cast<size_t>(share * static_cast<double>(count)));
  uint32_t next = 0;
  for (const Time end = network.now() + duration; network.now() < end;) {
    for (size_t i = 0; i < together; ++i) {
      network.Pause(HostId{next}, pause);
      next = static_cast<uint32_t>((next + 1) % count);
    }
    network.RunFor(pause);
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
