#include "services/api/agent_handlers.h"

#include <memory>
#include <utility>

#include "services/api/monitor.h"
#include "services/rpc/errors.h"
#include "services/rpc/waiting_call.h"

namespace consul::api {
namespace {

constexpr char kGetSelf[] = "/consul.agent.v1.AgentService/GetSelf";
constexpr char kListMembers[] = "/consul.agent.v1.AgentService/ListMembers";
constexpr char kLeave[] = "/consul.agent.v1.AgentService/Leave";
constexpr char kGetGatewaySettings[] = "/consul.agent.v1.AgentService/GetGatewaySettings";
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
  const gossip::Pool* const pool = request.wan() ? view.wan : view.lan;
  // A client agent is in no WAN pool: it knows no member of it.
  if (pool != nullptr) *response = *pool->members();
  return absl::OkStatus();
}

// Answers when the agent has left.
class LeaveCall : public rpc::WaitingCall {
 public:
  explicit LeaveCall(rpc::Call* call) : WaitingCall(call) {}

  void Begin(const AgentView& view) {
    Attach();
    auto self = std::static_pointer_cast<LeaveCall>(shared_from_this());
    view.leave([self = std::move(self)](absl::Status status) {
      self->status_ = std::move(status);
      self->Wake();
    });
  }

 private:
  void Continue() override { Finish(status_); }
  void Detach() override {}

  absl::Status status_;
};

}  // namespace

void RegisterAgent(const AgentView* view, rpc::Handlers* handlers) {
  handlers->Local<agent::v1::GetSelfRequest, agent::v1::GetSelfResponse>(
      kGetSelf, [view](const auto&, auto* response) { return GetSelf(*view, response); });
  handlers->Local<agent::v1::ListMembersRequest, agent::v1::ListMembersResponse>(
      kListMembers, [view](const auto& request, auto* response) {
        return ListMembers(*view, request, response);
      });
  handlers->Take(kLeave,
                 [view](rpc::Call* call) { std::make_shared<LeaveCall>(call)->Begin(*view); });
  handlers->Local<agent::v1::GetGatewaySettingsRequest, agent::v1::GetGatewaySettingsResponse>(
      kGetGatewaySettings, [view](const auto&, auto* response) {
        *response->mutable_settings() = view->gateway_settings;
        return absl::OkStatus();
      });
  handlers->Take(kMonitor, [view](rpc::Call* call) { StartMonitor(view->logger, call); });
}

}  // namespace consul::api
