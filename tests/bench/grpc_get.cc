// Unary gRPC reads of one key, as fast as the server answers them.
//
// Keeps a number of calls in flight over a few connections from one thread, for some seconds, each
// answer checked. Prints one JSON object: calls, seconds, and latencies in microseconds.
//
// usage: grpc_get ADDRESS KEY IN-FLIGHT CONNECTIONS SECONDS
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "consul/kv/v1/kv.pb.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr char kMethod[] = "/consul.kv.v1.KvService/Get";

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "grpc_get: %s\n", what.c_str());
  std::exit(1);
}

grpc::ByteBuffer Serialize(const google::protobuf::Message& message) {
  grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

struct Call {
  grpc::ClientContext context;
  grpc::ByteBuffer reply;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  Clock::time_point started;
  size_t connection = 0;
};

class Load {
 public:
  Load(const std::string& address, const std::string& key, int connections) {
    consul::kv::v1::GetRequest request;
    request.set_key(key);
    request_ = Serialize(request);
    for (int i = 0; i < connections; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      stubs_.push_back(std::make_unique<grpc::GenericStub>(
          grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
    }
  }

  void Run(int in_flight, std::chrono::seconds length) {
    Clock::time_point start = Clock::now();
    Clock::time_point end = start + length;
    for (int i = 0; i < in_flight; ++i) Start(static_cast<size_t>(i) % stubs_.size());
    int open = in_flight;
    void* tag;
    bool ok;
    while (open > 0 && queue_.Next(&tag, &ok)) {
      std::unique_ptr<Call> call(static_cast<Call*>(tag));
      Finish(*call);
      if (Clock::now() < end) {
        Start(call->connection);
      } else {
        --open;
      }
    }
    Print(Clock::now() - start);
  }

 private:
  void Start(size_t connection) {
    auto call = std::make_unique<Call>();
    call->connection = connection;
    call->started = Clock::now();
    call->reader = stubs_[connection]->PrepareUnaryCall(&call->context, kMethod, request_, &queue_);
    call->reader->StartCall();
    Call* tag = call.release();  // The queue gives it back.
    tag->reader->Finish(&tag->reply, &tag->status, tag);
  }

  void Finish(const Call& call) {
    if (!call.status.ok()) Fail(call.status.error_message());
    std::vector<grpc::Slice> slices;
    if (!call.reply.Dump(&slices).ok()) Fail("a reply that cannot be read");
    std::string bytes;
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    consul::kv::v1::GetResponse response;
    if (!response.ParseFromString(bytes) || !response.has_entry()) Fail("no entry in the reply");
    std::chrono::duration<double, std::micro> took = Clock::now() - call.started;
    latencies_us_.push_back(took.count());
  }

  void Print(std::chrono::duration<double> took) {
    std::sort(latencies_us_.begin(), latencies_us_.end());
    size_t count = latencies_us_.size();
    std::printf("{\"requests\": %zu, \"seconds\": %.3f, ", count, took.count());
    std::printf("\"p50_us\": %.0f, \"p99_us\": %.0f}\n", latencies_us_[count / 2],
                latencies_us_[count * 99 / 100]);
  }

  grpc::ByteBuffer request_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  grpc::CompletionQueue queue_;
  std::vector<double> latencies_us_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) Fail("usage: grpc_get ADDRESS KEY IN-FLIGHT CONNECTIONS SECONDS");
  Load load(argv[1], argv[2], std::atoi(argv[4]));
  load.Run(std::atoi(argv[3]), std::chrono::seconds(std::atoi(argv[5])));
}
