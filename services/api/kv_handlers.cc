#include "services/api/kv_handlers.h"

#include <string>
#include <string_view>

#include "consul/internal/raft/v1/command.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "services/state/command.h"
#include "services/api/rows.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/version.h"
#include "services/state/version_source.h"

namespace consul::api {
namespace {

using internal::raft::v1::Command;
using kv::v1::KeyValue;

absl::Status CheckKey(std::string_view key) {
  if (key.empty()) {
    return rpc::Error(errors::v1::REASON_MISSING_FIELD, "Missing key name", "key");
  }
  if (key.size() > kKeyBytesMax) {
    return rpc::Error(errors::v1::REASON_TOO_LARGE,
                      base::StrCat("Key of ", key.size(), " bytes is too large, max size: ",
                                   kKeyBytesMax, " bytes"),
                      "key");
  }
  return absl::OkStatus();
}

absl::Status Get(const state::Version& version, const kv::v1::GetRequest& request,
                 kv::v1::GetResponse* response, state::WatchSet* watched) {
  if (absl::Status status = CheckKey(request.key()); !status.ok()) return status;
  const KeyValue* const entry = version.kv().Find(request.key(), watched);
  if (entry != nullptr) response->unsafe_arena_set_allocated_entry(Lend(*entry));
  return absl::OkStatus();
}

absl::Status List(const state::Version& version, const kv::v1::ListRequest& request,
                  kv::v1::ListResponse* response, state::WatchSet* watched) {
  version.kv().ForEach(request.prefix(), watched, [response](const KeyValue& entry) {
    response->mutable_entries()->UnsafeArenaAddAllocated(Lend(entry));
    return true;
  });
  return absl::OkStatus();
}

absl::Status ListKeys(const state::Version& version, const kv::v1::ListKeysRequest& request,
                      kv::v1::ListKeysResponse* response, state::WatchSet* watched) {
  const std::string& separator = request.separator();
  const size_t prefix_size = request.prefix().size();
  std::string_view last;
  version.kv().ForEach(request.prefix(), watched, [&](const KeyValue& entry) {
    std::string_view key = entry.key();
    if (!separator.empty()) {
      const size_t at = key.find(separator, prefix_size);
      if (at != std::string_view::npos) key = key.substr(0, at + separator.size());
    }
    // Keys that are cut alike follow each other.
    if (key != last) response->add_keys(key.data(), key.size());
    last = key;
    return true;
  });
  return absl::OkStatus();
}

absl::Status PreparePut(const KvLimits& limits, const kv::v1::PutRequest& request,
                        state::SealedCommand* command) {
  if (absl::Status status = CheckKey(request.key()); !status.ok()) return status;
  if (request.value().size() > limits.value_bytes_max) {
    return rpc::Error(errors::v1::REASON_TOO_LARGE,
                      base::StrCat("Value of ", request.value().size(),
                                   " bytes is too large, max size: ", limits.value_bytes_max,
                                   " bytes (limits.kv_max_value_size)"),
                      "value");
  }
  Command whole;
  auto* const put = whole.mutable_kv_put();
  put->set_key(request.key());
  put->set_value(request.value());
  put->set_flags(request.flags());
  if (request.has_cas()) put->set_cas(request.cas());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

absl::Status PrepareDelete(const kv::v1::DeleteRequest& request, state::SealedCommand* command) {
  if (absl::Status status = CheckKey(request.key()); !status.ok()) return status;
  Command whole;
  whole.mutable_kv_delete()->set_key(request.key());
  if (request.has_cas()) whole.mutable_kv_delete()->set_cas(request.cas());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

absl::Status PrepareDeleteTree(const kv::v1::DeleteTreeRequest& request,
                               state::SealedCommand* command) {
  Command whole;
  whole.mutable_kv_delete_tree()->set_prefix(request.prefix());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

template <typename Response>
void Finish(const rpc::Applied& applied, Response* response) {
  response->set_applied(applied.changed);
  response->set_index(applied.index);
}

}  // namespace

void RegisterKv(KvLimits limits, state::VersionSource* source, rpc::Handlers* handlers) {
  handlers->Read("/consul.kv.v1.KvService/Get", source, &Get);
  handlers->Read("/consul.kv.v1.KvService/List", source, &List);
  handlers->Read("/consul.kv.v1.KvService/ListKeys", source, &ListKeys);
  handlers->Write<kv::v1::PutRequest, kv::v1::PutResponse>(
      "/consul.kv.v1.KvService/Put",
      [limits](const auto& request, state::SealedCommand* command) {
        return PreparePut(limits, request, command);
      },
      &Finish<kv::v1::PutResponse>);
  handlers->Write<kv::v1::DeleteRequest, kv::v1::DeleteResponse>(
      "/consul.kv.v1.KvService/Delete", &PrepareDelete, &Finish<kv::v1::DeleteResponse>);
  handlers->Write<kv::v1::DeleteTreeRequest, kv::v1::DeleteTreeResponse>(
      "/consul.kv.v1.KvService/DeleteTree", &PrepareDeleteTree,
      &Finish<kv::v1::DeleteTreeResponse>);
}

}  // namespace consul::api
