// gateway/dns/name.h
//
// A domain name: a value of at most 255 bytes in wire form, never on the heap. Names keep the case
// they were written in and compare without it, as RFC 1035 2.3.3 and RFC 4343 ask.
//
// Threads: value type.
#ifndef CONSUL_GATEWAY_DNS_NAME_H_
#define CONSUL_GATEWAY_DNS_NAME_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// The octet in lower case; only A to Z change (RFC 4343 3).
inline uint8_t LowerOctet(uint8_t octet) {
  return static_cast<uint8_t>(octet - 'A') < 26 ? octet | 0x20 : octet;
}

class Name {
 public:
  // The root.
  Name() { bytes_[0] = 0; }
  Name(const Name& other) { *this = other; }
  Name& operator=(const Name& other);

  // Reads the presentation form: labels between dots, `\.` and `\DDD` escapes (RFC 1035 5.1), the
  // last dot optional, "." for the root. Nothing for an empty label, a label over 63 bytes, a name
  // over 255 or a bad escape.
  static std::optional<Name> FromText(std::string_view text);

  // Takes labels in wire form, root included. REQUIRES: valid, no pointers, <= kNameBytesMax.
  void Assign(std::span<const uint8_t> wire);

  // Puts `label` before the root. False, and nothing changed, when it is empty or does not fit.
  bool AppendLabel(std::string_view label);
  // Puts the labels of `suffix` before the root. False, and nothing changed, when they do not fit.
  bool Append(const Name& suffix);

  void ToLower();

  // Labels and root, uncompressed.
  std::span<const uint8_t> wire() const { return {bytes_, size_}; }
  size_t size() const { return size_; }
  bool root() const { return size_ == 1; }

  // With the dot at the end; bytes outside printable ASCII as \DDD, dots in labels as `\.`.
  std::string ToText() const;

 private:
  friend class NameReader;

  uint8_t size_ = 1;
  uint8_t bytes_[kNameBytesMax];
};

// True when both are the same name, case aside.
bool SameName(std::span<const uint8_t> a, std::span<const uint8_t> b);

// The place in `name` where `suffix` begins at a label, case aside; nothing when it does not end
// so.
std::optional<size_t> FindSuffix(const Name& name, const Name& suffix);

// Reads the name at `*offset` of a message, following compression pointers, and moves `*offset`
// behind it. A pointer must lead to an earlier place behind the header, so that every chain ends.
// False when the name is not whole within `message`, exceeds 255 bytes, has a reserved label type
// (RFC 6891 5) or a pointer that leads forwards; `*offset` and `*name` are then unspecified.
bool ReadName(std::span<const uint8_t> message, size_t* offset, Name* name);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_NAME_H_
