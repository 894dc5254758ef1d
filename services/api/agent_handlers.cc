#include "services/api/agent_handlers.h"

#include <memory>
#include <utility>

#include "services/api/awaited_call.h"
#include "services/api/metrics_view.h"
#include "services/api/monitor.h"

namespace consul::api {
namespace {

constexpr char kGetSelf[] = "/consul.agent.v1.AgentService/GetSelf";
constexpr char kListMembers[] = "/consul.agent.v1.AgentService/ListMembers";
constexpr char kGetMetrics[] = "/consul.agent.v1.AgentService/GetMetrics";
constexpr char kLeave[] = "/consul.agent.v1.AgentService/Leave";
constexpr char kGetGatewaySettings[] = "/consul.agent.v1.AgentService/GetGatewaySettings";
constexpr char kJoin[] = "/consul.agent.v1.AgentService/Join";
constexpr char kForceLeave[] = "/consul.agent.v1.AgentService/ForceLeave";
constexpr char kProbe[] = "/consul.agent.v1.AgentService/ProbeReachability";
constexpr char kMonitor[] = "/consul.agent.v1.AgentService/Monitor";

absl::Status GetSelf(const AgentView& view, agent::v1::GetSelfResponse* response) {
  *response = view.self;
  const auto members = view.lan->members();
  for (const agent::v1::Member& member : members->members()) {
    if (member.name() == view.self.config().node_name()) *response->mutable_member() = member;
  }
  for (agent::v1::StatGroup& group : view.stats()) *response->add_stats() = std::move(group);
  return absl::OkStatus();
}

absl::Status ListMembers(const AgentView& view, const agent::v1::ListMembersRequest& request,
                         agent::v1::ListMembersResponse* response) {
  const gossip::MemberList* const pool = request.wan() ? view.wan : view.lan;
  // A client agent is in no WAN pool: it knows no member of it.
  if (pool != nullptr) *response = *pool->members();
  return absl::OkStatus();
}

absl::Status GetMetrics(const AgentView& view, const agent::v1::GetMetricsRequest& request,
                        agent::v1::GetMetricsResponse* response) {
  DescribeMetrics(view.metrics->Collect(), view.metric_names, response->mutable_metrics());
  if (request.exposition()) {
    response->set_exposition(view.metrics->Exposition(view.metric_names));
  }
  return absl::OkStatus();
}

void Join(const AgentView& view, rpc::Call* call) {
  const auto& request = static_cast<const agent::v1::JoinRequest&>(call->request());
  Await<uint32_t, agent::v1::JoinResponse>(
      call, [&](auto done) { view.join(request.address(), request.wan(), std::move(done)); },
      [](const uint32_t& contacted, agent::v1::JoinResponse* response) {
        response->set_contacted(contacted);
      });
}

void ForceLeave(const AgentView& view, rpc::Call* call) {
  const auto& request = static_cast<const agent::v1::ForceLeaveRequest&>(call->request());
  AwaitStatus<agent::v1::ForceLeaveResponse>(
      call, [&](auto done) { view.force_leave(request, std::move(done)); });
}

void Probe(const AgentView& view, rpc::Call* call) {
  using agent::v1::ProbeReachabilityResponse;
  const auto& request = static_cast<const agent::v1::ProbeReachabilityRequest&>(call->request());
  Await<ProbeReachabilityResponse, ProbeReachabilityResponse>(
      call, [&](auto done) { view.probe(request.wan(), std::move(done)); },
      [](const ProbeReachabilityResponse& told, ProbeReachabilityResponse* response) {
        *response = told;
      });
}

}  // namespace

void RegisterAgent(const AgentView* view, rpc::Handlers* handlers) {
  handlers->Local<agent::v1::GetSelfRequest, agent::v1::GetSelfResponse>(
      kGetSelf, [view](const auto&, auto* response) { return GetSelf(*view, response); });
  handlers->Local<agent::v1::ListMembersRequest, agent::v1::ListMembersResponse>(
      kListMembers, [view](const auto& request, auto* response) {
        return ListMembers(*view, request, response);
      });
  handlers->Local<agent::v1::GetMetricsRequest, agent::v1::GetMetricsResponse>(
      kGetMetrics, [view](const auto& request, auto* response) {
        return GetMetrics(*view, request, response);
      });
  handlers->Take(kLeave, [view](rpc::Call* call) {
    AwaitStatus<agent::v1::LeaveResponse>(call, view->leave);
  });
  handlers->Take(kJoin, [view](rpc::Call* call) { Join(*view, call); });
  handlers->Take(kForceLeave, [view](rpc::Call* call) { ForceLeave(*view, call); });
  handlers->Local<agent::v1::GetGatewaySettingsRequest, agent::v1::GetGatewaySettingsResponse>(
      kGetGatewaySettings, [view](const auto&, auto* response) {
        *response->mutable_settings() = view->gateway_settings;
        return absl::OkStatus();
      });
  handlers->Take(kProbe, [view](rpc::Call* call) { Probe(*view, call); });
  handlers->Take(kMonitor, [view](rpc::Call* call) { StartMonitor(view->logger, call); });
}

}  // namespace consul::api
