// services/api/kv_handlers.h
//
// consul.kv.v1.KvService.
//
// Threads: as rpc::Handlers.
#ifndef CONSUL_SERVICES_API_KV_HANDLERS_H_
#define CONSUL_SERVICES_API_KV_HANDLERS_H_

#include <cstddef>
#include <cstdint>

#include "services/rpc/handlers.h"

namespace consul::state {
class VersionSource;
}  // namespace consul::state

namespace consul::api {

// A key has to fit beside its value in one log entry, and in a URL.
inline constexpr size_t kKeyBytesMax = 64 * 1024;

struct KvLimits {
  // limits.kv_max_value_size
  uint64_t value_bytes_max = 512 * 1024;
};

// `source` is the replicated state and outlives `handlers`.
void RegisterKv(KvLimits limits, state::VersionSource* source, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_KV_HANDLERS_H_
