// Goal: no request target crashes what reads it, and what it says is said again by what is written:
// paths that are escaped or cleaned, queries that are encoded, and HTML text.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/transcode/url.h"

namespace {

namespace gateway = consul::gateway;
using gateway::Query;

void Require(bool fact) {
  if (!fact) std::abort();
}

void RequirePath(std::string_view path) {
  const std::string escaped = gateway::EscapePath(path);
  std::string again;
  Require(gateway::DecodePath(escaped, &again) && again == path);
  Require(escaped.find_first_of(" \r\n?#%\"<>") == escaped.find('%'));
  if (!path.starts_with('/')) return;
  const std::string clean = gateway::CleanPath(path);
  Require(gateway::IsCleanPath(clean) && gateway::CleanPath(clean) == clean);
  Require(gateway::IsCleanPath(path) == (clean == path));
}

std::vector<std::pair<std::string, std::string>> Sorted(const Query& query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const gateway::Parameter& each : query.parameters()) {
    pairs.emplace_back(each.name, each.value);
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return pairs;
}

void RequireQuery(std::string_view text) {
  Query query;
  const absl::Status status = query.Parse(text);
  Require(status.ok() || absl::IsInvalidArgument(status));
  if (!status.ok()) return;
  for (const gateway::Parameter& each : query.parameters()) {
    const gateway::Parameter* const found = query.Find(each.name);
    Require(found != nullptr && found->name == each.name && found <= &each);
  }
  Query again;
  Require(again.Parse(query.Encode()).ok());
  Require(Sorted(again) == Sorted(query));
  Require(again.Encode() == query.Encode());
}

void RequireHtml(std::string_view text) {
  const std::string html = gateway::EscapeHtml(text);
  Require(html.find_first_of("<>\"'") == std::string::npos);
  std::string plain;
  for (size_t at = 0; at < html.size();) {
    if (html[at] != '&') {
      plain.push_back(html[at++]);
      continue;
    }
    const size_t end = html.find(';', at);
    Require(end != std::string::npos);
    const std::string_view entity = std::string_view(html).substr(at, end - at);
    plain.push_back(entity == "&amp" ? '&' : entity == "&lt" ? '<' : entity == "&gt" ? '>'
                    : entity == "&#34" ? '"' : '\'');
    at = end + 1;
  }
  Require(plain == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  gateway::SplitTarget target;
  if (gateway::Split(text, &target)) {
    Require(target.path.starts_with('/') && target.path.find('?') == std::string_view::npos);
    std::string path;
    if (gateway::DecodePath(target.path, &path)) RequirePath(path);
    RequireQuery(target.query);
  }
  RequirePath(text);
  RequireQuery(text);
  RequireHtml(text);
  return 0;
}
