#include "services/api/catalog_handlers.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "consul/catalog/v1/catalog.pb.h"
#include "consul/health/v1/health.pb.h"
#include "services/api/rows.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/version.h"
#include "services/state/version_source.h"

namespace consul::api {
namespace {

using catalog::v1::Node;
using catalog::v1::Service;
using google::protobuf::RepeatedPtrField;
using state::NodeSpec;
using state::ServiceSpec;

// Whether `node` has each of the pairs, "key:value". A pair without a colon asks for the empty
// value.
bool HasMeta(const Node& node, const RepeatedPtrField<std::string>& pairs) {
  return std::all_of(pairs.begin(), pairs.end(), [&node](std::string_view pair) {
    const size_t colon = pair.find(':');
    const std::string_view key = pair.substr(0, colon);
    const std::string_view value =
        colon == std::string_view::npos ? std::string_view() : pair.substr(colon + 1);
    return std::any_of(node.meta().begin(), node.meta().end(), [&](const auto& meta) {
      return meta.key() == key && meta.value() == value;
    });
  });
}

absl::Status ListNodes(const state::Version& version, const catalog::v1::ListNodesRequest& request,
                       catalog::v1::ListNodesResponse* response, state::WatchSet* watched) {
  version.nodes().ForEach("", watched, [&](const Node& node) {
    if (HasMeta(node, request.node_meta())) {
      response->mutable_nodes()->UnsafeArenaAddAllocated(Lend(node));
    }
    return true;
  });
  return absl::OkStatus();
}

absl::Status GetNode(const state::Version& version, const catalog::v1::GetNodeRequest& request,
                     catalog::v1::GetNodeResponse* response, state::WatchSet* watched) {
  if (request.node().empty()) {
    return rpc::Error(errors::v1::REASON_MISSING_FIELD, "Missing node name", "node");
  }
  const Node* node = version.nodes().Find(state::NodeKey(request.node()), watched);
  if (node == nullptr) {
    node = version.nodes().FindBy<NodeSpec::kById>(state::NodeIdKey(request.node()), watched);
  }
  if (node == nullptr) return absl::OkStatus();
  catalog::v1::NodeServices* const entry = response->mutable_entry();
  entry->unsafe_arena_set_allocated_node(Lend(*node));
  version.services().ForEach(state::OfNodePrefix(node->node()), watched,
                             [entry](const Service& service) {
                               auto* const place = entry->add_services();
                               place->set_key(service.id());
                               place->unsafe_arena_set_allocated_value(Lend(service));
                               return true;
                             });
  return absl::OkStatus();
}

absl::Status ListServices(const state::Version& version,
                          const catalog::v1::ListServicesRequest& request,
                          catalog::v1::ListServicesResponse* response, state::WatchSet* watched) {
  std::map<std::string_view, std::set<std::string_view>> tags_by_name;
  version.services().ForEachBy<ServiceSpec::kByName>("", watched, [&](const Service& service) {
    if (!request.node_meta().empty()) {
      const Node* const node = version.nodes().Find(state::NodeKey(service.node()), watched);
      if (node == nullptr || !HasMeta(*node, request.node_meta())) return true;
    }
    tags_by_name[service.service()].insert(service.tags().begin(), service.tags().end());
    return true;
  });
  for (const auto& [name, tags] : tags_by_name) {
    auto* const service = response->add_services();
    service->set_key(name.data(), name.size());
    for (const std::string_view tag : tags) service->add_value(tag.data(), tag.size());
  }
  return absl::OkStatus();
}

absl::Status ListNodeChecks(const state::Version& version,
                            const health::v1::ListNodeChecksRequest& request,
                            health::v1::ListNodeChecksResponse* response,
                            state::WatchSet* watched) {
  if (request.node().empty()) {
    return rpc::Error(errors::v1::REASON_MISSING_FIELD, "Missing node name", "node");
  }
  version.checks().ForEach(state::OfNodePrefix(request.node()), watched,
                           [response](const health::v1::HealthCheck& check) {
                             response->mutable_checks()->UnsafeArenaAddAllocated(Lend(check));
                             return true;
                           });
  return absl::OkStatus();
}

}  // namespace

void RegisterCatalog(std::string datacenter, state::VersionSource* source,
                     rpc::Handlers* handlers) {
  handlers->Local<catalog::v1::ListDatacentersRequest, catalog::v1::ListDatacentersResponse>(
      "/consul.catalog.v1.CatalogService/ListDatacenters",
      [datacenter](const auto&, auto* response) {
        response->add_datacenters(datacenter);
        return absl::OkStatus();
      });
  handlers->Read("/consul.catalog.v1.CatalogService/ListNodes", source, &ListNodes);
  handlers->Read("/consul.catalog.v1.CatalogService/GetNode", source, &GetNode);
  handlers->Read("/consul.catalog.v1.CatalogService/ListServices", source, &ListServices);
}

void RegisterHealth(state::VersionSource* source, rpc::Handlers* handlers) {
  handlers->Read("/consul.health.v1.HealthService/ListNodeChecks", source, &ListNodeChecks);
}

}  // namespace consul::api
