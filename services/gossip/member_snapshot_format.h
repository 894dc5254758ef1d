// services/gossip/member_snapshot_format.h
//
// The bytes of the member snapshot, encoded and read back. Nothing here touches a file. The format
// stands in format.md; numbers here are on disk and frozen.
//
// Threads: pure functions and values.
// Background: services/gossip/format.md, "Member snapshots".
#ifndef CONSUL_SERVICES_GOSSIP_MEMBER_SNAPSHOT_FORMAT_H_
#define CONSUL_SERVICES_GOSSIP_MEMBER_SNAPSHOT_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "services/gossip/member.h"
#include "services/gossip/types.h"

namespace consul::gossip {

inline constexpr size_t kSnapshotHeaderBytes = 16;
inline constexpr size_t kSnapshotRecordHeadBytes = 7;
// An alive member with the longest name.
inline constexpr size_t kSnapshotPayloadBytesMax = 18 + kNameBytesMax;
// Members that a snapshot remembers. In a larger pool these are enough to find the others by.
inline constexpr size_t kSnapshotMembersMax = 65536;

// The next Lamport time of each clock. A clock never goes back.
struct SnapshotClocks {
  LamportTime member_time;
  LamportTime event_time;
  LamportTime query_time;
  friend bool operator==(const SnapshotClocks&, const SnapshotClocks&) = default;
};

using SnapshotMembers = std::map<std::string, Endpoint, std::less<>>;

// What a file begins with.
std::string SnapshotHeader();

// Each appends one record. REQUIRES: a name of 1 to kNameBytesMax bytes.
void AppendAliveRecord(std::string_view name, const Endpoint& address, std::string* out);
void AppendNotAliveRecord(std::string_view name, std::string* out);
void AppendClocksRecord(const SnapshotClocks& clocks, std::string* out);
void AppendLeaveRecord(std::string* out);
// An agent's life begins: the members so far are those that it was told by the file.
void AppendStartRecord(std::string* out);

struct SnapshotContents {
  // Those that the last life met; where it met nobody, those that it was told.
  SnapshotMembers members;
  SnapshotClocks clocks;
  // What is wrong, and where, in words; empty for a sound file, one that ends in the midst of a
  // record or in zeros (its last write was cut off), and an empty one.
  std::string damage;

  friend bool operator==(const SnapshotContents&, const SnapshotContents&) = default;
};

// Reads up to the first record that is not sound; what is behind it counts for nothing. After a
// leave record there are no members, unless `rejoin_after_leave`. Members over kSnapshotMembersMax
// are passed over.
SnapshotContents ParseMemberSnapshot(std::string_view bytes, bool rejoin_after_leave);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_MEMBER_SNAPSHOT_FORMAT_H_
