// services/archive/upload.h
//
// Brings the state of an archive to the servers, piece by piece, by the calls that are given. The
// archive is read twice: before anything is sent it is known to be whole.
//
// Threads: one; the calls wait for their answers.
#ifndef CONSUL_SERVICES_ARCHIVE_UPLOAD_H_
#define CONSUL_SERVICES_ARCHIVE_UPLOAD_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "services/archive/archive.h"

namespace consul::archive {

// The methods of SnapshotService.
struct UploadCalls {
  std::function<absl::Status(const snapshot::v1::StageRestoreRequest&)> stage;
  std::function<absl::StatusOr<uint64_t>(const snapshot::v1::CommitRestoreRequest&)> commit;
  std::function<void(const snapshot::v1::DropRestoreRequest&)> drop;
};

// Restores what `open` gives, which is called twice and gives the same. Returns the index of the
// log entry that put it in place. `id` names the restore; `datacenter` may be empty. Errors:
// ReadArchive's, before anything was called; the calls' own, after which what was brought is
// dropped, but for a commit whose outcome is not known.
absl::StatusOr<uint64_t> Upload(const std::function<absl::StatusOr<Source>()>& open,
                                const std::string& id, const std::string& datacenter,
                                const UploadCalls& calls);

}  // namespace consul::archive

#endif  // CONSUL_SERVICES_ARCHIVE_UPLOAD_H_
