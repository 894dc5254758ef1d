// services/state/tables.h
//
// The replicated state, whole: which tables there are and what they are found by. The rows are the
// API's own messages. Copying Tables costs a count for each map; a copy is a version.
//
// Composite keys join their parts with a zero byte behind each part but the last, so that all rows
// of one node or service are one prefix. Names of nodes and services are compared without regard
// to case and stand in keys in lower case; names with a zero byte are refused before they get here.
//
// Threads: as persistent_map.h.
#ifndef CONSUL_SERVICES_STATE_TABLES_H_
#define CONSUL_SERVICES_STATE_TABLES_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "consul/catalog/v1/catalog.pb.h"
#include "consul/coordinate/v1/coordinate.pb.h"
#include "consul/health/v1/health.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "services/state/sealed_command.h"
#include "services/state/table.h"
#include "services/state/watch_set.h"

namespace consul::state {

// The maps of the replicated state. Numbers are in snapshots: never reuse or renumber one.
inline constexpr MapId kKvMap{1};
inline constexpr MapId kNodeMap{2};
inline constexpr MapId kNodeIdMap{3};
inline constexpr MapId kNodeAddressMap{4};
inline constexpr MapId kServiceMap{5};
inline constexpr MapId kServiceNameMap{6};
inline constexpr MapId kCheckMap{7};
inline constexpr MapId kServiceCheckMap{8};
inline constexpr MapId kLeftGenerationMap{9};
inline constexpr MapId kClusterMap{10};
inline constexpr MapId kCoordinateMap{11};
inline constexpr MapId kAutopilotMap{12};

// Lower case of the letters A to Z; other bytes stay.
std::string LowerCase(std::string_view text);

// Keys, and prefixes of keys (those end in a zero byte), with the maps that they are for.
// kNodeMap and kCoordinateMap; kNodeIdMap; kNodeAddressMap:
std::string NodeKey(std::string_view node);
std::string NodeIdKey(std::string_view id);
std::string NodeAddressPrefix(std::string_view address);
// kServiceMap and kCheckMap: everything of a node; one service or check by its id.
std::string OfNodePrefix(std::string_view node);
std::string OfNodeKey(std::string_view node, std::string_view id);
// kServiceNameMap and kServiceCheckMap: everything of a service.
std::string OfServicePrefix(std::string_view service);

struct KvSpec {
  using Message = kv::v1::KeyValue;
  static constexpr MapId kMap = kKvMap;
  static constexpr bool kKeyInMessage = true;
  static std::string_view Key(const Message& entry) { return entry.key(); }
  static constexpr std::array<SecondaryIndex<Message>, 0> kIndexes{};
};

struct NodeSpec {
  using Message = catalog::v1::Node;
  static constexpr MapId kMap = kNodeMap;
  static constexpr bool kKeyInMessage = false;
  static std::string Key(const Message& node) { return NodeKey(node.node()); }
  static std::string IdKey(const Message& node) { return NodeIdKey(node.id()); }
  static std::string AddressKey(const Message& node);
  enum : size_t { kById, kByAddress };
  static constexpr std::array<SecondaryIndex<Message>, 2> kIndexes{
      {{kNodeIdMap, &IdKey}, {kNodeAddressMap, &AddressKey}}};
};

struct ServiceSpec {
  using Message = catalog::v1::Service;
  static constexpr MapId kMap = kServiceMap;
  static constexpr bool kKeyInMessage = false;
  static std::string Key(const Message& service) {
    return OfNodeKey(service.node(), service.id());
  }
  static std::string NameKey(const Message& service);
  enum : size_t { kByName };
  static constexpr std::array<SecondaryIndex<Message>, 1> kIndexes{{{kServiceNameMap, &NameKey}}};
};

struct CheckSpec {
  using Message = health::v1::HealthCheck;
  static constexpr MapId kMap = kCheckMap;
  static constexpr bool kKeyInMessage = false;
  static std::string Key(const Message& check) {
    return OfNodeKey(check.node(), check.check_id());
  }
  // Checks of services alone.
  static std::string ServiceKey(const Message& check);
  enum : size_t { kByService };
  static constexpr std::array<SecondaryIndex<Message>, 1> kIndexes{
      {{kServiceCheckMap, &ServiceKey}}};
};

// One for each node at most, which goes with its node.
struct CoordinateSpec {
  using Message = coordinate::v1::NodeCoordinate;
  static constexpr MapId kMap = kCoordinateMap;
  static constexpr bool kKeyInMessage = false;
  static std::string Key(const Message& coordinate) { return NodeKey(coordinate.node()); }
  static constexpr std::array<SecondaryIndex<Message>, 0> kIndexes{};
};

// One row at most: what autopilot goes by.
struct AutopilotSpec {
  using Message = operators::v1::AutopilotConfiguration;
  static constexpr MapId kMap = kAutopilotMap;
  static constexpr bool kKeyInMessage = false;
  static std::string Key(const Message&) { return "configuration"; }
  static constexpr std::array<SecondaryIndex<Message>, 0> kIndexes{};
};

// How long the writes of a left agent's generation are refused.
inline constexpr uint64_t kLeftGenerationNs = 24ull * 3600 * 1'000'000'000;

// The generation of an agent that left; its later writes are refused for a while.
class LeftGeneration : public Counted {
 public:
  LeftGeneration(std::string_view generation, uint64_t left_at_ns, uint64_t index)
      : generation_(generation), left_at_ns_(left_at_ns), index_(index) {}
  std::string_view key() const { return generation_; }
  uint64_t modify_index() const { return index_; }
  // By the state machine's clock.
  uint64_t left_at_ns() const { return left_at_ns_; }

