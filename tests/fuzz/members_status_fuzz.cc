// Goal: no regular expression in `members -status` crashes the program or ends its stack, and it
// ends with an exit code that scripts know. The first byte chooses the form of the output.
#include <google/protobuf/message.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "cli/command.h"
#include "consul/agent/v1/agent.pb.h"

namespace consul::cli {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

// A member of each status.
class FourMembers final : public Client {
 public:
  absl::Status Call(std::string_view, const google::protobuf::Message&,
                    google::protobuf::Message* response) override {
    auto* const members = static_cast<agent::v1::ListMembersResponse*>(response);
    for (const auto status : {agent::v1::MEMBER_STATUS_ALIVE, agent::v1::MEMBER_STATUS_LEAVING,
                              agent::v1::MEMBER_STATUS_LEFT, agent::v1::MEMBER_STATUS_FAILED}) {
      agent::v1::Member* const member = members->add_members();
      member->set_name("n" + std::to_string(status));
      member->set_addr("10.0.0.1");
      member->set_status(status);
    }
    return absl::OkStatus();
  }
  absl::Status Stream(std::string_view, const google::protobuf::Message&,
                      google::protobuf::Message*, const std::function<void()>&,
                      const std::function<bool()>&) override {
    return ConnectFailure({}, "connection refused");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string pattern(reinterpret_cast<const char*>(data) + 1, size - 1);
  const char* const forms[] = {"lines", "table", "json"};
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  Context context;
  context.in = &in;
  context.out = &out;
  context.err = &err;
  context.environment = [](const char*) { return std::string(); };
  context.connect = [](const ClientOptions&) { return std::make_unique<FourMembers>(); };
  context.interrupted = [] { return false; };
  const int code = Main({"members", "-status=" + pattern, "-format", forms[data[0] % 3]}, context);
  Require(code == kExitOk || code == kExitError || code == kExitNothingMatched);
  Require((code == kExitError) == !err.str().empty());
  Require((code == kExitOk) == !out.str().empty());
  return 0;
}

}  // namespace consul::cli
