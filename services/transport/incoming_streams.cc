#include "services/transport/incoming_streams.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::transport {
namespace {

using grpc::ByteBuffer;

// Statuses of this folder carry no details.
grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

bool SameButCluster(Hello a, const Hello& b) {
  a.cluster_id = b.cluster_id;
  return a == b;
}

}  // namespace

class IncomingStreams::Stream final : public grpc::ServerReadReactor<ByteBuffer> {
 public:
  Stream(IncomingStreams* streams, grpc::CallbackServerContext* context)
      : streams_(streams), context_(context), remote_(context->peer()) {
    if (!streams_->Add(this)) {
      counted_ = false;
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "this server is stopping"));
      return;
    }
    StartRead(&request_);
  }

  const std::optional<Hello>& hello() const { return hello_; }
  // Where it comes from, as gRPC says it.
  const std::string& remote() const { return remote_; }
  // Ends soon. REQUIRES: the caller keeps it from being removed.
  void Cancel() { context_->TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    absl::Status status = absl::OkStatus();
    if (ok) {
      status = TakeRequest();
      request_.Clear();
      if (status.ok()) return StartRead(&request_);
    }
    streams_->Ended(this);
    Finish(ToGrpc(status));
  }

  absl::Status TakeRequest() {
    absl::Status no_batch;
    if (hello_.has_value()) {
      absl::StatusOr<std::vector<raft::Message>> batch =
          DecodeBatch(request_, hello_->from, hello_->to);
      if (batch.ok()) {
        for (raft::Message& message : *batch) streams_->options_->receive(std::move(message));
        return absl::OkStatus();
      }
      no_batch = batch.status();
    }
    absl::StatusOr<Hello> hello = DecodeHello(request_);
    if (!hello.ok()) return no_batch.ok() ? hello.status() : no_batch;
    const absl::Status accepted = streams_->Accept(this, *hello);
    if (accepted.ok()) hello_ = *std::move(hello);
    return accepted;
  }

  void OnDone() override {
    if (counted_) streams_->Remove(this);
    delete this;
  }

  IncomingStreams* const streams_;
  grpc::CallbackServerContext* const context_;
  const std::string remote_;
  bool counted_ = true;
  std::optional<Hello> hello_;  // once it is accepted
  ByteBuffer request_;
};

class IncomingStreams::Service final : public grpc::Service {
 public:
  explicit Service(IncomingStreams* streams) {
    using grpc::internal::RpcMethod;
    AddMethod(
        new grpc::internal::RpcServiceMethod(kSendPath, RpcMethod::CLIENT_STREAMING, nullptr));
    MarkMethodRawCallback(
        0, new grpc::internal::CallbackClientStreamingHandler<ByteBuffer, ByteBuffer>(
               [streams](grpc::CallbackServerContext* context, ByteBuffer* response) {
                 const grpc::Slice empty;  // of SendResponse, which has no fields
                 *response = ByteBuffer(&empty, 1);
                 return new Stream(streams, context);
               }));
  }
};

IncomingStreams::IncomingStreams(std::shared_ptr<const TransportOptions> options,
                                 std::shared_ptr<RefusalLog> refusals,
                                 std::function<void(const raft::ServerId&)> peer_spoke)
    : options_(std::move(options)),
      refusals_(std::move(refusals)),
      peer_spoke_(std::move(peer_spoke)),
      service_(std::make_unique<Service>(this)) {}

IncomingStreams::~IncomingStreams() { CONSUL_CHECK(streams_.empty()); }

grpc::Service* IncomingStreams::service() { return service_.get(); }

bool IncomingStreams::Add(Stream* stream) {
  base::MutexLock lock(&mutex_);
  if (stopped_) return false;
  streams_.insert(stream);
  return true;
}

void IncomingStreams::Remove(Stream* stream) {
  base::MutexLock lock(&mutex_);
  streams_.erase(stream);
  if (streams_.empty()) none_.SignalAll();
}