 private:
  const std::string generation_;
  const uint64_t left_at_ns_;
  const uint64_t index_;
};

struct Tables {
  Table<KvSpec> kv;
  Table<NodeSpec> nodes;
  Table<ServiceSpec> services;
  Table<CheckSpec> checks;
  Table<CoordinateSpec> coordinates;
  Table<AutopilotSpec> autopilot;
  PersistentMap<LeftGeneration> left_generations;
  // UUID of the cluster, made once; empty: not yet. Slot: kClusterMap, key "id".
  std::string cluster_id;
  uint64_t cluster_id_index = 0;
  // The newest version of the state machine that every voter is known to know. Only grows. Nobody
  // waits for it, so that it has no slot.
  uint32_t cluster_version = kBaselineVersion;

  // Index of the last log entry applied.
  uint64_t applied_index = 0;
  // Of the log entry that put all of this in place from an archive; 0: none has. Whoever read
  // something before it has an index below it, so it is every place's index until that is touched:
  // indexes never fall, and nobody who waits misses the restore.
  uint64_t restored_index = 0;
  // The state machine's clock: the highest `proposed_at` seen, nanoseconds since 1970.
  uint64_t time_ns = 0;

  // Versioned::IndexOf. A map that does not exist has nothing in it.
  uint64_t IndexOf(const Slot& slot) const;

  // What a restore from an archive leaves behind: the tables of `archived`, and of this the rest.
  // What belongs to the cluster as it runs is no matter of an archive: who it is, what its servers
  // know, what time it is, and which agents have left it. `index` is that of the log entry; every
  // map's number is put into `touched`.
  // REQUIRES: no row of `archived` has an index above `index`.
  void Restore(Tables archived, uint64_t index, SlotList* touched);

  // Calls fn(table) for each table.
  template <typename Self, typename Fn>
  static void ForEachTable(Self& self, Fn fn) {
    fn(self.kv);
    fn(self.nodes);
    fn(self.services);
    fn(self.checks);
    fn(self.coordinates);
    fn(self.autopilot);
  }
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_TABLES_H_
