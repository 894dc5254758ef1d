// gateway/dns/encoder.h
//
// Writes one response straight into the caller's buffer: header and question first, then records,
// with names compressed against all that was written (RFC 1035 4.1.4). An owner that is the name
// asked for becomes a pointer at the question and so keeps the question's case.
//
// A record either fits whole or is not written; the caller decides what that means (drop additional
// data, or SetTruncated). Room for the OPT record is kept back from the start.
//
// Threads: one owner. Nothing is allocated.
#ifndef CONSUL_GATEWAY_DNS_ENCODER_H_
#define CONSUL_GATEWAY_DNS_ENCODER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gateway/dns/message.h"
#include "gateway/dns/name.h"
#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// Data of a SOA record; its owner is the zone.
struct SoaData {
  Name primary;
  Name mailbox;
  uint32_t serial = 0;
  uint32_t refresh_s = 0;
  uint32_t retry_s = 0;
  uint32_t expire_s = 0;
  uint32_t minimum_s = 0;
};

enum class Section : uint8_t { kAnswer, kAuthority, kAdditional };

class Encoder {
 public:
  // Writes at most out.size() bytes. REQUIRES: kUdpBytesPlain <= out.size() <= kTcpBytesMax.
  explicit Encoder(std::span<uint8_t> out);

  // Starts the response to `query`: its id, opcode, RD, CD and question. RA stays 0.
  void Begin(const Query& query, Rcode rcode, bool authoritative);
  // Starts a response whose query could not be read past its header: no question, no OPT.
  void BeginWithoutQuestion(const Header& header, Rcode rcode);

  // Each appends one record of class IN. REQUIRES: sections in their order. False, and nothing
  // written, when it does not fit.
  bool AddA(Section section, const Name& owner, uint32_t ttl_s,
            std::span<const uint8_t, 4> address);
  bool AddAaaa(Section section, const Name& owner, uint32_t ttl_s,
               std::span<const uint8_t, 16> address);
  bool AddNs(Section section, const Name& owner, uint32_t ttl_s, const Name& target);
  bool AddCname(Section section, const Name& owner, uint32_t ttl_s, const Name& target);
  bool AddPtr(Section section, const Name& owner, uint32_t ttl_s, const Name& target);
  bool AddSoa(Section section, const Name& owner, uint32_t ttl_s, const SoaData& soa);
  // Splits `text` into strings of 255 bytes; an empty text is one empty string.
  bool AddTxt(Section section, const Name& owner, uint32_t ttl_s, std::string_view text);
  // The target is written in full: RFC 2782 allows no compression of it.
  bool AddSrv(Section section, const Name& owner, uint32_t ttl_s, uint16_t priority,
              uint16_t weight, uint16_t port, const Name& target);

  // Sets TC: required data did not fit (RFC 2181 9).
  void SetTruncated();

  // Writes the counts and, if the query had EDNS, the OPT record. Returns the message's length.
  // Nothing may be added afterwards.
  size_t Finish();

  // Where in the message the SOA's serial stands, 0 without one; the last when there are several.
  size_t serial_offset() const { return serial_offset_; }
  // Where the OPT record begins, 0 without one. Set by Finish.
  size_t opt_offset() const { return opt_offset_; }

 private:
  // Suffixes of names that later ones may point at; more than these are written out in full.
  static constexpr size_t kPlacesMax = 48;

  bool StartRecord(const Name& owner, Type type, uint32_t ttl_s);
  bool EndRecord(Section section);
  // Takes the record back that was started and returns false.
  bool TakeBack();
  bool AddTarget(Section section, const Name& owner, Type type, uint32_t ttl_s, const Name& target);
  bool PutName(std::span<const uint8_t> wire);
  bool PutNameInFull(std::span<const uint8_t> wire);
  bool PutU16(uint16_t value);
  bool PutU32(uint32_t value);
  bool PutBytes(std::span<const uint8_t> bytes);
  // The place of an already written name equal to `wire`, 0 when there is none.
  size_t FindPlace(std::span<const uint8_t> wire) const;
  bool NameAtEquals(size_t at, std::span<const uint8_t> wire) const;
  void RememberPlace(size_t at);

  const std::span<uint8_t> out_;
  size_t limit_;  // of what records may fill
  size_t size_ = 0;
  size_t record_start_ = 0;
  size_t data_start_ = 0;
  std::array<uint16_t, kPlacesMax> places_;
  size_t places_count_ = 0;
  size_t places_count_at_record_ = 0;
  std::array<uint16_t, 3> counts_{};
  size_t serial_offset_ = 0;
  size_t opt_offset_ = 0;
  bool has_edns_ = false;
  Edns edns_;
  Rcode rcode_ = Rcode::kNoError;
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_ENCODER_H_
