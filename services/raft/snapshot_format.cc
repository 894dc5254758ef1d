#include "services/raft/snapshot_format.h"

#include <cstdio>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/little_endian.h"
#include "services/base/strings.h"

namespace consul::raft {
namespace {

using base::AppendLittleEndian;
using base::LoadLittleEndian;
using base::StoreLittleEndian;

constexpr std::string_view kMagic = "consulsn";
constexpr size_t kCrcOffset = 8;
constexpr size_t kCrcEnd = 12;
constexpr size_t kConfigurationBytesOffset = 60;
// Of the largest that Configuration::Encode gives: version, count, and kind, length, id of each.
constexpr size_t kConfigurationBytesMax =
    2 + Configuration::kMembersMax * (2 + Configuration::kIdBytesMax);
constexpr std::string_view kSuffix = ".snapshot";
constexpr size_t kIndexDigits = 20;  // of the largest index, so that names sort as indexes do

}  // namespace

uint64_t SnapshotHeader::header_bytes() const {
  return kSnapshotFixedBytes + configuration.configuration.Encode().size();
}

SnapshotMeta SnapshotHeader::Meta() const {
  char salt_text[32];
  std::snprintf(salt_text, sizeof(salt_text), "%016llx", static_cast<unsigned long long>(salt));
  return {.index = index,
          .term = term,
          .configuration = configuration,
          .id = base::StrCat(term.value, "-", index.value, "-", std::string_view(salt_text)),
          .size_bytes = header_bytes() + body_bytes + kSnapshotEnd.size()};
}

// magic(8) crc(4) version(4) index(8) term(8) salt(8) configuration's index(8) body_bytes(8)
// body_crc(4) configuration's bytes(4) configuration. The crc covers all that follows it.
std::string EncodeSnapshotHeader(const SnapshotHeader& header) {
  const std::string configuration = header.configuration.configuration.Encode();
  std::string bytes(kMagic);
  AppendLittleEndian(uint32_t{0}, &bytes);
  AppendLittleEndian(kSnapshotFileVersion, &bytes);
  AppendLittleEndian(header.index.value, &bytes);
  AppendLittleEndian(header.term.value, &bytes);
  AppendLittleEndian(header.salt, &bytes);
  AppendLittleEndian(header.configuration.index.value, &bytes);
  AppendLittleEndian(header.body_bytes, &bytes);
  AppendLittleEndian(header.body_crc, &bytes);
  AppendLittleEndian(static_cast<uint32_t>(configuration.size()), &bytes);
  bytes += configuration;
  StoreLittleEndian(base::Crc32c(std::string_view(bytes).substr(kCrcEnd)),
                    bytes.data() + kCrcOffset);
  return bytes;
}

absl::StatusOr<size_t> SnapshotHeaderBytes(std::string_view fixed) {
  CONSUL_CHECK(fixed.size() == kSnapshotFixedBytes);
  if (!fixed.starts_with(kMagic)) return absl::DataLossError("it does not begin as a snapshot");
  const auto size = LoadLittleEndian<uint32_t>(fixed.data() + kConfigurationBytesOffset);
  if (size > kConfigurationBytesMax) return absl::DataLossError("the header is damaged");
  return kSnapshotFixedBytes + size;
}

absl::StatusOr<SnapshotHeader> DecodeSnapshotHeader(std::string_view bytes) {
  const absl::Status damaged = absl::DataLossError("the header is damaged");
  if (bytes.size() < kSnapshotFixedBytes) return damaged;
  const auto size = SnapshotHeaderBytes(bytes.substr(0, kSnapshotFixedBytes));
  if (!size.ok()) return size.status();
  if (*size != bytes.size() ||
      LoadLittleEndian<uint32_t>(bytes.data() + kCrcOffset) !=
          base::Crc32c(bytes.substr(kCrcEnd))) {
    return damaged;
  }
  const auto version = LoadLittleEndian<uint32_t>(bytes.data() + kCrcEnd);
  if (version != kSnapshotFileVersion) {
    return absl::FailedPreconditionError(
        base::StrCat("version ", version, " is not known; this program reads version ",
                     kSnapshotFileVersion));
  }
  SnapshotHeader header;
  header.index = Index{LoadLittleEndian<uint64_t>(bytes.data() + 16)};
  header.term = Term{LoadLittleEndian<uint64_t>(bytes.data() + 24)};
  header.salt = LoadLittleEndian<uint64_t>(bytes.data() + 32);
  header.configuration.index = Index{LoadLittleEndian<uint64_t>(bytes.data() + 40)};
  header.body_bytes = LoadLittleEndian<uint64_t>(bytes.data() + 48);
  header.body_crc = LoadLittleEndian<uint32_t>(bytes.data() + 56);
  auto configuration = Configuration::Decode(bytes.substr(kSnapshotFixedBytes));
  if (!configuration.has_value() || configuration->empty()) {
    return absl::DataLossError("the configuration is not readable");
  }
  header.configuration.configuration = *std::move(configuration);
  // Each was, when an entry was committed at that index.
  if (header.term == Term{0} || header.configuration.index == Index{0} ||
      header.configuration.index > header.index ||
      header.index.value == std::numeric_limits<uint64_t>::max()) {
    return absl::DataLossError("the header makes no sense");
  }
  return header;
}

std::string SnapshotName(Index index) {
  char text[32];
  std::snprintf(text, sizeof(text), "%020llu", static_cast<unsigned long long>(index.value));
  return base::StrCat(std::string_view(text), kSuffix);
}

std::optional<Index> SnapshotIndex(std::string_view name) {
  if (name.size() != kIndexDigits + kSuffix.size() || !name.ends_with(kSuffix)) {
    return std::nullopt;
  }
  uint64_t index = 0;
  for (const char c : name.substr(0, kIndexDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    index = index * 10 + static_cast<uint64_t>(c - '0');
  }
  // One that no uint64 has came around.
  if (SnapshotName(Index{index}) != name) return std::nullopt;
  return Index{index};
}

}  // namespace consul::raft
