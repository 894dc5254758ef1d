#include "services/rpc/grpc_calls.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_bytes.h"
#include "services/rpc/grpc_status.h"
#include "services/rpc/wire_slices.h"

namespace consul::rpc {
namespace {

using google::protobuf::Arena;
using google::protobuf::ArenaOptions;
using google::protobuf::Message;

// A list with more than that is encoded in slices of so many bytes.
constexpr size_t kSliceBytes = 64 << 10;
// More elements are not looked through to learn their size.
constexpr size_t kElementsAtOnceMax = 256;

// A request and a response, small ones without an allocation.
class Messages {
 public:
  explicit Messages(const Method& method)
      : arena_(OptionsOf(block_)),
        request_(method.request_prototype->New(&arena_)),
        response_(method.response_prototype->New(&arena_)) {}

 protected:
  Message* own_request() const { return request_; }
  Message* own_response() const { return response_; }

 private:
  // A read of a key with a short value fits.
  static constexpr size_t kBlockBytes = 768;

  static ArenaOptions OptionsOf(char* block) {
    ArenaOptions options;
    options.initial_block = block;
    options.initial_block_size = kBlockBytes;
    return options;
  }

  alignas(std::max_align_t) char block_[kBlockBytes];
  Arena arena_;
  Message* const request_;
  Message* const response_;
};

// What a unary and a streaming call have in common. Held by gRPC until OnDone and by a cancellation
// until it has run.
class GrpcCall : private Messages, public Call {
 public:
  void Begin(grpc::CallbackServerContext* grpc_context, const grpc::ByteBuffer& bytes) {
    const auto& metadata = grpc_context->client_metadata();
    const auto found = metadata.find("x-consul-token");
    if (found != metadata.end()) {
      token = std::string_view(found->second.data(), found->second.size());
    }
    for_leader = metadata.find("x-consul-for-leader") != metadata.end();
    bytes_ = &bytes;
    if (posted_ || !strand_->Enter([this] { DecodeAndStart(); })) return strand_->Post(&start_);
    // A thread of gRPC's may not come by again for long: it keeps no version of the state.
    context_->backend->Idle();
  }

 protected:
  GrpcCall(GrpcCallContext* context, const Method& method)
      : GrpcCall(context, method,
                 method.reply_is_list && !context->backend->TakesBytes(method)) {}

  // Fills `bytes` from the response, or the status where that is impossible.
  bool EncodeResponse(grpc::ByteBuffer* bytes) {
    size_t size = 0;
    if (wire != nullptr) {
      size = wire_.reply.Length();
      if (size <= context_->limits.reply_bytes_max) {
        bytes->Swap(&wire_.reply);
        return true;
      }
    } else if (Encode(*response(), context_->limits.reply_bytes_max, bytes, &size)) {
      return true;
    }
    TellTooLarge(base::StrCat(size, " bytes"));
    return false;
  }

  void TellTooLarge(std::string_view size) {
    status = Error(errors::v1::REASON_TOO_LARGE,
                   base::StrCat("reply of ", size, " is larger than reply_bytes_max, ",
                                context_->limits.reply_bytes_max, " bytes"),
                   "reply_bytes_max");
  }

  // The client is gone.
  void PostCancel() {
    holds_.fetch_add(1, std::memory_order_relaxed);
    strand_->Post(&cancel_);
  }

