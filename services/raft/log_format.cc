#include "services/raft/log_format.h"

#include <algorithm>
#include <array>

#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/little_endian.h"

namespace consul::raft {
namespace {

using base::AppendLittleEndian;
using base::LoadLittleEndian;
using base::StoreLittleEndian;

constexpr std::string_view kSegmentMagic = "consulog";
constexpr uint32_t kGroupMagic = 0x70724721;  // "!Grp"

uint32_t SaltedCrc(uint64_t salt, std::string_view bytes) {
  char seed[sizeof(salt)];
  StoreLittleEndian(salt, seed);
  return base::ExtendCrc32c(base::Crc32c({seed, sizeof(seed)}), bytes);
}

bool AllZero(std::string_view bytes) { return CountZeros(bytes) == bytes.size(); }

}  // namespace

// magic(8) crc(4) version(4) number(8) salt(8) size(8), zeros to the end of the page. The crc
// covers all that follows it.
std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string page(kSegmentMagic);
  AppendLittleEndian(uint32_t{0}, &page);
  AppendLittleEndian(kLogFormatVersion, &page);
  AppendLittleEndian(header.number, &page);
  AppendLittleEndian(header.salt, &page);
  AppendLittleEndian(header.size_bytes, &page);
  page.resize(kSegmentHeaderBytes, '\0');
  const uint32_t crc = base::Crc32c(std::string_view(page).substr(12));
  StoreLittleEndian(crc, page.data() + 8);
  return page;
}

std::optional<SegmentHeader> DecodeSegmentHeader(std::string_view page) {
  if (page.size() != kSegmentHeaderBytes || !page.starts_with(kSegmentMagic)) return std::nullopt;
  if (LoadLittleEndian<uint32_t>(page.data() + 8) != base::Crc32c(page.substr(12))) {
    return std::nullopt;
  }
  if (LoadLittleEndian<uint32_t>(page.data() + 12) != kLogFormatVersion) return std::nullopt;
  return SegmentHeader{.number = LoadLittleEndian<uint64_t>(page.data() + 16),
                       .salt = LoadLittleEndian<uint64_t>(page.data() + 24),
                       .size_bytes = LoadLittleEndian<uint64_t>(page.data() + 32)};
}

// magic(4) crc(4) sequence(8) body_bytes(4) records_count(4). The crc covers salt and what follows
// it.
std::string EncodeGroupHeader(const GroupHeader& header, uint64_t salt) {
  std::string bytes;
  AppendLittleEndian(kGroupMagic, &bytes);
  AppendLittleEndian(uint32_t{0}, &bytes);
  AppendLittleEndian(header.sequence.value, &bytes);
  AppendLittleEndian(header.body_bytes, &bytes);
  AppendLittleEndian(header.records_count, &bytes);
  const uint32_t crc = SaltedCrc(salt, std::string_view(bytes).substr(8));
  StoreLittleEndian(crc, bytes.data() + 4);
  return bytes;
}

std::optional<GroupHeader> DecodeGroupHeader(std::string_view bytes, uint64_t salt) {
  if (bytes.size() < kGroupHeaderBytes) return std::nullopt;
  bytes = bytes.substr(0, kGroupHeaderBytes);
  if (LoadLittleEndian<uint32_t>(bytes.data()) != kGroupMagic) return std::nullopt;
  if (LoadLittleEndian<uint32_t>(bytes.data() + 4) != SaltedCrc(salt, bytes.substr(8))) {
    return std::nullopt;
  }
  return GroupHeader{.sequence = {LoadLittleEndian<uint64_t>(bytes.data() + 8)},
                     .body_bytes = LoadLittleEndian<uint32_t>(bytes.data() + 16),
                     .records_count = LoadLittleEndian<uint32_t>(bytes.data() + 20)};
}

void GroupBuilder::Clear() {
  bytes_.resize(kGroupHeaderBytes);
  records_count_ = 0;
}

