#include "gateway/dns/dump.h"

#include <arpa/inet.h>

#include <string_view>

#include "gateway/dns/message.h"
#include "services/base/strings.h"

namespace consul::gateway::dns {
namespace {

using base::StrAppend;
using base::StrCat;

std::string OpcodeText(Opcode opcode) {
  switch (opcode) {
    case Opcode::kQuery: return "QUERY";
    case Opcode::kIquery: return "IQUERY";
    case Opcode::kStatus: return "STATUS";
    case Opcode::kNotify: return "NOTIFY";
    case Opcode::kUpdate: return "UPDATE";
  }
  return StrCat("OPCODE", static_cast<int>(opcode));
}

std::string ClassText(uint16_t klass) {
  switch (static_cast<Class>(klass)) {
    case Class::kIn: return "IN";
    case Class::kChaos: return "CH";
    case Class::kAny: return "ANY";
  }
  return StrCat("CLASS", klass);
}

void AppendHex(std::span<const uint8_t> bytes, std::string* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const uint8_t byte : bytes) {
    out->push_back(kDigits[byte >> 4]);
    out->push_back(kDigits[byte & 0xf]);
  }
}

// Reads the data of one record; each call is false when the data is too short.
class DataReader {
 public:
  DataReader(std::span<const uint8_t> message, const Record& record)
      : message_(message.first(record.data_offset + record.data_bytes)),
        offset_(record.data_offset) {}

  bool U16(std::string* out) {
    if (message_.size() - offset_ < 2) return false;
    StrAppend(out, message_[offset_] << 8 | message_[offset_ + 1]);
    offset_ += 2;
    return true;
  }
  bool U32(std::string* out) {
    if (message_.size() - offset_ < 4) return false;
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | message_[offset_++];
    StrAppend(out, value);
    return true;
  }
  bool DomainName(std::string* out) {
    Name name;
    if (!ReadName(message_, &offset_, &name)) return false;
    out->append(name.ToText());
    return true;
  }
  bool Address(int family, size_t bytes, std::string* out) {
    char text[INET6_ADDRSTRLEN];
    if (message_.size() - offset_ != bytes) return false;
    if (inet_ntop(family, message_.data() + offset_, text, sizeof(text)) == nullptr) return false;
    offset_ += bytes;
    out->append(text);
    return true;
  }
  bool Strings(std::string* out) {
    if (AtEnd()) return false;
    while (!AtEnd()) {
      const size_t bytes = message_[offset_++];
      if (message_.size() - offset_ < bytes) return false;
      if (!out->empty()) out->push_back(' ');
      out->push_back('"');
      out->append(reinterpret_cast<const char*>(message_.data() + offset_), bytes);
      out->push_back('"');
      offset_ += bytes;
    }
    return true;
  }
  bool AtEnd() const { return offset_ == message_.size(); }

