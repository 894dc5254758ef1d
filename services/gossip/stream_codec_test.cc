#include "services/gossip/stream_codec.h"

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace consul::gossip {
namespace {

std::string CountedBytes(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

// Continues over the nonces of one codec: what the golden bytes were made with.
NonceSource CountingNonces() {
  return [next = uint8_t{0x10}](Nonce nonce) mutable {
    for (uint8_t& byte : nonce) byte = next++;
  };
}

std::unique_ptr<Codec> MakeCodec(bool encrypted, std::string pool = LanPoolName("dc1")) {
  CodecOptions options{
      .pool = std::move(pool), .keyring = std::nullopt, .nonces = CountingNonces()};
  if (encrypted) options.keyring = Keyring(Key::FromBytes(CountedBytes(16)).value());
  return std::make_unique<Codec>(std::move(options));
}

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString({bytes.data(), bytes.size()});
}

// One stream with its two ends, each with a codec of its own.
struct Stream {
  explicit Stream(bool encrypted = true)
      : opener_codec(MakeCodec(encrypted)), acceptor_codec(MakeCodec(encrypted)) {}

  // The frame of a message from one end.
  static std::string Frame(StreamCodec* from, std::string_view message) {
    std::string wire;
    EXPECT_TRUE(from->Seal(message, &wire).ok());
    return wire;
  }
  // All messages that come of the bytes, each with a line end; "broken: why", "refused: why" and
  // "more" as needed.
  static std::string Read(StreamCodec* to, std::string_view bytes) {
    to->Feed(bytes);
    std::string out;
    std::string message;
    while (true) {
      switch (to->Next(&message)) {
        case NextFrame::kMessage: out += message + "\n"; continue;
        case NextFrame::kMore: return out + (to->at_boundary() ? "" : "more");
        case NextFrame::kBroken: return out + "broken: " + to->why();
        case NextFrame::kRefused: return out + "refused: " + to->why();
      }
    }
  }

  std::unique_ptr<Codec> opener_codec;
  std::unique_ptr<Codec> acceptor_codec;
  StreamCodec opener{opener_codec.get(), StreamSide::kOpener};
  StreamCodec acceptor{acceptor_codec.get(), StreamSide::kAcceptor};
};

constexpr char kNoKeyFits[] = "broken: No installed keys could decrypt the message";

TEST(StreamCodecTest, BytesAreFrozen) {
  Stream stream;
  const std::string first = Stream::Frame(&stream.opener, "hello");
  EXPECT_EQ(Hex(first),
            "270000000103fc3848b3101112131415161718191a1b"
            "ac4b6fc3607dc156a339178a22d9efaace18546cce");
  EXPECT_EQ(Stream::Read(&stream.acceptor, first), "hello\n");
  EXPECT_EQ(Hex(Stream::Frame(&stream.acceptor, "hello")),
            "270000000103fc3848b3101112131415161718191a1b"
            "ac4b6fc36025588db62f5101228e57b4fbf9d4bd17");
  EXPECT_EQ(Hex(Stream::Frame(&stream.opener, "hello")),
            "270000000103fc3848b31c1d1e1f2021222324252627"
            "318c722b180f460512303c17fcf88c4b18aee5d016");
  Stream plain(false);
  EXPECT_EQ(Hex(Stream::Frame(&plain.opener, "hello")), "0f0000000102fc3848b3b0caab0b68656c6c6f");
}

class StreamCodecBothTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(PlainAndEncrypted, StreamCodecBothTest, ::testing::Bool());

TEST_P(StreamCodecBothTest, MessagesGoBothWays) {
  Stream stream(GetParam());
  EXPECT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, "hello")), "hello\n");
  EXPECT_EQ(Stream::Read(&stream.opener, Stream::Frame(&stream.acceptor, "hello too")),
            "hello too\n");
  EXPECT_EQ(Stream::Read(&stream.opener, Stream::Frame(&stream.acceptor, "")), "\n");
  EXPECT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, "bye")), "bye\n");
}

