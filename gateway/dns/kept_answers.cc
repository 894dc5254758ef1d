#include "gateway/dns/kept_answers.h"

#include <array>
#include <cstring>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gateway::dns {
namespace {

constexpr uint8_t kRecursionDesired = 0x01;   // in the third byte of a message
constexpr uint8_t kCheckingDisabled = 0x10;   // in the fourth
constexpr uint8_t kDnssecOk = 0x80;           // in the seventh byte behind the start of OPT
constexpr size_t kOptSizeOffset = 3;          // behind the root and the type
constexpr size_t kOptFlagsOffset = 7;         // behind these, the size, extended rcode and version

// Lower-case name, type, transport and presence of EDNS.
class Key {
 public:
  Key(const Query& query, Transport transport) {
    const std::span<const uint8_t> name = query.name_lower.wire();
    std::memcpy(bytes_.data(), name.data(), name.size());
    size_ = name.size();
    const uint16_t type = static_cast<uint16_t>(query.question.type);
    bytes_[size_++] = static_cast<char>(type >> 8);
    bytes_[size_++] = static_cast<char>(type);
    bytes_[size_++] = static_cast<char>((transport == Transport::kTcp ? 2 : 0) |
                                        (query.edns.has_value() ? 1 : 0));
  }
  absl::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, kNameBytesMax + 3> bytes_;
  size_t size_;
};

bool Keepable(const Query& query) {
  return query.question.klass == Class::kIn && (!query.edns || query.edns->version == 0);
}

void Put16(uint16_t value, uint8_t* out) {
  out[0] = static_cast<uint8_t>(value >> 8);
  out[1] = static_cast<uint8_t>(value);
}

uint8_t WithBit(uint8_t byte, uint8_t bit, bool set) {
  return static_cast<uint8_t>(set ? byte | bit : byte & ~bit);
}

}  // namespace

KeptAnswers::KeptAnswers(size_t answers_max, size_t bytes_max)
    : answers_max_(answers_max), bytes_max_(bytes_max) {
  CONSUL_CHECK(answers_max > 0);
  CONSUL_CHECK(bytes_max >= kKeptAnswerBytesMax);
}

size_t KeptAnswers::Find(const Query& query, Transport transport, uint32_t serial,
                         std::span<uint8_t> out) {
  if (!Keepable(query)) return 0;
  const Key key(query, transport);
  const auto it = index_.find(key.view());
  if (it == index_.end()) return 0;
  Answer& answer = At(it->second);
  if (!answer.validity->holds()) {
    Empty(&answer);
    index_.erase(it);
    return 0;
  }
  const size_t bytes = answer.bytes.size();
  if (bytes > out.size()) return 0;
  uint8_t* const message = out.data();
  std::memcpy(message, answer.bytes.data(), bytes);
  Put16(query.header.id, message);
  message[2] = WithBit(message[2], kRecursionDesired, query.header.recursion_desired);
  message[3] = WithBit(message[3], kCheckingDisabled, query.header.checking_disabled);
  const std::span<const uint8_t> name = query.question.name.wire();
  std::memcpy(message + kHeaderBytes, name.data(), name.size());
  if (answer.serial_offset != 0) {
    Put16(static_cast<uint16_t>(serial >> 16), message + answer.serial_offset);
    Put16(static_cast<uint16_t>(serial), message + answer.serial_offset + 2);
  }
  if (answer.opt_offset != 0) {
    uint8_t* const opt = message + answer.opt_offset;
    Put16(query.edns->udp_bytes, opt + kOptSizeOffset);
    opt[kOptFlagsOffset] = WithBit(opt[kOptFlagsOffset], kDnssecOk, query.edns->dnssec_ok);
  }
  return bytes;
}

void KeptAnswers::Keep(const Query& query, Transport transport, const Response& response,
                       std::span<const uint8_t> bytes,
                       std::shared_ptr<const rpc::Validity> validity) {
  if (validity == nullptr || !validity->holds() || response.cut || !Keepable(query)) return;
  if (bytes.empty() || bytes.size() > kKeptAnswerBytesMax) return;
  const Key key(query, transport);
  if (const auto it = index_.find(key.view()); it != index_.end()) {
    Empty(&At(it->second));
    index_.erase(it);
  }
  while (answers_.size() >= answers_max_ || bytes_ + bytes.size() > bytes_max_) DropOldest();
  index_.emplace(key.view(), first_number_ + answers_.size());
  answers_.push_back({.key = std::string(key.view().data(), key.view().size()),
                      .bytes = {bytes.begin(), bytes.end()},
                      .validity = std::move(validity),
                      .serial_offset = response.serial_offset,
                      .opt_offset = response.opt_offset});
  bytes_ += bytes.size();
}

void KeptAnswers::Clear() {
  while (!answers_.empty()) DropOldest();
}

void KeptAnswers::Empty(Answer* answer) {
  bytes_ -= answer->bytes.size();
  answer->bytes = {};
  answer->key = {};
  answer->validity.reset();
}

void KeptAnswers::DropOldest() {
  CONSUL_CHECK(!answers_.empty());
  Answer& oldest = answers_.front();
  if (!oldest.bytes.empty()) {
    index_.erase(oldest.key);
    Empty(&oldest);
  }
  answers_.pop_front();
  ++first_number_;
}

}  // namespace consul::gateway::dns
