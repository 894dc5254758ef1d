#include "services/rpc/grpc_server.h"

#include <arpa/inet.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "services/base/strings.h"
#include "services/rpc/grpc_call.h"
#include "services/rpc/grpc_status.h"
#include "services/rpc/loop_executor.h"

namespace consul::rpc {
namespace {

constexpr std::chrono::seconds kStopGrace{1};
// Streams that one connection may have open at once: blocked queries, mostly.
constexpr int kStreamsPerConnectionMax = 20'000;

// A proto service as gRPC's server has one, its methods passing bytes.
class DescribedService : public grpc::Service {
 public:
  DescribedService(const google::protobuf::ServiceDescriptor* descriptor,
                   const MethodTable& methods, Backend* backend, Executor* executor) {
    using grpc::internal::RpcMethod;
    for (int i = 0; i < descriptor->method_count(); ++i) {
      const Method& method = methods.Get(
          base::StrCat("/", descriptor->full_name(), "/", descriptor->method(i)->name()));
      const auto type =
          method.server_streaming ? RpcMethod::SERVER_STREAMING : RpcMethod::NORMAL_RPC;
      AddMethod(new grpc::internal::RpcServiceMethod(method.path.c_str(), type, nullptr));
      MarkMethodRawCallback(i, Handler(method, backend, executor));
    }
  }

 private:
  static grpc::internal::MethodHandler* Handler(const Method& method, Backend* backend,
                                                Executor* executor) {
    using grpc::ByteBuffer;
    using grpc::CallbackServerContext;
    if (method.server_streaming) {
      return new grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>(
          [&method, backend, executor](CallbackServerContext* context, const ByteBuffer* request) {
            return StartStream(method, backend, executor, context, request);
          });
    }
    return new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
        [&method, backend, executor](CallbackServerContext* context, const ByteBuffer* request,
                                     ByteBuffer* response) {
          return StartUnary(method, backend, executor, context, request, response);
        });
  }
};

// Why gRPC could not have an address: it does not say itself.
absl::Status WhyNot(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const uint16_t port = htons(static_cast<uint16_t>(std::stoul(address.substr(colon + 1))));
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v4.sin_port = port;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = port;
  const bool is_v4 = inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) {
    return absl::InvalidArgumentError(base::StrCat("listen tcp ", address, ": not an IP address"));
  }
  const int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // As gRPC sets it: a port whose last connections are still closing is free.
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  const int bound = is_v4 ? bind(fd, reinterpret_cast<sockaddr*>(&v4), sizeof(v4))
                          : bind(fd, reinterpret_cast<sockaddr*>(&v6), sizeof(v6));
  const int error = bound == 0 ? 0 : errno;
  close(fd);
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(
        base::StrCat("listen tcp ", address, ": address already in use"));
  }
  return absl::UnavailableError(base::StrCat("listen tcp ", address, ": ",
                                             error == 0 ? "refused" : std::strerror(error)));
}

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(Options options, const MethodTable& methods, Backend* backend)
      : options_(std::move(options)), executor_("rpc", [backend] { backend->Idle(); }) {
    for (const auto* service : methods.services()) {
      services_.push_back(
          std::make_unique<DescribedService>(service, methods, backend, &executor_));
    }
  }
  ~Impl() { Stop(); }

  absl::Status Start() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    // Two agents on one port would each get a share of the calls, and neither would know.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
    builder.SetMaxReceiveMessageSize(kRequestBytesMax);
    builder.SetMaxSendMessageSize(kReplyBytesMax);
    ports_.resize(options_.addresses.size());
    for (size_t i = 0; i < options_.addresses.size(); ++i) {
      if (absl::Status status = Free(options_.addresses[i]); !status.ok()) return status;
      builder.AddListeningPort(options_.addresses[i], grpc::InsecureServerCredentials(),
                               &ports_[i]);
    }
    for (const auto& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
    for (size_t i = 0; i < ports_.size(); ++i) {
      if (server_ == nullptr || ports_[i] == 0) return WhyNot(options_.addresses[i]);
    }
    server_->GetHealthCheckService()->SetServingStatus(true);
    return absl::OkStatus();
  }

  const std::vector<int>& ports() const { return ports_; }

  void Stop() {
    if (server_ == nullptr) return;
    server_->GetHealthCheckService()->SetServingStatus(false);
    server_->Shutdown(std::chrono::system_clock::now() + kStopGrace);
    server_->Wait();
    server_.reset();
    executor_.Stop();
  }

 private:
  // Asked first, for gRPC writes an error of its own to standard error when it fails.
  static absl::Status Free(const std::string& address) {
    absl::Status status = WhyNot(address);
    return absl::IsAlreadyExists(status) || absl::IsInvalidArgument(status) ? status
                                                                            : absl::OkStatus();
  }

  const Options options_;
  LoopExecutor executor_;
  std::vector<std::unique_ptr<DescribedService>> services_;
  std::vector<int> ports_;
  std::unique_ptr<grpc::Server> server_;
};

GrpcServer::GrpcServer(Options options, const MethodTable& methods, Backend* backend)
    : impl_(std::make_unique<Impl>(std::move(options), methods, backend)) {}
GrpcServer::~GrpcServer() = default;
absl::Status GrpcServer::Start() { return impl_->Start(); }
const std::vector<int>& GrpcServer::ports() const { return impl_->ports(); }
void GrpcServer::Stop() { impl_->Stop(); }

}  // namespace consul::rpc
