#include "services/gossip/codec.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/little_endian.h"
#include "services/base/strings.h"

namespace consul::gossip {
namespace {

// Flags on the wire: frozen.
constexpr uint8_t kFlagEncrypted = 1;
constexpr uint8_t kFlagFrame = 2;

constexpr size_t kFlagsAt = 1;
constexpr size_t kLabelAt = 2;
static_assert(kLabelAt + sizeof(uint32_t) == Codec::kHeaderBytes);

uint8_t FlagsOf(PacketKind kind) { return kind == PacketKind::kFrame ? kFlagFrame : 0; }

uint8_t FlagsIn(std::string_view wire) { return static_cast<uint8_t>(wire[kFlagsAt]); }
PoolLabel LabelIn(std::string_view wire) {
  return PoolLabel{base::LoadLittleEndian<uint32_t>(wire.data() + kLabelAt)};
}

uint32_t Checksum(std::string_view header, std::string_view context, std::string_view plain) {
  return base::ExtendCrc32c(base::ExtendCrc32c(base::Crc32c(header), context), plain);
}

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// The reference's words, which both ends say of what the other one sent.
constexpr char kRemoteIsEncrypted[] =
    "Remote state is encrypted and encryption is not configured";
constexpr char kRemoteIsNotEncrypted[] =
    "Encryption is configured but remote state is not encrypted";
constexpr char kNoKeyFits[] = "No installed keys could decrypt the message";

// Every packet draws from this instead of asking the generator, which costs more than the cipher.
class NonceBuffer {
 public:
  void Draw(Nonce nonce) {
    if (next_ == bytes_.size()) {
      CONSUL_CHECK(RAND_bytes(bytes_.data(), static_cast<int>(bytes_.size())) == 1);
      next_ = 0;
    }
    std::memcpy(nonce.data(), bytes_.data() + next_, kNonceBytes);
    next_ += kNonceBytes;
  }

 private:
  std::array<uint8_t, 64 * kNonceBytes> bytes_;
  size_t next_ = bytes_.size();
};

}  // namespace

std::string LanPoolName(std::string_view datacenter) { return base::StrCat("lan:", datacenter); }
std::string WanPoolName() { return "wan"; }
PoolLabel LabelOfPool(std::string_view name) { return PoolLabel{base::Crc32c(name)}; }

NonceSource RandomNonces() {
  return [buffer = std::make_shared<NonceBuffer>()](Nonce nonce) { buffer->Draw(nonce); };
}

void Codec::FreeContext::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);  // wipes the key's schedule
}

Codec::Codec(CodecOptions options)
    : options_(std::move(options)), label_(LabelOfPool(options_.pool)) {
  CONSUL_CHECK(options_.nonces != nullptr);
  SetKeyring(std::move(options_.keyring));
}

Codec::~Codec() = default;

Codec::CipherContext Codec::MakeContext(const Key& key, bool encrypt) {
  const EVP_CIPHER* cipher = key.bytes().size() == 16   ? EVP_aes_128_gcm()
                             : key.bytes().size() == 24 ? EVP_aes_192_gcm()
                                                        : EVP_aes_256_gcm();
  CipherContext context(EVP_CIPHER_CTX_new());
  CONSUL_CHECK(context != nullptr);
  // The nonce is set for each packet; 12 bytes are what GCM takes without being told.
  CONSUL_CHECK(EVP_CipherInit_ex(context.get(), cipher, nullptr, Bytes(key.bytes()), nullptr,
                                 encrypt ? 1 : 0) == 1);
  return context;
}

void Codec::SetKeyring(std::optional<Keyring> keyring) {
  options_.keyring = std::move(keyring);
  sealing_.reset();
  opening_.clear();
  if (!options_.keyring.has_value()) return;
  sealing_ = MakeContext(options_.keyring->primary(), true);
  for (const Key& key : options_.keyring->keys()) opening_.push_back(MakeContext(key, false));
}

void Codec::Seal(std::string_view plain, std::string* wire) {
  CONSUL_CHECK(plain.size() <= kPlainMax);
  wire->clear();
  SealAs(PacketKind::kDatagram, {}, plain, wire);
}

OpenResult Codec::Open(std::string_view wire, std::string* plain) {
  return OpenAs(PacketKind::kDatagram, {}, wire, plain);
}

