#include "services/gossip/refusal.h"

#include <algorithm>

#include "services/base/crc32c.h"
#include "services/base/little_endian.h"

namespace consul::gossip {
namespace {

constexpr size_t kReasonAt = 1;
constexpr size_t kChecksumAt = 2;
constexpr size_t kPoolAt = 6;
static_assert(kPoolAt == kRefusalBytesMin);

constexpr std::string_view kLan = "lan:";

uint32_t Checksum(std::string_view bytes) {
  return base::ExtendCrc32c(base::Crc32c(bytes.substr(0, kChecksumAt)), bytes.substr(kPoolAt));
}

bool IsPoolName(std::string_view name) {
  if (name == "wan") return true;
  if (!name.starts_with(kLan)) return false;
  name.remove_prefix(kLan.size());
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace

std::string EncodeRefusal(const Refusal& refusal) {
  std::string bytes(kRefusalBytesMin, '\0');
  bytes[0] = static_cast<char>(kRefusalVersion);
  bytes[kReasonAt] = static_cast<char>(refusal.reason);
  bytes.append(refusal.pool, 0, kRefusalPoolBytesMax);
  base::StoreLittleEndian(Checksum(bytes), &bytes[kChecksumAt]);
  return bytes;
}

std::optional<Refusal> DecodeRefusal(std::string_view bytes) {
  if (bytes.size() < kRefusalBytesMin || bytes.size() > kRefusalBytesMax) return std::nullopt;
  if (static_cast<uint8_t>(bytes[0]) != kRefusalVersion) return std::nullopt;
  if (base::LoadLittleEndian<uint32_t>(&bytes[kChecksumAt]) != Checksum(bytes)) {
    return std::nullopt;
  }
  const Refusal refusal{static_cast<RefusalReason>(bytes[kReasonAt]),
                        std::string(bytes.substr(kPoolAt))};
  switch (refusal.reason) {
    case RefusalReason::kPool:
      if (IsPoolName(refusal.pool)) return refusal;
      return std::nullopt;
    case RefusalReason::kVersion:
    case RefusalReason::kNotEncrypted:
    case RefusalReason::kEncrypted:
    case RefusalReason::kNoKeyFits:
      if (refusal.pool.empty()) return refusal;
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace consul::gossip
