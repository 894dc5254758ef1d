#include "gateway/dns/responder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "services/base/check.h"
#include "services/base/utf8.h"

namespace consul::gateway::dns {
namespace {

// Labels that say what kind of thing a name is. Only node and addr have names beneath them so far.
constexpr std::string_view kKinds[] = {"node", "addr", "service", "query", "connect", "ingress"};

bool IsKind(std::string_view label) {
  return std::find(std::begin(kKinds), std::end(kKinds), label) != std::end(kKinds);
}

// The labels of `wire` up to `end`.
std::vector<std::string_view> Labels(std::span<const uint8_t> wire, size_t end) {
  std::vector<std::string_view> labels;
  for (size_t at = 0; at < end; at += wire[at] + size_t{1}) {
    labels.emplace_back(reinterpret_cast<const char*>(wire.data() + at + 1), wire[at]);
  }
  return labels;
}

std::string Join(std::span<const std::string_view> labels) {
  std::string text;
  for (const std::string_view label : labels) {
    if (!text.empty()) text.push_back('.');
    text.append(label);
  }
  return text;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The address that eight or 32 hex digits spell, as text; empty when they spell none.
std::string AddressFromHex(std::string_view hex) {
  if (hex.size() != 8 && hex.size() != 32) return "";
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < hex.size(); ++i) {
    const int digit = HexDigit(hex[i]);
    if (digit < 0) return "";
    bytes[i / 2] = static_cast<uint8_t>(bytes[i / 2] << 4 | digit);
  }
  char text[INET6_ADDRSTRLEN];
  const int family = hex.size() == 8 ? AF_INET : AF_INET6;
  return inet_ntop(family, bytes.data(), text, sizeof(text));
}

// NODE.node.DC.ZONE; nothing when that is not a DNS name.
std::optional<Name> ServerName(std::string_view node, std::string_view datacenter,
                               const Name& zone) {
  Name name;
  while (true) {
    const size_t dot = node.find('.');
    if (!name.AppendLabel(node.substr(0, dot))) return std::nullopt;
    if (dot == std::string_view::npos) break;
    node.remove_prefix(dot + 1);
  }
  if (!name.AppendLabel("node") || !name.AppendLabel(datacenter)) return std::nullopt;
  name.ToLower();
  if (!name.Append(zone)) return std::nullopt;
  return name;
}

bool Asks(Type asked, Type type) { return asked == type || asked == Type::kAny; }

// Writes the records of one answer. Required ones that do not fit set TC, additional ones do not
// (RFC 2181 9).
class Writer {
 public:
  Writer(std::span<uint8_t> out, const Query& query, uint32_t ttl_s)
      : encoder_(out), query_(query), owner_(query.question.name), ttl_s_(ttl_s) {}

  Encoder* encoder() { return &encoder_; }
  int answers() const { return answers_; }

  void Required(bool fits) {
    if (!fits && !truncated_) {
      truncated_ = true;
      encoder_.SetTruncated();
    }
    cut_ |= !fits;
    ++answers_;
  }
  void Extra(bool fits) { cut_ |= !fits; }
  bool truncated() const { return truncated_; }

  // Address records of `address` as far as `type` asks for them. False when it is no IP address.
  bool Address(Section section, const Name& owner, const std::string& address, Type type) {
    std::array<uint8_t, 4> v4;
    std::array<uint8_t, 16> v6;
    if (inet_pton(AF_INET, address.c_str(), v4.data()) == 1) {
      if (Asks(type, Type::kA)) Count(section, encoder_.AddA(section, owner, ttl_s_, v4));
      return true;
    }
    if (inet_pton(AF_INET6, address.c_str(), v6.data()) == 1) {
      if (Asks(type, Type::kAaaa)) Count(section, encoder_.AddAaaa(section, owner, ttl_s_, v6));
      return true;
    }
    return false;
  }

  void Node(const Found& found) {
    const Type asked = query_.question.type;
    if (!Address(Section::kAnswer, owner_, found.address, asked)) {
      // RFC 1034 3.6.2: an alias answers whatever type is asked and excludes other data.
      if (const std::optional<Name> target = Name::FromText(found.address)) {
        Required(encoder_.AddCname(Section::kAnswer, owner_, ttl_s_, *target));
        return;
      }
    }
    if (!Asks(asked, Type::kTxt)) return;
    for (const auto& [key, value] : found.meta) {
      // RFC 1464 text, but for keys that say that the value is a whole record.
      const std::string text = key.starts_with("rfc1035-") ? value : key + "=" + value;
      if (!truncated_) Required(encoder_.AddTxt(Section::kAnswer, owner_, ttl_s_, text));
    }
  }

