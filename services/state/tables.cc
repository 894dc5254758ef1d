#include "services/state/tables.h"

namespace consul::state {
namespace {

// The parts with a zero byte between them.
template <typename... Parts>
std::string Join(std::string_view first, const Parts&... rest) {
  std::string key(first);
  ((key += '\0', key += rest), ...);
  return key;
}

}  // namespace

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string NodeKey(std::string_view node) { return LowerCase(node); }
std::string NodeIdKey(std::string_view id) { return LowerCase(id); }
std::string NodeAddressPrefix(std::string_view address) { return Join(LowerCase(address), ""); }
std::string OfNodePrefix(std::string_view node) { return Join(LowerCase(node), ""); }
std::string OfNodeKey(std::string_view node, std::string_view id) {
  return Join(LowerCase(node), id);
}
std::string OfServicePrefix(std::string_view service) { return Join(LowerCase(service), ""); }

std::string NodeSpec::AddressKey(const Message& node) {
  return node.address().empty() ? "" : Join(LowerCase(node.address()), LowerCase(node.node()));
}
std::string ServiceSpec::NameKey(const Message& service) {
  return Join(LowerCase(service.service()), LowerCase(service.node()), service.id());
}
std::string CheckSpec::ServiceKey(const Message& check) {
  if (check.service_name().empty()) return "";
  return Join(LowerCase(check.service_name()), LowerCase(check.node()), check.check_id());
}

uint64_t Tables::IndexOf(const Slot& slot) const {
  uint64_t index = 0;
  bool found = false;
  ForEachTable(*this, [&](const auto& table) { found = found || table.IndexOf(slot, &index); });
  if (found) return index;
  if (slot.map == kLeftGenerationMap) return left_generations.IndexOfPrefix(slot.bytes);
  if (slot.map == kClusterMap) return cluster_id_index;
  return 0;
}

}  // namespace consul::state
