#include "services/gossip/codec.h"

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace consul::gossip {
namespace {

Key KeyOf(char fill, size_t size = 32) { return Key::FromBytes(std::string(size, fill)).value(); }

// 0x10, 0x11, ...: what the golden bytes below were made with, by another implementation.
NonceSource CountingNonces() {
  return [next = uint8_t{0x10}](Nonce nonce) mutable {
    for (uint8_t& byte : nonce) byte = next++;
  };
}

CodecOptions Plain(std::string pool = LanPoolName("dc1")) {
  return {.pool = std::move(pool), .keyring = std::nullopt, .nonces = CountingNonces()};
}

CodecOptions Encrypted(const Keyring& keyring) {
  return {.pool = LanPoolName("dc1"), .keyring = keyring, .nonces = CountingNonces()};
}

std::string Seal(Codec* codec, std::string_view plain) {
  std::string wire;
  codec->Seal(plain, &wire);
  return wire;
}

// The message, or the sentence for the log.
std::string Open(Codec* codec, std::string_view wire) {
  std::string plain = "left over";
  const OpenResult result = codec->Open(wire, &plain);
  if (result == OpenResult::kOk) return plain;
  EXPECT_EQ(plain, "");
  return codec->Explain(result, wire);
}

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString({bytes.data(), bytes.size()});
}

TEST(CodecTest, PlainBytesAreFrozen) {
  Codec codec(Plain());
  const std::string wire = Seal(&codec, "hello");
  EXPECT_EQ(Hex(wire), "0100fc3848b382fc32fe68656c6c6f");
  EXPECT_EQ(Open(&codec, wire), "hello");
}

TEST(CodecTest, EncryptedBytesAreFrozenForEachKeySize) {
  const std::map<size_t, std::string> golden = {
      {16, "0101fc3848b3101112131415161718191a1bac4b6fc360bee90a166cb2039186a3668af7117dd0"},
      {24, "0101fc3848b3101112131415161718191a1b5e324b796c5f35dc50a4fde34c26b43c3a28da9ded"},
      {32, "0101fc3848b3101112131415161718191a1b159bf47a26ddd5e8e3486f8e3dee227eea7ec5562a"}};
  for (const auto& [size, hex] : golden) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i));
    Codec codec(Encrypted(Keyring(Key::FromBytes(bytes).value())));
    const std::string wire = Seal(&codec, "hello");
    EXPECT_EQ(Hex(wire), hex);
    EXPECT_EQ(Open(&codec, wire), "hello");
  }
}

TEST(CodecTest, MessagesOfEachSizeComeBackWithinADatagram) {
  Codec plain(Plain());
  Codec encrypted(Encrypted(Keyring(KeyOf('a'))));
  for (size_t size = 0; size <= Codec::kPlainMax; ++size) {
    const std::string message(size, static_cast<char>(size));
    for (Codec* codec : {&plain, &encrypted}) {
      const std::string wire = Seal(codec, message);
      ASSERT_LE(wire.size(), Codec::kDatagramBytesMax);
      ASSERT_EQ(Open(codec, wire), message);
    }
  }
  EXPECT_EQ(Seal(&encrypted, std::string(Codec::kPlainMax, 'm')).size(), Codec::kDatagramBytesMax);
}

TEST(CodecTest, AMessageThatIsTooLongIsTheCallersMistake) {
  Codec codec(Plain());
  EXPECT_DEATH(Seal(&codec, std::string(Codec::kPlainMax + 1, 'm')), "kPlainMax");
}