  void Unhold() {
    if (holds_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const GrpcServer::Limits& limits() const { return context_->limits; }
  Strand* strand() const { return strand_; }
  void set_done() { done_ = true; }
  bool gone() const { return gone_; }  // nobody waits for the answer any more

 private:
  struct StartTask final : Task {
    explicit StartTask(GrpcCall* call) : call(call) {}
    void Run() override { call->DecodeAndStart(); }
    GrpcCall* const call;
  };

  struct CancelTask final : Task {
    explicit CancelTask(GrpcCall* call) : call(call) {}
    void Run() override {
      call->gone_ = true;
      if (!call->done_) call->context_->backend->Cancel(call);
      call->Unhold();
    }
    GrpcCall* const call;
  };

  // Posted is what may be long: raft's messages come on the same thread.
  GrpcCall(GrpcCallContext* context, const Method& method, bool posted)
      : GrpcCall(context, method, posted,
                 posted ? context->strands.ForPosted() : context->strands.OfThisThread()) {}
  GrpcCall(GrpcCallContext* context, const Method& method, bool posted, Strand* strand)
      : Messages(method),
        Call(method, strand, own_request(), own_response()),
        context_(context),
        posted_(posted),
        strand_(strand) {}

  void DecodeAndStart() {
    if (context_->backend->TakesBytes(method())) {
      wire_.request = *bytes_;  // its references
      wire = &wire_;
    } else if (!Decode(*bytes_, own_request())) {
      const std::string type = method().request_prototype->GetTypeName();
      status = Error(errors::v1::REASON_INVALID_FIELD, base::StrCat("request is not a ", type));
      return Done();
    }
    context_->backend->Start(this);
  }

  GrpcCallContext* const context_;
  const bool posted_;
  Strand* const strand_;
  const grpc::ByteBuffer* bytes_ = nullptr;  // until the call has started
  Wire wire_;
  StartTask start_{this};
  CancelTask cancel_{this};
  bool done_ = false;  // in the strand, as is the next
  bool gone_ = false;
  std::atomic<int> holds_{1};
};

class UnaryCall final : public GrpcCall, public grpc::ServerUnaryReactor {
 public:
  UnaryCall(GrpcCallContext* context, const Method& method, grpc::ByteBuffer* reply)
      : GrpcCall(context, method), reply_(reply) {}

  void Done() override {
    set_done();
    if (!status.ok() || EncodeAtOnce()) return End();
    if (rows != nullptr) rows_ = *rows;
    slices_.emplace(*response());
    AddSlice();
  }

  void OnCancel() override { PostCancel(); }
  void OnDone() override { Unhold(); }

  // OnDone and OnCancel are short and take no lock that is held while gRPC is called, so that gRPC
  // need not send them to another thread.
  bool InternalInlineable() override { return true; }

 private:
  struct SliceTask final : Task {
    explicit SliceTask(UnaryCall* call) : call(call) {}
    void Run() override { call->AddSlice(); }
    UnaryCall* const call;
  };

  // False where it is a large list, to be encoded in slices.
  bool EncodeAtOnce() {
    const size_t elements =
        method().reply_is_list && wire == nullptr ? WireSlices::CountElements(*response()) : 0;
    if (elements == 0) {
      EncodeResponse(reply_);
      return true;
    }
    size_t size = 0;
    return elements <= kElementsAtOnceMax &&
           Encode(*response(), std::min(kSliceBytes, limits().reply_bytes_max), reply_, &size);
  }

  // The next one comes after what else the thread has to do.
  void AddSlice() {
    const bool whole = gone() || slices_->Add(kSliceBytes);
    if (gone()) {
      status = absl::CancelledError("the client is gone");
    } else if (slices_->size() > limits().reply_bytes_max) {
      TellTooLarge(base::StrCat(slices_->size(), whole ? " bytes" : " bytes or more"));
    } else if (!whole) {
      return strand()->Post(&slice_);
    } else {
      grpc::ByteBuffer bytes = slices_->Take();
      reply_->Swap(&bytes);
    }
    slices_.reset();
    rows_.reset();
    End();
  }

  void End() { Finish(status.ok() ? grpc::Status() : ToGrpc(status)); }

  grpc::ByteBuffer* const reply_;
  // Of a large reply, until it is whole.
  Rows rows_;
  std::optional<WireSlices> slices_;
  SliceTask slice_{this};
};

class StreamCall final : public GrpcCall, public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  StreamCall(GrpcCallContext* context, const Method& method) : GrpcCall(context, method) {}

  bool Next() override {
    grpc::ByteBuffer bytes;
    if (!EncodeResponse(&bytes)) return false;
    {
      base::MutexLock lock(&mutex_);
      if (writing_) {
        if (waiting_.size() >= limits().stream_messages_max) return false;
        waiting_.push_back(std::move(bytes));
        return true;
      }
      writing_ = true;
      current_.Swap(&bytes);
    }
    StartWrite(&current_);
    return true;
  }

  void Done() override {
    set_done();
    {
      base::MutexLock lock(&mutex_);
      over_ = true;
      result_ = ToGrpc(status);
      if (!status.ok()) waiting_.clear();
      if (writing_) return;
    }
    Finish(result_);
  }

  void OnWriteDone(bool ok) override {
    bool finish = false;
    {
      base::MutexLock lock(&mutex_);
      if (!ok) waiting_.clear();
      if (waiting_.empty()) {
        writing_ = false;
        if (!over_) return;
        finish = true;
      } else {
        current_.Swap(&waiting_.front());
        waiting_.pop_front();
      }
    }
    if (finish) return Finish(result_);
    StartWrite(&current_);
  }

  void OnCancel() override { PostCancel(); }
  void OnDone() override { Unhold(); }

 private:
  base::Mutex mutex_;
  grpc::ByteBuffer current_;  // gRPC's while writing_
  std::deque<grpc::ByteBuffer> waiting_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool over_ GUARDED_BY(mutex_) = false;
  grpc::Status result_;  // of whoever finishes, once over_
};

}  // namespace

grpc::ServerUnaryReactor* BeginUnary(GrpcCallContext* context, const Method& method,
                                     grpc::CallbackServerContext* grpc_context,
                                     const grpc::ByteBuffer* bytes, grpc::ByteBuffer* reply) {
  auto* const call = new UnaryCall(context, method, reply);
  call->Begin(grpc_context, *bytes);
  return call;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* BeginStream(GrpcCallContext* context,
                                                        const Method& method,
                                                        grpc::CallbackServerContext* grpc_context,
                                                        const grpc::ByteBuffer* bytes) {
  auto* const call = new StreamCall(context, method);
  call->Begin(grpc_context, *bytes);
  return call;
}

}  // namespace consul::rpc
