#include "services/gossip/keyring.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "services/base/base64.h"
#include "services/base/strings.h"

namespace consul::gossip {

absl::StatusOr<Key> Key::FromBytes(std::string_view bytes) {
  if (bytes.size() != 16 && bytes.size() != 24 && bytes.size() != 32) {
    return absl::InvalidArgumentError(
        base::StrCat("key size must be 16, 24 or 32 bytes, not ", bytes.size()));
  }
  Key key;
  std::copy(bytes.begin(), bytes.end(), key.bytes_.begin());
  key.size_ = bytes.size();
  return key;
}

absl::StatusOr<Key> Key::FromBase64(std::string_view text) {
  if (text.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(
        base::StrCat("key size must be 16, 24 or 32 bytes; its base64 has ", text.size(),
                     " characters, ", kTextBytesMax, " at most"));
  }
  absl::StatusOr<std::string> bytes = base::DecodeBase64(text);
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<Key> key = FromBytes(*bytes);
  Wipe(&*bytes);
  return key;
}

Key::~Key() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

std::string Key::ToBase64() const { return base::EncodeBase64(bytes()); }

bool operator==(const Key& a, const Key& b) {
  // What lies behind a shorter key's end is zero.
  return a.size_ == b.size_ && CRYPTO_memcmp(a.bytes_.data(), b.bytes_.data(), Key::kBytesMax) == 0;
}

absl::StatusOr<Keyring> Keyring::Create(const Key& primary, std::span<const Key> others) {
  Keyring keyring(primary);
  for (const Key& key : others) {
    if (absl::Status status = keyring.Install(key); !status.ok()) return status;
  }
  return keyring;
}

absl::Status Keyring::Install(const Key& key) {
  if (has(key)) return absl::OkStatus();
  if (keys_.size() == kKeysMax) {
    return absl::ResourceExhaustedError(
        base::StrCat("The keyring is full: it holds ", kKeysMax, " keys at most"));
  }
  keys_.push_back(key);
  return absl::OkStatus();
}

absl::Status Keyring::Use(const Key& key) {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  if (found == keys_.end()) return absl::NotFoundError("Requested key is not in the keyring");
  std::rotate(keys_.begin(), found, found + 1);
  return absl::OkStatus();
}

absl::Status Keyring::Remove(const Key& key) {
  if (key == primary()) {
    return absl::FailedPreconditionError("Removing the primary key is not allowed");
  }
  std::erase(keys_, key);
  return absl::OkStatus();
}

bool Keyring::has(const Key& key) const {
  return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
}

void Wipe(std::string* secret) {
  OPENSSL_cleanse(secret->data(), secret->size());
  secret->clear();
}

}  // namespace consul::gossip
