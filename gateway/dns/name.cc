#include "gateway/dns/name.h"

#include <cstdio>
#include <cstring>

#include "services/base/check.h"

namespace consul::gateway::dns {
namespace {

constexpr uint8_t kLabelTypeMask = 0xc0;
constexpr uint8_t kPointerType = 0xc0;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Reads one character of a label, escaped or not, at `*at`. Nothing for a bad escape.
std::optional<uint8_t> ReadCharacter(std::string_view text, size_t* at) {
  const char c = text[(*at)++];
  if (c != '\\') return static_cast<uint8_t>(c);
  if (*at >= text.size()) return std::nullopt;
  if (!IsDigit(text[*at])) return static_cast<uint8_t>(text[(*at)++]);
  if (*at + 3 > text.size() || !IsDigit(text[*at + 1]) || !IsDigit(text[*at + 2])) {
    return std::nullopt;
  }
  const int value =
      (text[*at] - '0') * 100 + (text[*at + 1] - '0') * 10 + (text[*at + 2] - '0');
  *at += 3;
  if (value > 255) return std::nullopt;
  return static_cast<uint8_t>(value);
}

void AppendCharacter(std::string* out, uint8_t octet) {
  if (octet == '.' || octet == '\\') {
    out->push_back('\\');
    out->push_back(static_cast<char>(octet));
  } else if (octet > 0x20 && octet < 0x7f) {
    out->push_back(static_cast<char>(octet));
  } else {
    char escaped[5];
    std::snprintf(escaped, sizeof(escaped), "\\%03d", octet);
    out->append(escaped);
  }
}

}  // namespace

// Collects the labels of a name while it is read.
class NameReader {
 public:
  explicit NameReader(Name* name) : name_(name) { name_->size_ = 0; }

  bool Take(const uint8_t* label, size_t bytes) {
    // One byte stays for the root.
    if (name_->size_ + bytes + 1 > kNameBytesMax) return false;
    std::memcpy(name_->bytes_ + name_->size_, label, bytes);
    name_->size_ += static_cast<uint8_t>(bytes);
    return true;
  }
  void End() { name_->bytes_[name_->size_++] = 0; }

 private:
  Name* const name_;
};

Name& Name::operator=(const Name& other) {
  size_ = other.size_;
  std::memmove(bytes_, other.bytes_, size_);
  return *this;
}

std::optional<Name> Name::FromText(std::string_view text) {
  Name name;
  if (text == ".") return name;
  if (text.empty()) return std::nullopt;
  size_t at = 0;
  while (at < text.size()) {
    std::string label;
    while (at < text.size() && text[at] != '.') {
      const std::optional<uint8_t> octet = ReadCharacter(text, &at);
      if (!octet) return std::nullopt;
      label.push_back(static_cast<char>(*octet));
    }
    if (!name.AppendLabel(label)) return std::nullopt;
    ++at;
  }
  return name;
}

void Name::Assign(std::span<const uint8_t> wire) {
  CONSUL_CHECK(wire.size() <= kNameBytesMax);
  CONSUL_CHECK(!wire.empty());
  std::memcpy(bytes_, wire.data(), wire.size());
  size_ = static_cast<uint8_t>(wire.size());
}

bool Name::AppendLabel(std::string_view label) {
  if (label.empty() || label.size() > kLabelBytesMax) return false;
  if (size_ + label.size() + 1 > kNameBytesMax) return false;
  bytes_[size_ - 1] = static_cast<uint8_t>(label.size());
  std::memcpy(bytes_ + size_, label.data(), label.size());
  size_ += static_cast<uint8_t>(label.size() + 1);
  bytes_[size_ - 1] = 0;
  return true;
}

bool Name::Append(const Name& suffix) {
  if (size_ - 1 + suffix.size_ > static_cast<int>(kNameBytesMax)) return false;
  std::memcpy(bytes_ + size_ - 1, suffix.bytes_, suffix.size_);
  size_ = static_cast<uint8_t>(size_ - 1 + suffix.size_);
  return true;
}

void Name::ToLower() {
  // Length octets are at most 63 and below 'A', so the whole of it can be lowered at once.
  static_assert(kLabelBytesMax < 'A');
  for (size_t i = 0; i < size_; ++i) bytes_[i] = LowerOctet(bytes_[i]);
}

std::string Name::ToText() const {
  if (root()) return ".";
  std::string text;
  for (size_t at = 0; bytes_[at] != 0;) {
    const size_t bytes = bytes_[at++];
    for (size_t i = 0; i < bytes; ++i) AppendCharacter(&text, bytes_[at++]);
    text.push_back('.');
  }
  return text;
}

bool SameName(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (LowerOctet(a[i]) != LowerOctet(b[i])) return false;
  }
  return true;
}

std::optional<size_t> FindSuffix(const Name& name, const Name& suffix) {
  if (suffix.size() > name.size()) return std::nullopt;
  const std::span<const uint8_t> wire = name.wire();
  const size_t start = name.size() - suffix.size();
  size_t at = 0;
  while (at < start) at += wire[at] + 1;
  if (at != start || !SameName(wire.subspan(start), suffix.wire())) return std::nullopt;
  return start;
}

bool ReadName(std::span<const uint8_t> message, size_t* offset, Name* name) {
  NameReader reader(name);
  size_t at = *offset;
  // Where the labels being read began: a pointer must lead before it.
  size_t segment = at;
  bool pointed = false;
  while (at < message.size()) {
    const uint8_t length = message[at];
    if (length == 0) {
      reader.End();
      if (!pointed) *offset = at + 1;
      return true;
    }
    if ((length & kLabelTypeMask) == kPointerType) {
      if (at + 2 > message.size()) return false;
      const size_t target = (static_cast<size_t>(length & ~kLabelTypeMask) << 8) | message[at + 1];
      if (target >= segment || target < kHeaderBytes) return false;
      if (!pointed) *offset = at + 2;
      pointed = true;
      at = segment = target;
      continue;
    }
    if ((length & kLabelTypeMask) != 0) return false;
    if (at + 1 + length > message.size()) return false;
    if (!reader.Take(message.data() + at, length + size_t{1})) return false;
    at += 1 + length;
  }
  return false;
}

}  // namespace consul::gateway::dns
