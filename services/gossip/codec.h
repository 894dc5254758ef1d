// services/gossip/codec.h
//
// What is around a gossip message on the wire: version, pool, and either a checksum or, under a
// keyring, AES-GCM. Swim and Cluster give and take plain messages; the driver seals them before a
// socket and opens them behind one. A frame of a stream is sealed the same way (stream_codec.h).
//
// Nothing of a packet is believed before its checksum or its tag was found right, except that it is
// of another version or pool, or not encrypted as ours are: those are told apart for the log.
//
// Threads: one at a time; contexts and buffers are used again from packet to packet.
// Background: services/gossip/format.md, "Packets".
#ifndef CONSUL_SERVICES_GOSSIP_CODEC_H_
#define CONSUL_SERVICES_GOSSIP_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/keyring.h"
#include "services/gossip/refusal.h"

struct evp_cipher_ctx_st;

namespace consul::gossip {

// Which pool a packet is of: a hash of the pool's name. It stops pools from growing together where
// somebody joins the wrong port; it is no secret. On the wire: frozen.
struct PoolLabel {
  uint32_t value = 0;
  friend constexpr auto operator<=>(PoolLabel, PoolLabel) = default;
};

// "lan:DATACENTER", "wan".
std::string LanPoolName(std::string_view datacenter);
std::string WanPoolName();
PoolLabel LabelOfPool(std::string_view name);

// What GCM takes as its nonce. With random ones two of N packets under one key share theirs with a
// chance of N^2 / 2^97: format.md says when to change keys.
inline constexpr size_t kNonceBytes = 12;
using Nonce = std::span<uint8_t, kNonceBytes>;
// Fills the nonce. Never the same bytes twice, for one key on any machine.
using NonceSource = std::function<void(Nonce)>;

// From the generator of OpenSSL, drawn some at a time. For one thread.
NonceSource RandomNonces();

// Why a packet was not opened.
enum class OpenResult : uint8_t {
  kOk,
  kTooShort,
  kTooLong,
  kVersion,       // of the packet format, or flags of a later one
  kLabel,         // another pool
  kChecksum,      // plain, and damaged
  kNotEncrypted,  // plain, and we want encryption
  kEncryptedWithoutKeyring,
  kNoKeyFits,  // encrypted with a key that we do not have, or damaged
};

// Whether something is a datagram or a frame; a frame never passes for a datagram, nor the reverse.
enum class PacketKind : uint8_t { kDatagram, kFrame };

struct CodecOptions {
  std::string pool;                // its name
  std::optional<Keyring> keyring;  // nullopt: nothing is encrypted
  // For switching encryption on in a pool that runs, one agent at a time: first both false with the
  // keyring everywhere, then verify_outgoing true everywhere, then verify_incoming.
  bool verify_incoming = true;  // false: plain packets are taken although there is a keyring
  bool verify_outgoing = true;  // false: packets are plain although there is a keyring
  NonceSource nonces;           // REQUIRED
};

class Codec {
 public:
  static constexpr uint8_t kVersion = 1;
  static constexpr size_t kHeaderBytes = 6;
  static constexpr size_t kChecksumBytes = 4;
  static constexpr size_t kTagBytes = 16;
  static constexpr size_t kOverheadMin = kHeaderBytes + kChecksumBytes;
  static constexpr size_t kOverheadMax = kHeaderBytes + kNonceBytes + kTagBytes;
  // With the headers of IPv6 (40) and UDP (8) within the 1500 bytes of an Ethernet frame, and 52
  // left for tunnels.
  static constexpr size_t kDatagramBytesMax = 1400;
  // What a message may have. The same with and without encryption, so that switching it on changes
  // nothing above.
  static constexpr size_t kPlainMax = kDatagramBytesMax - kOverheadMax;

  // REQUIRES: options.nonces is there.
  explicit Codec(CodecOptions options);
  ~Codec();
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;

  // From the next packet on.
  void SetKeyring(std::optional<Keyring> keyring);
  const std::optional<Keyring>& keyring() const { return options_.keyring; }
  // Whether Seal encrypts.
  bool encrypts() const { return options_.keyring.has_value() && options_.verify_outgoing; }
  PoolLabel label() const { return label_; }
  const std::string& pool() const { return options_.pool; }

  // Replaces `wire` by the datagram of `plain`. Allocates nothing once `wire` has grown.
  // REQUIRES: plain.size() <= kPlainMax.
  void Seal(std::string_view plain, std::string* wire);

  // Replaces `plain` by what `wire` holds; by nothing unless the result is kOk.
  OpenResult Open(std::string_view wire, std::string* plain);

  // A sentence for the log about a `wire` that was not opened. Holds nothing of its contents.
  // REQUIRES: result != kOk.
  std::string Explain(OpenResult result, std::string_view wire) const;
  // The same for who was refused: what the other found, as seen from here.
  std::string Explain(const Refusal& refusal) const;

  // ---- For StreamCodec. `context` is bytes that both sides know and that do not travel; who opens
  // must give what who sealed gave.

  // Appends to `wire`.
  void SealAs(PacketKind kind, std::string_view context, std::string_view plain, std::string* wire);
  OpenResult OpenAs(PacketKind kind, std::string_view context, std::string_view wire,
                    std::string* plain);
  // What the first kHeaderBytes alone tell. REQUIRES: so many are there.
  OpenResult CheckHeader(PacketKind kind, std::string_view wire) const;
  // The nonce of an encrypted packet that was sealed or opened; empty when it is plain.
  static std::string_view NonceOf(std::string_view wire);

 private:
  struct FreeContext {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  using CipherContext = std::unique_ptr<evp_cipher_ctx_st, FreeContext>;

  static CipherContext MakeContext(const Key& key, bool encrypt);
  void SealEncrypted(std::string_view header, std::string_view context, std::string_view plain,
                     char* to);
  static bool OpenEncrypted(evp_cipher_ctx_st* cipher, std::string_view context,
                            std::string_view wire, std::string* plain);

  CodecOptions options_;
  const PoolLabel label_;
  CipherContext sealing_;               // with the primary key
  std::vector<CipherContext> opening_;  // one for each key, in their order
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CODEC_H_
