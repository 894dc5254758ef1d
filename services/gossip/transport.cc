#include "services/gossip/transport.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <unordered_map>
#include <utility>

#include "services/base/strings.h"
#include "services/gossip/codec.h"
#include "services/gossip/stream_codec.h"

namespace consul::gossip {
namespace {

using boost::asio::ip::tcp;
using boost::asio::ip::udp;
using boost::system::error_code;

// A burst of a large pool fits: a datagram that finds the buffer full is lost.
constexpr int kSocketBufferBytes = 2 << 20;
// Datagrams taken in one turn, so that streams and timers get theirs.
constexpr int kPacketsPerTurn = 64;
constexpr size_t kReadBytes = 16 << 10;
// Addresses whose refused packets are counted apart; with more, counting begins anew.
constexpr size_t kRefusedMax = 1024;

boost::asio::ip::address AddressOf(const Endpoint& endpoint) {
  if (!endpoint.is_v4()) return boost::asio::ip::address_v6(endpoint.ip);
  std::array<uint8_t, 4> v4{};
  std::copy(endpoint.ip.end() - 4, endpoint.ip.end(), v4.begin());
  return boost::asio::ip::address_v4(v4);
}

Endpoint EndpointOf(const boost::asio::ip::address& address, uint16_t port) {
  std::string bytes;
  if (address.is_v4()) {
    const auto v4 = address.to_v4().to_bytes();
    bytes.assign(v4.begin(), v4.end());
  } else {
    const auto v6 = address.to_v6().to_bytes();
    bytes.assign(v6.begin(), v6.end());
  }
  return Endpoint::FromBytes(bytes, port).value_or(Endpoint());
}

Endpoint EndpointOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    const std::string ip(reinterpret_cast<const char*>(&v4.sin_addr), sizeof v4.sin_addr);
    return Endpoint::FromBytes(ip, ntohs(v4.sin_port)).value_or(Endpoint());
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  const std::string ip(reinterpret_cast<const char*>(&v6.sin6_addr), sizeof v6.sin6_addr);
  return Endpoint::FromBytes(ip, ntohs(v6.sin6_port)).value_or(Endpoint());
}

// Go's words begin small, and users know those.
std::string Words(const error_code& ec) {
  std::string text = ec.message();
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') {
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  }
  return text;
}

absl::Status BindError(const char* network, const Endpoint& listen, const error_code& ec) {
  const std::string text =
      base::StrCat("listen ", network, " ", listen.ToString(), ": ", Words(ec));
  if (ec == boost::asio::error::address_in_use) return absl::AlreadyExistsError(text);
  return absl::UnavailableError(text);
}

enum class SocketPhase : uint8_t {
  kOpen,
  kClosing,    // Close was called: ends when nothing is left to write
  kLingering,  // refused, which was told: ends when the peer has gone, or after kLinger
};

// One stream. Kept alive by what is pending on it.
struct Stream {
  Stream(boost::asio::io_context* io, Codec* codec, StreamSide side)
      : socket(*io), linger(*io), frames(codec, side), accepted(side == StreamSide::kAcceptor) {}

  tcp::socket socket;
  boost::asio::steady_timer linger;
  StreamCodec frames;
  const bool accepted;
  Endpoint peer;
  bool connected = false;
  bool writing = false;
  SocketPhase phase = SocketPhase::kOpen;
  std::string out;  // sealed, not being written yet
  std::string in_flight;
  std::array<char, kReadBytes> buffer;
};
using StreamPtr = std::shared_ptr<Stream>;

}  // namespace

class Transport::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::io_context* io, Codec* codec, Receiver* receiver)
      : io_(io), codec_(codec), receiver_(receiver), udp_(*io), acceptor_(*io) {}

  absl::Status Bind(const Endpoint& listen);
  void Start();
  void Stop();
  void SendPacket(const Endpoint& to, std::string_view plain);
  void Open(StreamId id, const Endpoint& to);
  void Send(StreamId id, std::string_view plain);
  void Close(StreamId id);

 private:
  void Configure(const Endpoint& listen);
  // Packets.
  void WaitPackets();
  void ReadPackets();
  void WaitErrors();
  void ReadErrors();
  void Refused(const Endpoint& from, std::string_view why);
  // Streams.
  void Accept();
  void Adopt(tcp::socket socket);
  void Read(StreamId id, const StreamPtr& stream);
  void TakeFrames(StreamId id, const StreamPtr& stream);
  void Write(StreamId id, const StreamPtr& stream);
  void Dismiss(StreamId id, const StreamPtr& stream);
  void End(StreamId id, const StreamPtr& stream);
  void Fail(StreamId id, const StreamPtr& stream, std::string_view why);
  bool IsOpen(StreamId id, const StreamPtr& stream) const {
    const auto found = streams_.find(id.value);
    return found != streams_.end() && found->second == stream;
  }

  boost::asio::io_context* const io_;
  Codec* const codec_;
  Receiver* const receiver_;
  udp::socket udp_;
  tcp::acceptor acceptor_;
  bool stopped_ = false;
  std::unordered_map<uint64_t, StreamPtr> streams_;
  size_t accepted_ = 0;
  uint64_t next_accepted_ = 1;
  std::unordered_map<Endpoint, uint64_t, EndpointHash> refused_;
  std::string sealed_;
  std::string opened_;
};

