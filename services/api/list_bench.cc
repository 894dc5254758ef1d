// How long the handlers of lists take, before anything of the reply is encoded: an event loop for
// the rows that it looks up at once (at_once:1), a thread for long reads for all of them.
//
//   bazel run //services/api:list_bench
#include <benchmark/benchmark.h>
#include <google/protobuf/arena.h>

#include <map>
#include <memory>
#include <string>

#include "consul/catalog/v1/catalog.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "services/api/catalog_handlers.h"
#include "services/api/kv_handlers.h"
#include "services/rpc/evaluation.h"
#include "services/rpc/method.h"
#include "services/state/version.h"
#include "services/state/version_source.h"

namespace consul::api {
namespace {

using google::protobuf::Arena;

// As many keys as nodes and instances of services, ten instances a name.
std::unique_ptr<const state::Version> MakeVersion(int rows) {
  state::Tables tables;
  for (int i = 0; i < rows; ++i) {
    const std::string number = std::to_string(10'000'000 + i);
    kv::v1::KeyValue entry;
    entry.set_key("config/of/some/service/" + number);
    entry.set_value(std::string(100, 'v'));
    entry.set_modify_index(1);
    tables.kv.Put(std::move(entry), nullptr);
    catalog::v1::Node node;
    node.set_node("node-" + number);
    node.set_modify_index(1);
    tables.nodes.Put(std::move(node), nullptr);
    catalog::v1::Service service;
    service.set_node("node-" + number);
    service.set_id("web");
    service.set_service("service-" + std::to_string(i / 10));
    service.add_tags("primary");
    service.set_modify_index(1);
    tables.services.Put(std::move(service), nullptr);
  }
  tables.applied_index = 1;
  return std::make_unique<const state::Version>(tables);
}

const state::Version& VersionOf(int64_t rows) {
  static auto& versions = *new std::map<int64_t, std::unique_ptr<const state::Version>>();
  auto& version = versions[rows];
  if (version == nullptr) version = MakeVersion(static_cast<int>(rows));
  return *version;
}

const rpc::ReadHandler& HandlerOf(const std::string& path) {
  static auto& source = *new state::VersionSource(std::make_unique<const state::Version>());
  static const auto& handlers = []() -> const rpc::Handlers& {
    auto& all = *new rpc::Handlers(rpc::PublicApi());
    RegisterKv(KvLimits(), &source, &all);
    RegisterCatalog("dc1", &source, &all);
    return all;
  }();
  return std::get<rpc::ReadHandler>(handlers.Of(rpc::PublicApi().Get(path)));
}

template <typename Request, typename Response>
void Handle(benchmark::State& state, const std::string& path) {
  const state::Version& version = VersionOf(state.range(0));
  const rpc::ReadHandler& handler = HandlerOf(path);
  for (auto _ : state) {
    Arena arena;
    auto* const response = Arena::CreateMessage<Response>(&arena);
    state::WatchSet watched;
    if (state.range(1) != 0) watched.LimitRows(rpc::kRowsAtOnce);
    const absl::Status status = handler.read(version, Request(), response, &watched);
    benchmark::DoNotOptimize(status.ok());
  }
}

void ListKeyValues(benchmark::State& state) {
  Handle<kv::v1::ListRequest, kv::v1::ListResponse>(state, "/consul.kv.v1.KvService/List");
}
void ListKeys(benchmark::State& state) {
  Handle<kv::v1::ListKeysRequest, kv::v1::ListKeysResponse>(state,
                                                            "/consul.kv.v1.KvService/ListKeys");
}
void ListNodes(benchmark::State& state) {
  Handle<catalog::v1::ListNodesRequest, catalog::v1::ListNodesResponse>(
      state, "/consul.catalog.v1.CatalogService/ListNodes");
}
void ListServices(benchmark::State& state) {
  Handle<catalog::v1::ListServicesRequest, catalog::v1::ListServicesResponse>(
      state, "/consul.catalog.v1.CatalogService/ListServices");
}
void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Unit(benchmark::kMillisecond)->ArgNames({"rows", "at_once"});
  for (const int64_t rows : {1'000, 10'000, 100'000, 1'000'000}) benchmark->Args({rows, 0});
  benchmark->Args({1'000'000, 1});
}
BENCHMARK(ListKeyValues)->Apply(&Sizes);
BENCHMARK(ListKeys)->Apply(&Sizes);
BENCHMARK(ListNodes)->Apply(&Sizes);
BENCHMARK(ListServices)->Apply(&Sizes);

}  // namespace
}  // namespace consul::api

BENCHMARK_MAIN();
