#include "gateway/transcode/url.h"

#include <algorithm>
#include <cstddef>

#include "services/base/strings.h"

namespace consul::gateway {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Decodes into `out`. Returns the malformed escape, or an empty view.
std::string_view Decode(std::string_view text, bool plus_is_space, std::string* out) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '+' && plus_is_space) {
      out->push_back(' ');
    } else if (c != '%') {
      out->push_back(c);
    } else {
      const int high = i + 1 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return text.substr(i, 3);
      out->push_back(static_cast<char>(high << 4 | low));
      i += 2;
    }
  }
  return {};
}

bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

void AppendEscaped(char c, std::string* out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  out->push_back('%');
  out->push_back(kHex[static_cast<unsigned char>(c) >> 4]);
  out->push_back(kHex[static_cast<unsigned char>(c) & 0xF]);
}

void AppendQueryEscaped(std::string_view text, std::string* out) {
  for (const char c : text) {
    if (c == ' ') {
      out->push_back('+');
    } else if (IsUnreserved(c)) {
      out->push_back(c);
    } else {
      AppendEscaped(c, out);
    }
  }
}

}  // namespace

bool Split(std::string_view target, SplitTarget* split) {
  if (target.empty()) return false;
  if (target[0] != '/') {
    const size_t authority = target.find("://");
    if (authority == std::string_view::npos || authority == 0) return false;
    target.remove_prefix(authority + 3);
    const size_t path = target.find_first_of("/?");
    target.remove_prefix(path == std::string_view::npos ? target.size() : path);
  }
  const size_t question = target.find('?');
  split->path = target.substr(0, question);
  if (split->path.empty()) split->path = "/";
  split->query =
      question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  return true;
}

bool DecodePath(std::string_view path, std::string* out) {
  if (path.find('%') == std::string_view::npos) {
    out->append(path);
    return true;
  }
  return Decode(path, false, out).empty();
}

bool IsCleanPath(std::string_view path) {
  if (path.empty() || path[0] != '/') return false;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    if (path[i] != '/') continue;
    if (path[i + 1] == '/') return false;
    if (path[i + 1] != '.') continue;
    const std::string_view segment = path.substr(i + 1, path.find('/', i + 1) - (i + 1));
    if (segment == "." || segment == "..") return false;
  }
  return true;
}

std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> segments;
  const bool slash_at_end = path.ends_with('/');
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    if (segment == "..") {
      if (!segments.empty()) segments.pop_back();
    } else if (!segment.empty() && segment != ".") {
      segments.push_back(segment);
    }
  }
  std::string clean;
  for (const std::string_view segment : segments) {
    clean.push_back('/');
    clean.append(segment);
  }
  if (clean.empty() || slash_at_end) clean.push_back('/');
  return clean;
}

std::string EscapePath(std::string_view path) {
  constexpr std::string_view kPlain = "$&+,/:;=@";
  std::string out;
  for (const char c : path) {
    if (IsUnreserved(c) || kPlain.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      AppendEscaped(c, &out);
    }
  }
  return out;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&#34;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

absl::Status Query::Parse(std::string_view query) {
  parameters_.clear();
  text_.clear();
  // Decoding never makes text longer, so the views stay where they are.
  text_.reserve(query.size());
  const auto decode = [&](std::string_view part, std::string_view* bad) {
    const size_t start = text_.size();
    *bad = Decode(part, true, &text_);
    return std::string_view(text_).substr(start);
  };
  while (!query.empty()) {
    const size_t end = std::min(query.find_first_of("&;"), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    Parameter parameter;
    std::string_view bad;
    parameter.name = decode(pair.substr(0, equals), &bad);
    if (bad.empty() && equals < pair.size()) {
      parameter.value = decode(pair.substr(equals + 1), &bad);
    }
    if (!bad.empty()) {
      return absl::InvalidArgumentError(base::StrCat("invalid URL escape \"", bad, "\""));
    }
    parameters_.push_back(parameter);
  }
  return absl::OkStatus();
}

const Parameter* Query::Find(std::string_view name) const {
  for (const Parameter& parameter : parameters_) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

std::string Query::Encode() const {
  std::vector<Parameter> sorted = parameters_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Parameter& a, const Parameter& b) { return a.name < b.name; });
  std::string out;
  for (const Parameter& parameter : sorted) {
    if (!out.empty()) out.push_back('&');
    AppendQueryEscaped(parameter.name, &out);
    out.push_back('=');
    AppendQueryEscaped(parameter.value, &out);
  }
  return out;
}

}  // namespace consul::gateway
