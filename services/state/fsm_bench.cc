// Measures the state machine, publishing, and waiting: what a write costs on the apply thread and
// what a blocked query costs while it waits. docs/decisions/0001-persistent-map.md has the figures.
#include <malloc.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "services/base/sha256.h"
#include "services/state/fsm.h"
#include "services/state/snapshot.h"
#include "services/state/version_source.h"

namespace consul::state {
namespace {

using internal::raft::v1::Command;

std::string KeyOf(uint64_t n) {
  char text[128];
  std::snprintf(text, sizeof(text),
                "service/configuration/production/eu-central-1/team-%02d/application/%020llu/v",
                static_cast<int>(n % 37), static_cast<unsigned long long>(n * 2654435761u));
  std::string key(text);
  key.resize(100, '.');
  return key;
}

std::string PutBytes(uint64_t n, char value) {
  Command command;
  command.set_min_version(1);
  command.set_proposed_at(1);
  command.mutable_kv_put()->set_key(KeyOf(n));
  command.mutable_kv_put()->set_value(std::string(100, value));
  return command.SerializeAsString();
}

// A server's state: the state machine and its source.
struct State {
  Fsm fsm;
  VersionSource source{fsm.MakeVersion()};
  uint64_t index = 0;
  void Apply(const std::vector<std::string>& commands, size_t from, size_t count) {
    std::vector<FsmEntry> entries;
    for (size_t i = 0; i < count; ++i) entries.push_back({++index, true, commands[from + i]});
    Fsm::Batch batch;
    if (!fsm.ApplyBatch(entries, &batch).ok()) std::abort();
    for (const auto& waiter : source.Publish(std::move(batch.version), batch.touched)) {
      waiter->Fire();
    }
    source.FreeRetired();
  }
};

// Writes of changing values to 1,000 keys, range(0) to a batch; time is for each batch.
void Put(benchmark::State& bench) {
  State state;
  std::vector<std::string> commands;
  for (int i = 0; i < 4000; ++i) {
    commands.push_back(PutBytes(i % 1000, static_cast<char>('a' + i / 1000)));
  }
  const size_t count = static_cast<size_t>(bench.range(0));
  size_t at = 0;
  for (auto _ : bench) {
    state.Apply(commands, at, count);
    at = at + 2 * count > commands.size() ? 0 : at + count;
  }
  bench.SetItemsProcessed(bench.iterations() * bench.range(0));
}
BENCHMARK(Put)->Arg(1)->Arg(64);

// What the machinery of reads does for a GET of a key: find it through a WatchSet, ask its index.
void ReadKey(benchmark::State& bench) {
  State state;
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < 1000; ++i) {
    state.Apply({PutBytes(i, 'v')}, 0, 1);
    keys.push_back(KeyOf(i));
  }
  VersionCache cache(&state.source);
  size_t i = 0;
  WatchSet watch;  // a loop keeps its own, for its memory
  for (auto _ : bench) {
    const Version& version = static_cast<const Version&>(*cache.Get());
    watch.Clear();
    benchmark::DoNotOptimize(version.kv().Find(keys[i++ % 1000], &watch));
    benchmark::DoNotOptimize(version.IndexOf(watch));
  }
}
BENCHMARK(ReadKey);

// A million keys: from the log, into a snapshot, out of it, and all deleted by one command.
State& Million(benchmark::State* bench) {
  static State* const state = new State;
  if (state->index > 0) return *state;
  std::vector<std::string> commands;
  for (uint64_t i = 0; i < 1'000'000; ++i) commands.push_back(PutBytes(i, 'v'));
  const size_t before = mallinfo2().uordblks;
  if (bench != nullptr) bench->ResumeTiming();
  for (size_t at = 0; at < commands.size(); at += 500) state->Apply(commands, at, 500);
  if (bench != nullptr) {
    bench->PauseTiming();
    bench->counters["bytes_a_key"] =
        static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(commands.size());
  }
  return *state;
}

void LoadMillion(benchmark::State& bench) {
  for (auto _ : bench) {
    bench.PauseTiming();
    Million(&bench);
    bench.ResumeTiming();
  }
}
BENCHMARK(LoadMillion)->Iterations(1)->Unit(benchmark::kMillisecond);

std::string SnapshotOfMillion() {
  std::string bytes;
  const absl::Status status =
      WriteSnapshot(*Million(nullptr).fsm.MakeVersion(), [&bytes](std::string_view frame) {
        bytes.append(frame);
        return absl::OkStatus();
      });
  if (!status.ok()) std::abort();
  return bytes;
}

void WriteMillion(benchmark::State& bench) {
  Million(nullptr);
  for (auto _ : bench) {
    bench.counters["MB"] = static_cast<double>(SnapshotOfMillion().size()) / 1e6;
  }
}
BENCHMARK(WriteMillion)->Unit(benchmark::kMillisecond);

void ReadMillion(benchmark::State& bench) {
  const std::string bytes = SnapshotOfMillion();
  for (auto _ : bench) {
    SnapshotReader reader;
    for (size_t at = 0; at < bytes.size(); at += kSnapshotFrameBytes) {
      if (!reader.Add(std::string_view(bytes).substr(at, kSnapshotFrameBytes)).ok()) std::abort();
    }
    if (!reader.Finish().ok()) std::abort();
  }
}
BENCHMARK(ReadMillion)->Unit(benchmark::kMillisecond);

// The commit of a restore, which holds up the apply thread: the sum, the reading, the switch, with
// a million keys there before.
void RestoreMillion(benchmark::State& bench) {
  const std::string bytes = SnapshotOfMillion();
  base::Sha256 sum;
  sum.Add(bytes);
  Command commit;
  commit.mutable_restore_commit()->set_id("r");
  commit.mutable_restore_commit()->set_size(bytes.size());
  commit.mutable_restore_commit()->set_sha256(sum.Finish());
  for (auto _ : bench) {
    bench.PauseTiming();
    State& state = Million(nullptr);
    Command command;
    auto* const chunk = command.mutable_restore_chunk();
    chunk->set_id("r");
    for (size_t at = 0; at < bytes.size(); at += StagedRestore::kChunkBytesMax) {
      chunk->set_offset(at);
      chunk->set_chunk(bytes.substr(at, StagedRestore::kChunkBytesMax));
      state.Apply({command.SerializeAsString()}, 0, 1);
    }
    bench.ResumeTiming();
    state.Apply({commit.SerializeAsString()}, 0, 1);
    if (state.fsm.tables().restored_index != state.index) std::abort();
  }
}
BENCHMARK(RestoreMillion)->Iterations(3)->Unit(benchmark::kMillisecond);

void DeleteMillion(benchmark::State& bench) {
  Command tree;
  tree.mutable_kv_delete_tree();
  State& state = Million(nullptr);
  for (auto _ : bench) state.Apply({tree.SerializeAsString()}, 0, 1);
}
BENCHMARK(DeleteMillion)->Iterations(1)->Unit(benchmark::kMillisecond);

struct CountingWaiter : Waiter {
  void Fire() override { ++fired; }
  int fired = 0;
};

// 10,000 waiters parked on one key and fired by one write.
void TenThousandWaiters(benchmark::State& bench) {
  State state;
  const std::vector<std::string> commands = {PutBytes(0, 'a'), PutBytes(0, 'b')};
  WatchSet watch;
  watch.AddKey(kKvMap, KeyOf(0));
  size_t turn = 0;
  for (auto _ : bench) {
    bench.PauseTiming();
    const size_t before = mallinfo2().uordblks;
    const uint64_t index = state.source.Load()->IndexOf(watch);
    for (int i = 0; i < 10'000; ++i) {
      state.source.Park(std::make_shared<CountingWaiter>(), watch, index);
    }
    bench.counters["bytes_a_waiter"] = static_cast<double>(mallinfo2().uordblks - before) / 10'000;
    bench.ResumeTiming();
    state.Apply(commands, turn++ % 2, 1);
  }
}
BENCHMARK(TenThousandWaiters)->Unit(benchmark::kMicrosecond);

void ParkAndCancel(benchmark::State& bench) {
  State state;
  WatchSet watch;
  watch.AddKey(kKvMap, KeyOf(0));
  for (auto _ : bench) {
    auto waiter = std::make_shared<CountingWaiter>();
    state.source.Park(waiter, watch, 1);
    state.source.registry().Cancel(waiter.get());
  }
}
BENCHMARK(ParkAndCancel);

void CacheGet(benchmark::State& bench) {
  static State* const state = new State;
  VersionCache cache(&state->source);
  for (auto _ : bench) benchmark::DoNotOptimize(cache.Get().get());
}
BENCHMARK(CacheGet)->Threads(1)->Threads(2);

void SourceLoad(benchmark::State& bench) {
  static State* const state = new State;
  for (auto _ : bench) benchmark::DoNotOptimize(state->source.Load().get());
}
BENCHMARK(SourceLoad)->Threads(1)->Threads(2);

}  // namespace
}  // namespace consul::state
