// Goal: whatever texts the catalog holds, which anybody may register, the DNS answers made of them
// are well-formed and within their size, and one that was kept is the same. The first byte chooses
// the question and its size class; the rest are the texts, a line each: an address, the key and the
// value of metadata, and the name and the address of a server.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/dns/dump.h"
#include "gateway/dns/kept_answers.h"
#include "gateway/dns/message.h"
#include "gateway/dns/responder.h"

namespace {

namespace dns = consul::gateway::dns;

constexpr uint32_t kSerial = 1795466723;
constexpr dns::Type kTypes[] = {dns::Type::kA,   dns::Type::kAaaa, dns::Type::kTxt,
                                dns::Type::kSoa, dns::Type::kAny,  dns::Type::kNs,
                                dns::Type::kSrv, dns::Type::kPtr};

void Require(bool fact) {
  if (!fact) std::abort();
}

const dns::Responder& TheResponder() {
  static const auto& responder =
      *new dns::Responder({.domain = dns::Name::FromText("consul").value(),
                           .alt_domain = std::nullopt,
                           .datacenter = "dc1"});
  return responder;
}

std::string TakeLine(std::string_view* text) {
  const size_t end = std::min(text->find('\n'), text->size());
  const std::string line(text->substr(0, end));
  text->remove_prefix(std::min(end + 1, text->size()));
  return line;
}

dns::Found TakeFound(std::string_view text) {
  dns::Found found;
  found.status = dns::Found::Status::kFound;
  found.address = TakeLine(&text);
  while (!text.empty()) {
    std::string key = TakeLine(&text);
    found.meta.emplace_back(std::move(key), TakeLine(&text));
    std::string server = TakeLine(&text);
    found.servers.push_back({std::move(server), TakeLine(&text)});
  }
  return found;
}

dns::Query QueryOf(uint8_t choice) {
  dns::Query query;
  query.header.id = 7;
  query.header.questions = 1;
  query.question.name = dns::Name::FromText(choice % 2 == 0 ? "A.node.consul" : "Consul").value();
  query.question.type = kTypes[choice / 2 % std::size(kTypes)];
  if (choice / 16 % 2 == 1) query.edns = dns::Edns{.udp_bytes = 1232, .dnssec_ok = choice > 128};
  query.name_lower = query.question.name;
  query.name_lower.ToLower();
  return query;
}

void RequireWellFormed(std::span<const uint8_t> response) {
  const std::string text = dns::Dump(response);
  Require(text.find("malformed ") == std::string::npos);
  Require(text.find("trailing ") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const dns::Query query = QueryOf(data[0]);
  const dns::Found found =
      TakeFound(std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  const dns::Plan plan = TheResponder().MakePlan(dns::QueryStatus::kOk, query);
  for (const dns::Transport transport : {dns::Transport::kUdp, dns::Transport::kTcp}) {
    std::vector<uint8_t> out(dns::ResponseBytesMax(query, transport));
    const dns::Response response = TheResponder().Respond(query, plan, found, kSerial, out);
    Require(response.bytes > 0 && response.bytes <= out.size());
    const std::span<const uint8_t> fresh = std::span(out).first(response.bytes);
    RequireWellFormed(fresh);
    if (transport != dns::Transport::kUdp) continue;
    dns::KeptAnswers kept;
    kept.Keep(query, transport, response, fresh, std::make_shared<consul::rpc::Validity>());
    std::vector<uint8_t> again(out.size());
    const size_t bytes = kept.Find(query, transport, kSerial, again);
    Require(bytes == 0 || std::equal(fresh.begin(), fresh.end(), again.begin(),
                                     again.begin() + static_cast<ptrdiff_t>(bytes)));
  }
  return 0;
}
