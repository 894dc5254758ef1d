// Goal: packets and streams of one pool on real sockets. Method: two transports on the loopback,
// one thread that runs both until what is waited for is there.
#include "services/gossip/transport.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/codec.h"
#include "services/gossip/refusal.h"
#include "services/gossip/stream_codec.h"

namespace consul::gossip {
namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 20s;

CodecOptions Options(std::optional<Keyring> keyring, std::string pool = "lan:dc1") {
  CodecOptions options;
  options.pool = std::move(pool);
  options.keyring = std::move(keyring);
  options.nonces = RandomNonces();
  return options;
}

Keyring KeyringOf(char c) { return Keyring(*Key::FromBytes(std::string(16, c))); }

// One end, which notes what it is told.
struct End final : Transport::Receiver {
  End(boost::asio::io_context* io, uint16_t port, CodecOptions options)
      : codec(std::move(options)),
        transport(io, &codec, this),
        at{*Endpoint::ParseIp("127.0.0.1", port)} {}

  void OnPacket(const Endpoint& from, std::string_view plain) override {
    sender = from;
    packets.emplace_back(plain);
  }
  void OnUndeliverable(const Endpoint& to) override { undeliverable.push_back(to); }
  void OnAccepted(StreamId stream, const Endpoint&) override { accepted.push_back(stream); }
  void OnOpened(StreamId stream) override { opened.push_back(stream); }
  void OnMessage(StreamId stream, std::string_view plain) override {
    messages.emplace_back(plain);
    if (on_message) on_message(stream);
  }
  void OnClosed(StreamId stream, std::string_view why) override {
    closed[stream.value] = why;
    if (on_closed) on_closed(stream);
  }
  void OnRefused(const Endpoint&, std::string_view why) override { refused.emplace_back(why); }

  Codec codec;
  Transport transport;
  const Endpoint at;
  Endpoint sender;
  std::vector<std::string> packets;
  std::vector<Endpoint> undeliverable;
  std::vector<StreamId> accepted;
  std::vector<StreamId> opened;
  std::vector<std::string> messages;
  std::map<uint64_t, std::string> closed;
  std::vector<std::string> refused;
  std::function<void(StreamId)> on_message;
  std::function<void(StreamId)> on_closed;
};

class TransportTest : public testing::Test {
 protected:
  void Start(CodecOptions a = Options({}), CodecOptions b = Options({})) {
    a_ = std::make_unique<End>(&io_, 18301, std::move(a));
    b_ = std::make_unique<End>(&io_, 18302, std::move(b));
    for (End* end : {a_.get(), b_.get()}) {
      ASSERT_TRUE(end->transport.Bind(end->at).ok());
      end->transport.Start();
    }
  }
  // Runs the sockets until `there`; false when it takes too long.
  bool Until(const std::function<bool()>& there) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (!there()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      io_.run_one_for(100ms);
    }
    return true;
  }
  void RunAWhile() { io_.run_for(50ms); }

  static constexpr StreamId kOurs{StreamId::kOpenedBit | 1};

  boost::asio::io_context io_;
  std::unique_ptr<End> a_;
  std::unique_ptr<End> b_;
};

TEST_F(TransportTest, APacketArrivesWithItsSender) {
  Start();
  a_->transport.SendPacket(b_->at, "hello");
  ASSERT_TRUE(Until([&] { return !b_->packets.empty(); }));
  EXPECT_EQ(b_->packets[0], "hello");
  EXPECT_EQ(b_->sender, a_->at);
}

TEST_F(TransportTest, TheLargestPacketArrivesWhole) {
  Start(Options(KeyringOf('k')), Options(KeyringOf('k')));
  const std::string largest(Codec::kPlainMax, 'x');
  a_->transport.SendPacket(b_->at, largest);
  ASSERT_TRUE(Until([&] { return !b_->packets.empty(); }));
  EXPECT_EQ(b_->packets[0], largest);
}

TEST_F(TransportTest, APacketUnderAnotherKeyIsRefusedAndSaid) {
  Start(Options(KeyringOf('k')), Options(KeyringOf('m')));
  for (int i = 0; i < 5; ++i) a_->transport.SendPacket(b_->at, "hello");
  // The 1st, 2nd and 4th are said.
  ASSERT_TRUE(Until([&] { return b_->refused.size() == 3; }));
  EXPECT_TRUE(b_->packets.empty());
}

