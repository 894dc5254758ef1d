#include "services/gossip/stream_codec.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "services/base/little_endian.h"
#include "services/base/strings.h"
#include "services/gossip/refusal.h"

namespace consul::gossip {
namespace {

std::string_view View(const auto& bytes) { return {bytes.data(), bytes.size()}; }

// What an agent of another key, pool or version is told. Who is no agent is told nothing.
std::optional<RefusalReason> ReasonFor(OpenResult result) {
  switch (result) {
    case OpenResult::kVersion: return RefusalReason::kVersion;
    case OpenResult::kLabel: return RefusalReason::kPool;
    case OpenResult::kNotEncrypted: return RefusalReason::kNotEncrypted;
    case OpenResult::kEncryptedWithoutKeyring: return RefusalReason::kEncrypted;
    case OpenResult::kNoKeyFits: return RefusalReason::kNoKeyFits;
    case OpenResult::kOk:
    case OpenResult::kTooShort:
    case OpenResult::kTooLong:
    case OpenResult::kChecksum: break;
  }
  return std::nullopt;
}

}  // namespace

StreamCodec::Context StreamCodec::ContextOf(StreamSide sender, uint64_t sequence) const {
  Context context;
  context[0] = static_cast<char>(sender);
  base::StoreLittleEndian(sequence, &context[1]);
  std::copy(salt_.begin(), salt_.end(), &context[9]);
  return context;
}

void StreamCodec::TakeSalt(std::string_view first_frame) {
  const std::string_view nonce = Codec::NonceOf(first_frame);
  std::copy(nonce.begin(), nonce.end(), salt_.begin());
}

absl::Status StreamCodec::Seal(std::string_view plain, std::string* wire) {
  if (plain.size() > kFramePlainMax) {
    return absl::ResourceExhaustedError(base::StrCat(
        "A message of ", plain.size(), " bytes is too long for a stream: ", kFramePlainMax,
        " at most"));
  }
  if (side_ == StreamSide::kAcceptor && opened_ == 0) {
    return absl::FailedPreconditionError("Who opened the stream speaks first");
  }
  const size_t begin = wire->size();
  wire->resize(begin + kLengthBytes);
  codec_->SealAs(PacketKind::kFrame, View(ContextOf(side_, sealed_)), plain, wire);
  const size_t frame_begin = begin + kLengthBytes;
  base::StoreLittleEndian(static_cast<uint32_t>(wire->size() - frame_begin), wire->data() + begin);
  if (side_ == StreamSide::kOpener && sealed_ == 0) {
    TakeSalt(std::string_view(*wire).substr(frame_begin));
  }
  ++sealed_;
  return absl::OkStatus();
}

void StreamCodec::Feed(std::string_view bytes) {
  if (end_ != NextFrame::kMore) return;
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes);
}

NextFrame StreamCodec::Break(std::string why) {
  end_ = NextFrame::kBroken;
  why_ = std::move(why);
  buffer_ = std::string();
  begin_ = 0;
  return end_;
}

NextFrame StreamCodec::Refuse(OpenResult result, std::string_view frame) {
  const std::optional<RefusalReason> reason = ReasonFor(result);
  if (side_ == StreamSide::kAcceptor && opened_ == 0 && reason.has_value()) {
    const std::string bytes = EncodeRefusal(
        {*reason, reason == RefusalReason::kPool ? codec_->pool() : std::string()});
    refusal_.resize(kLengthBytes);
    base::StoreLittleEndian(static_cast<uint32_t>(bytes.size()), refusal_.data());
    refusal_ += bytes;
  }
  return Break(codec_->Explain(result, frame));
}

bool StreamCodec::IsRefusal(size_t length, std::string_view begin) const {
  return side_ == StreamSide::kOpener && opened_ == 0 && length >= kRefusalBytesMin &&
         length <= kRefusalBytesMax && !begin.empty() &&
         static_cast<uint8_t>(begin[0]) == kRefusalVersion;
}

NextFrame StreamCodec::Next(std::string* plain) {
  plain->clear();
  if (end_ != NextFrame::kMore) return end_;
  std::string_view bytes = std::string_view(buffer_).substr(begin_);
  if (bytes.size() < kLengthBytes) return NextFrame::kMore;
  const size_t length = base::LoadLittleEndian<uint32_t>(bytes.data());
  if (length > kFrameBytesMax) {
    return Break(base::StrCat("A frame of ", length, " bytes is too long: ", kFrameBytesMax,
                              " at most"));
  }
  bytes.remove_prefix(kLengthBytes);
  if (IsRefusal(length, bytes)) {
    if (bytes.size() < length) return NextFrame::kMore;
    if (const std::optional<Refusal> refusal = DecodeRefusal(bytes.substr(0, length))) {
      Break(codec_->Explain(*refusal));
      return end_ = NextFrame::kRefused;
    }
  }
  // A stranger is shown the door before his frame is waited for.
  if (length >= Codec::kHeaderBytes && bytes.size() >= Codec::kHeaderBytes) {
    const OpenResult header = codec_->CheckHeader(PacketKind::kFrame, bytes);
    if (header != OpenResult::kOk) return Refuse(header, bytes);
  }
  if (bytes.size() < length) return NextFrame::kMore;
  const std::string_view frame = bytes.substr(0, length);
  const StreamSide sender =
      side_ == StreamSide::kOpener ? StreamSide::kAcceptor : StreamSide::kOpener;
  const OpenResult result =
      codec_->OpenAs(PacketKind::kFrame, View(ContextOf(sender, opened_)), frame, plain);
  if (result != OpenResult::kOk) return Refuse(result, frame);
  if (plain->size() > kFramePlainMax) {
    const size_t size = plain->size();
    plain->clear();
    return Break(base::StrCat("A message of ", size, " bytes is too long: ", kFramePlainMax,
                              " at most"));
  }
  if (side_ == StreamSide::kAcceptor && opened_ == 0) TakeSalt(frame);
  ++opened_;
  begin_ += kLengthBytes + length;
  return NextFrame::kMessage;
}

}  // namespace consul::gossip