TEST_P(StreamCodecBothTest, FramesComeInAnyPieces) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    Stream stream(GetParam());
    std::string wire;
    std::string expected;
    for (int i = 0; i < 5; ++i) {
      const std::string message(random() % 300, static_cast<char>('a' + i));
      ASSERT_TRUE(stream.opener.Seal(message, &wire).ok());
      expected += message + "\n";
    }
    std::string got;
    for (std::string_view rest = wire; !rest.empty();) {
      // Round 0 byte by byte.
      const size_t size = round == 0 ? 1 : std::min<size_t>(1 + random() % 200, rest.size());
      stream.acceptor.Feed(rest.substr(0, size));
      rest.remove_prefix(size);
      std::string message;
      while (stream.acceptor.Next(&message) == NextFrame::kMessage) got += message + "\n";
      ASSERT_EQ(stream.acceptor.why(), "");
    }
    EXPECT_EQ(got, expected);
    EXPECT_TRUE(stream.acceptor.at_boundary());
  }
}

TEST_P(StreamCodecBothTest, FramesCannotBeRepeatedLeftOutOrReordered) {
  const auto fails = [](std::string_view what) { return what.find("broken: ") == 0; };
  Stream stream(GetParam());
  const std::string first = Stream::Frame(&stream.opener, "1");
  const std::string second = Stream::Frame(&stream.opener, "2");
  {
    Stream other(GetParam());
    EXPECT_EQ(Stream::Read(&other.acceptor, first), "1\n");
    EXPECT_TRUE(fails(Stream::Read(&other.acceptor, first)));
  }
  {
    Stream other(GetParam());
    EXPECT_TRUE(fails(Stream::Read(&other.acceptor, second)));
  }
  {
    Stream other(GetParam());
    EXPECT_EQ(Stream::Read(&other.acceptor, first + second), "1\n2\n");
  }
}

TEST_P(StreamCodecBothTest, AFrameCannotBeSentBack) {
  Stream stream(GetParam());
  const std::string first = Stream::Frame(&stream.opener, "hello");
  EXPECT_EQ(Stream::Read(&stream.opener, first).find("broken: "), 0u);
}

// Each end of two streams that run alike is given the other stream's frame.
TEST(StreamCodecTest, AFrameOfAnotherStreamIsRefused) {
  Stream recorded;
  ASSERT_EQ(Stream::Read(&recorded.acceptor, Stream::Frame(&recorded.opener, "hello")), "hello\n");
  const std::string answer = Stream::Frame(&recorded.acceptor, "old news");
  const std::string second = Stream::Frame(&recorded.opener, "old word");

  Stream stream;
  std::string skipped;
  stream.opener_codec->Seal("", &skipped);  // so that its nonces differ
  ASSERT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, "hello")), "hello\n");
  EXPECT_EQ(Stream::Read(&stream.opener, answer), kNoKeyFits);
  EXPECT_EQ(Stream::Read(&stream.acceptor, second), kNoKeyFits);
}

TEST_P(StreamCodecBothTest, EveryBitFlippedInTurnIsRefused) {
  Stream stream(GetParam());
  const std::string wire = Stream::Frame(&stream.opener, "a message");
  for (size_t i = 0; i < wire.size() * 8; ++i) {
    std::string flipped = wire;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    Stream other(GetParam());
    const std::string read = Stream::Read(&other.acceptor, flipped);
    EXPECT_TRUE(read == "more" || read.find("broken: ") == 0) << i << ": " << read;
  }
}

TEST(StreamCodecTest, WhoOpenedSpeaksFirst) {
  Stream stream;
  std::string wire = "as before";
  EXPECT_EQ(stream.acceptor.Seal("hello", &wire),
            absl::FailedPreconditionError("Who opened the stream speaks first"));
  EXPECT_EQ(wire, "as before");
}

