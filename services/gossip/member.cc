#include "services/gossip/member.h"

#include <utility>

#include "services/base/strings.h"
#include "services/base/utf8.h"
#include "services/gossip/hash.h"

namespace consul::gossip {
namespace {

uint64_t HashInfo(const MemberInfo& info) {
  const std::string ip = info.address.IpBytes();
  return StableHash()
      .Bytes(info.name)
      .Bytes(info.id)
      .Bytes(ip)
      .Number(info.address.port)
      .Bytes(info.meta)
      .Number(info.protocol.min)
      .Number(info.protocol.max)
      .Number(info.protocol.cur)
      .value();
}

// They stand in logs, and in messages that refuse what is no UTF-8.
bool IsWord(std::string_view text, size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max && base::IsUtf8(text) &&
         base::IsPrintable(text);
}

const char* KindOf(const PoolIdentity& pool) { return pool.wan ? "WAN" : "LAN"; }

}  // namespace

bool MemberInfo::valid() const {
  return IsWord(name, kNameBytesMax) && IsWord(id, kIdBytesMax) &&
         meta.size() <= kMetaBytesMax && address.port != 0 && protocol.min <= protocol.cur &&
         protocol.cur <= protocol.max;
}

Member::Member(MemberInfo member_info)
    : info(std::move(member_info)),
      name_hash(HashName(info.name)),
      info_hash(HashInfo(info)),
      id_check(HashId(info.id)) {}

uint64_t HashName(std::string_view name) { return StableHash().Bytes(name).value(); }

uint32_t HashId(std::string_view id) {
  return static_cast<uint32_t>(StableHash().Bytes(id).value());
}

const char* ToText(LifeState state) {
  switch (state) {
    case LifeState::kAlive:
      return "alive";
    case LifeState::kSuspect:
      return "suspect";
    case LifeState::kDead:
      return "dead";
    case LifeState::kLeft:
      return "left";
  }
  return "";
}

std::string WhyNotMerge(const PoolIdentity& ours, const PoolIdentity& theirs) {
  if (ours.wan != theirs.wan) {
    return base::StrCat("another kind of pool: ours is ", KindOf(ours), ", theirs is ",
                        KindOf(theirs));
  }
  if (ours.datacenter != theirs.datacenter) {
    return base::StrCat("another datacenter: ours is '", ours.datacenter, "', theirs is '",
                        theirs.datacenter, "'");
  }
  if (!ours.cluster_id.empty() && !theirs.cluster_id.empty() &&
      ours.cluster_id != theirs.cluster_id) {
    return base::StrCat("another cluster: ours is ", ours.cluster_id, ", theirs is ",
                        theirs.cluster_id);
  }
  if (ours.protocol_max < theirs.protocol_min || theirs.protocol_max < ours.protocol_min) {
    return base::StrCat("no common protocol version: ours are ", ours.protocol_min, " to ",
                        ours.protocol_max, ", theirs are ", theirs.protocol_min, " to ",
                        theirs.protocol_max);
  }
  return "";
}

}  // namespace consul::gossip