void Codec::SealAs(PacketKind kind, std::string_view context, std::string_view plain,
                   std::string* wire) {
  const bool encrypted = encrypts();
  const size_t begin = wire->size();
  wire->resize(begin + (encrypted ? kOverheadMax : kOverheadMin) + plain.size());
  char* const to = wire->data() + begin;
  to[0] = static_cast<char>(kVersion);
  to[kFlagsAt] = static_cast<char>(FlagsOf(kind) | (encrypted ? kFlagEncrypted : 0));
  base::StoreLittleEndian(label_.value, to + kLabelAt);
  const std::string_view header(to, kHeaderBytes);
  if (encrypted) {
    SealEncrypted(header, context, plain, to + kHeaderBytes);
    return;
  }
  base::StoreLittleEndian(Checksum(header, context, plain), to + kHeaderBytes);
  plain.copy(to + kOverheadMin, plain.size());
}

void Codec::SealEncrypted(std::string_view header, std::string_view context,
                          std::string_view plain, char* to) {
  auto* const nonce = reinterpret_cast<uint8_t*>(to);
  uint8_t* const text = nonce + kNonceBytes;
  options_.nonces(Nonce(nonce, kNonceBytes));
  EVP_CIPHER_CTX* const cipher = sealing_.get();
  int size = 0;
  bool ok = EVP_EncryptInit_ex(cipher, nullptr, nullptr, nullptr, nonce) == 1 &&
            EVP_EncryptUpdate(cipher, nullptr, &size, Bytes(header),
                              static_cast<int>(header.size())) == 1;
  if (!context.empty()) {
    ok = ok && EVP_EncryptUpdate(cipher, nullptr, &size, Bytes(context),
                                 static_cast<int>(context.size())) == 1;
  }
  if (!plain.empty()) {
    ok = ok && EVP_EncryptUpdate(cipher, text, &size, Bytes(plain),
                                 static_cast<int>(plain.size())) == 1;
  }
  uint8_t* const tag = text + plain.size();
  ok = ok && EVP_EncryptFinal_ex(cipher, tag, &size) == 1 &&
       EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1;
  CONSUL_CHECK(ok);
}

OpenResult Codec::CheckHeader(PacketKind kind, std::string_view wire) const {
  CONSUL_CHECK(wire.size() >= kHeaderBytes);
  if (static_cast<uint8_t>(wire[0]) != kVersion) return OpenResult::kVersion;
  if ((FlagsIn(wire) & ~kFlagEncrypted) != FlagsOf(kind)) return OpenResult::kVersion;
  if (LabelIn(wire) != label_) return OpenResult::kLabel;
  if ((FlagsIn(wire) & kFlagEncrypted) != 0) {
    return options_.keyring.has_value() ? OpenResult::kOk : OpenResult::kEncryptedWithoutKeyring;
  }
  return options_.keyring.has_value() && options_.verify_incoming ? OpenResult::kNotEncrypted
                                                                  : OpenResult::kOk;
}

OpenResult Codec::OpenAs(PacketKind kind, std::string_view context, std::string_view wire,
                         std::string* plain) {
  plain->clear();
  if (wire.size() < kHeaderBytes) return OpenResult::kTooShort;
  if (const OpenResult result = CheckHeader(kind, wire); result != OpenResult::kOk) return result;
  const bool encrypted = (FlagsIn(wire) & kFlagEncrypted) != 0;
  const size_t overhead = encrypted ? kOverheadMax : kOverheadMin;
  if (wire.size() < overhead) return OpenResult::kTooShort;
  if (kind == PacketKind::kDatagram && wire.size() - overhead > kPlainMax) {
    return OpenResult::kTooLong;
  }
  if (encrypted) {
    for (const CipherContext& cipher : opening_) {
      if (OpenEncrypted(cipher.get(), context, wire, plain)) return OpenResult::kOk;
    }
    return OpenResult::kNoKeyFits;
  }
  const std::string_view payload = wire.substr(kOverheadMin);
  if (base::LoadLittleEndian<uint32_t>(wire.data() + kHeaderBytes) !=
      Checksum(wire.substr(0, kHeaderBytes), context, payload)) {
    return OpenResult::kChecksum;
  }
  plain->assign(payload);
  return OpenResult::kOk;
}

