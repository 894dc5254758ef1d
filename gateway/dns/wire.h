// gateway/dns/wire.h
//
// The numbers of the DNS protocol that this server speaks, under their names. They are on the wire
// and frozen: RFC 1035 (header, types, sizes), RFC 3596 (AAAA), RFC 2782 (SRV), RFC 6891 (EDNS).
//
// Threads: constants only.
#ifndef CONSUL_GATEWAY_DNS_WIRE_H_
#define CONSUL_GATEWAY_DNS_WIRE_H_

#include <cstddef>
#include <cstdint>

namespace consul::gateway::dns {

// Any 16-bit value may arrive, so switches over a Type need a default.
enum class Type : uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kOpt = 41,
  kIxfr = 251,
  kAxfr = 252,
  kAny = 255,
};

enum class Class : uint16_t { kIn = 1, kChaos = 3, kAny = 255 };

// Four bits.
enum class Opcode : uint8_t { kQuery = 0, kIquery = 1, kStatus = 2, kNotify = 4, kUpdate = 5 };

// Twelve bits with EDNS; the upper eight travel in the OPT record.
enum class Rcode : uint16_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16,
};

enum class Transport : uint8_t { kUdp, kTcp };

inline constexpr size_t kHeaderBytes = 12;
inline constexpr size_t kLabelBytesMax = 63;
inline constexpr size_t kNameBytesMax = 255;  // lengths and the root included
// Type and class behind a question's name.
inline constexpr size_t kQuestionTailBytes = 4;
// Type, class, TTL and length behind a record's owner name.
inline constexpr size_t kRecordTailBytes = 10;
// Root owner and an empty option list.
inline constexpr size_t kOptBytes = 1 + kRecordTailBytes;

// What a UDP client without EDNS can take (RFC 1035 4.2.1), and the least that EDNS can say.
inline constexpr size_t kUdpBytesPlain = 512;
// What we send in one datagram at most, whatever the client can take: larger ones travel in
// fragments, which get lost and can be forged (RFC 6891 6.2.5).
inline constexpr size_t kUdpBytesMax = 4096;
inline constexpr size_t kTcpBytesMax = 65535;

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_WIRE_H_