TEST(StreamCodecTest, TheLimitIsNamedAndHolds) {
  Stream stream;
  std::string wire = "as before";
  EXPECT_EQ(stream.opener.Seal(std::string(StreamCodec::kFramePlainMax + 1, 'm'), &wire),
            absl::ResourceExhaustedError(
                "A message of 4194305 bytes is too long for a stream: 4194304 at most"));
  EXPECT_EQ(wire, "as before");
  const std::string longest(StreamCodec::kFramePlainMax, 'm');
  EXPECT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, longest)),
            longest + "\n");
}

// Plain frames have less around them, so that a longer one would fit the limit of the length.
TEST(StreamCodecTest, APlainMessageOverTheLimitIsRefused) {
  const auto codec = MakeCodec(false);
  std::string frame;
  codec->SealAs(PacketKind::kFrame, std::string(21, '\0'),
                std::string(StreamCodec::kFramePlainMax + 1, 'm'), &frame);
  std::string wire(4, '\0');
  for (size_t i = 0; i < 4; ++i) wire[i] = static_cast<char>(frame.size() >> (8 * i));
  StreamCodec acceptor(codec.get(), StreamSide::kAcceptor);
  EXPECT_EQ(Stream::Read(&acceptor, wire + frame),
            "broken: A message of 4194305 bytes is too long: 4194304 at most");
}

