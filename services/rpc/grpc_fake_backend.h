// services/rpc/grpc_fake_backend.h
//
// A backend for tests of the gRPC face and of the channel backend: what it does is in the key of a
// request of KvService.Get.
//
//   missing          an answer without an entry
//   error:SUBJECT    REASON_NOT_FOUND about SUBJECT
//   plain-error      INTERNAL, without a reason
//   wait             never answers; ends when it is cancelled
//   later            answers after it has waited for another thread
//   size:N           a value of N bytes
//   token            the value is the caller's token
//   anything else    the value is "value of KEY"
//
// AgentService.Monitor gives the lines 0, 1, 2 ... until `lines` of them are given, or waits when
// that is none. AgentService.ListMembers gives one member.
//
// Threads: as a Backend; the counters from any.
#ifndef CONSUL_SERVICES_RPC_GRPC_FAKE_BACKEND_H_
#define CONSUL_SERVICES_RPC_GRPC_FAKE_BACKEND_H_

#include <atomic>
#include <string>

#include "services/rpc/backend.h"

namespace consul::rpc {

class GrpcFakeBackend : public Backend {
 public:
  void Start(Call* call) override;

  // Lines that a Monitor gives; 0: none, and it waits.
  std::atomic<int> lines{3};
  // Bytes of each.
  std::atomic<size_t> line_bytes{10};

  // Calls that wait at the moment, and those that were cancelled while they waited.
  std::atomic<int> waiting{0};
  std::atomic<int> cancelled{0};
  // Whether a Next was refused.
  std::atomic<bool> refused{false};

 private:
  void Get(Call* call);
  void Monitor(Call* call);
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_FAKE_BACKEND_H_
