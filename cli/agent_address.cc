#include "cli/agent_address.h"

#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "services/agent/config/addresses.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

constexpr std::string_view kThisMachine = "127.0.0.1";
constexpr int kHttpPort = 80;
constexpr size_t kHostNameBytesMax = 253;
constexpr size_t kLabelBytesMax = 63;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsPlain(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= kLabelBytesMax &&
         std::all_of(label.begin(), label.end(), &IsPlain);
}

// The name or number of an interface.
bool IsZone(std::string_view zone) {
  return !zone.empty() && zone.size() < IF_NAMESIZE &&
         std::all_of(zone.begin(), zone.end(), [](char c) { return IsPlain(c) || c == '.'; });
}

// A name may end in a dot. One whose last label is a number would be taken for an IPv4 address.
bool IsHostName(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  if (name.size() > kHostNameBytesMax) return false;
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (!IsLabel(label)) return false;
    if (dot == std::string_view::npos) return !std::all_of(label.begin(), label.end(), IsDigit);
    name.remove_prefix(dot + 1);
  }
}

absl::Status CheckPort(std::string_view text) {
  uint16_t port = 0;
  const char* const text_end = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), text_end, port);
  if (error == std::errc() && end == text_end && port != 0) return absl::OkStatus();
  return absl::InvalidArgumentError(base::StrCat("invalid port: ", text, " is not of 1 to ",
                                                 std::numeric_limits<uint16_t>::max()));
}

absl::Status CheckHost(std::string_view host) {
  if (host.empty()) return absl::InvalidArgumentError("missing host in address");
  if (host.front() == '[' && host.back() == ']') {
    const std::string_view literal = host.substr(1, host.size() - 2);
    const size_t zone = literal.find('%');
    if (agent::config::IsIpV6Address(literal.substr(0, zone)) &&
        (zone == std::string_view::npos || IsZone(literal.substr(zone + 1)))) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(base::StrCat("invalid ip address: ", literal));
  }
  if (host.find(':') != std::string_view::npos) {
    return absl::InvalidArgumentError("too many colons in address");
  }
  if (agent::config::IsIpAddress(host) || IsHostName(host)) return absl::OkStatus();
  return absl::InvalidArgumentError(base::StrCat("invalid host: ", host));
}

// Takes "SCHEME://" off the front; OK for http, and for none.
absl::Status TakeScheme(std::string_view* text) {
  constexpr std::string_view kMark = "://";
  const size_t end = text->find(kMark);
  if (end == std::string_view::npos) return absl::OkStatus();
  const std::string_view scheme = text->substr(0, end);
  if (scheme == "https") return absl::InvalidArgumentError("TLS is not supported yet");
  if (scheme == "unix") return absl::InvalidArgumentError("unix sockets are not supported yet");
  if (scheme != "http") {
    return absl::InvalidArgumentError(base::StrCat("unknown protocol scheme: ", scheme));
  }
  text->remove_prefix(end + kMark.size());
  if (text->ends_with('/')) text->remove_suffix(1);
  return absl::OkStatus();
}

}  // namespace

std::string_view FaceName(Face face) {
  switch (face) {
    case Face::kRpc:
      return "RPC";
    case Face::kHttp:
      return "HTTP";
  }
  return "";
}

absl::Status CheckRpcAddress(std::string_view address) {
  const size_t colon = address.rfind(':');
  // The last colon of "[::1]" is the address's own.
  if (colon == std::string_view::npos || address.back() == ']') {
    return absl::InvalidArgumentError("missing port in address");
  }
  if (absl::Status status = CheckHost(address.substr(0, colon)); !status.ok()) return status;
  return CheckPort(address.substr(colon + 1));
}

absl::StatusOr<std::string> ParseHttpAddress(std::string_view text) {
  if (absl::Status status = TakeScheme(&text); !status.ok()) return status;
  std::string address(text);
  if (text.starts_with(':')) {
    address = base::StrCat(kThisMachine, text);
  } else if (!text.empty() && std::all_of(text.begin(), text.end(), IsDigit)) {
    address = base::StrCat(kThisMachine, ":", text);
  } else if (text.find(':') == std::string_view::npos || text.ends_with(']')) {
    address = base::StrCat(text, ":", kHttpPort);
  }
  if (absl::Status status = CheckRpcAddress(address); !status.ok()) return status;
  return address;
}

}  // namespace consul::cli
