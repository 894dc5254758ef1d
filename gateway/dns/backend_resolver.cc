#include "gateway/dns/backend_resolver.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "services/rpc/errors.h"

namespace consul::gateway::dns {
namespace {

Found::Status StatusOf(const absl::Status& status) {
  if (status.ok()) return Found::Status::kFound;
  const bool no_datacenter =
      rpc::Detail(status).reason() == errors::v1::REASON_NO_PATH_TO_DATACENTER;
  return no_datacenter ? Found::Status::kAbsent : Found::Status::kFailed;
}

std::string_view Tag(const agent::v1::Member& member, std::string_view key) {
  for (const query::v1::StringPair& tag : member.tags()) {
    if (tag.key() == key) return tag.value();
  }
  return "";
}

// Request and response, made before the call that refers to them; on an arena, for a reply may
// refer to rows that it must not destroy.
template <typename Request, typename Response>
struct Messages {
  google::protobuf::Arena arena;
  Request& asked = *google::protobuf::Arena::CreateMessage<Request>(&arena);
  Response& reply = *google::protobuf::Arena::CreateMessage<Response>(&arena);
};

// A call that is part of a lookup.
class ResolverCall : public Lookup::State, public rpc::Call {
 public:
  ResolverCall(const rpc::Method& method, Lookup* lookup,
               const google::protobuf::Message* request, google::protobuf::Message* response)
      : rpc::Call(method, lookup->executor, request, response), lookup_(lookup) {
    want_validity = true;
  }

 protected:
  Lookup* const lookup_;
};

}  // namespace

class BackendResolver::NodeCall final
    : private Messages<catalog::v1::GetNodeRequest, catalog::v1::GetNodeResponse>,
      public ResolverCall {
 public:
  NodeCall(const rpc::Method& method, std::string_view caller, Lookup* lookup)
      : ResolverCall(method, lookup, &asked, &reply) {
    const NodeLookup& node = lookup->plan.node;
    asked.set_node(node.node);
    query::v1::QueryOptions* const how = asked.mutable_options();
    how->set_datacenter(node.datacenter);
    if (node.allow_stale) how->set_consistency(query::v1::CONSISTENCY_STALE);
    token = caller;
  }

  void Done() override {
    Found& found = lookup_->found;
    found.status = StatusOf(status);
    if (status.ok()) {
      if (reply.has_entry()) {
        found.address = reply.entry().node().address();
        for (const query::v1::StringPair& pair : reply.entry().node().meta()) {
          found.meta.emplace_back(pair.key(), pair.value());
        }
      } else {
        // A server that has heard of no leader may have an empty catalog: it does not know.
        found.status =
            reply.meta().known_leader() ? Found::Status::kAbsent : Found::Status::kFailed;
      }
      if (found.status != Found::Status::kFailed) lookup_->validity = validity;
    }
    lookup_->Done();  // destroys this
  }
};

class BackendResolver::ServersCall final
    : private Messages<agent::v1::ListMembersRequest, agent::v1::ListMembersResponse>,
      public ResolverCall {
 public:
  ServersCall(const rpc::Method& method, std::string_view caller, uint32_t turn, Lookup* lookup)
      : ResolverCall(method, lookup, &asked, &reply), turn_(turn) {
    token = caller;
  }

  void Done() override {
    Found& found = lookup_->found;
    found.status = StatusOf(status);
    const std::string& datacenter = lookup_->plan.servers.datacenter;
    for (const agent::v1::Member& member : reply.members()) {
      if (!status.ok()) break;
      if (member.status() != agent::v1::MEMBER_STATUS_ALIVE) continue;
      if (Tag(member, "role") != "consul" || Tag(member, "dc") != datacenter) continue;
      found.servers.push_back({member.name(), member.addr()});
    }
    if (found.servers.size() > kNameServersMax) {
      std::rotate(found.servers.begin(), found.servers.begin() + turn_ % found.servers.size(),
                  found.servers.end());
    } else if (status.ok()) {
      // More than an answer names are told in turn, so that answer cannot be kept.
      lookup_->validity = validity;
    }
    lookup_->Done();  // destroys this
  }

 private:
  const uint32_t turn_;
};

BackendResolver::BackendResolver(rpc::Backend* backend, std::string token)
    : backend_(backend),
      token_(std::move(token)),
      get_node_(rpc::PublicApi().Get("/consul.catalog.v1.CatalogService/GetNode")),
      list_members_(rpc::PublicApi().Get("/consul.agent.v1.AgentService/ListMembers")) {}

void BackendResolver::Start(Lookup* lookup) {
  std::unique_ptr<ResolverCall> owned;
  if (lookup->plan.kind == PlanKind::kNode) {
    owned = std::make_unique<NodeCall>(get_node_, token_, lookup);
  } else {
    owned = std::make_unique<ServersCall>(list_members_, token_, turn_.fetch_add(1), lookup);
  }
  ResolverCall* const call = owned.get();
  lookup->state = std::move(owned);
  backend_->Start(call);
  // Kept answers serve the rest: a loop that looked up once may not come back for long, and keeps
  // no version of the state.
  backend_->Idle();
}

void BackendResolver::Cancel(Lookup* lookup) {
  backend_->Cancel(static_cast<ResolverCall*>(lookup->state.get()));
}

}  // namespace consul::gateway::dns
