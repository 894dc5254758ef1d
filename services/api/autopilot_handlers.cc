#include "services/api/autopilot_handlers.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/command.h"

namespace consul::api {
namespace {

using operators::v1::AutopilotConfiguration;
using operators::v1::GetAutopilotConfigurationRequest;
using operators::v1::GetAutopilotConfigurationResponse;
using operators::v1::GetAutopilotHealthRequest;
using operators::v1::GetAutopilotHealthResponse;
using operators::v1::GetAutopilotStateRequest;
using operators::v1::GetAutopilotStateResponse;
using operators::v1::SetAutopilotConfigurationRequest;
using operators::v1::SetAutopilotConfigurationResponse;

// Moves what is known into the response.
template <typename Response>
absl::Status Answer(std::optional<Response> known, Response* response) {
  if (!known.has_value()) return rpc::Error(errors::v1::REASON_NO_LEADER, "No cluster leader");
  *response = *std::move(known);
  return absl::OkStatus();
}

// What nanoseconds in 64 bits can say, which is what everybody reckons in.
constexpr int64_t kSecondsMax = 9'000'000'000;
// Tags without effect are kept for their owner, within reason.
constexpr size_t kTagBytesMax = 512;

bool IsDuration(const google::protobuf::Duration& duration) {
  constexpr int32_t kNanosMax = 999'999'999;
  return duration.seconds() >= -kSecondsMax && duration.seconds() <= kSecondsMax &&
         duration.nanos() >= -kNanosMax && duration.nanos() <= kNanosMax;
}

absl::Status Check(const AutopilotConfiguration& configuration) {
  const auto refuse = [](std::string_view field, std::string_view what) {
    return rpc::Error(errors::v1::REASON_INVALID_FIELD, base::StrCat(field, " ", what), field);
  };
  if (!IsDuration(configuration.last_contact_threshold())) {
    return refuse("last_contact_threshold", "is out of range");
  }
  if (!IsDuration(configuration.server_stabilization_time())) {
    return refuse("server_stabilization_time", "is out of range");
  }
  if (configuration.redundancy_zone_tag().size() > kTagBytesMax) {
    return refuse("redundancy_zone_tag", base::StrCat("is longer than ", kTagBytesMax, " bytes"));
  }
  if (configuration.upgrade_version_tag().size() > kTagBytesMax) {
    return refuse("upgrade_version_tag", base::StrCat("is longer than ", kTagBytesMax, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status PrepareSet(const SetAutopilotConfigurationRequest& request,
                        state::SealedCommand* command) {
  if (absl::Status status = Check(request.configuration()); !status.ok()) return status;
  internal::raft::v1::Command whole;
  auto* const set = whole.mutable_set_autopilot_configuration();
  *set->mutable_configuration() = request.configuration();
  set->mutable_configuration()->clear_create_index();
  set->mutable_configuration()->clear_modify_index();
  if (request.has_cas()) set->set_cas(request.cas());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

void FinishSet(const rpc::Applied& applied, SetAutopilotConfigurationResponse* response) {
  response->set_applied(applied.changed);
  response->set_index(applied.index);
}

}  // namespace

void RegisterAutopilot(AutopilotReport report, rpc::Handlers* handlers) {
  const std::string service = "/consul.operators.v1.AutopilotService/";
  handlers->Local<GetAutopilotConfigurationRequest, GetAutopilotConfigurationResponse>(
      service + "GetAutopilotConfiguration",
      [configuration = std::move(report.configuration)](const auto&, auto* response) {
        *response->mutable_configuration() = configuration();
        return absl::OkStatus();
      });
  handlers->Write<SetAutopilotConfigurationRequest, SetAutopilotConfigurationResponse>(
      service + "SetAutopilotConfiguration", &PrepareSet, &FinishSet);
  handlers->Local<GetAutopilotHealthRequest, GetAutopilotHealthResponse>(
      service + "GetAutopilotHealth",
      [health = std::move(report.health)](const auto&, auto* response) {
        return Answer(health(), response);
      });
  handlers->Local<GetAutopilotStateRequest, GetAutopilotStateResponse>(
      service + "GetAutopilotState",
      [state = std::move(report.state)](const auto&, auto* response) {
        return Answer(state(), response);
      });
}

}  // namespace consul::api