absl::Status Transport::Impl::Bind(const Endpoint& listen) {
  const boost::asio::ip::address address = AddressOf(listen);
  error_code ec;
  const tcp::endpoint streams(address, listen.port);
  acceptor_.open(streams.protocol(), ec);
  if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor_.bind(streams, ec);
  if (!ec) acceptor_.listen(boost::asio::socket_base::max_listen_connections, ec);
  if (ec) {
    error_code ignored;
    acceptor_.close(ignored);
    return BindError("tcp", listen, ec);
  }
  const udp::endpoint packets(address, listen.port);
  udp_.open(packets.protocol(), ec);
  if (!ec) udp_.bind(packets, ec);
  if (ec) {
    error_code ignored;
    acceptor_.close(ignored);
    udp_.close(ignored);
    return BindError("udp", listen, ec);
  }
  Configure(listen);
  return absl::OkStatus();
}

// Best effort: a small buffer loses more, and without the error queue a closed port is found out
// by a timeout.
void Transport::Impl::Configure(const Endpoint& listen) {
  error_code ignored;
  udp_.set_option(boost::asio::socket_base::receive_buffer_size(kSocketBufferBytes), ignored);
  udp_.non_blocking(true, ignored);
  acceptor_.non_blocking(true, ignored);
  const int on = 1;
  const bool v4 = listen.is_v4();
  setsockopt(udp_.native_handle(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR,
             &on, sizeof on);
}

void Transport::Impl::Start() {
  WaitPackets();
  WaitErrors();
  Accept();
}

void Transport::Impl::Stop() {
  stopped_ = true;
  error_code ignored;
  udp_.close(ignored);
  acceptor_.close(ignored);
  for (auto& [id, stream] : streams_) {
    stream->socket.close(ignored);
    stream->linger.cancel();
  }
  streams_.clear();
  accepted_ = 0;
}

void Transport::Impl::SendPacket(const Endpoint& to, std::string_view plain) {
  if (stopped_) return;
  codec_->Seal(plain, &sealed_);
  error_code ec;
  const udp::endpoint peer(AddressOf(to), to.port);
  const auto buffer = boost::asio::buffer(sealed_);
  udp_.send_to(buffer, peer, 0, ec);
  // The kernel reports an earlier packet's error with the next call: that call did nothing.
  if (ec == boost::asio::error::connection_refused) udp_.send_to(buffer, peer, 0, ec);
}

void Transport::Impl::WaitPackets() {
  udp_.async_wait(udp::socket::wait_read, [self = shared_from_this()](const error_code& ec) {
    if (ec || self->stopped_) return;
    self->ReadPackets();
    if (!self->stopped_) self->WaitPackets();
  });
}

void Transport::Impl::ReadPackets() {
  // One byte more than there may be, so that a longer one is seen to be.
  std::array<char, Codec::kDatagramBytesMax + 1> buffer;
  for (int i = 0; i < kPacketsPerTurn && !stopped_; ++i) {
    udp::endpoint peer;
    error_code ec;
    const size_t size = udp_.receive_from(boost::asio::buffer(buffer), peer, 0, ec);
    if (ec == boost::asio::error::connection_refused) continue;
    if (ec) return;
    const Endpoint from = EndpointOf(peer.address(), peer.port());
    const std::string_view wire(buffer.data(), size);
    const OpenResult result = codec_->Open(wire, &opened_);
    if (result == OpenResult::kOk) {
      receiver_->OnPacket(from, opened_);
    } else {
      Refused(from, codec_->Explain(result, wire));
    }
  }
}

void Transport::Impl::WaitErrors() {
  udp_.async_wait(udp::socket::wait_error, [self = shared_from_this()](const error_code& ec) {
    if (ec || self->stopped_) return;
    self->ReadErrors();
    if (!self->stopped_) self->WaitErrors();
  });
}

void Transport::Impl::ReadErrors() {
  for (int i = 0; i < kPacketsPerTurn && !stopped_; ++i) {
    sockaddr_storage destination{};
    char payload[1];
    char control[512];
    iovec vector{payload, sizeof payload};
    msghdr message{};
    message.msg_name = &destination;
    message.msg_namelen = sizeof destination;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(udp_.native_handle(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
      const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR;
      const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR;
      if (!v4 && !v6) continue;
      sock_extended_err error;
      memcpy(&error, CMSG_DATA(part), sizeof error);
      if (error.ee_errno == ECONNREFUSED) receiver_->OnUndeliverable(EndpointOf(destination));
    }
  }
}

void Transport::Impl::Refused(const Endpoint& from, std::string_view why) {
  if (refused_.size() >= kRefusedMax) refused_.clear();
  const uint64_t count = ++refused_[from];
  if ((count & (count - 1)) == 0) receiver_->OnRefused(from, why);
}

void Transport::Impl::Accept() {
  acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const error_code& ec) {
    if (ec || self->stopped_) return;
    for (;;) {
      error_code accept_ec;
      tcp::socket socket(*self->io_);
      self->acceptor_.accept(socket, accept_ec);
      if (accept_ec) break;
      self->Adopt(std::move(socket));
      if (self->stopped_) return;
    }
    self->Accept();
  });
}

