// gateway/dns/message.h
//
// Reading of DNS messages: the header, questions and records of any message, and the one question
// of a query with its EDNS record. Everything is read in place and bounded; nothing is allocated.
// Writing is encoder.h's.
//
// Threads: pure functions and value types.
#ifndef CONSUL_GATEWAY_DNS_MESSAGE_H_
#define CONSUL_GATEWAY_DNS_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "gateway/dns/name.h"
#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// Records of a query that are passed over before it counts as malformed. Real ones carry an OPT and
// at most a signature.
inline constexpr int kQueryRecordsMax = 16;

struct Header {
  uint16_t id = 0;
  bool response = false;             // QR
  Opcode opcode = Opcode::kQuery;    // any four bits
  bool authoritative = false;        // AA
  bool truncated = false;            // TC
  bool recursion_desired = false;    // RD
  bool recursion_available = false;  // RA
  bool authentic_data = false;       // AD
  bool checking_disabled = false;    // CD
  uint8_t rcode = 0;                 // the lower four bits
  uint16_t questions = 0;
  uint16_t answers = 0;
  uint16_t authorities = 0;
  uint16_t additionals = 0;
};

struct Question {
  Name name;
  Type type = Type::kA;
  Class klass = Class::kIn;
};

struct Record {
  Name owner;
  Type type = Type::kA;
  uint16_t klass = 0;
  uint32_t ttl_s = 0;
  size_t data_offset = 0;  // in the message: names within the data may point out of it
  size_t data_bytes = 0;   // data_offset + data_bytes lies within the message
};

// Reads a message from front to back. Each call is false when the message ends too early or has a
// bad name; the reader is then of no further use. `message` must outlive it.
class MessageReader {
 public:
  explicit MessageReader(std::span<const uint8_t> message) : message_(message) {}

  bool ReadHeader(Header* header);
  bool ReadQuestion(Question* question);
  bool ReadRecord(Record* record);

  // Bytes not read yet.
  size_t remaining() const { return message_.size() - offset_; }

 private:
  bool ReadU16(uint16_t* value);
  bool ReadU32(uint32_t* value);

  const std::span<const uint8_t> message_;
  size_t offset_ = 0;
};

// What the OPT record of a query says (RFC 6891 6.1.3). Options, client subnet among them, are
// passed over: RFC 7871 7.1.1 lets a server that does not use it answer as if it were not there.
struct Edns {
  uint8_t version = 0;
  uint16_t udp_bytes = 0;  // as sent; values under 512 mean 512
  bool dnssec_ok = false;  // DO, which an answer copies (RFC 3225 3)
};

struct Query {
  Header header;
  Question question;
  Name name_lower;  // of the question
  std::optional<Edns> edns;
};

enum class QueryStatus {
  kOk,
  kDrop,     // too short for a header, or a response: answering it could make a loop
  kFormErr,  // header is set, the rest is not
  kNotImp,   // an opcode other than QUERY: header is set, the rest is not
};

// Reads a query: one question, any records, at most one OPT, and nothing behind them.
QueryStatus DecodeQuery(std::span<const uint8_t> message, Query* query);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_MESSAGE_H_
