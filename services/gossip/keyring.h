// services/gossip/keyring.h
//
// The keys that a pool's packets are encrypted with: some that are decoded with, of which the first
// is encoded with. More than one only while keys are being changed: install the new one everywhere,
// use it everywhere, remove the old one everywhere, and no packet is lost in between.
//
// The bytes of a key are wiped when it is destroyed, and nothing here puts them into an error.
//
// Threads: pure value types.
// Background: services/gossip/format.md, "Keys".
#ifndef CONSUL_SERVICES_GOSSIP_KEYRING_H_
#define CONSUL_SERVICES_GOSSIP_KEYRING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace consul::gossip {

// A key of AES-128, AES-192 or AES-256.
class Key {
 public:
  static constexpr size_t kBytesMax = 32;
  // Base64 of the longest key with room for line ends; longer text is refused unread.
  static constexpr size_t kTextBytesMax = 64;

  // INVALID_ARGUMENT that names the size, unless there are 16, 24 or 32 bytes.
  static absl::StatusOr<Key> FromBytes(std::string_view bytes);
  // Standard base64 with padding, as `consul keygen` prints it. INVALID_ARGUMENT says what is wrong
  // without a byte of it.
  static absl::StatusOr<Key> FromBase64(std::string_view text);

  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
  ~Key();

  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), size_};
  }
  // A copy that nobody wipes: for the operator and the keyring file.
  std::string ToBase64() const;

  // In a time that does not tell where they differ.
  friend bool operator==(const Key& a, const Key& b);

 private:
  Key() = default;

  std::array<uint8_t, kBytesMax> bytes_{};
  size_t size_ = 0;
};

// Never empty: a pool without encryption has no keyring. Error texts begin as the reference's.
class Keyring {
 public:
  // A packet that no key fits is tried with each of them.
  static constexpr size_t kKeysMax = 16;

  explicit Keyring(const Key& primary) : keys_{primary} {}

  // Keys that are there twice are taken once. RESOURCE_EXHAUSTED over kKeysMax.
  static absl::StatusOr<Keyring> Create(const Key& primary, std::span<const Key> others);

  // Decode with `key`, too. Nothing changes where it is there already. RESOURCE_EXHAUSTED when
  // there are kKeysMax.
  absl::Status Install(const Key& key);
  // Encode with `key`. NOT_FOUND unless it is installed.
  absl::Status Use(const Key& key);
  // Nothing changes where it is not there. FAILED_PRECONDITION for the primary key.
  absl::Status Remove(const Key& key);

  bool has(const Key& key) const;
  const Key& primary() const { return keys_.front(); }
  // The primary first, the others by the time of their installation.
  const std::vector<Key>& keys() const { return keys_; }

  friend bool operator==(const Keyring&, const Keyring&) = default;

 private:
  std::vector<Key> keys_;
};

// Fills memory that held a secret with zeros, in a way that is not optimised away.
void Wipe(std::string* secret);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_KEYRING_H_
