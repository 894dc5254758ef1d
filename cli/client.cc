#include "cli/client.h"

#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "cli/connect_problem.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

// An agent on this machine is there at once.
constexpr std::chrono::seconds kConnectTimeout(1);
// One that is there and could not be reached has much to do, or has just started.
constexpr std::chrono::seconds kPatience(2);
constexpr std::chrono::milliseconds kStopPoll(100);

grpc::ByteBuffer Encode(const google::protobuf::Message& message) {
  const std::string bytes = message.SerializeAsString();
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

bool Decode(const grpc::ByteBuffer& buffer, google::protobuf::Message* message) {
  grpc::Slice slice;
  if (buffer.TrySingleSlice(&slice).ok()) {
    return message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  }
  return buffer.DumpToSingleSlice(&slice).ok() &&
         message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

class GrpcClient final : public Client {
 public:
  explicit GrpcClient(const ClientOptions& options) : options_(options) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
    arguments.SetMaxSendMessageSize(kMessageBytesMax);
    // A proxy of the environment is for web pages, not for the agent on this machine.
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    channel_ = grpc::CreateCustomChannel(options.address.host_port,
                                         grpc::InsecureChannelCredentials(), arguments);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
  }

  ~GrpcClient() override {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  absl::Status Call(std::string_view method, const google::protobuf::Message& request,
                    google::protobuf::Message* response) override {
    if (absl::Status status = EnsureConnected(); !status.ok()) return status;
    grpc::ClientContext context;
    Prepare(&context);
    const auto call =
        stub_->PrepareUnaryCall(&context, base::StrCat("/", method), Encode(request), &queue_);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, this);
    WaitForQueue();
    if (!status.ok()) return FromGrpc(status);
    if (!Decode(reply, response)) return Garbled(method);
    return absl::OkStatus();
  }

  absl::Status Stream(std::string_view method, const google::protobuf::Message& request,
                      google::protobuf::Message* response, const std::function<void()>& on_message,
                      const std::function<bool()>& stop) override {
    if (absl::Status status = EnsureConnected(); !status.ok()) return status;
    grpc::ClientContext context;
    Prepare(&context);
    const auto call = stub_->PrepareCall(&context, base::StrCat("/", method), &queue_);
    call->StartCall(this);
    bool ok = WaitForQueue();
    if (ok) {
      call->WriteLast(Encode(request), grpc::WriteOptions(), this);
      ok = WaitForQueue();
    }
    bool stopped = false;
    absl::Status garbled;
    while (ok) {
      grpc::ByteBuffer message;
      call->Read(&message, this);
      ok = WaitForRead(stop, &context, &stopped);
      if (!ok || stopped) continue;
      if (!Decode(message, response)) {
        garbled = Garbled(method);
        context.TryCancel();
        continue;
      }
      on_message();
    }
    grpc::Status status;
    call->Finish(&status, this);
    WaitForQueue();
    if (!garbled.ok()) return garbled;
    return stopped || status.ok() ? absl::OkStatus() : FromGrpc(status);
  }

 private:
  void Prepare(grpc::ClientContext* context) const {
    if (!options_.token.empty()) context->AddMetadata("x-consul-token", options_.token);
  }

  // A first call waits for the connection here, so that "nobody listens" is told from an answer.
  absl::Status EnsureConnected() {
    if (WaitForConnection()) return absl::OkStatus();
    const std::string problem = ConnectProblem(options_.address);
    if (!problem.empty()) return ConnectFailure(options_.address, problem);
    if (channel_->WaitForConnected(std::chrono::system_clock::now() + kPatience)) {
      return absl::OkStatus();
    }
    return ConnectFailure(options_.address,
                          base::StrCat("no connection within ", kPatience.count(), "s"));
  }

  // False when there is no connection after some time, or it failed before.
  bool WaitForConnection() {
    const auto deadline = std::chrono::system_clock::now() + kConnectTimeout;
    grpc_connectivity_state state = channel_->GetState(true);
    while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
      if (!channel_->WaitForStateChange(state, deadline)) break;
      state = channel_->GetState(true);
    }
    return state == GRPC_CHANNEL_READY;
  }

  // Waits for the one operation under way; its ok.
  bool WaitForQueue() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  // The same, asking `stop` meanwhile; a stop cancels the call and the operation comes back not ok.
  bool WaitForRead(const std::function<bool()>& stop, grpc::ClientContext* context, bool* stopped) {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kStopPoll) ==
           grpc::CompletionQueue::TIMEOUT) {
      if (!*stopped && stop()) {
        *stopped = true;
        context->TryCancel();
      }
    }
    return ok;
  }

  static absl::Status Garbled(std::string_view method) {
    return absl::InternalError(base::StrCat("the answer to ", method, " is not of its type"));
  }

  static absl::Status FromGrpc(const grpc::Status& status) {
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }

  const ClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::CompletionQueue queue_;
};

}  // namespace

std::unique_ptr<Client> Connect(const ClientOptions& options) {
  return std::make_unique<GrpcClient>(options);
}

}  // namespace consul::cli
