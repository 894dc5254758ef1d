#include "services/rpc/grpc_server.h"

#include <google/protobuf/descriptor.h>
#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/codegen/service_type.h>

#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/grpc_calls.h"
#include "services/rpc/grpc_pollers.h"
#include "services/rpc/grpc_reflection.h"
#include "services/rpc/listen_check.h"

namespace consul::rpc {
namespace {

using grpc::ByteBuffer;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

// The methods of one proto service, each on bytes.
class TableService final : public grpc::Service {
 public:
  TableService(GrpcCallContext* context, const MethodTable& methods,
               const google::protobuf::ServiceDescriptor* descriptor) {
    int index = 0;
    for (const Method& method : methods.methods()) {
      if (method.descriptor->service() != descriptor) continue;
      // Requests come one a call in every method of ours.
      CONSUL_CHECK(!method.descriptor->client_streaming());
      AddMethod(new RpcServiceMethod(
          method.path.c_str(),
          method.server_streaming ? RpcMethod::SERVER_STREAMING : RpcMethod::NORMAL_RPC, nullptr));
      MarkMethodRawCallback(index++, HandlerOf(context, method));
    }
  }

 private:
  static grpc::internal::MethodHandler* HandlerOf(GrpcCallContext* context, const Method& method) {
    if (method.server_streaming) {
      return new grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>(
          [context, &method](grpc::CallbackServerContext* grpc_context, const ByteBuffer* request) {
            return BeginStream(context, method, grpc_context, request);
          });
    }
    return new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
        [context, &method](grpc::CallbackServerContext* grpc_context, const ByteBuffer* request,
                           ByteBuffer* reply) {
          return BeginUnary(context, method, grpc_context, request, reply);
        });
  }
};

// As gRPC's own service has it.
constexpr char kHealthService[] = "grpc.health.v1.Health";

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(Options options, std::initializer_list<const MethodTable*> tables, Backend* backend)
      : options_(std::move(options)),
        context_{backend, options_.limits, Strands([backend] { backend->Idle(); })} {
    for (const MethodTable* const table : tables) {
      for (const auto* descriptor : table->services()) {
        services_.push_back(std::make_unique<TableService>(&context_, *table, descriptor));
        names_.push_back(descriptor->full_name());
      }
    }
    std::vector<std::string> listed = names_;
    for (const Beside& beside : options_.services) listed.emplace_back(beside.name);
    listed.emplace_back(kHealthService);
    reflection_ = MakeReflectionService(std::move(listed));
  }

  ~Impl() { CONSUL_CHECK(server_ == nullptr); }

  absl::Status Start() {
    CONSUL_CHECK(server_ == nullptr);
    // gRPC would also say so, but without the reason.
    for (const std::string& address : options_.addresses) {
      const absl::Status free = CheckListen(address);
      if (!free.ok()) return free;
    }
    // A setting of the process in gRPC.
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    ports_.assign(options_.addresses.size(), 0);
    for (size_t i = 0; i < options_.addresses.size(); ++i) {
      builder.AddListeningPort(options_.addresses[i], grpc::InsecureServerCredentials(),
                               &ports_[i]);
    }
    Configure(&builder);
    for (const auto& service : services_) builder.RegisterService(service.get());
    for (const Beside& beside : options_.services) builder.RegisterService(beside.service);
    builder.RegisterService(reflection_.get());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return WhyNot();
    for (const std::string& name : names_) {
      server_->GetHealthCheckService()->SetServingStatus(name, true);
    }
    for (size_t i = 0; i < ports_.size(); ++i) {
      if (options_.addresses[i].starts_with("unix:")) ports_[i] = 0;
    }
    return absl::OkStatus();
  }

  void Stop(std::chrono::milliseconds grace) {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + grace);
    server_->Wait();
    server_.reset();
  }

  const std::vector<int>& ports() const { return ports_; }

 private:
  void Configure(grpc::ServerBuilder* builder) {
    // Without this a second agent shares the port, silently.
    builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                                options_.limits.calls_per_connection_max);
    builder->SetMaxReceiveMessageSize(static_cast<int>(options_.limits.request_bytes_max));
    builder->SetMaxSendMessageSize(static_cast<int>(options_.limits.reply_bytes_max));
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                                static_cast<int>(options_.limits.ping_interval.count()));
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                                static_cast<int>(options_.limits.ping_timeout.count()));
    // Clients may do the same to us while a blocking read waits.
    builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  }

  absl::Status WhyNot() const {
    for (const std::string& address : options_.addresses) {
      const absl::Status free = CheckListen(address);
      if (!free.ok()) return free;
    }
    std::string all;
    for (const std::string& address : options_.addresses) base::StrAppend(&all, " ", address);
    return absl::UnavailableError(base::StrCat("listen", all, ": refused by the system"));
  }

  const std::shared_ptr<GrpcPollers> pollers_ = GrpcPollers::Get();
  const Options options_;
  GrpcCallContext context_;
  std::vector<std::unique_ptr<TableService>> services_;
  std::vector<std::string> names_;  // of those
  std::unique_ptr<grpc::Service> reflection_;
  std::vector<int> ports_;
  std::unique_ptr<grpc::Server> server_;
};

GrpcServer::GrpcServer(Options options, std::initializer_list<const MethodTable*> tables,
                       Backend* backend)
    : impl_(std::make_unique<Impl>(std::move(options), tables, backend)) {}

GrpcServer::~GrpcServer() = default;

absl::Status GrpcServer::Start() { return impl_->Start(); }

const std::vector<int>& GrpcServer::ports() const { return impl_->ports(); }

void GrpcServer::Stop(std::chrono::milliseconds grace) { impl_->Stop(grace); }

}  // namespace consul::rpc
