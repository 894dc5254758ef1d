#include "services/api/snapshot_handlers.h"

#include <string>

#include "consul/internal/raft/v1/command.pb.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "services/state/command.h"

namespace consul::api {
namespace {

using internal::raft::v1::Command;

absl::Status PrepareStage(const snapshot::v1::StageRestoreRequest& request, std::string* command) {
  Command whole;
  auto* const chunk = whole.mutable_restore_chunk();
  chunk->set_id(request.id());
  chunk->set_offset(request.offset());
  chunk->set_chunk(request.chunk());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

absl::Status PrepareCommit(const snapshot::v1::CommitRestoreRequest& request,
                           std::string* command) {
  Command whole;
  auto* const commit = whole.mutable_restore_commit();
  commit->set_id(request.id());
  commit->set_size(request.size());
  commit->set_sha256(request.sha256());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

absl::Status PrepareDrop(const snapshot::v1::DropRestoreRequest& request, std::string* command) {
  Command whole;
  whole.mutable_restore_drop()->set_id(request.id());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

template <typename Response>
void Finish(const rpc::Applied& applied, Response* response) {
  response->set_index(applied.index);
}

void FinishDrop(const rpc::Applied& applied, snapshot::v1::DropRestoreResponse* response) {
  response->set_index(applied.index);
  response->set_dropped(applied.changed);
}

}  // namespace

void RegisterRestore(SnapshotRestores* restores, rpc::Handlers* handlers) {
  handlers->Take("/consul.snapshot.v1.SnapshotService/Restore",
                 [restores](rpc::Call* call) { restores->Start(call); });
}

void RegisterSnapshots(SnapshotSaves* saves, rpc::Handlers* handlers) {
  handlers->Take("/consul.snapshot.v1.SnapshotService/Save",
                 [saves](rpc::Call* call) { saves->Start(call); });
  handlers->Write<snapshot::v1::StageRestoreRequest, snapshot::v1::StageRestoreResponse>(
      "/consul.snapshot.v1.SnapshotService/StageRestore", &PrepareStage,
      &Finish<snapshot::v1::StageRestoreResponse>);
  handlers->Write<snapshot::v1::CommitRestoreRequest, snapshot::v1::CommitRestoreResponse>(
      "/consul.snapshot.v1.SnapshotService/CommitRestore", &PrepareCommit,
      &Finish<snapshot::v1::CommitRestoreResponse>);
  handlers->Write<snapshot::v1::DropRestoreRequest, snapshot::v1::DropRestoreResponse>(
      "/consul.snapshot.v1.SnapshotService/DropRestore", &PrepareDrop, &FinishDrop);
}

}  // namespace consul::api
