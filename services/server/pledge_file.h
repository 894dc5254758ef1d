// services/server/pledge_file.h
//
// The pledge of a server on its disk: `DATA_DIR/raft/pledge`, which is there or not, and whole.
//
// Threads: one at a time.
#ifndef CONSUL_SERVICES_SERVER_PLEDGE_FILE_H_
#define CONSUL_SERVICES_SERVER_PLEDGE_FILE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/internal/bootstrap/v1/bootstrap.pb.h"
#include "services/base/file.h"

namespace consul::server {

class PledgeFile {
 public:
  using Foundation = internal::bootstrap::v1::Foundation;

  // In `directory`, which is there.
  PledgeFile(base::FileSystem* file_system, std::string directory);
  virtual ~PledgeFile() = default;

  // DATA_LOSS: the file is no pledge; the text names it.
  virtual absl::StatusOr<std::optional<Foundation>> Load() const;
  // Durable when it returns; on an error either the old pledge stands or the new one.
  virtual absl::Status Store(const std::optional<Foundation>& pledge);

 private:
  base::FileSystem* const file_system_;
  const std::string directory_;
  const std::string path_;
};

// Whether it is a foundation at all: it comes from other machines and from the disk.
bool IsFoundation(const PledgeFile::Foundation& foundation);

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_PLEDGE_FILE_H_
