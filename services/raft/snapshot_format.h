// services/raft/snapshot_format.h
//
// A snapshot file's name and header as bytes, and back. What stands between header and end is the
// state machine's.
//
// Threads: pure functions.
// Background: services/raft/snapshot_format.md.
#ifndef CONSUL_SERVICES_RAFT_SNAPSHOT_FORMAT_H_
#define CONSUL_SERVICES_RAFT_SNAPSHOT_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// On disk: frozen.
inline constexpr uint32_t kSnapshotFileVersion = 1;
inline constexpr size_t kSnapshotFixedBytes = 64;  // of the header, before the configuration
inline constexpr std::string_view kSnapshotEnd = "consulse";

struct SnapshotHeader {
  Index index;
  Term term;
  PlacedConfiguration configuration;
  uint64_t salt = 0;  // makes the id one of a kind
  uint64_t body_bytes = 0;
  uint32_t body_crc = 0;

  // The whole header's, for this configuration.
  uint64_t header_bytes() const;
  // As consensus knows the file.
  SnapshotMeta Meta() const;
};

std::string EncodeSnapshotHeader(const SnapshotHeader& header);

// How many bytes the header has that begins with `fixed`. DATA_LOSS when it is none.
// REQUIRES: fixed.size() == kSnapshotFixedBytes.
absl::StatusOr<size_t> SnapshotHeaderBytes(std::string_view fixed);

// DATA_LOSS when `bytes` are not exactly what EncodeSnapshotHeader gives for some header that a
// server may write; FAILED_PRECONDITION when it is sound and of a version that this program does
// not know.
absl::StatusOr<SnapshotHeader> DecodeSnapshotHeader(std::string_view bytes);

// "00000000000000000042.snapshot"; the index of such a name, nothing for other names.
std::string SnapshotName(Index index);
std::optional<Index> SnapshotIndex(std::string_view name);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_SNAPSHOT_FORMAT_H_
