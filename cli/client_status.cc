#include <string>

#include "absl/strings/cord.h"
#include "cli/client.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

// Marks a status as ours: an agent's own UNAVAILABLE (no leader) is another thing.
constexpr const char* kConnectUrl = "consul/cli/connect";

}  // namespace

absl::Status ConnectFailure(const AgentAddress& address, std::string_view cause) {
  absl::Status status =
      absl::UnavailableError(base::StrCat("dial tcp ", address.host_port, ": ", cause));
  status.SetPayload(kConnectUrl, absl::Cord(base::ToAbsl(FaceName(address.face))));
  return status;
}

bool IsConnectFailure(const absl::Status& status) {
  return status.GetPayload(kConnectUrl).has_value();
}

std::string ConnectFailureFace(const absl::Status& status) {
  return std::string(*status.GetPayload(kConnectUrl));
}

}  // namespace consul::cli
