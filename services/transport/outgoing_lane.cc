#include "services/transport/outgoing_lane.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/open_channel.h"
#include "services/transport/message_codec.h"

namespace consul::transport {
namespace {

// A peer that is cut off without a word is found out within the two together. The server port takes
// a ping each 10 s: two seconds more, for they may come closer together than they were sent.
constexpr std::chrono::milliseconds kKeepalive{12'000};
constexpr std::chrono::milliseconds kKeepaliveTimeout{3'000};
// A reply is empty.
constexpr size_t kReplyBytesMax = 64 << 10;

// Whether the peer itself has ended the stream because of what this server is or says.
bool IsRefusal(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::UNIMPLEMENTED:
      return true;
    default:
      return false;
  }
}

// What leaders alone say.
bool IsLeaders(const raft::Body& body) {
  return std::holds_alternative<raft::Heartbeat>(body) ||
         std::holds_alternative<raft::AppendRequest>(body) ||
         std::holds_alternative<raft::SnapshotChunk>(body);
}

}  // namespace

// A call of gRPC's, from its start to its last word.
class OutgoingLane::Stream final : public grpc::ClientBidiReactor<grpc::ByteBuffer,
                                                                  grpc::ByteBuffer> {
 public:
  Stream(std::shared_ptr<OutgoingLane> lane, std::shared_ptr<grpc::Channel> channel)
      : lane_(std::move(lane)), stub_(std::move(channel)) {}

  void Start(grpc::ByteBuffer hello) {
    request_.Swap(&hello);
    stub_.PrepareBidiStreamingCall(&context_, kSendPath, grpc::StubOptions(), this);
    AddHold();  // writes begin on any thread
    StartRead(&reply_);
    StartWrite(&request_);
    StartCall();
  }

  // REQUIRES: nothing is being written, and the hold is there.
  void Write(grpc::ByteBuffer request) {
    request_.Swap(&request);
    StartWrite(&request_);
  }

  void Cancel() { context_.TryCancel(); }

  const Clock::time_point started = Clock::now();

 private:
  void OnReadDone(bool ok) override {
    if (ok) return StartRead(&reply_);
    lane_->Ended(this);
  }
  void OnWriteDone(bool ok) override { lane_->Written(this, ok); }
  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<OutgoingLane> lane = std::move(lane_);
    const std::shared_ptr<StreamCount> count = lane->count_;
    lane->Over(this, status);
    delete this;
    count->Remove();
  }

