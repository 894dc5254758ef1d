// Measures the persistent map at a million keys, by fan-out, and what a stored key-value row costs.
// The figures in docs/decisions/0001-persistent-map.md come from
//   bazel run //services/state:map_bench
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "services/state/tables.h"

namespace consul::state {
namespace {

constexpr size_t kKeys = 1'000'000;
constexpr size_t kBytes = 100;

using KvRow = Row<KvSpec>;

// 100 bytes: a long shared beginning, as keys have, and a number in random order.
std::string KeyOf(uint64_t n) {
  char text[2 * kBytes];
  std::snprintf(text, sizeof(text),
                "service/configuration/production/eu-central-1/team-%02d/application/%020llu/value",
                static_cast<int>(n % 37), static_cast<unsigned long long>(n * 2654435761u));
  std::string key(text);
  key.resize(kBytes, '.');
  key.shrink_to_fit();
  return key;
}

Held<const KvRow> MakeRow(std::string key, uint64_t index) {
  kv::v1::KeyValue entry;
  entry.set_key(std::move(key));
  entry.set_value(std::string(kBytes, 'v'));
  entry.set_modify_index(index);
  return Held<const KvRow>(new KvRow(std::move(entry)));
}

const std::vector<std::string>& Keys() {
  static const auto* const kAll = [] {
    auto* keys = new std::vector<std::string>;
    for (size_t i = 0; i < kKeys; ++i) keys->push_back(KeyOf(i));
    std::shuffle(keys->begin(), keys->end(), std::mt19937_64(1));
    return keys;
  }();
  return *kAll;
}

// One million rows, shared by the maps of all benchmarks.
const std::vector<Held<const KvRow>>& Rows() {
  static const auto* const kAll = [] {
    auto* rows = new std::vector<Held<const KvRow>>;
    rows->reserve(kKeys);
    Keys();
    const size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < kKeys; ++i) rows->push_back(MakeRow(Keys()[i], i + 1));
    std::printf("row of 100 + 100 bytes: %.0f bytes each, of which %zu the object\n",
                static_cast<double>(mallinfo2().uordblks - before) / kKeys,
                sizeof(KvRow));
    return rows;
  }();
  return *kAll;
}

template <int kFanOut>
const PersistentMap<KvRow, kFanOut>& Full() {
  static const auto* const kMap = [] {
    Rows();
    auto* map = new PersistentMap<KvRow, kFanOut>;
    const size_t before = mallinfo2().uordblks;
    for (const auto& row : Rows()) map->Insert(row);
    std::printf("fan-out %d: %.1f bytes of nodes a key\n", kFanOut,
                static_cast<double>(mallinfo2().uordblks - before) / kKeys);
    return map;
  }();
  return *kMap;
}

// Keys to look for, side by side, so that fetching them costs the benchmark little.
std::string_view Wanted(size_t i) {
  static constexpr size_t kWanted = 1 << 16;
  static const auto* const kAll = [] {
    std::mt19937_64 random(2);
    auto* text = new std::string;
    for (size_t n = 0; n < kWanted; ++n) *text += Keys()[random() % kKeys];
    return text;
  }();
  return std::string_view(*kAll).substr((i % kWanted) * kBytes, kBytes);
}

template <int kFanOut>
void PointRead(benchmark::State& state) {
  const auto& map = Full<kFanOut>();
  size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(map.Find(Wanted(i++)));
}

template <int kFanOut>
void Scan(benchmark::State& state) {
  const auto& map = Full<kFanOut>();
  auto it = map.Begin();
  uint64_t sum = 0;
  for (auto _ : state) {
    if (!it.Valid()) it = map.Begin();
    sum += it->modify_index();
    it.Next();
  }
  benchmark::DoNotOptimize(sum);
}

template <int kFanOut>
void PrefixIndex(benchmark::State& state) {
  const auto& map = Full<kFanOut>();
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(map.IndexOfPrefix(Wanted(i).substr(0, 70 + i % 20)));
    ++i;
  }
}

// Replaces rows at random, `batch` to a version, and drops the version before, as the apply thread
// does. Time is for each key.
template <int kFanOut>
void Replace(benchmark::State& state) {
  PersistentMap<KvRow, kFanOut> newest = Full<kFanOut>();
  std::mt19937_64 random(4);
  const int64_t batch = state.range(0);
  for (auto _ : state) {
    PersistentMap<KvRow, kFanOut> next = newest;
    for (int64_t i = 0; i < batch; ++i) next.Insert(Rows()[random() % kKeys]);
    newest = std::move(next);
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

// The same in a store of a thousand keys, which the caches hold.
template <int kFanOut>
void ReplaceSmall(benchmark::State& state) {
  PersistentMap<KvRow, kFanOut> newest;
  for (size_t i = 0; i < 1000; ++i) newest.Insert(Rows()[i]);
  std::mt19937_64 random(4);
  for (auto _ : state) {
    PersistentMap<KvRow, kFanOut> next = newest;
    next.Insert(Rows()[random() % 1000]);
    newest = std::move(next);
  }
}

// Inserts keys that were not there, then drops them with the map.
template <int kFanOut>
void InsertNew(benchmark::State& state) {
  static const auto* const kFresh = [] {
    auto* rows = new std::vector<Held<const KvRow>>;
    for (size_t i = 0; i < 100'000; ++i) rows->push_back(MakeRow(KeyOf(kKeys + i), 1));
    std::shuffle(rows->begin(), rows->end(), std::mt19937_64(6));
    return rows;
  }();
  PersistentMap<KvRow, kFanOut> newest = Full<kFanOut>();
  const int64_t batch = state.range(0);
  size_t at = 0;
  for (auto _ : state) {
    if (at + static_cast<size_t>(batch) > kFresh->size()) {
      state.PauseTiming();
      newest = Full<kFanOut>();
      at = 0;
      state.ResumeTiming();
    }
    PersistentMap<KvRow, kFanOut> next = newest;
    for (int64_t i = 0; i < batch; ++i) next.Insert((*kFresh)[at++]);
    newest = std::move(next);
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

// For scale: a map that shares nothing and keeps its keys twice.
void StdMapPointRead(benchmark::State& state) {
  static const auto* const kMap = [] {
    auto* map = new std::map<std::string, Held<const KvRow>, std::less<>>;
    for (const auto& row : Rows()) map->emplace(row->key(), row);
    return map;
  }();
  size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(kMap->find(Wanted(i++)));
}

#define CONSUL_MAP_BENCHMARKS(fan_out)                      \
  BENCHMARK(PointRead<fan_out>);                            \
  BENCHMARK(Scan<fan_out>);                                 \
  BENCHMARK(PrefixIndex<fan_out>);                          \
  BENCHMARK(Replace<fan_out>)->Arg(1)->Arg(64);             \
  BENCHMARK(InsertNew<fan_out>)->Arg(1)->Arg(64);           \
  BENCHMARK(ReplaceSmall<fan_out>)
CONSUL_MAP_BENCHMARKS(8);
CONSUL_MAP_BENCHMARKS(16);
CONSUL_MAP_BENCHMARKS(32);
CONSUL_MAP_BENCHMARKS(64);
BENCHMARK(StdMapPointRead);

}  // namespace
}  // namespace consul::state
