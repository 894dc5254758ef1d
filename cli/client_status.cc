#include "absl/strings/cord.h"
#include "cli/client.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

// Marks a status as ours: an agent's own UNAVAILABLE (no leader) is another thing.
constexpr const char* kConnectUrl = "consul/cli/connect";

}  // namespace

absl::Status ConnectFailure(std::string_view address, std::string_view cause) {
  absl::Status status = absl::UnavailableError(base::StrCat("dial tcp ", address, ": ", cause));
  status.SetPayload(kConnectUrl, absl::Cord());
  return status;
}

bool IsConnectFailure(const absl::Status& status) {
  return status.GetPayload(kConnectUrl).has_value();
}

}  // namespace consul::cli
