// services/raft/peer_recovery.h
//
// What an operator does when a quorum is lost for good: `peers.json` says who takes part from now
// on, and the next start believes it, whatever the log says.
//
// No entry is written and none is dropped: servers whose logs differ at their ends must still agree
// by raft's own rules whose log is the longer one, and what is committed is for the leader that
// they elect to say. What changes is which configuration the log is read with: the configuration
// entries that it held are void, each named by index and term, for those two name one entry on
// every server; and the new configuration stands at the snapshot, or in the place of the first
// entry. Entries that a later leader appends count again, on top of it.
//
// Threads: pure functions.
// Background: services/raft/README.md (Recovery).
#ifndef CONSUL_SERVICES_RAFT_PEER_RECOVERY_H_
#define CONSUL_SERVICES_RAFT_PEER_RECOVERY_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/options.h"
#include "services/raft/core/types.h"

namespace consul::raft {

inline constexpr std::string_view kPeersJson = "peers.json";
inline constexpr std::string_view kPeersInfo = "peers.info";
inline constexpr std::string_view kRecoveryFile = "recovered.peers";
inline constexpr size_t kPeersJsonBytesMax = 64 << 10;

// The servers of a peers.json: a list of {"id", "address", "non_voter"}. Addresses are only looked
// at: those that count come by gossip. INVALID_ARGUMENT says what is wrong, with a word of its own
// for the older list of addresses.
absl::StatusOr<Configuration> ParsePeersJson(std::string_view text);

// What stands in peers.info.
std::string_view PeersInfoText();

struct PeerRecovery {
  Configuration configuration;
  // The configuration entries that no longer count, ascending.
  struct Entry {
    Index index;
    Term term;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> voided;
};

// Voids what `restart` has. REQUIRES, as the next: that is behind its snapshot.
PeerRecovery MakeRecovery(Configuration configuration, const Restart& restart);

// Makes `restart` what the log is with it. Where the snapshot has the index of the recovery its
// configuration is the recovery's already.
void ApplyRecovery(const PeerRecovery& recovery, Restart* restart);

// Whether `restart` has nothing of what it is about any more: the snapshot covers it.
bool IsObsolete(const PeerRecovery& recovery, const Restart& restart);

// The file: magic(8) crc(4, of what follows) version(4 = 1) count(4), then index(8) term(8) for
// each voided entry, then Configuration::Encode(). Frozen. DATA_LOSS when the bytes are no such
// file.
std::string EncodeRecovery(const PeerRecovery& recovery);
absl::StatusOr<PeerRecovery> DecodeRecovery(std::string_view bytes);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_PEER_RECOVERY_H_
