// Goal: no message crashes the DNS codec, every query that can be read gets a well-formed response
// within its size, and a kept response equals a fresh one byte for byte.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gateway/dns/dump.h"
#include "gateway/dns/kept_answers.h"
#include "gateway/dns/message.h"
#include "gateway/dns/responder.h"

namespace {

namespace dns = consul::gateway::dns;

constexpr uint32_t kSerial = 1795466723;

void Require(bool fact) {
  if (!fact) std::abort();
}

const dns::Responder& TheResponder() {
  static const auto& responder =
      *new dns::Responder({.domain = dns::Name::FromText("consul").value(),
                           .alt_domain = dns::Name::FromText("alt.example").value(),
                           .datacenter = "dc1"});
  return responder;
}

// What a lookup finds depends on the name, so that all kinds of answers are made.
dns::Found Find(const dns::Plan& plan) {
  dns::Found found;
  found.status = dns::Found::Status::kFound;
  found.address = plan.node.node.size() % 2 == 0 ? "10.0.0.1" : "host.example.com";
  found.meta = {{"key", std::string(plan.node.node.size() * 5, 'v')}};
  found.servers = {{"s1", "10.0.0.1"}, {"s2.long.name", "2001:db8::1"}};
  if (plan.node.node.size() % 5 == 4) found.status = dns::Found::Status::kAbsent;
  return found;
}

void RequireWellFormed(std::span<const uint8_t> response) {
  const std::string text = dns::Dump(response);
  Require(text.find("malformed ") == std::string::npos);
  Require(text.find("trailing ") == std::string::npos);
}

void RequireKeptEqualsFresh(dns::Query query, const dns::Response& response,
                            std::span<const uint8_t> fresh) {
  dns::KeptAnswers kept;
  kept.Keep(query, dns::Transport::kUdp, response, fresh,
            std::make_shared<consul::rpc::Validity>());
  std::vector<uint8_t> out(dns::ResponseBytesMax(query, dns::Transport::kUdp));
  const size_t bytes = kept.Find(query, dns::Transport::kUdp, kSerial, out);
  Require(bytes == 0 || std::equal(fresh.begin(), fresh.end(), out.begin(), out.begin() + bytes));
  // For another client, with another id and spelling.
  query.header.id ^= 0xffff;
  query.header.recursion_desired = !query.header.recursion_desired;
  query.question.name = query.name_lower;
  const size_t again = kept.Find(query, dns::Transport::kUdp, kSerial + 1, out);
  Require(again == bytes);
  if (again != 0) RequireWellFormed(std::span(out).first(again));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> message(data, size);
  Require(!dns::Dump(message).empty());
  dns::Query query;
  const dns::QueryStatus status = dns::DecodeQuery(message, &query);
  const dns::Plan plan = TheResponder().MakePlan(status, query);
  const bool readable = status == dns::QueryStatus::kOk;
  for (const dns::Transport transport : {dns::Transport::kUdp, dns::Transport::kTcp}) {
    std::vector<uint8_t> out(readable ? dns::ResponseBytesMax(query, transport)
                                      : dns::kUdpBytesPlain);
    const dns::Response response = TheResponder().Respond(query, plan, Find(plan), kSerial, out);
    Require((response.bytes == 0) == (status == dns::QueryStatus::kDrop));
    if (response.bytes == 0) return 0;
    Require(response.bytes <= out.size());
    const std::span<const uint8_t> fresh = std::span(out).first(response.bytes);
    RequireWellFormed(fresh);
    if (readable && transport == dns::Transport::kUdp) {
      RequireKeptEqualsFresh(query, response, fresh);
    }
  }
  return 0;
}
