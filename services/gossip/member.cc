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

std::string WhyNotMerge(const PoolMember& one, const PoolMember& other) {
  const auto differ = [&](std::string_view what, const auto& text) {
    return base::StrCat("another ", what, ": ", text(one.pool), " of ", one.name, ", ",
                        text(other.pool), " of ", other.name);
  };
  const PoolIdentity& a = one.pool;
  const PoolIdentity& b = other.pool;
  if (a.wan != b.wan) return differ("kind of pool", KindOf);
  if (a.datacenter != b.datacenter) {
    return differ("datacenter", [](const auto& pool) { return pool.datacenter; });
  }
  if (!a.cluster_id.empty() && !b.cluster_id.empty() && a.cluster_id != b.cluster_id) {
    return differ("cluster", [](const auto& pool) { return pool.cluster_id; });
  }
  if (a.protocol_max < b.protocol_min || b.protocol_max < a.protocol_min) {
    return differ("protocol", [](const auto& pool) {
      return base::StrCat("versions ", pool.protocol_min, " to ", pool.protocol_max);
    });
  }
  return "";
}

}  // namespace consul::gossip
