#include "gateway/dns/query_text.h"

#include <cstdlib>

#include "gateway/dns/name.h"

namespace consul::gateway::dns {
namespace {

constexpr struct {
  std::string_view text;
  Type type;
} kTypes[] = {
    {"A", Type::kA},       {"NS", Type::kNs},     {"CNAME", Type::kCname}, {"SOA", Type::kSoa},
    {"PTR", Type::kPtr},   {"TXT", Type::kTxt},   {"AAAA", Type::kAaaa},   {"SRV", Type::kSrv},
    {"OPT", Type::kOpt},   {"IXFR", Type::kIxfr}, {"AXFR", Type::kAxfr},   {"ANY", Type::kAny},
};

void Put16(uint16_t value, std::vector<uint8_t>* out) {
  out->push_back(static_cast<uint8_t>(value >> 8));
  out->push_back(static_cast<uint8_t>(value));
}

struct Wishes {
  Class klass = Class::kIn;
  uint16_t flags = 0x0100;
  std::optional<uint16_t> edns;
  uint8_t version = 0;
  bool dnssec_ok = false;
};

bool ReadWish(std::string_view word, Wishes* wishes) {
  const size_t equals = word.find('=');
  const std::string_view key = word.substr(0, equals);
  const std::string value(equals == std::string_view::npos ? "" : word.substr(equals + 1));
  const int number = std::atoi(value.c_str());
  if (key == "edns") {
    wishes->edns = static_cast<uint16_t>(number);
  } else if (key == "version") {
    wishes->version = static_cast<uint8_t>(number);
  } else if (key == "do") {
    wishes->dnssec_ok = true;
  } else if (key == "norec") {
    wishes->flags &= static_cast<uint16_t>(~0x0100);
  } else if (key == "cd") {
    wishes->flags |= 0x0010;
  } else if (key == "ad") {
    wishes->flags |= 0x0020;
  } else if (key == "qr") {
    wishes->flags |= 0x8000;
  } else if (key == "opcode") {
    wishes->flags |= static_cast<uint16_t>(number << 11);
  } else if (key == "class") {
    wishes->klass = value == "CH" ? Class::kChaos : Class::kAny;
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::optional<Type> TypeFromText(std::string_view text) {
  for (const auto& known : kTypes) {
    if (known.text == text) return known.type;
  }
  if (!text.starts_with("TYPE")) return std::nullopt;
  return static_cast<Type>(std::atoi(std::string(text.substr(4)).c_str()));
}

std::optional<std::vector<uint8_t>> QueryFromWords(const std::vector<std::string>& words,
                                                   uint16_t id) {
  if (words.size() < 2) return std::nullopt;
  const std::optional<Name> name = Name::FromText(words[0]);
  const std::optional<Type> type = TypeFromText(words[1]);
  if (!name || !type) return std::nullopt;
  Wishes wishes;
  for (size_t i = 2; i < words.size(); ++i) {
    if (!ReadWish(words[i], &wishes)) return std::nullopt;
  }
  std::vector<uint8_t> out;
  Put16(id, &out);
  Put16(wishes.flags, &out);
  Put16(1, &out);
  Put16(0, &out);
  Put16(0, &out);
  Put16(wishes.edns ? 1 : 0, &out);
  out.insert(out.end(), name->wire().begin(), name->wire().end());
  Put16(static_cast<uint16_t>(*type), &out);
  Put16(static_cast<uint16_t>(wishes.klass), &out);
  if (wishes.edns) {
    out.push_back(0);
    Put16(static_cast<uint16_t>(Type::kOpt), &out);
    Put16(*wishes.edns, &out);
    Put16(wishes.version, &out);
    Put16(wishes.dnssec_ok ? 0x8000 : 0, &out);
    Put16(0, &out);
  }
  return out;
}

}  // namespace consul::gateway::dns
