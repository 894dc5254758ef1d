// services/archive/archive.h
//
// The file of `consul snapshot save`: a state of the whole cluster at one index, to be kept
// elsewhere. It is a gzip'd tar of three files, as the reference's is:
//   meta.json   what it is (ArchiveMeta)
//   state.bin   the state, in the format of services/state/snapshot.h
//   SHA256SUMS  a line for each of the two
// They stand in this order. Nothing of an archive is in memory for longer than it takes to pass on:
// what is written is written twice (tar wants to know the size first), what is read can be read
// twice.
//
// Threads: pure functions; WriteArchive on any thread that holds the version.
#ifndef CONSUL_SERVICES_ARCHIVE_ARCHIVE_H_
#define CONSUL_SERVICES_ARCHIVE_ARCHIVE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/state/staged_restore.h"
#include "services/state/version.h"

namespace consul::archive {

// Of the container: the reference's number.
inline constexpr uint64_t kArchiveVersion = 1;
inline constexpr uint64_t kStateBytesMax = state::StagedRestore::kBytesMax;
// Far above what is written.
inline constexpr uint64_t kMetaBytesMax = 64 << 10;
inline constexpr uint64_t kSumsBytesMax = 4 << 10;

struct ArchiveMeta {
  uint64_t version = kArchiveVersion;
  std::string id;      // TERM-INDEX-MILLISECONDS
  uint64_t index = 0;  // the last log entry in it
  uint64_t term = 0;
  uint64_t size = 0;   // of state.bin
};

// Takes the next bytes; after its first error nothing more is given.
using Sink = std::function<absl::Status(std::string_view bytes)>;
// Gives the next bytes, valid until the next call; empty at the end.
using Source = std::function<absl::StatusOr<std::string_view>()>;

// Gives the archive of `version` to `sink`, in blocks. `term` and `time_ms` (since 1970) are for
// its id. Returns the sink's first error; RESOURCE_EXHAUSTED for a state that is over
// kStateBytesMax.
absl::StatusOr<ArchiveMeta> WriteArchive(const state::Version& version, uint64_t term,
                                         uint64_t time_ms, const Sink& sink);

// Reads an archive to its end, giving `state.bin` to `state`, and returns what it is. What was
// given is the archived state only if this succeeds, for the sums come last, those of gzip behind
// all else; nothing may stand behind these. Errors:
// INVALID_ARGUMENT for bytes that are no archive, or damaged; FAILED_PRECONDITION for an archive of
// the reference, whose state is its own, and of a program that is newer than this; what source and
// sink said.
absl::StatusOr<ArchiveMeta> ReadArchive(const Source& source, const Sink& state);

// The text of meta.json, and back. ParseMeta's errors are ReadArchive's.
std::string MetaText(const ArchiveMeta& meta);
absl::StatusOr<ArchiveMeta> ParseMeta(std::string_view text);

// A source of bytes that are in memory. They outlive it.
Source SourceOf(std::string_view bytes);

}  // namespace consul::archive

#endif  // CONSUL_SERVICES_ARCHIVE_ARCHIVE_H_