 private:
  const std::span<const uint8_t> message_;
  size_t offset_;
};

bool AppendSoa(DataReader* data, std::string* out) {
  if (!data->DomainName(out)) return false;
  out->push_back(' ');
  if (!data->DomainName(out)) return false;
  for (int i = 0; i < 5; ++i) {
    out->push_back(' ');
    if (!data->U32(out)) return false;
  }
  return true;
}

bool AppendSrv(DataReader* data, std::string* out) {
  for (int i = 0; i < 3; ++i) {
    if (!data->U16(out)) return false;
    out->push_back(' ');
  }
  return data->DomainName(out);
}

// False when the data does not have the form that the type asks for.
bool AppendData(std::span<const uint8_t> message, const Record& record, std::string* out) {
  DataReader data(message, record);
  bool whole = true;
  switch (record.type) {
    case Type::kA: whole = data.Address(AF_INET, 4, out); break;
    case Type::kAaaa: whole = data.Address(AF_INET6, 16, out); break;
    case Type::kNs:
    case Type::kCname:
    case Type::kPtr: whole = data.DomainName(out); break;
    case Type::kSoa: whole = AppendSoa(&data, out); break;
    case Type::kTxt: whole = data.Strings(out); break;
    case Type::kSrv: whole = AppendSrv(&data, out); break;
    default:
      StrAppend(out, "\\# ", record.data_bytes, " ");
      AppendHex(message.subspan(record.data_offset, record.data_bytes), out);
      return true;
  }
  return whole && data.AtEnd();
}

void AppendEdns(const Record& record, uint8_t header_rcode, std::string* out) {
  StrAppend(out, "edns version ", record.ttl_s >> 16 & 0xff, " udp ", record.klass);
  if ((record.ttl_s & 0x8000) != 0) out->append(" flags do");
  if ((record.ttl_s >> 24) != 0) {
    const uint16_t rcode = static_cast<uint16_t>(record.ttl_s >> 24 << 4 | header_rcode);
    StrAppend(out, " status ", RcodeText(rcode));
  }
  if (record.data_bytes != 0) StrAppend(out, " options ", record.data_bytes, " bytes");
  out->push_back('\n');
}

bool AppendRecords(std::span<const uint8_t> message, std::string_view section, int count,
                   const Header& header, MessageReader* reader, std::string* out) {
  Record record;
  for (int i = 0; i < count; ++i) {
    const size_t start = message.size() - reader->remaining();
    if (!reader->ReadRecord(&record)) {
      StrAppend(out, "malformed ", section, " at ", start, "\n");
      return false;
    }
    if (record.type == Type::kOpt) {
      AppendEdns(record, header.rcode, out);
      continue;
    }
    std::string data;
    if (!AppendData(message, record, &data)) {
      StrAppend(out, "malformed ", section, " data at ", record.data_offset, "\n");
      return false;
    }
    StrAppend(out, section, " ", record.owner.ToText(), " ", record.ttl_s, " ",
              ClassText(record.klass), " ", TypeText(record.type), " ", data, "\n");
  }
  return true;
}

void AppendHeader(const Header& header, std::string* out) {
  StrAppend(out, "id ", header.id, " ", OpcodeText(header.opcode), " ", RcodeText(header.rcode));
  if (header.response) out->append(" qr");
  if (header.authoritative) out->append(" aa");
  if (header.truncated) out->append(" tc");
  if (header.recursion_desired) out->append(" rd");
  if (header.recursion_available) out->append(" ra");
  if (header.authentic_data) out->append(" ad");
  if (header.checking_disabled) out->append(" cd");
  out->push_back('\n');
}

}  // namespace

std::string TypeText(Type type) {
  switch (type) {
    case Type::kA: return "A";
    case Type::kNs: return "NS";
    case Type::kCname: return "CNAME";
    case Type::kSoa: return "SOA";
    case Type::kPtr: return "PTR";
    case Type::kTxt: return "TXT";
    case Type::kAaaa: return "AAAA";
    case Type::kSrv: return "SRV";
    case Type::kOpt: return "OPT";
    case Type::kIxfr: return "IXFR";
    case Type::kAxfr: return "AXFR";
    case Type::kAny: return "ANY";
  }
  return StrCat("TYPE", static_cast<int>(type));
}

std::string RcodeText(uint16_t rcode) {
  switch (static_cast<Rcode>(rcode)) {
    case Rcode::kNoError: return "NOERROR";
    case Rcode::kFormErr: return "FORMERR";
    case Rcode::kServFail: return "SERVFAIL";
    case Rcode::kNxDomain: return "NXDOMAIN";
    case Rcode::kNotImp: return "NOTIMP";
    case Rcode::kRefused: return "REFUSED";
    case Rcode::kBadVers: return "BADVERS";
  }
  return StrCat("RCODE", rcode);
}

std::string Dump(std::span<const uint8_t> message) {
  std::string out;
  MessageReader reader(message);
  Header header;
  if (!reader.ReadHeader(&header)) {
    StrAppend(&out, "malformed header of ", message.size(), " bytes\n");
    return out;
  }
  AppendHeader(header, &out);
  Question question;
  for (int i = 0; i < header.questions; ++i) {
    const size_t start = message.size() - reader.remaining();
    if (!reader.ReadQuestion(&question)) {
      StrAppend(&out, "malformed question at ", start, "\n");
      return out;
    }
    StrAppend(&out, "question ", question.name.ToText(), " ",
              ClassText(static_cast<uint16_t>(question.klass)), " ", TypeText(question.type),
              "\n");
  }
  if (AppendRecords(message, "answer", header.answers, header, &reader, &out) &&
      AppendRecords(message, "authority", header.authorities, header, &reader, &out) &&
      AppendRecords(message, "additional", header.additionals, header, &reader, &out) &&
      reader.remaining() != 0) {
    StrAppend(&out, "trailing ", reader.remaining(), " bytes\n");
  }
  return out;
}

}  // namespace consul::gateway::dns
