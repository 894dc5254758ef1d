#include "services/state/fsm.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/state/registration.h"
#include "services/state/snapshot.h"

namespace consul::state {
namespace {

using base::StrCat;
using base::ToAbsl;

// Or a server would write what it could not read.
static_assert(VersionOfFormat(kSnapshotFormat) <= Fsm::kVersion);

// Whether two rows are the same but for their indexes. Compares encodings: rows hold no map fields,
// so equal rows of one build encode equally, and unequal encodings only cost a write.
template <typename Message>
bool SameRow(const Message& a, const Message& b) {
  Message left = a;
  Message right = b;
  left.clear_create_index();
  left.clear_modify_index();
  right.clear_create_index();
  right.clear_modify_index();
  return left.SerializeAsString() == right.SerializeAsString();
}

void Refuse(Refusal refusal, CommandResult* result) {
  result->applied = false;
  result->reason = refusal.reason;
  result->text = std::move(refusal.text);
  result->subject = std::move(refusal.subject);
}

}  // namespace

absl::Status Fsm::ApplyBatch(std::span<const FsmEntry> entries, Batch* batch) {
  touched_ = &batch->touched;
  restored_ = false;
  batch->results.reserve(entries.size());
  for (const FsmEntry& entry : entries) {
    CONSUL_CHECK(entry.index > tables_.applied_index);
    CommandResult& result = batch->results.emplace_back();
    result.index = entry.index;
    index_ = entry.index;
    if (entry.has_command) {
      if (absl::Status status = Apply(entry, &result); !status.ok()) return status;
    }
    tables_.applied_index = entry.index;
  }
  touched_ = nullptr;
  batch->version = MakeVersion();
  batch->restored = restored_;
  return absl::OkStatus();
}

absl::Status Fsm::Apply(const FsmEntry& entry, CommandResult* result) {
  if (!command_.ParseFromArray(entry.command.data(), static_cast<int>(entry.command.size()))) {
    return absl::DataLossError(
        ToAbsl(StrCat("log entry ", entry.index, ": the command does not parse")));
  }
  if (command_.min_version() > kVersion) {
    return absl::FailedPreconditionError(
        ToAbsl(StrCat("log entry ", entry.index, ": the command needs state machine version ",
                      command_.min_version(), ", this is version ", kVersion)));
  }
  tables_.time_ns = std::max<uint64_t>(tables_.time_ns, command_.proposed_at());
  if (staged_.IsOver(tables_.time_ns)) staged_ = StagedRestore();
  switch (command_.command_case()) {
    case Command::kKvPut:
      Apply(command_.mutable_kv_put(), result);
      return absl::OkStatus();
    case Command::kKvDelete:
      Apply(command_.kv_delete(), result);
      return absl::OkStatus();
    case Command::kKvDeleteTree:
      Apply(command_.kv_delete_tree());
      return absl::OkStatus();
    case Command::kCatalogRegister:
      Apply(command_.catalog_register(), result);
      return absl::OkStatus();
    case Command::kCatalogDeregister:
      Apply(command_.catalog_deregister());
      return absl::OkStatus();
    case Command::kUpdateCoordinate:
      Apply(command_.update_coordinate(), result);
      return absl::OkStatus();
    case Command::kCollectTombstones:
      Apply(command_.collect_tombstones());
      return absl::OkStatus();
    case Command::kSetClusterId:
      Apply(command_.set_cluster_id());
      return absl::OkStatus();
    case Command::kSetClusterVersion:
      Apply(command_.set_cluster_version());
      return absl::OkStatus();
    case Command::kSetAutopilotConfiguration:
      Apply(command_.set_autopilot_configuration(), result);
      return absl::OkStatus();
    case Command::kRestoreChunk:
      Apply(command_.mutable_restore_chunk(), result);
      return absl::OkStatus();
    case Command::kRestoreCommit:
      Apply(command_.restore_commit(), result);
      return absl::OkStatus();
    case Command::kRestoreDrop:
      Apply(command_.restore_drop(), result);
      return absl::OkStatus();
    case Command::COMMAND_NOT_SET:
      break;
  }
  return absl::FailedPreconditionError(ToAbsl(
      StrCat("log entry ", entry.index, ": unknown command; this is version ", kVersion)));
}

void Fsm::Apply(internal::raft::v1::KvPut* put, CommandResult* result) {
  const kv::v1::KeyValue* existing = tables_.kv.Find(put->key(), nullptr);
  if (put->has_cas()) {
    const uint64_t index = existing == nullptr ? 0 : existing->modify_index();
    result->applied = index == put->cas();
    if (!result->applied) return;
  }
  if (existing != nullptr && existing->value() == put->value() &&
      existing->flags() == put->flags()) {
    return;
  }
  kv::v1::KeyValue entry;
  entry.set_flags(put->flags());
  entry.set_modify_index(index_);
  if (existing == nullptr) {
    entry.set_create_index(index_);
  } else {
    entry.set_create_index(existing->create_index());
    // A lock outlives a plain write, and so does the count of how often it was taken.
    entry.set_lock_index(existing->lock_index());
    entry.set_session(existing->session());
  }
  entry.set_allocated_key(put->release_key());
  entry.set_allocated_value(put->release_value());
  tables_.kv.Put(std::move(entry), touched_);
}

void Fsm::Apply(const internal::raft::v1::KvDelete& del, CommandResult* result) {
  if (del.has_cas()) {
    // An absent key is deleted already, whatever index was asked for.
    const kv::v1::KeyValue* existing = tables_.kv.Find(del.key(), nullptr);
    result->applied = existing == nullptr || existing->modify_index() == del.cas();
    if (!result->applied) return;
  }
  tables_.kv.Erase(del.key(), index_, touched_);
}

void Fsm::Apply(const internal::raft::v1::KvDeleteTree& del) {
  tables_.kv.ErasePrefix(del.prefix(), index_, touched_);
}

void Fsm::Apply(const internal::raft::v1::CatalogRegister& registration, CommandResult* result) {
  Refusal refusal = CheckRegistration(tables_, registration);
  if (refusal.refused()) return Refuse(std::move(refusal), result);
  if (registration.by_membership()) TakeBack(registration.generation());
  const std::string& name = registration.node().node();
  const bool known = tables_.nodes.Find(NodeKey(name), nullptr) != nullptr;
  if (!registration.skip_node_update() || !known) {
    const catalog::v1::Node* const existing = ExistingNode(tables_, registration.node());
    catalog::v1::Node node = registration.node();
    if (registration.by_membership() && existing != nullptr) {
      *node.mutable_tagged_addresses() = existing->tagged_addresses();
      *node.mutable_meta() = existing->meta();
    }
    PutNode(node, existing);
  }
  // As the node spells it.
  const std::string node_name = tables_.nodes.Find(NodeKey(name), nullptr)->node();
  if (registration.has_service()) {
    catalog::v1::Service service = registration.service();
    service.set_node(node_name);
    if (service.id().empty()) service.set_id(service.service());
    PutService(service);
  }
  for (const health::v1::HealthCheck& each : registration.checks()) {
    health::v1::HealthCheck check = each;
    check.set_node(node_name);
    PutCheck(check);
  }
}

void Fsm::TakeBack(const std::string& generation) {
  if (tables_.left_generations.Find(generation) == nullptr) return;
  tables_.left_generations.Erase(generation);
  touched_->AddKey(kLeftGenerationMap, generation);
}

void Fsm::PutNode(const catalog::v1::Node& node, const catalog::v1::Node* existing) {
  catalog::v1::Node row = node;
  row.set_create_index(existing == nullptr ? index_ : existing->create_index());
  row.set_modify_index(index_);
  if (existing != nullptr) {
    if (SameRow(row, *existing)) return;
    // A node that takes a new name starts empty under it.
    if (NodeKey(existing->node()) != NodeKey(node.node())) {
      const std::string old_name = existing->node();
      EraseNode(old_name);
    }
  }
  // A holder of the name with another id is dead or nameless: its services and checks stay, as
  // those of the machine that took its place, until that one's agent says otherwise.
  tables_.nodes.Put(std::move(row), touched_);
}

void Fsm::PutService(const catalog::v1::Service& service) {
  catalog::v1::Service row = service;
  const std::string key = ServiceSpec::Key(row);
  const catalog::v1::Service* existing = tables_.services.Find(key, nullptr);
  row.set_create_index(existing == nullptr ? index_ : existing->create_index());
  row.set_modify_index(index_);
  if (existing != nullptr && SameRow(row, *existing)) return;
  // Its checks repeat its name and tags.
  std::vector<health::v1::HealthCheck> stale;
  if (existing != nullptr) {
    tables_.checks.ForEach(OfNodePrefix(row.node()), nullptr, [&](const auto& check) {
      const bool same_tags = std::equal(check.service_tags().begin(), check.service_tags().end(),
                                        row.tags().begin(), row.tags().end());
      if (check.service_id() == row.id() && (check.service_name() != row.service() || !same_tags)) {
        stale.push_back(check);
      }
      return true;
    });
  }
  tables_.services.Put(std::move(row), touched_);
  for (const health::v1::HealthCheck& check : stale) PutCheck(check);
}

void Fsm::PutCheck(const health::v1::HealthCheck& check) {
  health::v1::HealthCheck row = check;
  if (row.check_id().empty()) row.set_check_id(row.name());
  if (row.status() == health::v1::CHECK_STATUS_UNSPECIFIED) {
    row.set_status(health::v1::CHECK_STATUS_CRITICAL);
  }
  row.clear_service_name();
  row.clear_service_tags();
  if (!row.service_id().empty()) {
    const catalog::v1::Service* service =
        tables_.services.Find(OfNodeKey(row.node(), row.service_id()), nullptr);
    CONSUL_CHECK(service != nullptr);
    row.set_service_name(service->service());
    *row.mutable_service_tags() = service->tags();
  }
  const health::v1::HealthCheck* existing = tables_.checks.Find(CheckSpec::Key(row), nullptr);
  row.set_create_index(existing == nullptr ? index_ : existing->create_index());
  row.set_modify_index(index_);
  if (existing != nullptr && SameRow(row, *existing)) return;
  tables_.checks.Put(std::move(row), touched_);
}

void Fsm::Apply(const internal::raft::v1::CatalogDeregister& deregistration) {
  if (!deregistration.left_generation().empty()) {
    tables_.left_generations.Insert(Held<const LeftGeneration>(
        new LeftGeneration(deregistration.left_generation(), tables_.time_ns, index_)));
    touched_->AddKey(kLeftGenerationMap, deregistration.left_generation());
  }
  const std::string& node = deregistration.node();
  if (!deregistration.service_id().empty()) {
    EraseService(node, deregistration.service_id());
  } else if (!deregistration.check_id().empty()) {
    tables_.checks.Erase(OfNodeKey(node, deregistration.check_id()), index_, touched_);
  } else {
    EraseNode(node);
  }
}

void Fsm::EraseNode(std::string_view node) {
  const std::string key = NodeKey(node);
  if (!tables_.nodes.Erase(key, index_, touched_)) return;
  tables_.services.ErasePrefix(OfNodePrefix(key), index_, touched_);
  tables_.checks.ErasePrefix(OfNodePrefix(key), index_, touched_);
  tables_.coordinates.Erase(key, index_, touched_);
}

void Fsm::EraseService(std::string_view node, std::string_view service_id) {
  if (!tables_.services.Erase(OfNodeKey(node, service_id), index_, touched_)) return;
  std::vector<std::string> checks;
  tables_.checks.ForEach(OfNodePrefix(node), nullptr, [&](const health::v1::HealthCheck& check) {
    if (check.service_id() == service_id) checks.push_back(check.check_id());
    return true;
  });
  for (const std::string& check : checks) {
    tables_.checks.Erase(OfNodeKey(node, check), index_, touched_);
  }
}

void Fsm::Apply(const internal::raft::v1::UpdateCoordinate& update, CommandResult* result) {
  const std::string key = NodeKey(update.coordinate().node());
  const catalog::v1::Node* const node = tables_.nodes.Find(key, nullptr);
  result->applied = node != nullptr;
  if (!result->applied) return;
  coordinate::v1::NodeCoordinate row = update.coordinate();
  row.set_node(node->node());
  const coordinate::v1::NodeCoordinate* const existing = tables_.coordinates.Find(key, nullptr);
  row.set_create_index(existing == nullptr ? index_ : existing->create_index());
  row.set_modify_index(index_);
  if (existing == nullptr || !SameRow(row, *existing)) {
    tables_.coordinates.Put(std::move(row), touched_);
  }
}

void Fsm::Apply(const internal::raft::v1::CollectTombstones& collect) {
  // Tombstones are of entries before this one, whatever the proposer asked for.
  const uint64_t index = std::min(collect.index(), index_ - 1);
  Tables::ForEachTable(tables_, [index](auto& table) { table.Collect(index); });
  std::vector<std::string> over;
  for (auto it = tables_.left_generations.Begin(); it.Valid(); it.Next()) {
    if (tables_.time_ns >= it->left_at_ns() + kLeftGenerationNs) over.emplace_back(it->key());
  }
  for (const std::string& generation : over) tables_.left_generations.Erase(generation);
}

void Fsm::Apply(const internal::raft::v1::SetClusterId& set) {
  if (!tables_.cluster_id.empty() || set.cluster_id().empty()) return;
  tables_.cluster_id = set.cluster_id();
  tables_.cluster_id_index = index_;
  tables_.cluster_version = std::max(tables_.cluster_version, set.version());
  touched_->AddKey(kClusterMap, "id");
}

void Fsm::Apply(const internal::raft::v1::SetClusterVersion& set) {
  tables_.cluster_version = std::max(tables_.cluster_version, set.version());
}

void Fsm::Apply(const internal::raft::v1::SetAutopilotConfiguration& set, CommandResult* result) {
  operators::v1::AutopilotConfiguration row = set.configuration();
  const operators::v1::AutopilotConfiguration* const existing =
      tables_.autopilot.Find(AutopilotSpec::Key(row), nullptr);
  if (set.has_cas()) {
    const uint64_t index = existing == nullptr ? 0 : existing->modify_index();
    result->applied = index == set.cas();
    if (!result->applied) return;
  }
  row.set_create_index(existing == nullptr ? index_ : existing->create_index());
  row.set_modify_index(index_);
  if (existing == nullptr || !SameRow(row, *existing)) {
    tables_.autopilot.Put(std::move(row), touched_);
  }
}

void Fsm::Apply(internal::raft::v1::RestoreChunk* chunk, CommandResult* result) {
  Refusal refusal = staged_.Add(chunk->id(), chunk->offset(), std::move(*chunk->mutable_chunk()),
                                tables_.time_ns);
  if (refusal.refused()) Refuse(std::move(refusal), result);
}

void Fsm::Apply(const internal::raft::v1::RestoreCommit& commit, CommandResult* result) {
  if (staged_.empty() || staged_.id() != commit.id()) {
    return Refuse({errors::v1::REASON_NOT_FOUND,
                   StrCat("snapshot restore: restore ", commit.id(),
                          " is not under way, or no longer"),
                   "id"},
                  result);
  }
  // Whatever comes of it, it is over.
  const StagedRestore staged = std::exchange(staged_, StagedRestore());
  if (Refusal refusal = staged.Check(commit.size(), commit.sha256()); refusal.refused()) {
    return Refuse(std::move(refusal), result);
  }
  SnapshotReader reader(index_, tables_.cluster_version);
  absl::Status status;
  for (const StagedRestore::Chunk& chunk : staged.chunks()) {
    status = reader.Add(*chunk);
    if (!status.ok()) break;
  }
  absl::StatusOr<Tables> tables = reader.Finish();
  if (tables.ok() && !reader.TakeStaged().empty()) {
    tables = absl::DataLossError("snapshot: a restore is under way in it");
  }
  if (!tables.ok()) {
    const bool newer = absl::IsFailedPrecondition(tables.status());
    return Refuse({newer ? errors::v1::REASON_CLUSTER_TOO_OLD : errors::v1::REASON_INVALID_FIELD,
                   StrCat("snapshot restore: ", base::ToStd(tables.status().message())), "chunk"},
                  result);
  }
  tables_.Restore(*std::move(tables), index_, touched_);
  restored_ = true;
}

void Fsm::Apply(const internal::raft::v1::RestoreDrop& drop, CommandResult* result) {
  result->applied = !staged_.empty() && staged_.id() == drop.id();
  if (result->applied) staged_ = StagedRestore();
}

}  // namespace consul::state