// Goal: nothing of a packet can be changed, cut or added to. Method: each bit in turn, each end.
TEST(CodecTest, EveryBitFlippedInTurnIsRefused) {
  Codec encrypted(Encrypted(Keyring(KeyOf('a'))));
  Codec lenient({.pool = LanPoolName("dc1"),
                 .keyring = Keyring(KeyOf('a')),
                 .verify_incoming = false,
                 .nonces = CountingNonces()});
  Codec plain(Plain());
  const std::pair<Codec*, Codec*> pairs[] = {
      {&encrypted, &encrypted}, {&encrypted, &lenient}, {&plain, &plain}, {&plain, &lenient}};
  for (const auto& [from, to] : pairs) {
    const std::string wire = Seal(from, "a message of some words");
    std::string out;
    ASSERT_EQ(to->Open(wire, &out), OpenResult::kOk);
    for (size_t i = 0; i < wire.size() * 8; ++i) {
      std::string flipped = wire;
      flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
      EXPECT_NE(to->Open(flipped, &out), OpenResult::kOk) << "bit " << i;
      EXPECT_EQ(out, "");
    }
    for (size_t size = 0; size < wire.size(); ++size) {
      EXPECT_NE(to->Open(wire.substr(0, size), &out), OpenResult::kOk) << size;
    }
    EXPECT_NE(to->Open(wire + '\0', &out), OpenResult::kOk);
  }
}

TEST(CodecTest, KeysAreChangedWithoutLosingAPacket) {
  // Two agents, one a step ahead of the other at each step of a rotation from a to b.
  std::vector<Keyring> steps;
  steps.push_back(Keyring(KeyOf('a', 16)));
  steps.push_back(Keyring::Create(KeyOf('a', 16), std::vector{KeyOf('b')}).value());
  steps.push_back(Keyring::Create(KeyOf('b'), std::vector{KeyOf('a', 16)}).value());
  steps.push_back(Keyring(KeyOf('b')));
  Codec ahead(Encrypted(steps[0]));
  Codec behind(Encrypted(steps[0]));
  for (size_t step = 1; step < steps.size(); ++step) {
    ahead.SetKeyring(steps[step]);
    EXPECT_EQ(Open(&behind, Seal(&ahead, "from ahead")), "from ahead") << step;
    EXPECT_EQ(Open(&ahead, Seal(&behind, "from behind")), "from behind") << step;
    behind.SetKeyring(steps[step]);
  }
}

TEST(CodecTest, ItEncodesWithTheFirstKeyAlone) {
  Codec both(Encrypted(Keyring::Create(KeyOf('a'), std::vector{KeyOf('b')}).value()));
  Codec a(Encrypted(Keyring(KeyOf('a'))));
  Codec b(Encrypted(Keyring(KeyOf('b'))));
  EXPECT_EQ(Open(&a, Seal(&both, "hello")), "hello");
  EXPECT_EQ(Open(&b, Seal(&both, "hello")), "No installed keys could decrypt the message");
  EXPECT_EQ(Open(&both, Seal(&b, "hello")), "hello") << "and decodes with all";
}

TEST(CodecTest, EachFailureHasItsReason) {
  Codec plain(Plain());
  Codec encrypted(Encrypted(Keyring(KeyOf('a'))));
  const std::string packet = Seal(&plain, "hello");
  const std::string secret = Seal(&encrypted, "hello");
  const auto with = [](std::string wire, size_t at, char byte) {
    wire[at] = byte;
    return wire;
  };
  EXPECT_EQ(Open(&plain, ""), "Too short: 0 bytes, 10 at least");
  EXPECT_EQ(Open(&plain, packet.substr(0, 9)), "Too short: 9 bytes, 10 at least");
  EXPECT_EQ(Open(&encrypted, secret.substr(0, 33)), "Too short: 33 bytes, 10 at least");
  EXPECT_EQ(Open(&plain, packet + std::string(1400, 'x')), "Too long: 1415 bytes, 1400 at most");
  EXPECT_EQ(Open(&plain, with(packet, 0, 9)),
            "Version 9 of the packet format is not known, only 1");
  EXPECT_EQ(Open(&plain, with(packet, 1, 4)), "Flags 0x04 of the packet format are not known");
  EXPECT_EQ(Open(&plain, with(packet, 1, 2)), "Flags 0x02 of the packet format are not known")
      << "a frame of a stream";
  EXPECT_EQ(Open(&plain, with(packet, 12, 'L')), "The checksum of the packet is wrong");
  EXPECT_EQ(Open(&encrypted, packet),
            "Encryption is configured but the packet is not encrypted");
  EXPECT_EQ(Open(&plain, secret), "The packet is encrypted and encryption is not configured");
  EXPECT_EQ(Open(&encrypted, with(secret, 20, 'x')),
            "No installed keys could decrypt the message");
}

