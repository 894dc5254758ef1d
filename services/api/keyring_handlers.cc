#include "services/api/keyring_handlers.h"

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "consul/operators/v1/keyring.pb.h"
#include "services/api/awaited_call.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/gossip/pool.h"
#include "services/rpc/errors.h"

namespace consul::api {
namespace {

using gossip::KeyOperationKind;
using gossip::KeyRequest;
using gossip::KeyResult;
using operators::v1::Keyring;
using operators::v1::ListKeysRequest;
using operators::v1::ListKeysResponse;

constexpr uint32_t kRelayFactorMax = 5;

// What one pool answered.
struct PoolResult {
  bool wan = false;
  absl::StatusOr<KeyResult> result;
};
using PoolResults = std::vector<PoolResult>;

// "N errors occurred:" and a line for each, as the reference joins errors.
std::string Joined(const std::vector<std::string>& errors) {
  std::string text = errors.size() == 1 ? "1 error occurred:\n"
                                        : base::StrCat(errors.size(), " errors occurred:\n");
  for (const std::string& error : errors) base::StrAppend(&text, "\t* ", error, "\n");
  return text + "\n";
}

std::string NameOf(const KeyringPools& pools, bool wan) {
  return wan ? "WAN" : base::StrCat(pools.datacenter, " (LAN)");
}

absl::Status ErrorOf(const KeyringPools& pools, const PoolResults& results) {
  std::vector<std::string> errors;
  for (const PoolResult& pool : results) {
    const std::string name = NameOf(pools, pool.wan);
    if (!pool.result.ok()) {
      errors.push_back(
          base::StrCat(name, " error: ", base::ToStd(pool.result.status().message())));
    } else if (!pool.result->error.empty()) {
      errors.push_back(base::StrCat(name, " error: ", pool.result->error));
      for (const auto& [member, message] : pool.result->messages) {
        errors.push_back(base::StrCat(member, ": ", message));
      }
    }
  }
  if (errors.empty()) return absl::OkStatus();
  // With a reason: it is the pool that failed, and not this server, so that another one would not
  // do better.
  return rpc::Error(errors::v1::REASON_MEMBERS_FAILED, Joined(errors));
}

// Asks both pools at once, and is told of both at once.
class Round : public std::enable_shared_from_this<Round> {
 public:
  explicit Round(std::function<void(PoolResults)> done) : done_(std::move(done)) {}

  void Begin(const KeyringPools& pools, const KeyRequest& request, bool lan_alone) {
    const bool both = pools.wan != nullptr && !lan_alone;
    if (both) results_.push_back({true, absl::UnknownError("")});
    results_.push_back({false, absl::UnknownError("")});
    {
      base::MutexLock lock(&mutex_);
      waits_ = results_.size();
    }
    if (both) Ask(pools.wan, request, 0);
    Ask(pools.lan, request, both ? 1 : 0);
  }

 private:
  void Ask(gossip::Pool* pool, const KeyRequest& request, size_t place) {
    pool->ChangeKeys(request,
                     [self = shared_from_this(), place](absl::StatusOr<KeyResult> result) {
                       self->Told(place, std::move(result));
                     });
  }

  void Told(size_t place, absl::StatusOr<KeyResult> result) {
    {
      base::MutexLock lock(&mutex_);
      results_[place].result = std::move(result);
      if (--waits_ > 0) return;
    }
    done_(std::move(results_));
  }