  std::shared_ptr<OutgoingLane> lane_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
};

OutgoingLane::OutgoingLane(std::shared_ptr<const TransportOptions> options,
                           std::shared_ptr<StreamCount> count,
                           std::shared_ptr<RefusalLog> refusals, raft::ServerId peer,
                           raft::Lane lane)
    : options_(std::move(options)),
      count_(std::move(count)),
      refusals_(std::move(refusals)),
      peer_(std::move(peer)),
      lane_(lane) {}

OutgoingLane::~OutgoingLane() { CONSUL_CHECK(stream_ == nullptr); }

size_t OutgoingLane::bytes_max() const {
  return lane_ == raft::Lane::kControl ? options_->limits.control_bytes_max
                                       : options_->limits.data_bytes_max;
}

void OutgoingLane::Send(raft::Message message) {
  const size_t bytes = MessageBytes(message);
  if (bytes > kMessageBytesMax) {
    options_->logger->Error(
        kLogComponent, base::StrCat("a message of ", bytes, " bytes to server ", peer_.value,
                                    " is dropped: ", kMessageBytesMax, " bytes at most"));
    return;
  }
  Stream* stream = nullptr;
  Next next;
  {
    base::MutexLock lock(&mutex_);
    if (dropped_ || queued_bytes_ + bytes > bytes_max()) return;
    if (state_ == State::kNone && Clock::now() < retry_at_) return;
    leads_ = IsLeaders(message.body);
    queued_bytes_ += bytes;
    queue_.push_back({std::move(message), bytes});
    switch (state_) {
      case State::kDialling:
      case State::kWriting:
      case State::kBroken:
        return;
      case State::kNone:
        state_ = State::kDialling;
        break;
      case State::kIdle:
        state_ = State::kWriting;
        stream = stream_;
        next = *TakeNextLocked();
        break;
    }
  }
  if (stream == nullptr) return Dial();
  stream->Write(Encode(next));
}

grpc::ByteBuffer OutgoingLane::Encode(const Next& next) const {
  if (const auto* batch = std::get_if<std::vector<raft::Message>>(&next)) {
    return EncodeBatch(*batch);
  }
  return EncodeHello({std::get<std::string>(next), options_->datacenter, options_->self, peer_,
                      lane_, options_->state_version});
}

void OutgoingLane::PeerSpoke() {
  base::MutexLock lock(&mutex_);
  if (state_ != State::kNone && state_ != State::kDialling) return;
  retry_at_ = {};
  if (channel_ != nullptr) grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
}

bool OutgoingLane::WouldDial(const std::string& address) {
  base::MutexLock lock(&mutex_);
  // What a thread that dials has asked for may be old by now.
  if (channel_ == nullptr && state_ == State::kNone) return true;
  return address_ == address;
}

void OutgoingLane::Introduce(const std::string& cluster_id) {
  Stream* stream = nullptr;
  Next next;
  {
    base::MutexLock lock(&mutex_);
    if (cluster_id.empty()) return;
    introduce_ = cluster_id;
    if (state_ != State::kIdle) return;  // after what is being written, or by the next stream
    std::optional<Next> hello = TakeNextLocked();
    if (!hello.has_value()) return;
    state_ = State::kWriting;
    stream = stream_;
    next = *std::move(hello);
  }
  stream->Write(Encode(next));
}

void OutgoingLane::Drop() {
  base::MutexLock lock(&mutex_);
  dropped_ = true;
  queue_.clear();
  queued_bytes_ = 0;
  if (stream_ != nullptr) stream_->Cancel();
}

void OutgoingLane::Dial() {
  const std::string address = options_->address_of(peer_);
  const std::string cluster_id = options_->cluster_id();
  Stream* stream = nullptr;
  {
    base::MutexLock lock(&mutex_);
    if (address.empty() || dropped_) return GiveUpLocked(kRetryPause);
    if (channel_ == nullptr || address != address_) {
      address_ = address;
      channel_ = ChannelTo(address);
    }
    cluster_id_ = cluster_id;
    count_->Add();
    stream_ = stream = new Stream(shared_from_this(), channel_);
    state_ = State::kWriting;
  }
  // Nobody ends it while it counts as writing.
  stream->Start(Encode(cluster_id));
}

std::shared_ptr<grpc::Channel> OutgoingLane::ChannelTo(const std::string& address) {
  rpc::ChannelSettings settings;
  settings.reply_bytes_max = kReplyBytesMax;
  settings.keepalive = kKeepalive;
  settings.keepalive_timeout = kKeepaliveTimeout;
  settings.retries = false;  // a stream that failed is dialled anew
  return rpc::OpenChannel(address, settings);
}

void OutgoingLane::GiveUpLocked(std::chrono::milliseconds pause) {
  state_ = State::kNone;
  queue_.clear();
  queued_bytes_ = 0;
  retry_at_ = Clock::now() + pause;
}

// As much as makes one request, behind a hello that is due.
std::optional<OutgoingLane::Next> OutgoingLane::TakeNextLocked() {
  if (!introduce_.empty() && introduce_ != cluster_id_) return cluster_id_ = introduce_;
  if (queue_.empty()) return std::nullopt;
  std::vector<raft::Message> batch;
  size_t bytes = 0;
  while (!queue_.empty() && batch.size() < kBatchMessagesMax) {
    Queued& next = queue_.front();
    if (!batch.empty() && bytes + next.bytes > kBatchBytesMax) break;
    bytes += next.bytes;
    batch.push_back(std::move(next.message));
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  return batch;
}

void OutgoingLane::Written(Stream* stream, bool ok) {
  std::optional<Next> next;
  {
    base::MutexLock lock(&mutex_);
    CONSUL_CHECK(stream == stream_);
    if (!ok || state_ == State::kBroken) {
      state_ = State::kBroken;
      stream->RemoveHold();
      return;
    }
    next = TakeNextLocked();
    if (!next.has_value()) {
      state_ = State::kIdle;
      return;
    }
  }
  stream->Write(Encode(*next));
}

void OutgoingLane::Ended(Stream* stream) {
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(stream == stream_);
  const State before = std::exchange(state_, State::kBroken);
  // While a request is written, its end is still to come and removes the hold.
  if (before == State::kIdle) stream->RemoveHold();
}

void OutgoingLane::Over(Stream* stream, const grpc::Status& status) {
  std::string address;
  bool leads = false;
  bool log = false;
  bool dial = false;
  {
    base::MutexLock lock(&mutex_);
    CONSUL_CHECK(stream == stream_);
    stream_ = nullptr;
    state_ = State::kNone;
    address = address_;
    leads = leads_;
    const Clock::time_point now = Clock::now();
    log = !dropped_ && (logged_ != status.error_message() || now >= log_again_at_);
    if (log) {
      logged_ = status.error_message();
      log_again_at_ = now + kLogPause;
    }
    const bool early = Clock::now() - stream->started < kRetryPause;
    if (dropped_ || IsRefusal(status) || early) {
      GiveUpLocked(IsRefusal(status) ? kRefusedPause : kRetryPause);
    } else if (!queue_.empty()) {
      state_ = State::kDialling;
      dial = true;
    }
  }
  if (log) LogOver(status, address, leads);
  if (dial) Dial();
}

// A leader's in the reference's words.
void OutgoingLane::LogOver(const grpc::Status& status, const std::string& address, bool leads) {
  const std::string error = base::StrCat("address=", address, " error=", status.error_message());
  if (IsRefusal(status)) {
    if (!refusals_->IsNew(peer_, error)) return;
    options_->logger->Warn(kLogComponent,
                           base::StrCat("refused by server ", peer_.value, ": ", error));
    return;
  }
  const std::string_view lane = LaneName(lane_);
  // The other side ends those of another cluster when it learns of its own.
  if (status.error_code() == grpc::StatusCode::CANCELLED || !leads) {
    const bool asked = status.error_code() == grpc::StatusCode::CANCELLED;
    options_->logger->Log(asked ? base::LogLevel::kDebug : base::LogLevel::kWarn, kLogComponent,
                          base::StrCat("no connection to server ", peer_.value, ": lane=", lane,
                                       " ", error));
    return;
  }
  options_->logger->Error(
      "raft", base::StrCat(lane_ == raft::Lane::kControl ? "failed to heartbeat to: peer="
                                                         : "failed to appendEntries to: peer=",
                           peer_.value, " ", error));
}

}  // namespace consul::transport
