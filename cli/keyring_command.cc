#include <algorithm>
#include <ostream>

#include "cli/commands.h"
#include "consul/operators/v1/keyring.pb.h"
#include "services/base/base64.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using google::protobuf::RepeatedPtrField;
using operators::v1::KeyCount;
using operators::v1::Keyring;

constexpr uint64_t kRelayFactorMax = 5;

std::string PoolText(const Keyring& keyring, const RepeatedPtrField<KeyCount>& keys) {
  std::string text = keyring.wan() ? "\nWAN:\n" : base::StrCat("\n", keyring.datacenter(),
                                                               " (LAN):\n");
  for (const KeyCount& key : keys) {
    base::StrAppend(&text, "  ", key.key(), " [", key.value(), "/", keyring.num_nodes(), "]\n");
  }
  return text;
}

class KeyringCommand final : public Command {
 public:
  explicit KeyringCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddText("install", "string", &install_,
                    "Installs a key at all members: they understand it from then on.");
    flags().AddBool("list", &list_, "Lists the keys, and how many members have each.");
    flags().AddBool("list-primary", &list_primary_,
                    "Lists the keys that members encrypt by, and how many do so by each.");
    flags().AddBool("local-only", &local_only_,
                    "Asks the LAN pool alone, not the servers of other datacenters; for lists.");
    flags().AddUint("relay-factor", &relay_factor_,
                    "Members send their answers by way of so many others, too: 0 (the default) to "
                    "5.");
    flags().AddText("remove", "string", &remove_,
                    "Removes a key from all members; not the one that they encrypt by.");
    flags().AddText("use", "string", &use_,
                    "Makes all members encrypt by a key, which has to be installed.");
  }

 private:
  std::string Usage() const override { return "consul keyring [options]"; }
  std::string Description() const override {
    return "  Manages the keys that encrypt gossip, at all members of the LAN pool and the\n"
           "  WAN pool at once. To change keys: install the new one, use it, remove the old\n"
           "  one. The exit code is 0 when all members have answered and have done it.";
  }

  int Execute(const std::vector<std::string>&) override {
    const bool given[] = {list_, list_primary_, !install_.empty(), !use_.empty(),
                          !remove_.empty()};
    const auto actions = std::count(std::begin(given), std::end(given), true);
    if (actions == 0) {
      err() << Help();
      return kExitError;
    }
    if (actions > 1) return Fail("Only a single action is allowed");
    if (relay_factor_ > kRelayFactorMax) {
      return Fail("Error parsing relay factor: Relay factor must be in range: [0, 5]");
    }
    if (local_only_ && !list_ && !list_primary_) {
      return Fail("Error validating local-only: local-only can only be set for list requests");
    }
    if (list_ || list_primary_) return List();
    if (!install_.empty()) {
      return Change<operators::v1::InstallKeyRequest, operators::v1::InstallKeyResponse>(
          "InstallKey", "Installing new gossip encryption key...", install_);
    }
    if (!use_.empty()) {
      return Change<operators::v1::UseKeyRequest, operators::v1::UseKeyResponse>(
          "UseKey", "Changing primary gossip encryption key...", use_);
    }
    return Change<operators::v1::RemoveKeyRequest, operators::v1::RemoveKeyResponse>(
        "RemoveKey", "Removing gossip encryption key...", remove_);
  }

  int List() {
    out() << "==> Gathering installed " << (list_primary_ ? "primary " : "")
          << "encryption keys...\n";
    operators::v1::ListKeysRequest request;
    request.set_relay_factor(static_cast<uint32_t>(relay_factor_));
    request.set_local_only(local_only_);
    operators::v1::ListKeysResponse response;
    const absl::Status called = Call("ListKeys", request, &response);
    if (!called.ok()) return Fail("error", called);
    for (const Keyring& keyring : response.keyrings()) {
      out() << PoolText(keyring, list_primary_ ? keyring.primary_keys() : keyring.keys());
    }
    return kExitOk;
  }

  template <typename Request, typename Response>
  int Change(std::string_view method, std::string_view title, const std::string& text) {
    out() << "==> " << title << "\n";
    const absl::StatusOr<std::string> key = base::DecodeBase64(text);
    if (!key.ok()) return Fail("error", key.status());
    Request request;
    request.set_key(*key);
    request.set_relay_factor(static_cast<uint32_t>(relay_factor_));
    Response response;
    const absl::Status called = Call(method, request, &response);
    return called.ok() ? kExitOk : Fail("error", called);
  }

  absl::Status Call(std::string_view method, const google::protobuf::Message& request,
                    google::protobuf::Message* response) {
    return api_.Connect(context())->Call(
        base::StrCat("consul.operators.v1.KeyringService/", method), request, response);
  }

  ApiFlags api_;
  std::string install_;
  bool list_ = false;
  bool list_primary_ = false;
  bool local_only_ = false;
  uint64_t relay_factor_ = 0;
  std::string remove_;
  std::string use_;
};

}  // namespace

std::unique_ptr<Command> MakeKeyringCommand(const Context& context) {
  return std::make_unique<KeyringCommand>(context);
}

}  // namespace consul::cli
