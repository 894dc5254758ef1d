// Goal: whatever comes from the network, packets and streams are opened or refused with a reason,
// and nothing that was changed on its way is opened. Method, by the first byte of the input:
//   0  the rest is a datagram, as it came
//   1  the rest is what came of a stream, once whole and once in pieces: both must read the same;
//      where the acceptor refuses it in words, an opener understands them
//   2  the rest is a message and what is done to its packet and frame, each 3 bytes one change
//   3  the rest is what came back to who opened a stream, as 1
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/codec.h"
#include "services/gossip/refusal.h"
#include "services/gossip/stream_codec.h"

namespace consul::gossip {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

// Always the same, so that inputs of the corpus that were sealed under this key open.
NonceSource SameNonce() {
  return [](Nonce nonce) { std::fill(nonce.begin(), nonce.end(), uint8_t{0x4e}); };
}

enum class Kind { kPlain, kEncrypted, kEither };

Codec* CodecOf(Kind kind) {
  static Codec* const codecs[] = {
      new Codec({.pool = LanPoolName("dc1"), .keyring = {}, .nonces = SameNonce()}),
      new Codec({.pool = LanPoolName("dc1"),
                 .keyring = Keyring(Key::FromBytes("0123456789abcdef").value()),
                 .nonces = SameNonce()}),
      new Codec({.pool = LanPoolName("dc1"),
                 .keyring = Keyring(Key::FromBytes("0123456789abcdef").value()),
                 .verify_incoming = false,
                 .verify_outgoing = false,
                 .nonces = SameNonce()})};
  return codecs[static_cast<size_t>(kind)];
}

constexpr Kind kKinds[] = {Kind::kPlain, Kind::kEncrypted, Kind::kEither};

void OpenDatagram(std::string_view wire) {
  for (const Kind kind : kKinds) {
    std::string plain;
    const OpenResult result = CodecOf(kind)->Open(wire, &plain);
    if (result == OpenResult::kOk) {
      Require(plain.size() <= Codec::kPlainMax && plain.size() < wire.size());
      continue;
    }
    Require(plain.empty() && !CodecOf(kind)->Explain(result, wire).empty());
  }
}

struct Read {
  std::vector<std::string> messages;
  NextFrame end = NextFrame::kMore;
  std::string why;
  std::string refusal;
  friend bool operator==(const Read&, const Read&) = default;
};

// What an opener is told is no message, and words of ours but for the name of a pool.
void CheckRefused(const Read& read) {
  Require(read.messages.empty() && read.refusal.empty() && read.why.size() < 200);
  Require(std::all_of(read.why.begin(), read.why.end(),
                      [](char c) { return c >= ' ' && c <= '~'; }));
}

Read ReadStream(Kind kind, StreamSide side, std::string_view bytes, size_t piece) {
  StreamCodec stream(CodecOf(kind), side);
  Read read;
  std::string message;
  do {
    stream.Feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while ((read.end = stream.Next(&message)) == NextFrame::kMessage) {
      read.messages.push_back(message);
    }
    Require(message.empty());
  } while (!bytes.empty());
  read.why = stream.why();
  read.refusal = stream.refusal();
  Require((read.end == NextFrame::kMore) == read.why.empty());
  if (read.end == NextFrame::kRefused) {
    Require(side == StreamSide::kOpener);
    CheckRefused(read);
  }
  if (!read.refusal.empty()) {
    Require(side == StreamSide::kAcceptor && read.end == NextFrame::kBroken);
    Require(read.messages.empty());
    Require(read.refusal.size() <= StreamCodec::kLengthBytes + kRefusalBytesMax);
  }
  return read;
}

void OpenStream(StreamSide side, std::string_view bytes) {
  for (const Kind kind : kKinds) {
    const Read whole = ReadStream(kind, side, bytes, bytes.size() + 1);
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{64}}) {
      Require(ReadStream(kind, side, bytes, piece) == whole);
    }
    if (whole.refusal.empty()) continue;
    const Read told = ReadStream(kind, StreamSide::kOpener, whole.refusal, whole.refusal.size());
    Require(told.end == NextFrame::kRefused);
  }
}

// Returns whether anything changed.
bool Damage(std::string_view edits, std::string* wire) {
  const std::string before = *wire;
  for (; edits.size() >= 3 && !wire->empty(); edits.remove_prefix(3)) {
    const size_t at = static_cast<uint8_t>(edits[1]) % wire->size();
    switch (static_cast<uint8_t>(edits[0]) % 4) {
      case 0: (*wire)[at] = edits[2]; break;
      case 1: wire->resize(at); break;
      case 2: wire->insert(at, 1, edits[2]); break;
      default: wire->erase(at, static_cast<uint8_t>(edits[2]) % 8); break;
    }
  }
  return *wire != before;
}

void SealAndDamage(std::string_view input) {
  const size_t size = std::min<size_t>(input.size() / 2, Codec::kPlainMax);
  const std::string_view message = input.substr(0, size);
  const std::string_view edits = input.substr(size);
  for (const Kind kind : kKinds) {
    Codec* const codec = CodecOf(kind);
    std::string wire;
    std::string plain;
    codec->Seal(message, &wire);
    const bool damaged = Damage(edits, &wire);
    const OpenResult result = codec->Open(wire, &plain);
    Require((result == OpenResult::kOk) == !damaged && plain == (damaged ? "" : message));

    StreamCodec opener(codec, StreamSide::kOpener);
    wire.clear();
    Require(opener.Seal(message, &wire).ok());
    if (Damage(edits, &wire)) {
      // What was added behind a whole frame is the begin of another.
      const Read read = ReadStream(kind, StreamSide::kAcceptor, wire, wire.size() + 1);
      Require(read.messages.empty() || (read.messages.size() == 1 && read.messages[0] == message));
    } else {
      const Read read = ReadStream(kind, StreamSide::kAcceptor, wire, wire.size());
      Require(read.why.empty() && read.messages.size() == 1 && read.messages[0] == message);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: OpenDatagram(input); break;
    case 1: OpenStream(StreamSide::kAcceptor, input); break;
    case 2: SealAndDamage(input); break;
    default: OpenStream(StreamSide::kOpener, input); break;
  }
  return 0;
}

}  // namespace consul::gossip