  const std::function<void(PoolResults)> done_;
  base::Mutex mutex_;
  size_t waits_ GUARDED_BY(mutex_) = 0;
  PoolResults results_;  // a place for each pool; each is written once, before the last is told
};

absl::Status CheckRelayFactor(uint32_t factor) {
  if (factor <= kRelayFactorMax) return absl::OkStatus();
  return rpc::Error(
      errors::v1::REASON_INVALID_FIELD,
      base::StrCat("Bad request: Invalid relay-factor: Relay factor must be in range: [0, ",
                   kRelayFactorMax, "]"),
      "relay_factor");
}

void Fill(const std::map<std::string, size_t>& counts,
          google::protobuf::RepeatedPtrField<operators::v1::KeyCount>* keys) {
  for (const auto& [key, count] : counts) {
    auto* const entry = keys->Add();
    entry->set_key(key);
    entry->set_value(static_cast<uint32_t>(count));
  }
}

void Fill(const KeyringPools& pools, const PoolResults& results, ListKeysResponse* response) {
  for (const PoolResult& pool : results) {
    const KeyResult& result = *pool.result;
    Keyring* const keyring = response->add_keyrings();
    keyring->set_wan(pool.wan);
    keyring->set_datacenter(pools.datacenter);
    Fill(result.keys, keyring->mutable_keys());
    Fill(result.primary_keys, keyring->mutable_primary_keys());
    keyring->set_num_nodes(static_cast<uint32_t>(result.nodes));
    for (const auto& [member, message] : result.messages) {
      auto* const entry = keyring->add_messages();
      entry->set_key(member);
      entry->set_value(message);
    }
  }
}

// Answers `call` with what all members said, by `fill`.
template <typename Response, typename Fill>
void Ask(const KeyringPools& pools, const KeyRequest& request, bool lan_alone, rpc::Call* call,
         Fill fill) {
  Await<PoolResults, Response>(
      call,
      [&](std::function<void(absl::StatusOr<PoolResults>)> done) {
        std::make_shared<Round>([pools, done = std::move(done)](PoolResults results) {
          absl::Status status = ErrorOf(pools, results);
          if (!status.ok()) return done(std::move(status));
          done(std::move(results));
        })->Begin(pools, request, lan_alone);
      },
      std::move(fill));
}

void List(const KeyringPools& pools, rpc::Call* call) {
  const auto& request = static_cast<const ListKeysRequest&>(call->request());
  call->status = CheckRelayFactor(request.relay_factor());
  if (!call->status.ok()) return call->Done();
  KeyRequest ask;
  ask.relay_factor = request.relay_factor();
  Ask<ListKeysResponse>(pools, ask, request.local_only(), call,
                        [pools](const PoolResults& results, ListKeysResponse* response) {
                          Fill(pools, results, response);
                        });
}

template <typename Request, typename Response>
void Change(const KeyringPools& pools, KeyOperationKind operation, rpc::Call* call) {
  const auto& request = static_cast<const Request&>(call->request());
  call->status = CheckRelayFactor(request.relay_factor());
  if (!call->status.ok()) return call->Done();
  absl::StatusOr<gossip::Key> key = gossip::Key::FromBytes(request.key());
  if (!key.ok()) {
    call->status = rpc::Error(errors::v1::REASON_INVALID_FIELD,
                              base::ToStd(key.status().message()), "key");
    return call->Done();
  }
  KeyRequest ask;
  ask.operation = operation;
  ask.key = *std::move(key);
  ask.relay_factor = request.relay_factor();
  Ask<Response>(pools, ask, /*lan_alone=*/false, call, [](const PoolResults&, Response*) {});
}

}  // namespace

void RegisterKeyring(const KeyringPools& pools, rpc::Handlers* handlers) {
  const std::string service = "/consul.operators.v1.KeyringService/";
  handlers->Take(service + "ListKeys", [pools](rpc::Call* call) { List(pools, call); });
  handlers->Take(service + "InstallKey", [pools](rpc::Call* call) {
    Change<operators::v1::InstallKeyRequest, operators::v1::InstallKeyResponse>(
        pools, KeyOperationKind::kInstall, call);
  });
  handlers->Take(service + "UseKey", [pools](rpc::Call* call) {
    Change<operators::v1::UseKeyRequest, operators::v1::UseKeyResponse>(
        pools, KeyOperationKind::kUse, call);
  });
  handlers->Take(service + "RemoveKey", [pools](rpc::Call* call) {
    Change<operators::v1::RemoveKeyRequest, operators::v1::RemoveKeyResponse>(
        pools, KeyOperationKind::kRemove, call);
  });
}

}  // namespace consul::api
