// services/rpc/grpc_pollers.h
//
// How many threads of gRPC's take events. Its callback interface starts two at least, and whoever
// takes an event has another one woken to wait for the next before it works on its own: on a small
// machine that change of thread costs more than most events. While this object lives, as many of
// them as are not wanted stand still inside a callback, and one of them sees to it that somebody is
// awake.
//
// Threads: any, but none of gRPC's.
// Source: gRPC 1.51.1, src/core/lib/iomgr/ev_epoll1_linux.cc (pollset_work, end_worker),
// src/cpp/common/completion_queue_cc.cc (CallbackAlternativeCQ).
#ifndef CONSUL_SERVICES_RPC_GRPC_POLLERS_H_
#define CONSUL_SERVICES_RPC_GRPC_POLLERS_H_

#include <cstddef>
#include <memory>

namespace consul::rpc {

class GrpcPollers {
 public:
  // That of the process. Each face that is on gRPC holds it.
  static std::shared_ptr<GrpcPollers> Get();

  // Lets all threads back to their work.
  ~GrpcPollers();
  GrpcPollers(const GrpcPollers&) = delete;
  GrpcPollers& operator=(const GrpcPollers&) = delete;

  // Threads that stand still.
  size_t parked() const;

 private:
  class Impl;
  GrpcPollers();

  const std::unique_ptr<Impl> impl_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_POLLERS_H_
