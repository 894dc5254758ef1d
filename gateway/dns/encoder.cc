#include "gateway/dns/encoder.h"

#include <algorithm>
#include <cstring>

#include "services/base/check.h"

namespace consul::gateway::dns {
namespace {

constexpr uint16_t kFlagResponse = 0x8000;
constexpr uint16_t kFlagAuthoritative = 0x0400;
constexpr uint8_t kFlagTruncatedHigh = 0x02;  // in the first of the two flag bytes
constexpr uint16_t kFlagRecursionDesired = 0x0100;
constexpr uint16_t kFlagCheckingDisabled = 0x0010;
// Places beyond this cannot be pointed at: a pointer has 14 bits.
constexpr size_t kPointerTargetsEnd = 0x4000;
constexpr size_t kTextStringBytesMax = 255;

uint16_t Flags(const Header& header, Rcode rcode, bool authoritative) {
  uint16_t flags = kFlagResponse;
  flags |= static_cast<uint16_t>(static_cast<uint16_t>(header.opcode) << 11);
  if (authoritative) flags |= kFlagAuthoritative;
  if (header.recursion_desired) flags |= kFlagRecursionDesired;
  if (header.checking_disabled) flags |= kFlagCheckingDisabled;
  return flags | (static_cast<uint16_t>(rcode) & 0xf);
}

}  // namespace

Encoder::Encoder(std::span<uint8_t> out) : out_(out), limit_(out.size()) {
  CONSUL_CHECK(out.size() >= kUdpBytesPlain);
  CONSUL_CHECK(out.size() <= kTcpBytesMax);
  // Header, the longest question and OPT always fit.
  static_assert(kHeaderBytes + kNameBytesMax + kQuestionTailBytes + kOptBytes < kUdpBytesPlain);
}

void Encoder::Begin(const Query& query, Rcode rcode, bool authoritative) {
  BeginWithoutQuestion(query.header, rcode);
  const uint16_t flags = Flags(query.header, rcode, authoritative);
  out_[2] = static_cast<uint8_t>(flags >> 8);
  out_[3] = static_cast<uint8_t>(flags);
  out_[5] = 1;
  if (query.edns) {
    has_edns_ = true;
    edns_ = *query.edns;
    limit_ -= kOptBytes;
  }
  PutName(query.question.name.wire());
  PutU16(static_cast<uint16_t>(query.question.type));
  PutU16(static_cast<uint16_t>(query.question.klass));
}

void Encoder::BeginWithoutQuestion(const Header& header, Rcode rcode) {
  CONSUL_CHECK(size_ == 0);
  rcode_ = rcode;
  PutU16(header.id);
  PutU16(Flags(header, rcode, false));
  for (int i = 0; i < 4; ++i) PutU16(0);
}

bool Encoder::StartRecord(const Name& owner, Type type, uint32_t ttl_s) {
  CONSUL_CHECK(size_ >= kHeaderBytes);
  record_start_ = size_;
  places_count_at_record_ = places_count_;
  const bool fits = PutName(owner.wire()) && PutU16(static_cast<uint16_t>(type)) &&
                    PutU16(static_cast<uint16_t>(Class::kIn)) && PutU32(ttl_s) && PutU16(0);
  data_start_ = size_;
  return fits;
}

bool Encoder::EndRecord(Section section) {
  const size_t bytes = size_ - data_start_;
  out_[data_start_ - 2] = static_cast<uint8_t>(bytes >> 8);
  out_[data_start_ - 1] = static_cast<uint8_t>(bytes);
  ++counts_[static_cast<size_t>(section)];
  return true;
}

bool Encoder::AddA(Section section, const Name& owner, uint32_t ttl_s,
                   std::span<const uint8_t, 4> address) {
  if (StartRecord(owner, Type::kA, ttl_s) && PutBytes(address)) return EndRecord(section);
  return TakeBack();
}

bool Encoder::AddAaaa(Section section, const Name& owner, uint32_t ttl_s,
                      std::span<const uint8_t, 16> address) {
  if (StartRecord(owner, Type::kAaaa, ttl_s) && PutBytes(address)) return EndRecord(section);
  return TakeBack();
}

bool Encoder::AddTarget(Section section, const Name& owner, Type type, uint32_t ttl_s,
                        const Name& target) {
  if (StartRecord(owner, type, ttl_s) && PutName(target.wire())) return EndRecord(section);
  return TakeBack();
}

bool Encoder::AddNs(Section section, const Name& owner, uint32_t ttl_s, const Name& target) {
  return AddTarget(section, owner, Type::kNs, ttl_s, target);
}

bool Encoder::AddCname(Section section, const Name& owner, uint32_t ttl_s, const Name& target) {
  return AddTarget(section, owner, Type::kCname, ttl_s, target);
}

bool Encoder::AddPtr(Section section, const Name& owner, uint32_t ttl_s, const Name& target) {
  return AddTarget(section, owner, Type::kPtr, ttl_s, target);
}

bool Encoder::AddSoa(Section section, const Name& owner, uint32_t ttl_s, const SoaData& soa) {
  if (!StartRecord(owner, Type::kSoa, ttl_s) || !PutName(soa.primary.wire()) ||
      !PutName(soa.mailbox.wire())) {
    return TakeBack();
  }
  const size_t serial_offset = size_;
  if (!PutU32(soa.serial) || !PutU32(soa.refresh_s) || !PutU32(soa.retry_s) ||
      !PutU32(soa.expire_s) || !PutU32(soa.minimum_s)) {
    return TakeBack();
  }
  serial_offset_ = serial_offset;
  return EndRecord(section);
}

bool Encoder::AddTxt(Section section, const Name& owner, uint32_t ttl_s, std::string_view text) {
  if (!StartRecord(owner, Type::kTxt, ttl_s)) return TakeBack();
  do {
    const size_t bytes = std::min(text.size(), kTextStringBytesMax);
    const uint8_t length = static_cast<uint8_t>(bytes);
    if (!PutBytes({&length, 1}) ||
        !PutBytes({reinterpret_cast<const uint8_t*>(text.data()), bytes})) {
      return TakeBack();
    }
    text.remove_prefix(bytes);
  } while (!text.empty());
  return EndRecord(section);
}

bool Encoder::AddSrv(Section section, const Name& owner, uint32_t ttl_s, uint16_t priority,
                     uint16_t weight, uint16_t port, const Name& target) {
  if (StartRecord(owner, Type::kSrv, ttl_s) && PutU16(priority) && PutU16(weight) &&
      PutU16(port) && PutNameInFull(target.wire())) {
    return EndRecord(section);
  }
  return TakeBack();
}

void Encoder::SetTruncated() { out_[2] |= kFlagTruncatedHigh; }

size_t Encoder::Finish() {
  for (size_t i = 0; i < counts_.size(); ++i) {
    uint16_t count = counts_[i];
    if (i == static_cast<size_t>(Section::kAdditional) && has_edns_) ++count;
    out_[6 + 2 * i] = static_cast<uint8_t>(count >> 8);
    out_[7 + 2 * i] = static_cast<uint8_t>(count);
  }
  if (has_edns_) {
    limit_ += kOptBytes;
    opt_offset_ = size_;
    const uint8_t root = 0;
    const uint32_t extended_rcode = static_cast<uint32_t>(rcode_) >> 4;
    PutBytes({&root, 1});
    PutU16(static_cast<uint16_t>(Type::kOpt));
    PutU16(edns_.udp_bytes);
    PutU32(extended_rcode << 24 | (edns_.dnssec_ok ? 0x8000 : 0));
    PutU16(0);
  }
  return size_;
}

bool Encoder::TakeBack() {
  size_ = record_start_;
  places_count_ = places_count_at_record_;
  return false;
}

bool Encoder::PutU16(uint16_t value) {
  const uint8_t bytes[2] = {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
  return PutBytes(bytes);
}

bool Encoder::PutU32(uint32_t value) {
  return PutU16(static_cast<uint16_t>(value >> 16)) && PutU16(static_cast<uint16_t>(value));
}

bool Encoder::PutBytes(std::span<const uint8_t> bytes) {
  if (size_ + bytes.size() > limit_) return false;
  if (!bytes.empty()) std::memcpy(out_.data() + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
  return true;
}

bool Encoder::PutName(std::span<const uint8_t> wire) {
  size_t at = 0;
  while (wire[at] != 0) {
    if (const size_t place = FindPlace(wire.subspan(at)); place != 0) {
      return PutU16(static_cast<uint16_t>(0xc000 | place));
    }
    const size_t start = size_;
    const size_t bytes = wire[at] + size_t{1};
    if (!PutBytes(wire.subspan(at, bytes))) return false;
    // Only now: a place whose first label is not there must not be compared with.
    RememberPlace(start);
    at += bytes;
  }
  return PutBytes(wire.subspan(at, 1));
}

bool Encoder::PutNameInFull(std::span<const uint8_t> wire) {
  const size_t start = size_;
  if (!PutBytes(wire)) return false;
  for (size_t at = 0; wire[at] != 0; at += wire[at] + size_t{1}) RememberPlace(start + at);
  return true;
}

void Encoder::RememberPlace(size_t at) {
  if (at < kPointerTargetsEnd && places_count_ < kPlacesMax) {
    places_[places_count_++] = static_cast<uint16_t>(at);
  }
}

size_t Encoder::FindPlace(std::span<const uint8_t> wire) const {
  for (size_t i = 0; i < places_count_; ++i) {
    if (NameAtEquals(places_[i], wire)) return places_[i];
  }
  return 0;
}

// Places hold names that this encoder wrote, so following their pointers ends.
bool Encoder::NameAtEquals(size_t at, std::span<const uint8_t> wire) const {
  size_t i = 0;
  while (at < size_) {
    const uint8_t length = out_[at];
    if ((length & 0xc0) == 0xc0) {
      at = static_cast<size_t>(length & 0x3f) << 8 | out_[at + 1];
      continue;
    }
    if (length != wire[i]) return false;
    if (length == 0) return true;
    if (!SameName(out_.subspan(at + 1, length), wire.subspan(i + 1, length))) return false;
    at += length + size_t{1};
    i += length + size_t{1};
  }
  return false;
}

}  // namespace consul::gateway::dns