TEST_F(TransportTest, APacketOfAnotherPoolIsRefused) {
  Start(Options({}), Options({}, "lan:dc2"));
  a_->transport.SendPacket(b_->at, "hello");
  ASSERT_TRUE(Until([&] { return !b_->refused.empty(); }));
  EXPECT_TRUE(b_->packets.empty());
}

TEST_F(TransportTest, AClosedPortIsNoticed) {
  Start();
  const Endpoint nobody = *Endpoint::Parse("127.0.0.1:18399");
  a_->transport.SendPacket(nobody, "hello");
  ASSERT_TRUE(Until([&] { return !a_->undeliverable.empty(); }));
  EXPECT_EQ(a_->undeliverable[0], nobody);
  // The error that the kernel keeps for the next call does not eat a packet.
  a_->transport.SendPacket(nobody, "hello");
  a_->transport.SendPacket(b_->at, "still here");
  ASSERT_TRUE(Until([&] { return !b_->packets.empty(); }));
}

TEST_F(TransportTest, MessagesOfAStreamGoBothWaysInOrder) {
  Start(Options(KeyringOf('k')), Options(KeyringOf('k')));
  b_->on_message = [&](StreamId stream) {
    if (b_->messages.size() == 2) {
      b_->transport.Send(stream, "answer");
      b_->transport.Close(stream);
    }
  };
  a_->transport.Open(kOurs, b_->at);
  ASSERT_TRUE(Until([&] { return !a_->opened.empty(); }));
  const std::string large(1 << 20, 'x');
  a_->transport.Send(kOurs, "first");
  a_->transport.Send(kOurs, large);
  ASSERT_TRUE(Until([&] { return a_->closed.contains(kOurs.value); }));
  EXPECT_EQ(b_->messages, (std::vector<std::string>{"first", large}));
  EXPECT_EQ(a_->messages, std::vector<std::string>{"answer"});
  EXPECT_EQ(a_->closed[kOurs.value], "EOF");
  EXPECT_TRUE(b_->closed.empty());  // it has closed it itself
}

TEST_F(TransportTest, WhatIsSentBeforeTheStreamIsOpenIsSentThen) {
  Start();
  a_->transport.Open(kOurs, b_->at);
  a_->transport.Send(kOurs, "early");
  ASSERT_TRUE(Until([&] { return !b_->messages.empty(); }));
  EXPECT_EQ(b_->messages[0], "early");
}

TEST_F(TransportTest, AStreamToNobodySaysWhoAndWhy) {
  Start();
  a_->transport.Open(kOurs, *Endpoint::Parse("127.0.0.1:18399"));
  ASSERT_TRUE(Until([&] { return !a_->closed.empty(); }));
  EXPECT_EQ(a_->closed[kOurs.value], "dial tcp 127.0.0.1:18399: connect: connection refused");
}

TEST_F(TransportTest, AStreamUnderAnotherKeyIsClosedAndSaid) {
  Start(Options(KeyringOf('k')), Options(KeyringOf('m')));
  a_->transport.Open(kOurs, b_->at);
  a_->transport.Send(kOurs, "hello");
  ASSERT_TRUE(Until([&] { return !b_->closed.empty() && !a_->closed.empty(); }));
  EXPECT_FALSE(b_->refused.empty());
  EXPECT_TRUE(b_->messages.empty());
}

TEST_F(TransportTest, ClosedByUsNothingMoreIsTold) {
  Start();
  a_->transport.Open(kOurs, b_->at);
  ASSERT_TRUE(Until([&] { return !a_->opened.empty() && !b_->accepted.empty(); }));
  a_->transport.Close(kOurs);
  ASSERT_TRUE(Until([&] { return !b_->closed.empty(); }));
  b_->transport.Send(b_->accepted[0], "late");
  a_->transport.Send(kOurs, "late");
  RunAWhile();
  EXPECT_TRUE(a_->closed.empty());
  EXPECT_TRUE(a_->messages.empty());
}

