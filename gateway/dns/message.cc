#include "gateway/dns/message.h"

namespace consul::gateway::dns {
namespace {

// Reads the records behind the question. False when the message is malformed.
bool ReadQueryRecords(MessageReader* reader, Query* query) {
  const Header& header = query->header;
  const int others = header.answers + header.authorities;
  const int records = others + header.additionals;
  if (records > kQueryRecordsMax) return false;
  Record record;
  for (int i = 0; i < records; ++i) {
    if (!reader->ReadRecord(&record)) return false;
    if (record.type != Type::kOpt) continue;
    // RFC 6891 6.1.1: in the additional section, once, with the root as owner.
    if (i < others || query->edns || !record.owner.root()) return false;
    query->edns = Edns{.version = static_cast<uint8_t>(record.ttl_s >> 16),
                       .udp_bytes = record.klass,
                       .dnssec_ok = (record.ttl_s & 0x8000) != 0};
  }
  return true;
}

}  // namespace

bool MessageReader::ReadU16(uint16_t* value) {
  if (remaining() < 2) return false;
  *value = static_cast<uint16_t>(message_[offset_] << 8 | message_[offset_ + 1]);
  offset_ += 2;
  return true;
}

bool MessageReader::ReadU32(uint32_t* value) {
  uint16_t high = 0;
  uint16_t low = 0;
  if (!ReadU16(&high) || !ReadU16(&low)) return false;
  *value = static_cast<uint32_t>(high) << 16 | low;
  return true;
}

bool MessageReader::ReadHeader(Header* header) {
  uint16_t flags = 0;
  if (!ReadU16(&header->id) || !ReadU16(&flags) || !ReadU16(&header->questions) ||
      !ReadU16(&header->answers) || !ReadU16(&header->authorities) ||
      !ReadU16(&header->additionals)) {
    return false;
  }
  header->response = (flags & 0x8000) != 0;
  header->opcode = static_cast<Opcode>(flags >> 11 & 0xf);
  header->authoritative = (flags & 0x0400) != 0;
  header->truncated = (flags & 0x0200) != 0;
  header->recursion_desired = (flags & 0x0100) != 0;
  header->recursion_available = (flags & 0x0080) != 0;
  header->authentic_data = (flags & 0x0020) != 0;
  header->checking_disabled = (flags & 0x0010) != 0;
  header->rcode = flags & 0xf;
  return true;
}

bool MessageReader::ReadQuestion(Question* question) {
  uint16_t type = 0;
  uint16_t klass = 0;
  if (!ReadName(message_, &offset_, &question->name) || !ReadU16(&type) || !ReadU16(&klass)) {
    return false;
  }
  question->type = static_cast<Type>(type);
  question->klass = static_cast<Class>(klass);
  return true;
}

bool MessageReader::ReadRecord(Record* record) {
  uint16_t type = 0;
  uint16_t bytes = 0;
  if (!ReadName(message_, &offset_, &record->owner) || !ReadU16(&type) ||
      !ReadU16(&record->klass) || !ReadU32(&record->ttl_s) || !ReadU16(&bytes)) {
    return false;
  }
  if (remaining() < bytes) return false;
  record->type = static_cast<Type>(type);
  record->data_offset = offset_;
  record->data_bytes = bytes;
  offset_ += bytes;
  return true;
}

QueryStatus DecodeQuery(std::span<const uint8_t> message, Query* query) {
  MessageReader reader(message);
  query->edns.reset();
  if (!reader.ReadHeader(&query->header)) return QueryStatus::kDrop;
  if (query->header.response) return QueryStatus::kDrop;
  if (query->header.opcode != Opcode::kQuery) return QueryStatus::kNotImp;
  if (query->header.questions != 1) return QueryStatus::kFormErr;
  if (!reader.ReadQuestion(&query->question)) return QueryStatus::kFormErr;
  if (!ReadQueryRecords(&reader, query)) return QueryStatus::kFormErr;
  if (reader.remaining() != 0) return QueryStatus::kFormErr;
  query->name_lower = query->question.name;
  query->name_lower.ToLower();
  return QueryStatus::kOk;
}

}  // namespace consul::gateway::dns