// crc(4) length(3) kind(1) index(8) term(8) payload, zeros to the next multiple of kLogAlignment.
// The crc covers salt and everything after it but the padding, which must be zero.
void GroupBuilder::Add(const Record& record, uint64_t salt) {
  CONSUL_CHECK(record.payload.size() <= kRecordPayloadBytesMax);
  const size_t begin = bytes_.size();
  AppendLittleEndian(uint32_t{0}, &bytes_);
  AppendLittleEndian(static_cast<uint32_t>(record.payload.size()) |
                         static_cast<uint32_t>(record.kind) << 24,
                     &bytes_);
  AppendLittleEndian(record.index.value, &bytes_);
  AppendLittleEndian(record.term.value, &bytes_);
  bytes_.append(record.payload);
  const uint32_t crc = SaltedCrc(salt, std::string_view(bytes_).substr(begin + 4));
  StoreLittleEndian(crc, bytes_.data() + begin);
  bytes_.resize(begin + RecordBytes(record.payload.size()), '\0');
  ++records_count_;
}

std::string_view GroupBuilder::Finish(GroupSequence sequence, uint64_t salt) {
  const uint64_t body_bytes = bytes_.size() - kGroupHeaderBytes;
  CONSUL_CHECK(body_bytes <= UINT32_MAX);
  const GroupHeader header{.sequence = sequence,
                           .body_bytes = static_cast<uint32_t>(body_bytes),
                           .records_count = records_count_};
  bytes_.replace(0, kGroupHeaderBytes, EncodeGroupHeader(header, salt));
  return bytes_;
}

void GroupBuilder::ShrinkTo(uint64_t bytes_max) {
  if (bytes_.capacity() <= bytes_max) return;
  Clear();
  bytes_.shrink_to_fit();
}

std::string ParseGroupBody(const GroupHeader& header, std::string_view body, uint64_t salt,
                           std::vector<Record>* records, uint64_t* bad_offset) {
  CONSUL_CHECK(body.size() == header.body_bytes);
  records->clear();
  uint64_t offset = 0;
  for (uint32_t i = 0; i < header.records_count; ++i) {
    *bad_offset = offset;
    if (body.size() - offset < kRecordHeaderBytes) return "the group ends within a record";
    const char* const at = body.data() + offset;
    const uint32_t word = LoadLittleEndian<uint32_t>(at + 4);
    const uint64_t length = word & kRecordPayloadBytesMax;
    if (body.size() - offset < RecordBytes(length)) return "the record is longer than its group";
    const std::string_view covered(at + 4, kRecordHeaderBytes - 4 + length);
    if (LoadLittleEndian<uint32_t>(at) != SaltedCrc(salt, covered)) {
      return "the record's checksum is wrong";
    }
    const uint64_t used = kRecordHeaderBytes + length;
    if (!AllZero({at + used, RecordBytes(length) - used})) return "the padding is not zero";
    records->push_back({.kind = static_cast<RecordKind>(word >> 24),
                        .index = {LoadLittleEndian<uint64_t>(at + 8)},
                        .term = {LoadLittleEndian<uint64_t>(at + 16)},
                        .payload = covered.substr(kRecordHeaderBytes - 4)});
    offset += RecordBytes(length);
  }
  *bad_offset = offset;
  return offset == body.size() ? "" : "the group is longer than its records";
}

std::optional<uint64_t> FindLaterGroup(std::string_view bytes, uint64_t begin,
                                       GroupSequence sequence, uint64_t salt) {
  for (uint64_t offset = begin; offset + kGroupHeaderBytes <= bytes.size();
       offset += kLogAlignment) {
    if (LoadLittleEndian<uint32_t>(bytes.data() + offset) != kGroupMagic) continue;
    const auto header = DecodeGroupHeader(bytes.substr(offset), salt);
    if (header.has_value() && header->sequence > sequence) return offset;
  }
  return std::nullopt;
}

uint64_t CountZeros(std::string_view bytes) {
  static constexpr std::array<char, 4096> kZeros{};
  uint64_t done = 0;
  while (done < bytes.size()) {
    const uint64_t size = std::min<uint64_t>(kZeros.size(), bytes.size() - done);
    if (std::memcmp(bytes.data() + done, kZeros.data(), size) != 0) break;
    done += size;
  }
  while (done < bytes.size() && bytes[done] == '\0') ++done;
  return done;
}

}  // namespace consul::raft
