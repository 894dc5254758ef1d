// Goal: no text crashes the decoder of base64, an error names a byte of it, and whatever is encoded
// is decoded again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/base/base64.h"

namespace {

using consul::base::DecodeBase64;
using consul::base::EncodeBase64;

void Require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto decoded = DecodeBase64(text);
  if (decoded.ok()) {
    // But for line ends, and for bits that padding throws away, there is one text of some bytes.
    const std::string again = EncodeBase64(*decoded);
    Require(again.size() <= text.size());
    Require(*DecodeBase64(again) == *decoded);
  } else {
    constexpr std::string_view kText = "illegal base64 data at input byte ";
    const std::string message(decoded.status().message());
    Require(absl::IsInvalidArgument(decoded.status()) && message.starts_with(kText));
    Require(std::stoull(message.substr(kText.size())) <= size);
  }
  const std::string encoded = EncodeBase64(text);
  Require(encoded.size() == (size + 2) / 3 * 4);
  const auto back = DecodeBase64(encoded);
  Require(back.ok() && *back == text);
  return 0;
}
