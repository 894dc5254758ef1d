// services/state/staged_restore.h
//
// The state that is being restored, as far as it has come: chunks of an archive's `state.bin`,
// which the log brings one by one until a commit puts them in the place of the tables. All servers
// have the same of it, so it is in every snapshot of raft's; no reader ever sees it. There is one
// at a time, and one that nobody goes on with is forgotten, by the state machine's own clock.
//
// Threads: one at a time; copies share their chunks, which never change.
#ifndef CONSUL_SERVICES_STATE_STAGED_RESTORE_H_
#define CONSUL_SERVICES_STATE_STAGED_RESTORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/state/refusal.h"

namespace consul::state {

class StagedRestore {
 public:
  // Of one chunk, with which it fits into one entry of the log, and one message between servers.
  static constexpr size_t kChunkBytesMax = 512 << 10;
  // Of a state: it is in memory twice when it is put in place, beside the one that it replaces.
  static constexpr uint64_t kBytesMax = uint64_t{4} << 30;
  // Twice what kBytesMax takes of whole chunks: who sends crumbs is told so.
  static constexpr size_t kChunksMax = 16384;
  static constexpr size_t kIdBytesMax = 64;
  // One that got no chunk for so long is forgotten.
  static constexpr uint64_t kKeptNs = 600ull * 1'000'000'000;

  using Chunk = std::shared_ptr<const std::string>;

  bool empty() const { return chunks_.empty(); }
  const std::string& id() const { return id_; }
  uint64_t size() const { return size_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  // The state machine's clock when the last chunk came.
  uint64_t touched_ns() const { return touched_ns_; }

  // Takes a chunk. An `offset` of 0 begins anew, and forgets what was there. Refused: a name or
  // size that is over the limits, and a chunk that is not the next one; then nothing has changed.
  Refusal Add(std::string_view id, uint64_t offset, std::string chunk, uint64_t now_ns);

  // What is wrong with these bytes, if anything is: they are to be `size` bytes of this SHA-256.
  Refusal Check(uint64_t size, std::string_view sha256) const;

  bool IsOver(uint64_t now_ns) const { return !empty() && now_ns >= touched_ns_ + kKeptNs; }

 private:
  std::string id_;
  uint64_t size_ = 0;
  uint64_t touched_ns_ = 0;
  std::vector<Chunk> chunks_;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_STAGED_RESTORE_H_
