// services/state/version.h
//
// One immutable version of the replicated state: what a read handler reads, a blocked query
// compares, a snapshot writes. Reading takes no lock, and the tables' messages may be placed in a
// reply without a copy for as long as the version is held.
//
// Threads: any, once published; destroyed by the writer (version_source.h).
#ifndef CONSUL_SERVICES_STATE_VERSION_H_
#define CONSUL_SERVICES_STATE_VERSION_H_

#include <cstdint>

#include "services/state/tables.h"
#include "services/state/versioned.h"

namespace consul::state {

class Version final : public Versioned {
 public:
  Version() = default;
  explicit Version(const Tables& tables) : tables_(tables) {}

  // Index of the last log entry applied.
  uint64_t index() const override { return tables_.applied_index; }
  uint64_t IndexOf(const Slot& slot) const override { return tables_.IndexOf(slot); }
  using Versioned::IndexOf;

  const Table<KvSpec>& kv() const { return tables_.kv; }
  const Table<NodeSpec>& nodes() const { return tables_.nodes; }
  const Table<ServiceSpec>& services() const { return tables_.services; }
  const Table<CheckSpec>& checks() const { return tables_.checks; }
  const Table<CoordinateSpec>& coordinates() const { return tables_.coordinates; }

  // What autopilot goes by; null: nobody has said yet.
  const operators::v1::AutopilotConfiguration* autopilot(WatchSet* watch) const {
    return tables_.autopilot.Find(AutopilotSpec::Key({}), watch);
  }

  // The cluster's UUID; empty: it has none yet.
  const std::string& cluster_id(WatchSet* watch) const {
    if (watch != nullptr) watch->AddKey(kClusterMap, "id");
    return tables_.cluster_id;
  }
  // The newest version of the state machine that every voter is known to know: nothing newer is
  // proposed.
  uint32_t cluster_version() const { return tables_.cluster_version; }
  // The state machine's clock, nanoseconds since 1970.
  uint64_t time_ns() const { return tables_.time_ns; }

  const Tables& tables() const { return tables_; }

 private:
  const Tables tables_{};
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_VERSION_H_
