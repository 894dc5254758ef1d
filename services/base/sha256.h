// services/base/sha256.h
//
// SHA-256 of bytes that come in pieces.
//
// Threads: one at a time.
#ifndef CONSUL_SERVICES_BASE_SHA256_H_
#define CONSUL_SERVICES_BASE_SHA256_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace consul::base {

class Sha256 {
 public:
  static constexpr size_t kBytes = 32;

  Sha256();
  void Add(std::string_view bytes);
  // kBytes of bytes. Nothing can be added afterwards.
  std::string Finish();
  // "e3b0c442...": the same as text.
  static std::string Hex(std::string_view sum);

 private:
  struct FreeContext {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, FreeContext> context_;
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_SHA256_H_