TEST(StreamCodecTest, AStrangerIsRefusedByHisFirstBytes) {
  Stream stream;
  EXPECT_EQ(Stream::Read(&stream.acceptor, "GET / HTTP/1.1\r\n"),
            "broken: A frame of 542393671 bytes is too long: 4194338 at most");
  EXPECT_EQ(Stream::Read(&stream.acceptor, "more"),
            "broken: A frame of 542393671 bytes is too long: 4194338 at most");

  // One byte more than the header, of a frame that would be long.
  const std::string message(100'000, 'm');
  const auto refusal = [&message](Codec* from, Stream* to) {
    StreamCodec opener(from, StreamSide::kOpener);
    return Stream::Read(&to->acceptor, Stream::Frame(&opener, message).substr(0, 11));
  };
  Stream encrypted;
  EXPECT_EQ(refusal(MakeCodec(true, WanPoolName()).get(), &encrypted),
            "broken: The stream is of the WAN pool (1c975060), this agent is a member of lan:dc1");
  Stream wants;
  EXPECT_EQ(refusal(MakeCodec(false).get(), &wants),
            "broken: Encryption is configured but remote state is not encrypted");
  Stream plain(false);
  EXPECT_EQ(refusal(MakeCodec(true).get(), &plain),
            "broken: Remote state is encrypted and encryption is not configured");
}

TEST(StreamCodecTest, AFrameThatIsTooShortIsRefused) {
  for (const size_t length : {0, 5, 9}) {
    Stream stream(false);
    std::string wire = Stream::Frame(&stream.opener, "").substr(0, 4 + length);
    wire[0] = static_cast<char>(length);
    EXPECT_EQ(Stream::Read(&stream.acceptor, wire),
              "broken: Too short: " + std::to_string(length) + " bytes, 10 at least");
  }
}

// What both ends have in their logs of a stream that the acceptor cannot open.
struct BothSay {
  BothSay(CodecOptions opener_options, CodecOptions acceptor_options)
      : opener_codec(std::move(opener_options)), acceptor_codec(std::move(acceptor_options)) {
    const std::string first = Stream::Frame(&opener, "hello");
    acceptor_says = Stream::Read(&acceptor, first);
    opener_says = Stream::Read(&opener, acceptor.refusal());
  }

  Codec opener_codec;
  Codec acceptor_codec;
  StreamCodec opener{&opener_codec, StreamSide::kOpener};
  StreamCodec acceptor{&acceptor_codec, StreamSide::kAcceptor};
  std::string acceptor_says;
  std::string opener_says;
};

CodecOptions WithKey(std::optional<char> key, std::string pool = LanPoolName("dc1")) {
  CodecOptions options{
      .pool = std::move(pool), .keyring = std::nullopt, .nonces = CountingNonces()};
  if (key.has_value()) options.keyring = Keyring(*Key::FromBytes(std::string(16, *key)));
  return options;
}

TEST(StreamCodecTest, WhoIsRefusedIsToldWhyInWordsOfItsOwn) {
  const BothSay wrong_key(WithKey('a'), WithKey('b'));
  EXPECT_EQ(wrong_key.acceptor_says, kNoKeyFits);
  EXPECT_EQ(wrong_key.opener_says, "refused: No installed keys could decrypt the message");

  const BothSay no_key(WithKey({}), WithKey('b'));
  EXPECT_EQ(no_key.acceptor_says,
            "broken: Encryption is configured but remote state is not encrypted");
  EXPECT_EQ(no_key.opener_says,
            "refused: Remote state is encrypted and encryption is not configured");

  const BothSay key_for_none(WithKey('a'), WithKey({}));
  EXPECT_EQ(key_for_none.acceptor_says,
            "broken: Remote state is encrypted and encryption is not configured");
  EXPECT_EQ(key_for_none.opener_says,
            "refused: Encryption is configured but remote state is not encrypted");

  CodecOptions sends_plain = WithKey('a');
  sends_plain.verify_outgoing = false;
  EXPECT_EQ(BothSay(sends_plain, WithKey('a')).opener_says,
            "refused: Remote state is encrypted and encrypt_verify_outgoing is off");
}

TEST(StreamCodecTest, TheOtherPoolIsNamed) {
  const BothSay datacenters(WithKey('a', LanPoolName("dc2")), WithKey({}));
  EXPECT_EQ(datacenters.acceptor_says,
            "broken: The stream is of the LAN pool of another datacenter (a018cb08), "
            "this agent is a member of lan:dc1");
  EXPECT_EQ(datacenters.opener_says,
            "refused: The other is a member of lan:dc1, this agent of lan:dc2");
  const BothSay wan(WithKey({}), WithKey({}, WanPoolName()));
  EXPECT_EQ(wan.acceptor_says,
            "broken: The stream is of a LAN pool (b34838fc), this agent is a member of wan");
  EXPECT_EQ(wan.opener_says, "refused: The other is a member of wan, this agent of lan:dc1");
}

TEST(StreamCodecTest, AnotherVersionIsTold) {
  Stream stream;
  std::string first = Stream::Frame(&stream.opener, "hello");
  first[StreamCodec::kLengthBytes] = 2;
  EXPECT_EQ(Stream::Read(&stream.acceptor, first),
            "broken: Version 2 of the packet format is not known, only 1");
  EXPECT_EQ(Stream::Read(&stream.opener, stream.acceptor.refusal()),
            "refused: The other does not know version 1 of the packet format");
}

TEST(StreamCodecTest, WhoIsNoAgentIsToldNothing) {
  Stream http;
  ASSERT_NE(Stream::Read(&http.acceptor, "GET / HTTP/1.1\r\n"), "more");
  EXPECT_EQ(http.acceptor.refusal(), "");
  Stream damaged(false);
  std::string wire = Stream::Frame(&damaged.opener, "hello");
  wire.back() ^= 1;
  EXPECT_EQ(Stream::Read(&damaged.acceptor, wire), "broken: The checksum of the stream is wrong");
  EXPECT_EQ(damaged.acceptor.refusal(), "");
  Stream empty;
  ASSERT_NE(Stream::Read(&empty.acceptor, std::string(4, '\0')), "");
  EXPECT_EQ(empty.acceptor.refusal(), "");
}

TEST_P(StreamCodecBothTest, OnlyTheFirstFrameIsRefusedInWords) {
  Stream stream(GetParam());
  ASSERT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, "1")), "1\n");
  Codec other(WithKey('x', LanPoolName("dc2")));
  StreamCodec stranger(&other, StreamSide::kOpener);
  EXPECT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stranger, "2")).find("broken: "), 0u);
  EXPECT_EQ(stream.acceptor.refusal(), "");
}

