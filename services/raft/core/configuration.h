// services/raft/core/configuration.h
//
// Who takes part: the voters, whose majority decides, and the learners, who receive everything and
// count for nothing. A Configuration is a log entry's payload and part of every snapshot.
//
// Threads: pure values.
// Background: services/raft/README.md (Membership); Ongaro's thesis, chapter 4.
#ifndef CONSUL_SERVICES_RAFT_CORE_CONFIGURATION_H_
#define CONSUL_SERVICES_RAFT_CORE_CONFIGURATION_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/raft/core/types.h"

namespace consul::raft {

// Numbers are on disk: frozen.
enum class MemberKind : uint8_t { kVoter = 1, kLearner = 2 };

struct Member {
  ServerId id;
  MemberKind kind = MemberKind::kVoter;
  friend bool operator==(const Member&, const Member&) = default;
};

class Configuration {
 public:
  // Limits of the format; a cluster has 1, 3 or 5 voters and a few learners.
  static constexpr size_t kMembersMax = 64;
  static constexpr size_t kIdBytesMax = 255;

  Configuration() = default;
  // REQUIRES: ids are distinct, not empty, at most kIdBytesMax long; at most kMembersMax members.
  explicit Configuration(std::vector<Member> members);

  bool empty() const { return members_.empty(); }
  // Ordered by id, so that equal configurations are equal bytes on every server.
  const std::vector<Member>& members() const { return members_; }
  size_t voters_count() const;
  // The smallest number of voters that is a majority. 0 voters have no majority: REQUIRES voters.
  size_t quorum() const { return voters_count() / 2 + 1; }
  bool Contains(const ServerId& id) const { return Find(id) != nullptr; }
  bool IsVoter(const ServerId& id) const;
  bool IsSoleVoter(const ServerId& id) const { return IsVoter(id) && voters_count() == 1; }

  // The same with `id` as `kind`, added or changed.
  Configuration With(const ServerId& id, MemberKind kind) const;
  Configuration Without(const ServerId& id) const;

  // version(1 byte = 1) count(1) then for each member: kind(1) length(1) id. Frozen.
  std::string Encode() const;
  // Nothing when the bytes are not exactly what Encode gives for some configuration.
  static std::optional<Configuration> Decode(std::string_view bytes);

  friend bool operator==(const Configuration&, const Configuration&) = default;

 private:
  const Member* Find(const ServerId& id) const;

  std::vector<Member> members_;
};

// A configuration and the log position that put it into effect.
struct PlacedConfiguration {
  Index index;
  Configuration configuration;
  friend bool operator==(const PlacedConfiguration&, const PlacedConfiguration&) = default;
};

// A snapshot, as far as consensus knows it. Index 0 is "there is none".
struct SnapshotMeta {
  Index index;  // the last entry it covers
  Term term;    // of that entry
  PlacedConfiguration configuration;  // in effect at `index`
  std::string id;           // names these very bytes: equal ids are equal files, so chunks resume
  uint64_t size_bytes = 0;  // of the whole file
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

// One server added, promoted, demoted or removed. Nothing larger exists: two majorities that differ
// by one server overlap.
struct MembershipChange {
  enum class Kind : uint8_t { kAddLearner, kAddVoter, kDemote, kRemove };
  Kind kind = Kind::kAddLearner;  // kAddVoter also promotes a learner
  ServerId id;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_CONFIGURATION_H_
