#include "tests/sim/cluster/reference_kv.h"

#include <algorithm>

#include "services/base/check.h"

namespace consul::sim {

using internal::raft::v1::Command;

void ReferenceKv::Apply(const raft::Entry& entry) {
  CONSUL_CHECK(entry.index.value == applied_index() + 1);
  applied_.push_back(true);
  if (entry.kind != raft::EntryKind::kCommand) return;
  Command command;
  CONSUL_CHECK(command.ParseFromString(*entry.payload));
  if (command.has_kv_put()) {
    applied_.back() = Put(command.kv_put());
  } else if (command.has_kv_delete()) {
    applied_.back() = Delete(command.kv_delete());
  } else if (command.has_kv_delete_tree()) {
    for (const auto& [key, row] : Under(command.kv_delete_tree().prefix(), applied_index())) {
      Set(key, std::nullopt);
    }
  } else if (command.has_collect_tombstones()) {
    collected_.push_back(applied_index());
  }
}

bool ReferenceKv::CollectedWithin(uint64_t from, uint64_t to) const {
  return std::any_of(collected_.begin(), collected_.end(),
                     [=](uint64_t index) { return from < index && index <= to; });
}

bool ReferenceKv::Put(const internal::raft::v1::KvPut& put) {
  const KvRow* row = Newest(put.key());
  if (put.has_cas() && put.cas() != (row == nullptr ? 0 : row->modify_index)) return false;
  if (row != nullptr && row->value == put.value()) return true;
  Set(put.key(), KvRow{put.value(), applied_index()});
  return true;
}

bool ReferenceKv::Delete(const internal::raft::v1::KvDelete& del) {
  const KvRow* row = Newest(del.key());
  if (row == nullptr) return true;
  if (del.has_cas() && del.cas() != row->modify_index) return false;
  Set(del.key(), std::nullopt);
  return true;
}

void ReferenceKv::Set(const std::string& key, std::optional<KvRow> row) {
  versions_[key].push_back({applied_index(), std::move(row)});
}

const KvRow* ReferenceKv::Newest(const std::string& key) const {
  return Find(key, applied_index());
}

const KvRow* ReferenceKv::Find(const std::string& key, uint64_t index) const {
  const auto found = versions_.find(key);
  if (found == versions_.end()) return nullptr;
  const auto& versions = found->second;
  const auto after = std::upper_bound(
      versions.begin(), versions.end(), index,
      [](uint64_t wanted, const Version& version) { return wanted < version.index; });
  if (after == versions.begin()) return nullptr;
  const Version& version = *std::prev(after);
  return version.row.has_value() ? &*version.row : nullptr;
}

KvRows ReferenceKv::Under(std::string_view prefix, uint64_t index) const {
  KvRows rows;
  for (auto it = versions_.lower_bound(prefix);
       it != versions_.end() && it->first.starts_with(prefix); ++it) {
    if (const KvRow* row = Find(it->first, index)) rows[it->first] = *row;
  }
  return rows;
}

uint64_t ReferenceKv::ChangedAt(std::string_view key, bool recurse, uint64_t index) const {
  uint64_t changed = 0;
  for (auto it = versions_.lower_bound(key); it != versions_.end(); ++it) {
    if (recurse ? !it->first.starts_with(key) : it->first != key) break;
    for (auto version = it->second.rbegin(); version != it->second.rend(); ++version) {
      if (version->index > index) continue;
      changed = std::max(changed, version->index);
      break;
    }
  }
  return changed;
}

}  // namespace consul::sim
