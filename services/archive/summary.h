// services/archive/summary.h
//
// What is in an archive, counted: for `consul snapshot inspect`. The state is read as a server that
// restores it reads it, so that what can be inspected can be restored.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_ARCHIVE_SUMMARY_H_
#define CONSUL_SERVICES_ARCHIVE_SUMMARY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/archive/archive.h"

namespace consul::archive {

struct Count {
  std::string name;
  uint64_t count = 0;
  uint64_t bytes = 0;
};

struct SummaryOptions {
  // Keys too, by what they begin with: `key_depth` parts between slashes of those under
  // `key_prefix`.
  bool keys = false;
  uint64_t key_depth = 2;
  std::string key_prefix;
};

struct Summary {
  ArchiveMeta meta;
  // Of each kind of row that there is, the largest first.
  std::vector<Count> tables;
  std::vector<Count> keys;
};

// The beginning of `key` that ends in front of its `depth`th slash, or all of it.
std::string_view KeyBeginning(std::string_view key, uint64_t depth);

// Errors: ReadArchive's, which are those of a restore; else the state's own.
absl::StatusOr<Summary> Summarize(const Source& source, const SummaryOptions& options);

}  // namespace consul::archive

#endif  // CONSUL_SERVICES_ARCHIVE_SUMMARY_H_
