// The gRPC server on the fake backend, until a signal ends it. Prints its port.
//
// usage: grpc_fake_server ADDRESS
#include <unistd.h>

#include <cstdio>

#include "services/rpc/grpc_fake_backend.h"
#include "services/rpc/grpc_server.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: grpc_fake_server ADDRESS\n", stderr);
    return 1;
  }
  consul::rpc::GrpcFakeBackend backend;
  consul::rpc::GrpcServer server({.addresses = {argv[1]}}, consul::rpc::PublicApi(), &backend);
  const absl::Status status = server.Start();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  std::printf("%d\n", server.ports()[0]);
  std::fflush(stdout);
  for (;;) pause();
}
