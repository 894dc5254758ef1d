#include "services/state/tables.h"

#include <algorithm>
#include <utility>

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
  if (!found && slot.map == kLeftGenerationMap) {
    found = true;
    index = left_generations.IndexOfPrefix(slot.bytes);
  } else if (!found && slot.map == kClusterMap) {
    found = true;
    index = cluster_id_index;
  }
  return found ? std::max(index, restored_index) : 0;
}

void Tables::Restore(Tables archived, uint64_t index, SlotList* touched) {
  ForEachTable(archived, [touched](auto& table) {
    table.ForEachMap([touched](MapId map, auto& indexed) {
      // Every place has the index of the restore, whatever was there before.
      indexed.ForgetErased();
      touched->AddPrefix(map, {});
    });
  });
  touched->AddPrefix(kLeftGenerationMap, {});
  touched->AddPrefix(kClusterMap, {});
  archived.left_generations = std::move(left_generations);
  archived.cluster_id = std::move(cluster_id);
  archived.cluster_id_index = cluster_id_index;
  archived.cluster_version = cluster_version;
  archived.applied_index = applied_index;
  archived.time_ns = time_ns;
  archived.restored_index = index;
  *this = std::move(archived);
}

}  // namespace consul::state
