#include "services/base/sha256.h"

#include <openssl/evp.h>

#include "services/base/check.h"

namespace consul::base {

void Sha256::FreeContext::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CONSUL_CHECK(context_ != nullptr);
  CONSUL_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::Add(std::string_view bytes) {
  CONSUL_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::Finish() {
  unsigned char sum[kBytes];
  CONSUL_CHECK(EVP_DigestFinal_ex(context_.get(), sum, nullptr) == 1);
  return std::string(reinterpret_cast<const char*>(sum), kBytes);
}

std::string Sha256::Hex(std::string_view sum) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * sum.size());
  for (const char c : sum) {
    text.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    text.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return text;
}

}  // namespace consul::base
