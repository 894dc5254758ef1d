// gateway/dns/responder.h
//
// What is answered to which question, and nothing else: a query becomes a plan; the plan may ask
// for one lookup; plan and what was found become the response. No socket, clock or lookup of its
// own, so every answer is a function of its inputs.
//
// Names under the domain: NAME.node[.DC], HEX.addr[.DC], and the domain itself (SOA, NS). `node.`,
// `service.` and the like and the datacenter's own name exist without data (RFC 8020).
//
// Threads: immutable once made; any.
#ifndef CONSUL_GATEWAY_DNS_RESPONDER_H_
#define CONSUL_GATEWAY_DNS_RESPONDER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gateway/dns/encoder.h"
#include "gateway/dns/message.h"
#include "gateway/dns/name.h"
#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// Name servers that an answer names at most, as the reference does.
inline constexpr size_t kNameServersMax = 3;

struct ResponderOptions {
  Name domain;                     // of all names; not the root
  std::optional<Name> alt_domain;  // answered like `domain`, with its own spelling
  std::string datacenter;          // the own one, lower case
  bool allow_stale = true;         // any server's answer will do
  uint32_t node_ttl_s = 0;
  uint32_t soa_refresh_s = 3600;
  uint32_t soa_retry_s = 600;
  uint32_t soa_expire_s = 86400;
  uint32_t soa_min_ttl_s = 0;  // of the SOA record and of negative answers; 0: not to be cached
};

// What the driver has to look up before the response can be made.
struct NodeLookup {
  std::string node;        // lower case, valid UTF-8
  std::string datacenter;  // lower case; empty: the own one
  bool allow_stale = true;
};
struct ServersLookup {
  std::string datacenter;  // the own one
};

enum class PlanKind {
  kDrop,     // no response at all
  kHeader,   // a header with `rcode` alone: the question could not be read
  kError,    // the question back with `rcode`, outside of our authority
  kNoData,   // the name exists, not with this type
  kNxDomain,
  kAddress,  // `address` is in the name itself
  kNode,     // needs `node`
  kApex,     // SOA, NS or ANY of the domain; needs the servers
};

struct Plan {
  PlanKind kind = PlanKind::kDrop;
  Rcode rcode = Rcode::kNoError;
  // The domain as the question spells it; set from kNoData on.
  Name zone;
  NodeLookup node;        // of kNode
  ServersLookup servers;  // of kApex
  std::string address;    // of kAddress

  // True when Respond needs a Found that was looked up.
  bool needs_lookup() const { return kind == PlanKind::kNode || kind == PlanKind::kApex; }
};

struct FoundServer {
  std::string node;
  std::string address;
};

// What a lookup found.
struct Found {
  enum class Status {
    kFound,
    kAbsent,  // no such node or datacenter
    kFailed,  // not known: no leader, no server, too late
  };
  Status status = Status::kFailed;
  // Of a node: an IP address, or a DNS name. With its metadata.
  std::string address;
  std::vector<std::pair<std::string, std::string>> meta;
  // Of the datacenter: its servers, in the order they are to be named.
  std::vector<FoundServer> servers;
};

struct Response {
  size_t bytes = 0;  // 0: nothing is sent
  // Something was left out for its size. Holds for this size class only.
  bool cut = false;
  size_t serial_offset = 0;  // of the SOA's serial, 0 without
  size_t opt_offset = 0;     // of the OPT record, 0 without
};

// How long a response to `query` may be.
size_t ResponseBytesMax(const Query& query, Transport transport);

class Responder {
 public:
  // Knows no domain yet: whatever is asked gets SERVFAIL, for nobody's authority is known.
  Responder() = default;
  // REQUIRES: domains are not the root.
  explicit Responder(ResponderOptions options);

  // What to do about a query; `status` is what DecodeQuery said of it.
  Plan MakePlan(QueryStatus status, const Query& query) const;

  // Writes the response into `out`, which is as long as the response may be: ResponseBytesMax.
  // `found` counts when plan.needs_lookup(); `serial` is the time of day in seconds since 1970.
  Response Respond(const Query& query, const Plan& plan, const Found& found, uint32_t serial,
                   std::span<uint8_t> out) const;

 private:
  Plan PlanInZone(const Query& query, size_t zone_offset) const;
  SoaData Soa(const Name& zone, uint32_t serial) const;

  const std::optional<ResponderOptions> options_;
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_RESPONDER_H_