void Transport::Impl::Adopt(tcp::socket socket) {
  error_code ec;
  const tcp::endpoint peer = socket.remote_endpoint(ec);
  if (ec || accepted_ >= kAcceptedMax) return;
  const auto stream = std::make_shared<Stream>(io_, codec_, StreamSide::kAcceptor);
  stream->socket = std::move(socket);
  stream->peer = EndpointOf(peer.address(), peer.port());
  stream->connected = true;
  stream->socket.set_option(tcp::no_delay(true), ec);
  const StreamId id{next_accepted_++};
  streams_.emplace(id.value, stream);
  ++accepted_;
  receiver_->OnAccepted(id, stream->peer);
  if (IsOpen(id, stream)) Read(id, stream);
}

void Transport::Impl::Open(StreamId id, const Endpoint& to) {
  if (stopped_) return;
  const auto stream = std::make_shared<Stream>(io_, codec_, StreamSide::kOpener);
  stream->peer = to;
  streams_.emplace(id.value, stream);
  stream->socket.async_connect(
      tcp::endpoint(AddressOf(to), to.port),
      [self = shared_from_this(), id, stream](const error_code& ec) {
        if (!self->IsOpen(id, stream)) return;
        if (ec) {
          return self->Fail(id, stream, base::StrCat("dial tcp ", stream->peer.ToString(),
                                                     ": connect: ", Words(ec)));
        }
        error_code ignored;
        stream->socket.set_option(tcp::no_delay(true), ignored);
        stream->connected = true;
        self->receiver_->OnOpened(id);
        if (!self->IsOpen(id, stream)) return;
        self->Read(id, stream);
        self->Write(id, stream);
      });
}

void Transport::Impl::Read(StreamId id, const StreamPtr& stream) {
  stream->socket.async_read_some(
      boost::asio::buffer(stream->buffer),
      [self = shared_from_this(), id, stream](const error_code& ec, size_t size) {
        if (!self->IsOpen(id, stream)) return;
        if (ec == boost::asio::error::eof) {
          return self->Fail(id, stream,
                            stream->frames.at_boundary() ? "EOF" : "unexpected EOF");
        }
        if (ec) return self->Fail(id, stream, Words(ec));
        // What comes after our last words is not wanted, but has to be taken off the socket, or it
        // would be reset before the peer has read them.
        if (stream->phase == SocketPhase::kOpen) {
          stream->frames.Feed(std::string_view(stream->buffer.data(), size));
          self->TakeFrames(id, stream);
        }
        if (self->IsOpen(id, stream)) self->Read(id, stream);
      });
}

void Transport::Impl::TakeFrames(StreamId id, const StreamPtr& stream) {
  std::string plain;
  while (IsOpen(id, stream) && stream->phase == SocketPhase::kOpen) {
    switch (stream->frames.Next(&plain)) {
      case NextFrame::kMessage:
        receiver_->OnMessage(id, plain);
        break;
      case NextFrame::kMore:
        return;
      case NextFrame::kBroken:
        return Dismiss(id, stream);
      case NextFrame::kRefused:
        return Fail(id, stream, stream->frames.why());
    }
  }
}

