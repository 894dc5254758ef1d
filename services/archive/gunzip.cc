#include "services/archive/gunzip.h"

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::archive {
namespace {

// RFC 1952: magic, method, flags, time, and two more.
constexpr size_t kHeaderBytes = 10;
constexpr std::string_view kMagic = "\x1f\x8b\x08";
constexpr size_t kBufferBytes = 128 << 10;
// The largest window of deflate, and a header and sums of gzip around it.
constexpr int kWindowBits = 15 + 16;

absl::Status Damaged(std::string_view what) { return absl::DataLossError(base::ToAbsl(what)); }

// zlib's words, in the reference's.
absl::Status WhyNot(std::string_view text, uint64_t offset) {
  if (text == "incorrect data check" || text == "incorrect length check") {
    return Damaged("gzip: invalid checksum");
  }
  if (text.find("header") != std::string_view::npos) return Damaged("gzip: invalid header");
  return Damaged(base::StrCat("flate: corrupt input before offset ", offset));
}

}  // namespace

Gunzip::Gunzip(const Source& source) : source_(source) {
  CONSUL_CHECK(inflateInit2(&stream_, kWindowBits) == Z_OK);
  buffer_.resize(kBufferBytes);
}

Gunzip::~Gunzip() { inflateEnd(&stream_); }

absl::Status Gunzip::Open() {
  while (front_.size() < kHeaderBytes) {
    const auto bytes = source_();
    if (!bytes.ok()) return bytes.status();
    if (bytes->empty()) return Damaged(front_.empty() ? "EOF" : "unexpected EOF");
    front_.append(*bytes);
  }
  if (!front_.starts_with(kMagic)) return Damaged("gzip: invalid header");
  stream_.next_in = reinterpret_cast<Bytef*>(front_.data());
  stream_.avail_in = static_cast<uInt>(front_.size());
  return absl::OkStatus();
}

absl::StatusOr<bool> Gunzip::Fetch() {
  if (stream_.avail_in > 0) return true;
  const auto bytes = source_();
  if (!bytes.ok()) return bytes.status();
  // zlib does not write through it.
  stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes->data()));
  stream_.avail_in = static_cast<uInt>(bytes->size());
  return !bytes->empty();
}

absl::Status Gunzip::End() {
  const auto more = Fetch();
  if (!more.ok()) return more.status();
  if (*more) return Damaged("unexpected bytes behind the end of the snapshot");
  ended_ = true;
  return absl::OkStatus();
}

absl::Status Gunzip::Inflate() {
  const auto more = Fetch();
  if (!more.ok()) return more.status();
  if (!*more) return Damaged("unexpected EOF");
  const int result = inflate(&stream_, Z_NO_FLUSH);
  if (result == Z_STREAM_END) return End();
  if (result == Z_OK) return absl::OkStatus();
  CONSUL_CHECK(result != Z_STREAM_ERROR && result != Z_MEM_ERROR);
  return WhyNot(stream_.msg == nullptr ? "" : stream_.msg, stream_.total_in);
}

absl::StatusOr<std::string_view> Gunzip::Next() {
  stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
  stream_.avail_out = static_cast<uInt>(buffer_.size());
  // What came before a failure is given before it.
  while (failure_.ok() && !ended_ && stream_.avail_out == buffer_.size()) failure_ = Inflate();
  const size_t size = buffer_.size() - stream_.avail_out;
  if (size == 0 && !failure_.ok()) return failure_;
  given_ += size;
  return std::string_view(buffer_).substr(0, size);
}

}  // namespace consul::archive