  Response Finish() {
    Response response;
    response.bytes = encoder_.Finish();
    response.cut = cut_;
    response.serial_offset = encoder_.serial_offset();
    response.opt_offset = encoder_.opt_offset();
    return response;
  }

 private:
  void Count(Section section, bool fits) {
    if (section == Section::kAdditional) return Extra(fits);
    Required(fits);
  }

  Encoder encoder_;
  const Query& query_;
  const Name& owner_;
  const uint32_t ttl_s_;
  int answers_ = 0;
  bool truncated_ = false;
  bool cut_ = false;
};

// The answer about the domain itself: SOA with the name servers beside it, or these alone.
void WriteApex(const Query& query, const Name& zone, const SoaData& soa, uint32_t soa_ttl_s,
               const Found& found, const ResponderOptions& options, Writer* writer) {
  const Type asked = query.question.type;
  Encoder* encoder = writer->encoder();
  if (Asks(asked, Type::kSoa)) {
    writer->Required(encoder->AddSoa(Section::kAnswer, zone, soa_ttl_s, soa));
  }
  std::vector<std::pair<Name, std::string>> servers;
  for (const FoundServer& server : found.servers) {
    if (servers.size() == kNameServersMax) break;
    const std::optional<Name> name = ServerName(server.node, options.datacenter, zone);
    if (name) servers.emplace_back(*name, server.address);
  }
  const Section section = asked == Type::kSoa ? Section::kAuthority : Section::kAnswer;
  for (const auto& [name, address] : servers) {
    const bool fits = encoder->AddNs(section, zone, options.node_ttl_s, name);
    section == Section::kAnswer ? writer->Required(fits) : writer->Extra(fits);
  }
  if (writer->answers() == 0) {
    writer->Required(encoder->AddSoa(Section::kAuthority, zone, soa_ttl_s, soa));
  }
  for (const auto& [name, address] : servers) {
    writer->Address(Section::kAdditional, name, address, Type::kAny);
  }
}

Rcode RcodeOf(const Query& query, const Plan& plan, const Found& found) {
  switch (plan.kind) {
    case PlanKind::kDrop:
    case PlanKind::kHeader:
    case PlanKind::kError: return plan.rcode;
    case PlanKind::kNoData:
    case PlanKind::kAddress: return Rcode::kNoError;
    case PlanKind::kNxDomain: return Rcode::kNxDomain;
    case PlanKind::kNode:
      if (found.status == Found::Status::kFound) return Rcode::kNoError;
      return found.status == Found::Status::kAbsent ? Rcode::kNxDomain : Rcode::kServFail;
    case PlanKind::kApex:
      // The SOA itself is known without the servers.
      return found.status == Found::Status::kFound || query.question.type == Type::kSoa
                 ? Rcode::kNoError
                 : Rcode::kServFail;
  }
  return Rcode::kServFail;
}

}  // namespace

size_t ResponseBytesMax(const Query& query, Transport transport) {
  if (transport == Transport::kTcp) return kTcpBytesMax;
  if (!query.edns) return kUdpBytesPlain;
  return std::clamp<size_t>(query.edns->udp_bytes, kUdpBytesPlain, kUdpBytesMax);
}

Responder::Responder(ResponderOptions options) : options_(std::move(options)) {
  CONSUL_CHECK(!options_->domain.root());
  CONSUL_CHECK(!options_->alt_domain || !options_->alt_domain->root());
}

Plan Responder::MakePlan(QueryStatus status, const Query& query) const {
  const auto error = [](PlanKind kind, Rcode rcode) {
    Plan plan;
    plan.kind = kind;
    plan.rcode = rcode;
    return plan;
  };
  switch (status) {
    case QueryStatus::kDrop: return error(PlanKind::kDrop, Rcode::kNoError);
    case QueryStatus::kFormErr: return error(PlanKind::kHeader, Rcode::kFormErr);
    case QueryStatus::kNotImp: return error(PlanKind::kHeader, Rcode::kNotImp);
    case QueryStatus::kOk: break;
  }
  if (query.edns && query.edns->version != 0) return error(PlanKind::kError, Rcode::kBadVers);
  const Question& question = query.question;
  // OPT is no type that can be asked for (RFC 6891 6.1.1).
  if (question.type == Type::kOpt) return error(PlanKind::kError, Rcode::kFormErr);
  if (!options_) return error(PlanKind::kError, Rcode::kServFail);
  std::optional<size_t> zone = FindSuffix(query.name_lower, options_->domain);
  if (options_->alt_domain) {
    const std::optional<size_t> alt = FindSuffix(query.name_lower, *options_->alt_domain);
    // The longer one wins where one lies beneath the other.
    if (alt && (!zone || *alt < *zone)) zone = alt;
  }
  const bool internet = question.klass == Class::kIn || question.klass == Class::kAny;
  if (!zone || !internet) return error(PlanKind::kError, Rcode::kRefused);
  if (question.type == Type::kAxfr || question.type == Type::kIxfr) {
    return error(PlanKind::kError, Rcode::kNotImp);
  }
  return PlanInZone(query, *zone);
}

Plan Responder::PlanInZone(const Query& query, size_t zone_offset) const {
  Plan plan;
  plan.kind = PlanKind::kNxDomain;
  plan.zone.Assign(query.question.name.wire().subspan(zone_offset));
  const std::vector<std::string_view> labels = Labels(query.name_lower.wire(), zone_offset);
  if (labels.empty()) {
    const Type type = query.question.type;
    const bool served = Asks(type, Type::kSoa) || type == Type::kNs;
    plan.kind = served ? PlanKind::kApex : PlanKind::kNoData;
    if (served) plan.servers.datacenter = options_->datacenter;
    return plan;
  }
  size_t kind = labels.size();
  while (kind > 0 && !IsKind(labels[kind - 1])) --kind;
  const std::span<const std::string_view> behind = std::span(labels).subspan(kind);
  if (behind.size() > 1) return plan;
  const bool own = behind.empty() || behind[0] == options_->datacenter;
  if (kind <= 1) {
    // DC, KIND or KIND.DC: there are names beneath them, but no data.
    if (own) plan.kind = PlanKind::kNoData;
    return plan;
  }
  const std::span<const std::string_view> before = std::span(labels).first(kind - 1);
  if (labels[kind - 1] == "node") {
    plan.node.node = Join(before);
    if (!own) plan.node.datacenter = behind[0];
    plan.node.allow_stale = options_->allow_stale;
    // Node names are UTF-8, so other bytes name none.
    if (base::IsUtf8(plan.node.node) && base::IsUtf8(plan.node.datacenter)) {
      plan.kind = PlanKind::kNode;
    }
  } else if (labels[kind - 1] == "addr" && own && before.size() == 1) {
    plan.address = AddressFromHex(before[0]);
    if (!plan.address.empty()) plan.kind = PlanKind::kAddress;
  }
  return plan;
}

SoaData Responder::Soa(const Name& zone, uint32_t serial) const {
  SoaData soa;
  soa.serial = serial;
  soa.refresh_s = options_->soa_refresh_s;
  soa.retry_s = options_->soa_retry_s;
  soa.expire_s = options_->soa_expire_s;
  soa.minimum_s = options_->soa_min_ttl_s;
  // A zone so long that these do not fit keeps itself as both.
  soa.primary.AppendLabel("ns");
  if (!soa.primary.Append(zone)) soa.primary = zone;
  soa.mailbox.AppendLabel("hostmaster");
  if (!soa.mailbox.Append(zone)) soa.mailbox = zone;
  return soa;
}

Response Responder::Respond(const Query& query, const Plan& plan, const Found& found,
                            uint32_t serial, std::span<uint8_t> out) const {
  if (plan.kind == PlanKind::kDrop) return {};
  Writer writer(out, query, options_ ? options_->node_ttl_s : 0);
  const Rcode rcode = RcodeOf(query, plan, found);
  if (plan.kind == PlanKind::kHeader) {
    writer.encoder()->BeginWithoutQuestion(query.header, rcode);
    return writer.Finish();
  }
  const bool authoritative = plan.kind != PlanKind::kError && rcode != Rcode::kServFail;
  writer.encoder()->Begin(query, rcode, authoritative);
  if (!authoritative) return writer.Finish();
  const SoaData soa = Soa(plan.zone, serial);
  if (plan.kind == PlanKind::kApex) {
    WriteApex(query, plan.zone, soa, options_->soa_min_ttl_s, found, *options_, &writer);
    return writer.Finish();
  }
  if (plan.kind == PlanKind::kAddress) {
    writer.Address(Section::kAnswer, query.question.name, plan.address, query.question.type);
  } else if (plan.kind == PlanKind::kNode && rcode == Rcode::kNoError) {
    writer.Node(found);
  }
  if (writer.answers() == 0) {
    writer.Required(
        writer.encoder()->AddSoa(Section::kAuthority, plan.zone, options_->soa_min_ttl_s, soa));
  }
  return writer.Finish();
}

}  // namespace consul::gateway::dns
