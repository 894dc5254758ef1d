// Encoding of the hot replies: one key, a thousand nodes.
#include <benchmark/benchmark.h>

#include <string>

#include "consul/catalog/v1/catalog.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/json_slices.h"

namespace consul::gateway {
namespace {

void EncodeKey(benchmark::State& state) {
  kv::v1::GetResponse response;
  kv::v1::KeyValue& entry = *response.mutable_entry();
  entry.set_key("some/key");
  entry.set_value(std::string(100, 'v'));
  entry.set_create_index(12345);
  entry.set_modify_index(123456);
  JsonPlans plans;
  const JsonField field = plans.Field(response.GetDescriptor()->FindFieldByName("entry"));
  std::string out;
  for (auto _ : state) {
    out.clear();
    AppendJson(field, response, &out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(out.size()) * state.iterations());
}
BENCHMARK(EncodeKey);

void EncodeNodes(benchmark::State& state) {
  catalog::v1::ListNodesResponse response;
  for (int i = 0; i < 1000; ++i) {
    catalog::v1::Node& node = *response.add_nodes();
    node.set_id("6f2f0a4e-9a7e-4a0e-8f6c-0d8f3d7a1b2c");
    node.set_node("node-" + std::to_string(i));
    node.set_address("10.0.0.1");
    node.set_datacenter("dc1");
    for (const char* tag : {"lan", "lan_ipv4", "wan", "wan_ipv4"}) {
      auto* const address = node.add_tagged_addresses();
      address->set_key(tag);
      address->set_value("10.0.0.1");
    }
    node.set_create_index(12345);
    node.set_modify_index(123456);
  }
  JsonPlans plans;
  const JsonField field = plans.Field(response.GetDescriptor()->FindFieldByName("nodes"));
  std::string out;
  for (auto _ : state) {
    out.clear();
    AppendJson(field, response, &out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(out.size()) * state.iterations());
}
BENCHMARK(EncodeNodes);

// One slice of a large reply, as the HTTP face makes them.
void EncodeSliceOfKeys(benchmark::State& state) {
  kv::v1::ListResponse response;
  for (int i = 0; i < 100'000; ++i) {
    kv::v1::KeyValue& entry = *response.add_entries();
    entry.set_key("config/of/some/service/" + std::to_string(i));
    entry.set_value(std::string(static_cast<size_t>(state.range(0)), 'v'));
    entry.set_modify_index(123456);
  }
  JsonPlans plans;
  const JsonField field = plans.Field(response.GetDescriptor()->FindFieldByName("entries"));
  JsonSlices slices(field, response);
  std::string out;
  for (auto _ : state) {
    out.clear();
    if (slices.Append(64 << 10, &out)) slices = JsonSlices(field, response);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed((64 << 10) * state.iterations());
}
BENCHMARK(EncodeSliceOfKeys)->Unit(benchmark::kMicrosecond)->Arg(0)->Arg(100);

}  // namespace
}  // namespace consul::gateway

BENCHMARK_MAIN();
