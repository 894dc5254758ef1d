// services/gossip/stream_codec.h
//
// The frames of one TCP stream between two agents, in both directions: each is a length and what
// Codec makes of a message. A frame's place in its stream is sealed with it, so that frames of one
// stream cannot be repeated, left out, put in another order, sent back, or put into another stream.
//
// Who opened the stream speaks first: the nonce of its first frame is what ties all others to it.
//
// Threads: one at a time, the one of its Codec.
// Background: services/gossip/format.md, "Streams".
#ifndef CONSUL_SERVICES_GOSSIP_STREAM_CODEC_H_
#define CONSUL_SERVICES_GOSSIP_STREAM_CODEC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/gossip/codec.h"

namespace consul::gossip {

// Which of the two ends an agent is. On the wire: frozen.
enum class StreamSide : uint8_t { kOpener = 0, kAcceptor = 1 };

// Bytes come in any pieces: Feed them, then call Next until it is no longer kMessage.
enum class NextFrame : uint8_t {
  kMessage,
  kMore,     // the next one is not there whole
  kBroken,   // close the stream; why() says why
  kRefused,  // the same, and it is the acceptor who says why: nobody vouches for that
};

class StreamCodec {
 public:
  static constexpr size_t kLengthBytes = 4;
  // A push-pull of ten thousand members who all differ has about 2 MiB.
  static constexpr size_t kFramePlainMax = 4 << 20;
  static constexpr size_t kFrameBytesMax = kFramePlainMax + Codec::kOverheadMax;

  // `codec` outlives this. Its keyring may change meanwhile.
  StreamCodec(Codec* codec, StreamSide side) : codec_(codec), side_(side) {}

  // Appends the frame of `plain` to `wire`. RESOURCE_EXHAUSTED over kFramePlainMax;
  // FAILED_PRECONDITION on an acceptor that has opened no frame yet. Then nothing was appended.
  absl::Status Seal(std::string_view plain, std::string* wire);

  // Takes bytes as they came. What was taken and not given out by Next is kept: at most a frame and
  // what was fed with its end. Nothing is kept of a broken stream.
  void Feed(std::string_view bytes);

  // Replaces `plain` by the next message; by nothing unless the result is kMessage.
  NextFrame Next(std::string* plain);

  // Once Next was kBroken or kRefused, as it will be ever after: a sentence for the log.
  const std::string& why() const { return why_; }
  // Then, on an acceptor that could not open the first frame: a frame that tells the opener why, to
  // be sent as the last. Empty where there is nothing to tell, as to one who is no agent.
  const std::string& refusal() const { return refusal_; }
  // Whether the stream may end here: no frame has begun.
  bool at_boundary() const { return begin_ == buffer_.size(); }

 private:
  static constexpr size_t kContextBytes = 1 + 8 + kNonceBytes;
  using Context = std::array<char, kContextBytes>;

  Context ContextOf(StreamSide sender, uint64_t sequence) const;
  // What the opener's first frame ties all later ones to.
  void TakeSalt(std::string_view first_frame);
  NextFrame Break(std::string why);
  NextFrame Refuse(OpenResult result, std::string_view frame);
  // Whether a frame of this length which begins like this can only be a refusal.
  bool IsRefusal(size_t length, std::string_view begin) const;

  Codec* const codec_;
  const StreamSide side_;
  uint64_t sealed_ = 0;  // frames so far
  uint64_t opened_ = 0;
  std::array<char, kNonceBytes> salt_{};  // zeros while the opener's first frame is under way
  std::string buffer_;
  size_t begin_ = 0;  // of what was not given out, in buffer_
  NextFrame end_ = NextFrame::kMore;  // kBroken or kRefused: as why_ says
  std::string why_;
  std::string refusal_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_STREAM_CODEC_H_
