// What a packet costs in the driver, both ways, by its size and by how many keys are tried.
//
//   bazel run //services/gossip:codec_benchmark
#include "services/gossip/codec.h"

#include <string>
#include <vector>

#include "benchmark/benchmark.h"

namespace consul::gossip {
namespace {

CodecOptions Options(int keys) {
  CodecOptions options{.pool = LanPoolName("dc1"), .keyring = {}, .nonces = RandomNonces()};
  if (keys == 0) return options;
  options.keyring = Keyring(Key::FromBytes(std::string(32, 'k')).value());
  return options;
}

// Arguments: bytes of the message; 0 for plain, 1 for encrypted.
void BM_Seal(benchmark::State& state) {
  Codec codec(Options(static_cast<int>(state.range(1))));
  const std::string plain(static_cast<size_t>(state.range(0)), 'm');
  std::string wire;
  for (auto _ : state) {
    codec.Seal(plain, &wire);
    benchmark::DoNotOptimize(wire.data());
  }
}

// Arguments: bytes of the message; keys that are tried, 0 for plain.
void BM_Open(benchmark::State& state) {
  const auto keys = static_cast<int>(state.range(1));
  Codec sender(Options(keys));
  Codec codec(Options(keys));
  if (keys > 1) {
    Keyring keyring(Key::FromBytes(std::string(32, '\0')).value());
    for (int i = 1; i < keys - 1; ++i) {
      (void)keyring.Install(Key::FromBytes(std::string(32, static_cast<char>(i))).value());
    }
    (void)keyring.Install(sender.keyring()->primary());
    codec.SetKeyring(keyring);
  }
  std::string wire;
  sender.Seal(std::string(static_cast<size_t>(state.range(0)), 'm'), &wire);
  std::string plain;
  for (auto _ : state) {
    if (codec.Open(wire, &plain) != OpenResult::kOk) state.SkipWithError("not opened");
    benchmark::DoNotOptimize(plain.data());
  }
}

BENCHMARK(BM_Seal)->Args({100, 0})->Args({1366, 0})->Args({100, 1})->Args({1366, 1});
BENCHMARK(BM_Open)
    ->Args({100, 0})
    ->Args({1366, 0})
    ->Args({100, 1})
    ->Args({1366, 1})
    ->Args({1366, 2})
    ->Args({1366, 16});

}  // namespace
}  // namespace consul::gossip