bool Codec::OpenEncrypted(evp_cipher_ctx_st* cipher, std::string_view context,
                          std::string_view wire, std::string* plain) {
  const std::string_view sealed =
      wire.substr(kHeaderBytes + kNonceBytes, wire.size() - kOverheadMax);
  std::array<uint8_t, kTagBytes> tag;
  std::memcpy(tag.data(), wire.data() + wire.size() - kTagBytes, kTagBytes);
  plain->resize(sealed.size());
  auto* const to = reinterpret_cast<uint8_t*>(plain->data());
  int size = 0;
  bool ok = EVP_DecryptInit_ex(cipher, nullptr, nullptr, nullptr,
                               Bytes(wire.substr(kHeaderBytes))) == 1 &&
            EVP_DecryptUpdate(cipher, nullptr, &size, Bytes(wire), kHeaderBytes) == 1;
  if (!context.empty()) {
    ok = ok && EVP_DecryptUpdate(cipher, nullptr, &size, Bytes(context),
                                 static_cast<int>(context.size())) == 1;
  }
  if (!sealed.empty()) {
    ok = ok && EVP_DecryptUpdate(cipher, to, &size, Bytes(sealed),
                                 static_cast<int>(sealed.size())) == 1;
  }
  ok = ok && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1;
  CONSUL_CHECK(ok);
  uint8_t rest[EVP_MAX_BLOCK_LENGTH];  // GCM leaves none
  if (EVP_DecryptFinal_ex(cipher, rest, &size) == 1) return true;
  plain->clear();
  return false;
}

std::string_view Codec::NonceOf(std::string_view wire) {
  if ((FlagsIn(wire) & kFlagEncrypted) == 0) return {};
  return wire.substr(kHeaderBytes, kNonceBytes);
}

std::string Codec::Explain(OpenResult result, std::string_view wire) const {
  const bool frame = wire.size() >= kHeaderBytes && (FlagsIn(wire) & kFlagFrame) != 0;
  const char* const what = frame ? "stream" : "packet";
  switch (result) {
    case OpenResult::kOk: break;
    case OpenResult::kTooShort:
      return base::StrCat("Too short: ", wire.size(), " bytes, ", kOverheadMin, " at least");
    case OpenResult::kTooLong:
      return base::StrCat("Too long: ", wire.size(), " bytes, ", kDatagramBytesMax, " at most");
    case OpenResult::kVersion:
      if (static_cast<uint8_t>(wire[0]) == kVersion) {
        return absl::StrFormat("Flags 0x%02x of the packet format are not known", FlagsIn(wire));
      }
      return base::StrCat("Version ", static_cast<uint32_t>(static_cast<uint8_t>(wire[0])),
                          " of the packet format is not known, only ", uint32_t{kVersion});
    case OpenResult::kLabel: {
      // A hash is all that is known of a datacenter's name.
      const PoolLabel label = LabelIn(wire);
      const std::string theirs =
          label == LabelOfPool(WanPoolName())     ? "the WAN pool"
          : label_ == LabelOfPool(WanPoolName()) ? "a LAN pool"
                                                 : "the LAN pool of another datacenter";
      return absl::StrFormat("The %s is of %s (%08x), this agent is a member of %s", what, theirs,
                             label.value, options_.pool);
    }
    case OpenResult::kChecksum:
      return base::StrCat("The checksum of the ", what, " is wrong");
    case OpenResult::kNotEncrypted:
      return frame ? kRemoteIsNotEncrypted
                   : "Encryption is configured but the packet is not encrypted";
    case OpenResult::kEncryptedWithoutKeyring:
      return frame ? kRemoteIsEncrypted
                   : "The packet is encrypted and encryption is not configured";
    case OpenResult::kNoKeyFits:
      return kNoKeyFits;
  }
  CONSUL_CHECK(false);
}

std::string Codec::Explain(const Refusal& refusal) const {
  switch (refusal.reason) {
    case RefusalReason::kVersion:
      return base::StrCat("The other does not know version ", uint32_t{kVersion},
                          " of the packet format");
    case RefusalReason::kPool:
      return base::StrCat("The other is a member of ", refusal.pool, ", this agent of ",
                          options_.pool);
    case RefusalReason::kNotEncrypted:
      if (!options_.keyring.has_value()) return kRemoteIsEncrypted;
      return "Remote state is encrypted and encrypt_verify_outgoing is off";
    case RefusalReason::kEncrypted:
      return kRemoteIsNotEncrypted;
    case RefusalReason::kNoKeyFits:
      return kNoKeyFits;
  }
  CONSUL_CHECK(false);
}

}  // namespace consul::gossip