// An opener takes it at the very begin, in any pieces, and whatever follows it is not read.
TEST_P(StreamCodecBothTest, ARefusalCountsOnlyAsAnOpenersFirstFrame) {
  const BothSay refused(WithKey('a'), WithKey('b'));
  const std::string refusal = refused.acceptor.refusal();
  constexpr char kUnknown[] = "broken: Version 255 of the packet format is not known, only 1";
  {
    Stream stream(GetParam());
    EXPECT_EQ(Stream::Read(&stream.acceptor, refusal), kUnknown);
  }
  {
    Stream stream(GetParam());
    ASSERT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, "1")), "1\n");
    ASSERT_EQ(Stream::Read(&stream.opener, Stream::Frame(&stream.acceptor, "2")), "2\n");
    EXPECT_EQ(Stream::Read(&stream.opener, refusal), kUnknown);
  }
  Stream stream(GetParam());
  for (size_t i = 0; i + 1 < refusal.size(); ++i) {
    ASSERT_EQ(Stream::Read(&stream.opener, refusal.substr(i, 1)), "more") << i;
  }
  const std::string end = refusal.substr(refusal.size() - 1);
  EXPECT_EQ(Stream::Read(&stream.opener, end + "and more"),
            "refused: No installed keys could decrypt the message");
  EXPECT_EQ(stream.opener.refusal(), "") << "nobody is refused for refusing";
}

TEST_P(StreamCodecBothTest, ARefusalWithAnyBitFlippedSaysNothing) {
  const BothSay refused(WithKey('a', LanPoolName("dc2")), WithKey('b'));
  const std::string refusal = refused.acceptor.refusal();
  for (size_t i = 0; i < refusal.size() * 8; ++i) {
    std::string flipped = refusal;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    Stream stream(GetParam());
    const std::string read = Stream::Read(&stream.opener, flipped);
    EXPECT_TRUE(read == "more" || read.find("broken: ") == 0) << i << ": " << read;
  }
}

TEST(StreamCodecTest, KeysMayChangeWhileAStreamRuns) {
  Stream stream;
  const Key next = Key::FromBytes(std::string(32, 'n')).value();
  ASSERT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, "1")), "1\n");
  Keyring keyring = *stream.opener_codec->keyring();
  ASSERT_TRUE(keyring.Install(next).ok());
  stream.acceptor_codec->SetKeyring(keyring);
  ASSERT_TRUE(keyring.Use(next).ok());
  stream.opener_codec->SetKeyring(keyring);
  EXPECT_EQ(Stream::Read(&stream.acceptor, Stream::Frame(&stream.opener, "2")), "2\n");
  EXPECT_EQ(Stream::Read(&stream.opener, Stream::Frame(&stream.acceptor, "3")), "3\n");
}

// While encryption is switched on the two ends may differ: only the acceptor encrypts here.
TEST(StreamCodecTest, OneEndMayBePlain) {
  CodecOptions options{.pool = LanPoolName("dc1"),
                       .keyring = Keyring(Key::FromBytes(CountedBytes(16)).value()),
                       .verify_incoming = false,
                       .verify_outgoing = false,
                       .nonces = CountingNonces()};
  Codec first(options);
  options.verify_outgoing = true;
  Codec second(options);
  StreamCodec opener(&first, StreamSide::kOpener);
  StreamCodec acceptor(&second, StreamSide::kAcceptor);
  EXPECT_EQ(Stream::Read(&acceptor, Stream::Frame(&opener, "plain")), "plain\n");
  EXPECT_EQ(Stream::Read(&opener, Stream::Frame(&acceptor, "secret")), "secret\n");
  EXPECT_EQ(Stream::Read(&acceptor, Stream::Frame(&opener, "plain")), "plain\n");
}

}  // namespace
}  // namespace consul::gossip