TEST_F(TransportTest, StreamsOfOthersHaveALimit) {
  Start();
  boost::asio::io_context io;
  std::vector<boost::asio::ip::tcp::socket> sockets;
  const boost::asio::ip::tcp::endpoint to(boost::asio::ip::make_address("127.0.0.1"), 18302);
  for (size_t i = 0; i < Transport::kAcceptedMax + 3; ++i) {
    sockets.emplace_back(io).connect(to);
  }
  ASSERT_TRUE(Until([&] { return b_->accepted.size() == Transport::kAcceptedMax; }));
  RunAWhile();
  EXPECT_EQ(b_->accepted.size(), Transport::kAcceptedMax);
  sockets.clear();
  ASSERT_TRUE(Until([&] { return b_->closed.size() == Transport::kAcceptedMax; }));
  a_->transport.Open(kOurs, b_->at);
  ASSERT_TRUE(Until([&] { return b_->accepted.size() == Transport::kAcceptedMax + 1; }));
}

TEST_F(TransportTest, AStreamThatIsNoneIsClosed) {
  Start();
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), 18302});
  boost::asio::write(socket, boost::asio::buffer(std::string("GET / HTTP/1.1\r\n\r\n")));
  ASSERT_TRUE(Until([&] { return !b_->closed.empty(); }));
  EXPECT_FALSE(b_->refused.empty());
}

// The opener has much to say, and most of it is still on its way when it is refused.
TEST_F(TransportTest, WhoIsRefusedIsToldWhy) {
  Start(Options(KeyringOf('k')), Options({}));
  b_->on_closed = [&](StreamId stream) {
    b_->transport.Send(stream, "more");  // it is closed already
    b_->transport.Close(stream);
  };
  a_->transport.Open(kOurs, b_->at);
  a_->transport.Send(kOurs, std::string(3 << 20, 'x'));
  ASSERT_TRUE(Until([&] { return !a_->closed.empty() && !b_->closed.empty(); }));
  EXPECT_EQ(a_->closed[kOurs.value], "Encryption is configured but remote state is not encrypted");
  EXPECT_EQ(b_->closed.begin()->second,
            "Remote state is encrypted and encryption is not configured");
  RunAWhile();
  EXPECT_TRUE(a_->messages.empty() && b_->messages.empty());
  EXPECT_EQ(a_->closed.size(), 1);
  EXPECT_EQ(b_->closed.size(), 1);
  EXPECT_EQ(b_->refused,
            std::vector<std::string>{"Remote state is encrypted and encryption is not configured"});
  EXPECT_TRUE(a_->refused.empty()) << "the other's word for it is in the stream's end alone";
}

// A stranger that goes on sending has the refusal to read all the same, and nothing but it.
TEST_F(TransportTest, WhatTheRefusedOneStillSendsDoesNotSwallowTheRefusal) {
  Start(Options({}), Options(KeyringOf('k')));
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), 18302});
  std::string wire;
  StreamCodec opener(&a_->codec, StreamSide::kOpener);
  ASSERT_TRUE(opener.Seal(std::string(1 << 20, 'x'), &wire).ok());
  const std::string_view begin = std::string_view(wire).substr(0, 100);
  boost::asio::write(socket, boost::asio::buffer(begin.data(), begin.size()));
  ASSERT_TRUE(Until([&] { return !b_->closed.empty(); }));
  RunAWhile();  // the answer is on its way; a socket closed by now would reset what follows
  socket.non_blocking(true);
  std::string_view rest = std::string_view(wire).substr(begin.size());
  boost::system::error_code ec;
  ASSERT_TRUE(Until([&] {
    const size_t size = socket.write_some(boost::asio::buffer(rest.data(), rest.size()), ec);
    rest.remove_prefix(ec ? 0 : size);
    return rest.empty() || (ec && ec != boost::asio::error::would_block);
  }));
  EXPECT_FALSE(ec) << ec.message();
  RunAWhile();
  std::string answer;
  ASSERT_TRUE(Until([&] {
    std::array<char, 1000> buffer;
    answer.append(buffer.data(), socket.read_some(boost::asio::buffer(buffer), ec));
    return ec && ec != boost::asio::error::would_block;
  }));
  EXPECT_EQ(ec, boost::asio::error::eof);
  EXPECT_LE(answer.size(), StreamCodec::kLengthBytes + kRefusalBytesMax);
  opener.Feed(answer);
  std::string plain;
  EXPECT_EQ(opener.Next(&plain), NextFrame::kRefused);
  EXPECT_EQ(opener.why(), "Remote state is encrypted and encryption is not configured");
}