absl::Status IncomingStreams::Compare(const Hello& hello, const std::string& ours) const {
  if (hello.to != options_->self) {
    return absl::FailedPreconditionError(
        base::StrCat("this is server ", options_->self.value, ", not ", hello.to.value));
  }
  if (hello.from == options_->self) {
    return absl::FailedPreconditionError(
        base::StrCat("a server of this one's node id: ", hello.from.value));
  }
  if (hello.datacenter != options_->datacenter) {
    return absl::FailedPreconditionError(base::StrCat("this is datacenter ", options_->datacenter,
                                                      ", not ", hello.datacenter));
  }
  if (!ours.empty() && !hello.cluster_id.empty() && ours != hello.cluster_id) {
    return absl::FailedPreconditionError(
        base::StrCat("this is a server of cluster ", ours, ", not ", hello.cluster_id));
  }
  return absl::OkStatus();
}

absl::Status IncomingStreams::Accept(Stream* stream, const Hello& hello) {
  const std::optional<Hello>& before = stream->hello();
  if (before.has_value() && !SameButCluster(*before, hello)) {
    return absl::InvalidArgumentError("a later hello may name a cluster, and nothing else anew");
  }
  const std::string ours = options_->cluster_id();
  const absl::Status same = Compare(hello, ours);
  if (!same.ok()) {
    const std::string text(same.message());
    if (refusals_->IsNew(hello.from, text)) {
      options_->logger->Warn(kLogComponent,
                             base::StrCat("refused server ", hello.from.value, ": address=",
                                          stream->remote(), " error=", text));
    }
    return same;
  }
  bool heard = false;
  {
    base::MutexLock lock(&mutex_);
    const std::optional<uint32_t> known = StateVersionLocked(hello.from);
    const Key key{hello.from, hello.lane};
    const auto found = current_.find(key);
    if (found == current_.end() || found->second.stream != stream) {
      if (before.has_value()) return absl::CancelledError("another stream has taken its place");
      // The peer has given the old one up.
      if (found != current_.end()) found->second.stream->Cancel();
    }
    current_[key] = Current{stream, hello.cluster_id, hello.state_version};
    heard = StateVersionLocked(hello.from) != known;
  }
  if (heard) options_->state_version_heard(hello.from);
  // The id may have become known since it was compared.
  if (const std::string now = options_->cluster_id(); now != ours) SetClusterId(now);
  peer_spoke_(hello.from);
  return absl::OkStatus();
}

std::optional<uint32_t> IncomingStreams::StateVersionOf(const raft::ServerId& peer) {
  base::MutexLock lock(&mutex_);
  return StateVersionLocked(peer);
}

std::optional<uint32_t> IncomingStreams::StateVersionLocked(const raft::ServerId& peer) const {
  std::optional<uint32_t> lowest;
  for (const raft::Lane lane : {raft::Lane::kControl, raft::Lane::kData}) {
    const auto found = current_.find(Key{peer, lane});
    if (found == current_.end()) continue;
    lowest = std::min(lowest.value_or(UINT32_MAX), found->second.state_version);
  }
  return lowest;
}

void IncomingStreams::Ended(Stream* stream) {
  if (!stream->hello().has_value()) return;
  const raft::ServerId& peer = stream->hello()->from;
  bool heard = false;
  {
    base::MutexLock lock(&mutex_);
    const auto found = current_.find(Key{peer, stream->hello()->lane});
    if (found == current_.end() || found->second.stream != stream) return;
    const std::optional<uint32_t> before = StateVersionLocked(peer);
    current_.erase(found);
    if (stopped_) return;
    // It may have been the last one of an older process.
    const std::optional<uint32_t> now = StateVersionLocked(peer);
    heard = now.has_value() && now != before;
  }
  if (heard) options_->state_version_heard(peer);
  options_->stream_broken(peer);
}

void IncomingStreams::SetClusterId(const std::string& cluster_id) {
  base::MutexLock lock(&mutex_);
  std::erase_if(current_, [&cluster_id](const auto& item) {
    const Current& current = item.second;
    if (current.cluster_id.empty() || current.cluster_id == cluster_id) return false;
    current.stream->Cancel();
    return true;
  });
}

void IncomingStreams::Stop() {
  base::MutexLock lock(&mutex_);
  stopped_ = true;
  for (Stream* const stream : streams_) stream->Cancel();
  while (!streams_.empty()) none_.Wait(&mutex_);
}

}  // namespace consul::transport
