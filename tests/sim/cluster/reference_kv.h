// tests/sim/cluster/reference_kv.h
//
// What the committed log says about every key at every index, by the simplest code there is: the
// answers of servers are compared with it. It keeps all versions of every key.
//
// Threads: none; a run owns it.
#ifndef CONSUL_TESTS_SIM_CLUSTER_REFERENCE_KV_H_
#define CONSUL_TESTS_SIM_CLUSTER_REFERENCE_KV_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/raft/core/types.h"

namespace consul::sim {

struct KvRow {
  std::string value;
  uint64_t modify_index = 0;
  friend bool operator==(const KvRow&, const KvRow&) = default;
};
using KvRows = std::map<std::string, KvRow>;

class ReferenceKv {
 public:
  // REQUIRES: entry.index follows the last one's.
  void Apply(const raft::Entry& entry);
  uint64_t applied_index() const { return applied_.size(); }

  // Whether the command at `index` was applied: false where its cas did not match.
  bool AppliedAt(uint64_t index) const { return applied_[index - 1]; }
  // At or before `index`.
  const KvRow* Find(const std::string& key, uint64_t index) const;
  KvRows Under(std::string_view prefix, uint64_t index) const;
  // Whether tombstones were forgotten by an entry in (from, to]: indexes may rise by it where
  // nothing else changed.
  bool CollectedWithin(uint64_t from, uint64_t to) const;
  // When the key, or with `recurse` anything under it, last changed at or before `index`.
  uint64_t ChangedAt(std::string_view key, bool recurse, uint64_t index) const;

 private:
  struct Version {
    uint64_t index;
    std::optional<KvRow> row;
  };

  bool Put(const internal::raft::v1::KvPut& put);
  bool Delete(const internal::raft::v1::KvDelete& del);
  const KvRow* Newest(const std::string& key) const;
  void Set(const std::string& key, std::optional<KvRow> row);

  std::vector<bool> applied_;  // by index - 1
  std::vector<uint64_t> collected_;  // indexes of such entries
  std::map<std::string, std::vector<Version>, std::less<>> versions_;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_REFERENCE_KV_H_
