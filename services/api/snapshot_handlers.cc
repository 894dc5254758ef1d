#include "services/api/snapshot_handlers.h"

#include <string_view>

#include "consul/internal/raft/v1/command.pb.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/command.h"
#include "services/state/snapshot.h"
#include "services/state/version.h"
#include "services/state/version_source.h"

namespace consul::api {
namespace {

using internal::raft::v1::Command;

// What the commit would refuse for its format is refused before the rest is sent: the format stands
// in the first frame, and that is in the first chunk. Everything else is for the commit to say,
// which reads all of it.
absl::Status CheckFormat(const state::Version& version, std::string_view chunk) {
  const absl::Status read = state::CheckSnapshotFormat(chunk, version.cluster_version());
  if (read.ok()) return read;
  return rpc::Error(errors::v1::REASON_CLUSTER_TOO_OLD,
                    base::StrCat("snapshot restore: ", base::ToStd(read.message())), "chunk");
}

absl::Status PrepareStage(const state::VersionSource& source,
                          const snapshot::v1::StageRestoreRequest& request,
                          state::SealedCommand* command) {
  if (request.offset() == 0) {
    const auto newest = source.Load();
    const absl::Status known =
        CheckFormat(static_cast<const state::Version&>(*newest), request.chunk());
    if (!known.ok()) return known;
  }
  Command whole;
  auto* const chunk = whole.mutable_restore_chunk();
  chunk->set_id(request.id());
  chunk->set_offset(request.offset());
  chunk->set_chunk(request.chunk());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

absl::Status PrepareCommit(const snapshot::v1::CommitRestoreRequest& request,
                           state::SealedCommand* command) {
  Command whole;
  auto* const commit = whole.mutable_restore_commit();
  commit->set_id(request.id());
  commit->set_size(request.size());
  commit->set_sha256(request.sha256());
  *command = state::Seal(&whole);
  return absl::OkStatus();
}

absl::Status PrepareDrop(const snapshot::v1::DropRestoreRequest& request,
                         state::SealedCommand* command) {
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

void RegisterSnapshots(SnapshotSaves* saves, state::VersionSource* source,
                       rpc::Handlers* handlers) {
  handlers->Take("/consul.snapshot.v1.SnapshotService/Save",
                 [saves](rpc::Call* call) { saves->Start(call); });
  handlers->Write<snapshot::v1::StageRestoreRequest, snapshot::v1::StageRestoreResponse>(
      "/consul.snapshot.v1.SnapshotService/StageRestore",
      [source](const auto& request, state::SealedCommand* command) {
        return PrepareStage(*source, request, command);
      },
      &Finish<snapshot::v1::StageRestoreResponse>);
  handlers->Write<snapshot::v1::CommitRestoreRequest, snapshot::v1::CommitRestoreResponse>(
      "/consul.snapshot.v1.SnapshotService/CommitRestore", &PrepareCommit,
      &Finish<snapshot::v1::CommitRestoreResponse>);
  handlers->Write<snapshot::v1::DropRestoreRequest, snapshot::v1::DropRestoreResponse>(
      "/consul.snapshot.v1.SnapshotService/DropRestore", &PrepareDrop, &FinishDrop);
}

}  // namespace consul::api
