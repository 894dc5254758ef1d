#include "services/state/staged_restore.h"

#include <utility>

#include "services/base/sha256.h"
#include "services/base/strings.h"

namespace consul::state {
namespace {

using base::StrCat;
using errors::v1::Reason;

Refusal Refused(Reason reason, std::string text, std::string_view subject) {
  return {reason, StrCat("snapshot restore: ", text), std::string(subject)};
}

}  // namespace

Refusal StagedRestore::Add(std::string_view id, uint64_t offset, std::string chunk,
                           uint64_t now_ns) {
  if (id.empty() || id.size() > kIdBytesMax) {
    return Refused(errors::v1::REASON_INVALID_FIELD,
                   StrCat("the id is to have 1 to ", kIdBytesMax, " bytes"), "id");
  }
  if (chunk.empty() || chunk.size() > kChunkBytesMax) {
    return Refused(errors::v1::REASON_INVALID_FIELD,
                   StrCat("a chunk is to have 1 to ", kChunkBytesMax, " bytes"), "chunk");
  }
  const bool anew = offset == 0;
  if (!anew && (id != id_ || empty())) {
    return Refused(errors::v1::REASON_NOT_FOUND,
                   StrCat("restore ", id, " is not under way, or no longer"), "id");
  }
  if (!anew && offset != size_) {
    return Refused(errors::v1::REASON_INVALID_FIELD,
                   StrCat("the next chunk is that at ", size_, ", not at ", offset), "offset");
  }
  if (offset > kBytesMax - chunk.size()) {
    return Refused(errors::v1::REASON_TOO_LARGE,
                   StrCat("a state may have ", kBytesMax, " bytes"), "offset");
  }
  if (!anew && chunks_.size() == kChunksMax) {
    return Refused(errors::v1::REASON_TOO_LARGE,
                   StrCat("a state may come in ", kChunksMax, " chunks"), "chunk");
  }
  if (anew) {
    chunks_.clear();
    size_ = 0;
    id_ = id;
  }
  size_ += chunk.size();
  touched_ns_ = now_ns;
  chunks_.push_back(std::make_shared<const std::string>(std::move(chunk)));
  return {};
}

Refusal StagedRestore::Check(uint64_t size, std::string_view sha256) const {
  if (size != size_) {
    return Refused(errors::v1::REASON_INVALID_FIELD,
                   StrCat("the state is to have ", size, " bytes, and ", size_, " have come"),
                   "size");
  }
  base::Sha256 sum;
  for (const Chunk& chunk : chunks_) sum.Add(*chunk);
  if (sum.Finish() != sha256) {
    return Refused(errors::v1::REASON_INVALID_FIELD, "the state is not that of its SHA-256",
                   "sha256");
  }
  return {};
}

}  // namespace consul::state