// Says why what came was not opened: in the log, to the receiver, and to the peer where that is an
// agent. Nothing but the refusal has been sent to it, for its first frame is what did not open.
void Transport::Impl::Dismiss(StreamId id, const StreamPtr& stream) {
  const std::string why = stream->frames.why();
  Refused(stream->peer, why);
  if (stream->frames.refusal().empty()) return Fail(id, stream, why);
  stream->phase = SocketPhase::kLingering;
  stream->out = stream->frames.refusal();
  stream->linger.expires_after(kLinger);
  stream->linger.async_wait([self = shared_from_this(), id, stream](const error_code& ec) {
    if (!ec && self->IsOpen(id, stream)) self->End(id, stream);
  });
  Write(id, stream);
  receiver_->OnClosed(id, why);
}

void Transport::Impl::Send(StreamId id, std::string_view plain) {
  const auto found = streams_.find(id.value);
  if (found == streams_.end() || found->second->phase != SocketPhase::kOpen) return;
  const StreamPtr stream = found->second;
  const absl::Status sealed = stream->frames.Seal(plain, &stream->out);
  if (!sealed.ok()) return Fail(id, stream, base::ToStd(sealed.message()));
  if (stream->out.size() > kUnsentBytesMax) {
    return Fail(id, stream, base::StrCat("the peer does not read: ", stream->out.size(),
                                         " bytes wait, the limit is ", kUnsentBytesMax));
  }
  Write(id, stream);
}

void Transport::Impl::Write(StreamId id, const StreamPtr& stream) {
  if (stream->writing || !stream->connected) return;
  if (stream->out.empty()) {
    error_code ignored;
    switch (stream->phase) {
      case SocketPhase::kOpen: break;
      case SocketPhase::kClosing: End(id, stream); break;
      case SocketPhase::kLingering:
        stream->socket.shutdown(tcp::socket::shutdown_send, ignored);
        break;
    }
    return;
  }
  stream->writing = true;
  stream->in_flight.swap(stream->out);
  stream->out.clear();
  boost::asio::async_write(stream->socket, boost::asio::buffer(stream->in_flight),
                           [self = shared_from_this(), id, stream](const error_code& ec, size_t) {
                             stream->writing = false;
                             if (!self->IsOpen(id, stream)) return;
                             if (ec) return self->Fail(id, stream, Words(ec));
                             self->Write(id, stream);
                           });
}

void Transport::Impl::Close(StreamId id) {
  const auto found = streams_.find(id.value);
  if (found == streams_.end() || found->second->phase == SocketPhase::kLingering) return;
  const StreamPtr stream = found->second;
  stream->phase = SocketPhase::kClosing;
  if (!stream->connected || (!stream->writing && stream->out.empty())) End(id, stream);
}

// Takes the stream out; the socket ends with what is pending on it.
void Transport::Impl::End(StreamId id, const StreamPtr& stream) {
  error_code ignored;
  // Whatever the peer has sent by now would turn the close into a reset.
  if (stream->connected) {
    stream->socket.shutdown(tcp::socket::shutdown_send, ignored);
    stream->socket.non_blocking(true, ignored);
    while (!ignored && stream->socket.read_some(boost::asio::buffer(stream->buffer), ignored) > 0) {
    }
  }
  stream->socket.close(ignored);
  stream->linger.cancel();
  if (stream->accepted) --accepted_;
  streams_.erase(id.value);
}

void Transport::Impl::Fail(StreamId id, const StreamPtr& stream, std::string_view why) {
  const bool told = stream->phase == SocketPhase::kOpen;
  const std::string words(why);
  End(id, stream);
  if (told) receiver_->OnClosed(id, words);
}

Transport::Transport(boost::asio::io_context* io, Codec* codec, Receiver* receiver)
    : impl_(std::make_shared<Impl>(io, codec, receiver)) {}
Transport::~Transport() { impl_->Stop(); }

absl::Status Transport::Bind(const Endpoint& listen) { return impl_->Bind(listen); }
void Transport::Start() { impl_->Start(); }
void Transport::Stop() { impl_->Stop(); }
void Transport::SendPacket(const Endpoint& to, std::string_view plain) {
  impl_->SendPacket(to, plain);
}
void Transport::Open(StreamId stream, const Endpoint& to) { impl_->Open(stream, to); }
void Transport::Send(StreamId stream, std::string_view plain) { impl_->Send(stream, plain); }
void Transport::Close(StreamId stream) { impl_->Close(stream); }

}  // namespace consul::gossip