TEST(CodecTest, APacketOfAnotherPoolIsNamed) {
  Codec dc1(Plain());
  Codec dc2(Plain(LanPoolName("dc2")));
  Codec wan(Plain(WanPoolName()));
  EXPECT_EQ(Open(&dc1, Seal(&dc2, "hello")),
            "The packet is of the LAN pool of another datacenter (a018cb08), "
            "this agent is a member of lan:dc1");
  EXPECT_EQ(Open(&dc1, Seal(&wan, "hello")),
            "The packet is of the WAN pool (1c975060), this agent is a member of lan:dc1");
  EXPECT_EQ(Open(&wan, Seal(&dc1, "hello")),
            "The packet is of a LAN pool (b34838fc), this agent is a member of wan");
}

// The three steps of the reference's procedure; each agent may be a step ahead of another.
TEST(CodecTest, EncryptionIsSwitchedOnInAPoolThatRuns) {
  const auto options = [](bool incoming, bool outgoing) {
    CodecOptions options = Encrypted(Keyring(KeyOf('a')));
    options.verify_incoming = incoming;
    options.verify_outgoing = outgoing;
    return options;
  };
  Codec before(Plain());
  Codec first(options(false, false));
  Codec second(options(false, true));
  Codec third(options(true, true));
  EXPECT_FALSE(first.encrypts());
  EXPECT_TRUE(second.encrypts());
  EXPECT_EQ(Open(&before, Seal(&first, "m")), "m");
  EXPECT_EQ(Open(&first, Seal(&before, "m")), "m");
  EXPECT_EQ(Open(&first, Seal(&second, "m")), "m");
  EXPECT_EQ(Open(&second, Seal(&first, "m")), "m");
  EXPECT_EQ(Open(&second, Seal(&third, "m")), "m");
  EXPECT_EQ(Open(&third, Seal(&second, "m")), "m");
  EXPECT_EQ(Open(&third, Seal(&first, "m")),
            "Encryption is configured but the packet is not encrypted");
}

TEST(CodecTest, TheKeyringMayComeAndGo) {
  Codec codec(Plain());
  codec.SetKeyring(Keyring(KeyOf('a')));
  EXPECT_TRUE(codec.encrypts());
  const std::string secret = Seal(&codec, "hello");
  EXPECT_EQ(Open(&codec, secret), "hello");
  codec.SetKeyring(std::nullopt);
  EXPECT_FALSE(codec.encrypts());
  EXPECT_EQ(Open(&codec, secret), "The packet is encrypted and encryption is not configured");
}

TEST(CodecTest, BuffersAreUsedAgain) {
  Codec codec(Encrypted(Keyring(KeyOf('a'))));
  std::string wire;
  std::string plain;
  codec.Seal(std::string(Codec::kPlainMax, 'm'), &wire);
  ASSERT_EQ(codec.Open(wire, &plain), OpenResult::kOk);
  const char* const wire_begin = wire.data();
  const char* const plain_begin = plain.data();
  for (const size_t size : {size_t{0}, size_t{100}, Codec::kPlainMax}) {
    codec.Seal(std::string(size, 'n'), &wire);
    ASSERT_EQ(codec.Open(wire, &plain), OpenResult::kOk);
    EXPECT_EQ(wire.data(), wire_begin);
    EXPECT_EQ(plain.data(), plain_begin);
  }
}

TEST(CodecTest, RandomNoncesAreAllDifferent) {
  const NonceSource source = RandomNonces();
  std::map<std::string, int> seen;
  for (int i = 0; i < 1000; ++i) {
    std::string nonce(kNonceBytes, '\0');
    source(Nonce(reinterpret_cast<uint8_t*>(nonce.data()), kNonceBytes));
    EXPECT_EQ(++seen[nonce], 1);
  }
}

}  // namespace
}  // namespace consul::gossip
