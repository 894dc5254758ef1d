#include "gateway/http/connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <string>
#include <utility>

#include "gateway/http/splice.h"

namespace consul::gateway::http {
namespace {

// Replies that are gathered before they are written, when many requests arrive together.
constexpr size_t kOutMax = 256 * 1024;
// Bytes taken from a client that sends ahead while its call is under way; the rest stays in the
// kernel, which makes the client wait.
constexpr size_t kAheadMax = 64 * 1024;
// What a client may still send after the last reply, in bytes and time, before it is cut off.
// Closing at once would reset the connection, and the reply with it.
constexpr size_t kDrainMax = 16 * 1024 * 1024;
constexpr std::chrono::seconds kDrainTimeout{5};
// Framing of a chunk: a size and its extensions.
constexpr size_t kChunkHeaderMax = 4096;
// RFC 9113, 3.4. Its first part is a whole header of HTTP/1.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kHeaderEnd = "\r\n\r\n";

bool WouldBlock(const boost::system::error_code& ec) {
  return ec == boost::asio::error::would_block || ec == boost::asio::error::try_again;
}

// A line that ends without "\r": the header would never be found to end.
bool HasBareLineEnd(std::string_view data) {
  for (size_t at = data.find('\n'); at != std::string_view::npos; at = data.find('\n', at + 1)) {
    if (at == 0 || data[at - 1] != '\r') return true;
  }
  return false;
}

// "HTTP/3.0" is of another version; "HTPP/1.1", or a target with a space, is nothing that is known.
bool HasVersion(std::string_view line) {
  constexpr std::string_view kProtocol = "HTTP/";
  const size_t target = line.find(' ');
  const size_t space = target == line.npos ? line.npos : line.find(' ', target + 1);
  if (space == line.npos) return false;
  const std::string_view version = line.substr(space + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return version.size() == kProtocol.size() + 3 && version.starts_with(kProtocol) &&
         is_digit(version[kProtocol.size()]) && version[kProtocol.size() + 1] == '.' &&
         is_digit(version.back());
}

// What the reference says of a header that could not be parsed; empty: nothing in particular.
std::string_view WhatIsWrong(const boost::system::error_code& ec, std::string_view header) {
  if (ec == boost::beast::http::error::bad_field) return "invalid header name";
  const bool version = ec == boost::beast::http::error::bad_version &&
                       HasVersion(header.substr(0, header.find("\r\n")));
  return version ? "unsupported protocol version" : "";
}

}  // namespace

struct Connection::OnRead {
  Connection* connection;
  void operator()(const boost::system::error_code& ec, size_t size) const {
    connection->HandleRead(ec, size);
  }
};

struct Connection::OnReadable {
  Connection* connection;
  void operator()(const boost::system::error_code& ec) const { connection->HandleReadable(ec); }
};

struct Connection::OnWritable {
  Connection* connection;
  void operator()(const boost::system::error_code& ec) const { connection->HandleWritable(ec); }
};

struct Connection::OnSlice {
  Connection* connection;
  void operator()() const { connection->HandleSlice(); }
};

bool HttpCall::Next() { return connection_->OnNext(); }
void HttpCall::Done() { connection_->OnDone(); }

CallContext::CallContext()
    : arena([this] {
        google::protobuf::ArenaOptions options;
        options.initial_block = block;
        options.initial_block_size = kBlock;
        return options;
      }()) {}

void CallContext::Clear() {
  call.reset();
  rest.reset();
  arena.Reset();
  rows.reset();
  route = nullptr;
  request = nullptr;
  token.clear();
}

Connection::Connection(Loop* loop, Socket socket, const ClientKey& client)
    : Served(client), loop_(loop), socket_(std::move(socket)) {}

Connection::~Connection() = default;

void Connection::Start() {
  boost::system::error_code ec;
  socket_.non_blocking(true, ec);
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ec);
  SetDeadline(loop_->limits().header_timeout);
  header_began_ = true;
  ArmRead();
}

void Connection::Refuse(int status, std::string_view detail) {
  in_turn_ = true;
  Fail(status, detail);
  Flush();
  in_turn_ = false;
  Settle();
}

void Connection::Shutdown() {
  if (state_ == State::kCall) {
    close_after_ = true;
    loop_->backend()->Cancel(&*context_->call);
    return;
  }
  if (state_ == State::kReply || (state_ != State::kClosed && out_.size() > written_)) {
    close_after_ = true;
    return;
  }
  Abort();
}

void Connection::Abort() {
  Close();
  DeleteIfOver();
}

void Connection::CheckDeadline(Loop::Clock::time_point now) {
  // A call that takes longer than from one tick to the next is cancelled when its client is gone.
  if (state_ == State::kCall && std::exchange(call_seen_, true)) ArmRead();
  if (now < deadline_ || state_ == State::kClosed) return;
  if (state_ == State::kHeader && !stash_.empty() && out_.empty()) {
    Refuse(408, "no complete header within the time that is given for it");
    return;
  }
  Abort();
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  boost::system::error_code ec;
  socket_.close(ec);
  out_ = std::string();
  stash_ = std::string();
  if (!calling_) {
    ReleaseContext();
    return;
  }
  const bool outermost = !in_turn_;
  in_turn_ = true;
  loop_->backend()->Cancel(&*context_->call);
  if (outermost) in_turn_ = false;
}

void Connection::DeleteIfOver() {
  if (state_ != State::kClosed || in_turn_ || calling_) return;
  if (reading_ || waiting_readable_ || waiting_writable_ || slice_posted_) return;
  loop_->Remove(this);
}

void Connection::ReleaseContext() {
  if (context_ != nullptr) loop_->GiveContext(std::move(context_));
}

void Connection::ArmRead() {
  if (reading_ || waiting_readable_ || waiting_writable_ || stalled_pipeline_) return;
  // A client that waits for a large reply may send what it likes: it stays in the kernel.
  if (state_ == State::kClosed || state_ == State::kReply) return;
  if (state_ != State::kHeader) {
    // Large bodies come through the loop's own buffer.
    GiveBuffer();
    waiting_readable_ = true;
    socket_.async_wait(Socket::wait_read, OnReadable{this});
    return;
  }
  if (buffer_ == nullptr) buffer_ = loop_->TakeBuffer();
  reading_ = true;
  socket_.async_read_some(boost::asio::buffer(buffer_.get(), Loop::kSmallBuffer), OnRead{this});
}

void Connection::GiveBuffer() {
  if (buffer_ != nullptr && !reading_) loop_->GiveBuffer(std::move(buffer_));
}

void Connection::HandleRead(const boost::system::error_code& ec, size_t size) {
  reading_ = false;
  if (ec || state_ == State::kClosed) {
    Abort();
    return;
  }
  Feed(std::string_view(buffer_.get(), size));
}

void Connection::HandleReadable(const boost::system::error_code& ec) {
  waiting_readable_ = false;
  if (ec || state_ == State::kClosed) {
    Abort();
    return;
  }
  if (state_ == State::kReply) return;
  boost::system::error_code read_ec;
  const size_t size = socket_.read_some(
      boost::asio::buffer(loop_->large_buffer(), Loop::kLargeBuffer), read_ec);
  if (WouldBlock(read_ec)) {
    ArmRead();
    return;
  }
  if (read_ec) {
    // The client is gone: what its call holds is freed now.
    Abort();
    return;
  }
  Feed(std::string_view(loop_->large_buffer(), size));
}

void Connection::Feed(std::string_view bytes) {
  switch (state_) {
    case State::kHeader:
    case State::kBody:
      if (stash_.empty()) {
        Turn(bytes);
      } else {
        stash_.append(bytes);
        Turn(stash_);
      }
      return;
    case State::kCall:
      stash_.append(bytes);
      stalled_pipeline_ = stash_.size() >= kAheadMax;
      ArmRead();
      return;
    case State::kDraining:
      Discard(bytes.size());
      return;
    case State::kReply:  // nothing is read
    case State::kSpliced:
    case State::kClosed:
      return;
  }
}

void Connection::Discard(size_t size) {
  drained_ += size;
  if (drained_ > kDrainMax) {
    Abort();
  } else {
    ArmRead();
  }
}

bool Connection::CanTake() const {
  return (state_ == State::kHeader || state_ == State::kBody) && !close_after_ &&
         !waiting_writable_ && out_.size() < kOutMax;
}

void Connection::Turn(std::string_view data) {
  in_turn_ = true;
  if (out_.empty()) out_ = loop_->TakeOut();
  bool progress = true;
  while (progress) {
    progress = Process(data);
    Flush();
    data = stash_;
    progress = progress && !data.empty() && CanTake();
  }
  in_turn_ = false;
  Settle();
}

bool Connection::Process(std::string_view data) {
  const bool from_stash = data.data() == stash_.data();
  size_t used = 0;
  while (used < data.size() && CanTake()) {
    const std::string_view rest = data.substr(used);
    const size_t taken = state_ == State::kHeader ? TakeHeader(rest) : TakeBody(rest);
    if (taken == 0) break;
    used += taken;
    scanned_ = 0;
  }
  if (state_ == State::kClosed) return false;
  if (from_stash) {
    stash_.erase(0, used);
  } else if (used < data.size()) {
    stash_.assign(data.substr(used));
  }
  return used > 0;
}

size_t Connection::TakeHeader(std::string_view data) {
  if (at_start_ && kHttp2Preface.starts_with(data.substr(0, kHttp2Preface.size()))) {
    if (data.size() >= kHttp2Preface.size()) TakePreface();
    return 0;
  }
  // Empty lines before a request are passed over (RFC 9112, 2.2).
  if (data.starts_with("\r\n")) {
    at_start_ = false;
    return 2;
  }
  const size_t from = scanned_ > kHeaderEnd.size() ? scanned_ - kHeaderEnd.size() : 0;
  const size_t end = data.find(kHeaderEnd, from);
  const size_t size = end == std::string_view::npos ? data.size() : end + kHeaderEnd.size();
  if (size > loop_->limits().header_bytes_max) {
    Fail(431, "the header is larger than header_bytes_max (" +
                  std::to_string(loop_->limits().header_bytes_max) + " bytes)");
    return 0;
  }
  if (end == std::string_view::npos) {
    if (HasBareLineEnd(data)) Fail(400, "");
    scanned_ = size;
    return 0;
  }
  at_start_ = false;
  header_began_ = false;
  parser_.emplace();
  parser_->body_limit(boost::none);
  parser_->header_limit(static_cast<uint32_t>(size));
  boost::system::error_code ec;
  const size_t taken = parser_->put(boost::asio::const_buffer(data.data(), size), ec);
  if (ec || taken != size || !parser_->is_header_done()) {
    Fail(400, WhatIsWrong(ec, data.substr(0, size)));
    return 0;
  }
  BeginRequest();
  return taken;
}

size_t Connection::TakeBody(std::string_view data) {
  boost::system::error_code ec;
  const size_t taken = parser_->put(boost::asio::const_buffer(data.data(), data.size()), ec);
  if (ec == boost::beast::http::error::need_more) {
    if (taken == 0 && data.size() > kChunkHeaderMax) {
      Fail(400, "the header of a chunk is larger than " + std::to_string(kChunkHeaderMax) +
                    " bytes");
    }
    return taken;
  }
  if (ec == boost::beast::http::error::body_limit) {
    RefuseBody();
    return 0;
  }
  if (ec) {
    Fail(400, "");
    return 0;
  }
  if (parser_->is_done()) EndRequest();
  return taken;
}

void Connection::TakePreface() {
  if (!loop_->rpc().has_value()) {
    Fail(505, "HTTP/2 on this port is for RPC, and RPC is off");
  } else if (!loop_->counts()->TakeSpliced()) {
    Fail(503, "Too many connections to RPC: rpc_connections_max is " +
                  std::to_string(loop_->limits().rpc_connections_max));
  } else {
    state_ = State::kSpliced;
  }
}

void Connection::HandOver() {
  if (out_.capacity() > 0) loop_->GiveOut(std::move(out_));
  if (buffer_ != nullptr) loop_->GiveBuffer(std::move(buffer_));
  auto* const splice =
      new Splice(loop_, std::move(socket_), client(), std::exchange(stash_, std::string()));
  loop_->Replace(this, splice);
  splice->Start();
}

void Connection::Settle() {
  if (state_ == State::kSpliced) {
    HandOver();
    return;
  }
  if (state_ != State::kClosed) {
    if (out_.empty() && out_.capacity() > 0) loop_->GiveOut(std::exchange(out_, std::string()));
    if (stash_.empty() && stash_.capacity() > Loop::kSmallBuffer) stash_ = std::string();
    if (state_ != State::kCall) stalled_pipeline_ = false;
    if (state_ == State::kReply && !waiting_writable_ && !slice_posted_) {
      slice_posted_ = true;
      boost::asio::post(loop_->io(), OnSlice{this});
    }
    if (waiting_writable_ || state_ == State::kReply) {
      SetDeadline(loop_->limits().stall_timeout);
    } else if (state_ == State::kBody) {
      SetDeadline(loop_->limits().stall_timeout);
    } else if (state_ == State::kCall) {
      deadline_ = Loop::Clock::time_point::max();
    } else if (state_ == State::kHeader && stash_.empty()) {
      SetDeadline(loop_->limits().idle_timeout);
      header_began_ = false;
    } else if (state_ == State::kHeader && !header_began_) {
      SetDeadline(loop_->limits().header_timeout);
      header_began_ = true;
    }
    // To wait for more is a system call, and most calls are over before anything comes.
    if (state_ == State::kCall) {
      GiveBuffer();
    } else if (loop_->arms_later()) {
      loop_->ArmLater(this);
    } else {
      ArmRead();
    }
  }
  DeleteIfOver();
}

void Connection::Flush() {
  if (state_ == State::kClosed || waiting_writable_) return;
  while (written_ < out_.size()) {
    boost::system::error_code ec;
    written_ += socket_.write_some(
        boost::asio::buffer(out_.data() + written_, out_.size() - written_), ec);
    if (WouldBlock(ec)) {
      waiting_writable_ = true;
      socket_.async_wait(Socket::wait_write, OnWritable{this});
      return;
    }
    if (ec) {
      Close();
      return;
    }
  }
  out_.clear();
  written_ = 0;
  if (!close_after_ || state_ == State::kCall || state_ == State::kReply ||
      state_ == State::kDraining) {
    return;
  }
  boost::system::error_code ec;
  socket_.shutdown(Socket::shutdown_send, ec);
  state_ = State::kDraining;
  stash_ = std::string();
  SetDeadline(kDrainTimeout);
}

void Connection::HandleWritable(const boost::system::error_code& ec) {
  waiting_writable_ = false;
  if (ec || state_ == State::kClosed) {
    Abort();
    return;
  }
  in_turn_ = true;
  Flush();
  in_turn_ = false;
  if (CanTake()) {
    Turn(stash_);
  } else {
    Settle();
  }
}

void Connection::HandleSlice() {
  slice_posted_ = false;
  if (state_ == State::kClosed) {
    DeleteIfOver();
    return;
  }
  in_turn_ = true;
  AppendSlice();
  Flush();
  in_turn_ = false;
  if (CanTake()) {
    Turn(stash_);
  } else {
    Settle();
  }
}

void Connection::OnDone() {
  calling_ = false;
  if (state_ == State::kClosed) {
    ReleaseContext();
    DeleteIfOver();
    return;
  }
  if (streamed_) return EndStream();
  if (out_.empty()) out_ = loop_->TakeOut();
  AnswerCall();
  if (context_->rest != nullptr) {
    state_ = State::kReply;
  } else {
    ReleaseContext();
    state_ = State::kHeader;
  }
  if (!in_turn_) Turn(stash_);
}

bool Connection::OnNext() {
  if (state_ != State::kCall || out_.size() - written_ >= kOutMax) return false;
  if (out_.empty()) out_ = loop_->TakeOut();
  AppendPart();
  const bool outermost = !in_turn_;
  in_turn_ = true;
  Flush();
  if (!outermost) return true;
  in_turn_ = false;
  Settle();
  return true;
}

void Connection::EndStream() {
  streamed_ = false;
  const bool complete = context_->call->status.ok();
  ReleaseContext();
  if (!complete) {
    // Its status was told long ago: a reply that is cut off is what says that there is no more.
    Abort();
    return;
  }
  if (out_.empty()) out_ = loop_->TakeOut();
  if (!http10_) out_.append(kLastChunk);
  state_ = State::kHeader;
  if (!in_turn_) Turn(stash_);
}

}  // namespace consul::gateway::http