TEST_F(TransportTest, WhoIsRefusedAndDoesNotGoIsCutOffAndItsPlaceIsFree) {
  Start(Options({}), Options(KeyringOf('k')));
  std::string wire;
  ASSERT_TRUE(StreamCodec(&a_->codec, StreamSide::kOpener).Seal("hello", &wire).ok());
  boost::asio::io_context io;
  std::vector<boost::asio::ip::tcp::socket> sockets;
  for (size_t i = 0; i < Transport::kAcceptedMax; ++i) {
    sockets.emplace_back(io).connect({boost::asio::ip::make_address("127.0.0.1"), 18302});
    boost::asio::write(sockets.back(), boost::asio::buffer(wire));
  }
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(Until([&] { return b_->closed.size() == Transport::kAcceptedMax; }));
  // They hold their places while they linger, so that there are never more sockets than that.
  boost::system::error_code ec;
  const auto one_more = [&] {
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), 18302}, ec);
    RunAWhile();
    return b_->accepted.size() > Transport::kAcceptedMax;
  };
  ASSERT_TRUE(Until(one_more));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, Transport::kLinger);
  // Cut off: what is sent to it now is answered by a reset.
  ASSERT_TRUE(Until([&] {
    boost::asio::write(sockets.front(), boost::asio::buffer(wire), ec);
    return ec.failed();
  }));
}

TEST_F(TransportTest, StopEndsWhatLingers) {
  Start(Options({}), Options(KeyringOf('k')));
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), 18302});
  std::string wire;
  ASSERT_TRUE(StreamCodec(&a_->codec, StreamSide::kOpener).Seal("hello", &wire).ok());
  boost::asio::write(socket, boost::asio::buffer(wire));
  ASSERT_TRUE(Until([&] { return !b_->closed.empty(); }));
  a_->transport.Stop();
  b_->transport.Stop();
  const auto begin = std::chrono::steady_clock::now();
  io_.run();  // until nothing is pending
  EXPECT_LT(std::chrono::steady_clock::now() - begin, Transport::kLinger);
}

TEST_F(TransportTest, APortThatIsTakenIsNamed) {
  Start();
  End other(&io_, 18301, Options({}));
  const absl::Status status = other.transport.Bind(other.at);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(status.message().find("127.0.0.1:18301") != std::string::npos) << status;
}

TEST_F(TransportTest, ThePacketPortAloneTakenIsAnError) {
  boost::asio::io_context io;
  const int taken = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(18303);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(taken, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  End end(&io_, 18303, Options({}));
  EXPECT_EQ(end.transport.Bind(end.at).code(), absl::StatusCode::kAlreadyExists);
  close(taken);
  EXPECT_TRUE(end.transport.Bind(end.at).ok());  // the stream port was let go
}

TEST_F(TransportTest, NothingIsToldAfterStop) {
  Start();
  a_->transport.Open(kOurs, b_->at);
  ASSERT_TRUE(Until([&] { return !a_->opened.empty(); }));
  a_->transport.Stop();
  a_->transport.Stop();
  a_->transport.SendPacket(b_->at, "x");
  a_->transport.Open(StreamId{StreamId::kOpenedBit | 2}, b_->at);
  RunAWhile();
  EXPECT_TRUE(a_->closed.empty());
}

TEST_F(TransportTest, SixIsAsGoodAsFour) {
  End a(&io_, 1, Options({}));
  End b(&io_, 1, Options({}));
  const Endpoint at_a = *Endpoint::Parse("[::1]:18304");
  const Endpoint at_b = *Endpoint::Parse("[::1]:18305");
  ASSERT_TRUE(a.transport.Bind(at_a).ok());
  ASSERT_TRUE(b.transport.Bind(at_b).ok());
  a.transport.Start();
  b.transport.Start();
  a.transport.SendPacket(at_b, "six");
  a.transport.Open(kOurs, at_b);
  a.transport.Send(kOurs, "stream");
  ASSERT_TRUE(Until([&] { return !b.packets.empty() && !b.messages.empty(); }));
  EXPECT_EQ(b.sender, at_a);
}

}  // namespace
}  // namespace consul::gossip
