#include "tests/sim/cluster/sim_options.h"

namespace consul::sim {

SimOptions OptionsOf(uint64_t seed) {
  gossip::Random random(seed * 0x9e3779b97f4a7c15u + 1);
  SimOptions options;
  options.seed = seed;
  options.voters = random.Below(3) == 0 ? 5 : 3;
  options.spares = random.Below(3);
  options.clients = 3 + random.Below(4);
  options.watchers = 1 + random.Below(3);
  options.keys = 2 + random.Below(4);
  options.think_max = Milliseconds(static_cast<int64_t>(10 + random.Below(120)));
  options.apply_delay_max = Milliseconds(random.Below(3) == 0 ? 10 : 1);
  // Small limits, so that every way around them is taken.
  options.core.tail_bytes_max = 512u << random.Below(12);
  options.core.append_bytes_max = 2048u << random.Below(8);
  options.core.in_flight_bytes_max = options.core.append_bytes_max << random.Below(4);
  options.core.in_flight_requests_max = 1 + random.Below(32);
  options.core.applying_bytes_max = 4096u << random.Below(8);
  options.core.snapshot_chunk_bytes_max = 256u << random.Below(8);
  options.value_bytes_max = random.Below(2) == 0 ? 16 : 400;
  options.segment_bytes_min = 8192u << random.Below(3);
  options.segment_bytes_max = options.segment_bytes_min << random.Below(3);
  options.snapshot_entries_min = random.Below(3) == 0 ? 20 + random.Below(60)
                                                      : 100 + random.Below(400);
  options.trailing_entries = random.Below(60);
  return options;
}

}  // namespace consul::sim
