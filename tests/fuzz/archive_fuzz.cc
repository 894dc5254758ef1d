// Goal: no bytes crash the reader of archives, which come from whoever may restore one; it takes an
// archive or refuses it with a reason, wherever it is cut into pieces. Method: the first byte is
// the size of the pieces; behind it stand the bytes of meta.json when it is odd, of an archive when
// it is even.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/archive/archive.h"
#include "services/archive/summary.h"

namespace consul::archive {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

bool IsRefusal(const absl::Status& status) {
  return !status.message().empty() &&
         (absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status));
}

Source Pieces(std::string_view bytes, size_t piece) {
  return [bytes, piece]() mutable -> absl::StatusOr<std::string_view> {
    const std::string_view next = bytes.substr(0, piece);
    bytes.remove_prefix(next.size());
    return next;
  };
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 1) {
    const auto meta = ParseMeta(input);
    Require(meta.ok() || IsRefusal(meta.status()));
    return 0;
  }
  uint64_t bytes = 0;
  const auto count = [&bytes](std::string_view more) {
    bytes += more.size();
    return absl::OkStatus();
  };
  const auto whole = ReadArchive(SourceOf(input), count);
  const uint64_t whole_bytes = bytes;
  bytes = 0;
  const auto pieces = ReadArchive(Pieces(input, 1 + data[0]), count);
  Require(whole.ok() == pieces.ok());
  Require(whole.ok() ? whole->size == whole_bytes && bytes == whole_bytes
                     : IsRefusal(whole.status()) && IsRefusal(pieces.status()));
  const auto summary = Summarize(SourceOf(input), {.keys = true, .key_depth = 2, .key_prefix = ""});
  Require(!summary.ok() || whole.ok());
  return 0;
}

}  // namespace consul::archive
