// cli/archive_file.h
//
// The file of an archive, for the commands that read one.
//
// Threads: one.
#ifndef CONSUL_CLI_ARCHIVE_FILE_H_
#define CONSUL_CLI_ARCHIVE_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "services/archive/archive.h"

namespace consul::cli {

// Its bytes, from the beginning; the file is read as the source is asked. The error says why it
// cannot be opened: "open FILE: no such file or directory".
absl::StatusOr<archive::Source> OpenArchive(const std::string& path);

}  // namespace consul::cli

#endif  // CONSUL_CLI_ARCHIVE_FILE_H_
