// Goal: no text and no message crashes the readers of domain names, and a name that one of them
// takes is a sound one that the other reads back. The first byte is the place in the message at
// which the name is read; the rest is the message, and the text.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/dns/name.h"

namespace {

namespace dns = consul::gateway::dns;
using dns::Name;

void Require(bool fact) {
  if (!fact) std::abort();
}

bool Same(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

void RequireSound(const Name& name) {
  const std::span<const uint8_t> wire = name.wire();
  Require(!wire.empty() && wire.size() <= dns::kNameBytesMax);
  size_t at = 0;
  while (wire[at] != 0) {
    Require(wire[at] <= dns::kLabelBytesMax);
    at += wire[at] + size_t{1};
    Require(at < wire.size());
  }
  Require(at + 1 == wire.size());
  // Its text is read as the same name.
  const std::optional<Name> again = Name::FromText(name.ToText());
  Require(again.has_value() && Same(again->wire(), wire));
  // So is its wire form, behind a header.
  std::vector<uint8_t> message(dns::kHeaderBytes, 0xff);
  message.insert(message.end(), wire.begin(), wire.end());
  Name read;
  size_t offset = dns::kHeaderBytes;
  Require(dns::ReadName(message, &offset, &read) && offset == message.size());
  Require(Same(read.wire(), wire));
  // Case makes no other name of it.
  Name lower = name;
  lower.ToLower();
  Require(dns::SameName(lower.wire(), wire));
  Require(dns::FindSuffix(name, lower) == size_t{0});
  Require(dns::FindSuffix(name, Name()) == name.size() - 1);
}

void RequireSuffix(const Name& name, const Name& suffix) {
  Name whole = name;
  if (!whole.Append(suffix)) {
    Require(Same(whole.wire(), name.wire()));
    Require(name.size() - 1 + suffix.size() > dns::kNameBytesMax);
    return;
  }
  RequireSound(whole);
  Require(dns::FindSuffix(whole, suffix) == name.size() - 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> message(data + 1, size - 1);
  std::optional<Name> read = Name();
  size_t offset = data[0];
  if (dns::ReadName(message, &offset, &*read)) {
    Require(offset > data[0] && offset <= message.size());
    RequireSound(*read);
  } else {
    read.reset();
  }
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::optional<Name> written = Name::FromText(text);
  if (written.has_value()) RequireSound(*written);
  if (written.has_value() && read.has_value()) RequireSuffix(*read, *written);
  return 0;
}
