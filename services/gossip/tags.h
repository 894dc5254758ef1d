// services/gossip/tags.h
//
// What a member tells of itself beside its name and address: names and values in its own order
// (`role=consul`, `dc=dc1`), and the version of the cluster messages that it speaks. Swim carries
// them as MemberInfo::meta and does not look inside.
//
// Threads: pure functions and values.
// Background: services/gossip/README.md (Cluster); proto/consul/internal/gossip/v1/cluster.proto.
#ifndef CONSUL_SERVICES_GOSSIP_TAGS_H_
#define CONSUL_SERVICES_GOSSIP_TAGS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gossip/member.h"

namespace consul::gossip {

// Each key once, none empty; all of it valid UTF-8.
using Tags = std::vector<std::pair<std::string, std::string>>;

// What Meta holds. `versions` are those of cluster.proto's messages.
struct MemberMeta {
  Tags tags;
  Protocol versions;
  friend bool operator==(const MemberMeta&, const MemberMeta&) = default;
};

// The bytes for MemberInfo::meta. INVALID_ARGUMENT for a key that is empty or there twice and for
// text that is not UTF-8; RESOURCE_EXHAUSTED, with the size and the limit, for more than
// kMetaBytesMax: `Encoded length of tags is 530 bytes, the limit is 512 bytes`.
absl::StatusOr<std::string> EncodeMeta(const MemberMeta& meta);

// What another member's bytes say. INVALID_ARGUMENT for those that EncodeMeta does not make; empty
// bytes are no tags and version 1.
absl::StatusOr<MemberMeta> DecodeMeta(std::string_view bytes);

// The value of `key`; empty when it is not there.
std::string_view TagValue(const Tags& tags, std::string_view key);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_TAGS_H_
