#include "services/archive/upload.h"

#include <string_view>
#include <utility>

#include "services/base/sha256.h"
#include "services/state/staged_restore.h"

namespace consul::archive {
namespace {

using state::StagedRestore;

// Gathers bytes into chunks and sends each.
class Stager {
 public:
  Stager(snapshot::v1::StageRestoreRequest first, const UploadCalls& calls)
      : request_(std::move(first)), calls_(calls) {}

  absl::Status Add(std::string_view bytes) {
    while (!bytes.empty()) {
      std::string& chunk = *request_.mutable_chunk();
      const std::string_view part = bytes.substr(0, StagedRestore::kChunkBytesMax - chunk.size());
      chunk.append(part);
      bytes.remove_prefix(part.size());
      if (chunk.size() < StagedRestore::kChunkBytesMax) break;
      if (absl::Status status = Flush(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  absl::Status Flush() {
    if (request_.chunk().empty()) return absl::OkStatus();
    begun_ = true;
    absl::Status status = calls_.stage(request_);
    request_.set_offset(request_.offset() + request_.chunk().size());
    request_.clear_chunk();
    return status;
  }
  // Something may have arrived.
  bool begun() const { return begun_; }

 private:
  snapshot::v1::StageRestoreRequest request_;
  const UploadCalls& calls_;
  bool begun_ = false;
};

}  // namespace

absl::StatusOr<uint64_t> Upload(const std::function<absl::StatusOr<Source>()>& open,
                                const std::string& id, const std::string& datacenter,
                                const UploadCalls& calls) {
  snapshot::v1::CommitRestoreRequest commit;
  commit.mutable_options()->set_datacenter(datacenter);
  commit.set_id(id);
  absl::StatusOr<Source> source = open();
  if (!source.ok()) return source.status();
  base::Sha256 sum;
  const auto meta = ReadArchive(*source, [&sum](std::string_view bytes) {
    sum.Add(bytes);
    return absl::OkStatus();
  });
  if (!meta.ok()) return meta.status();
  commit.set_size(meta->size);
  commit.set_sha256(sum.Finish());

  source = open();
  if (!source.ok()) return source.status();
  snapshot::v1::StageRestoreRequest first;
  *first.mutable_options() = commit.options();
  first.set_id(id);
  Stager stager(std::move(first), calls);
  absl::Status staged =
      ReadArchive(*source, [&stager](std::string_view bytes) { return stager.Add(bytes); })
          .status();
  if (staged.ok()) staged = stager.Flush();
  if (staged.ok()) return calls.commit(commit);
  if (stager.begun()) {
    snapshot::v1::DropRestoreRequest drop;
    *drop.mutable_options() = commit.options();
    drop.set_id(id);
    calls.drop(drop);
  }
  return staged;
}

}  // namespace consul::archive
