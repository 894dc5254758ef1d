#include "services/raft/core/configuration.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"

namespace consul::raft {
namespace {

constexpr char kFormatVersion = 1;

bool IdLess(const Member& a, const Member& b) { return a.id < b.id; }

}  // namespace

Configuration::Configuration(std::vector<Member> members) : members_(std::move(members)) {
  CONSUL_CHECK(members_.size() <= kMembersMax);
  std::sort(members_.begin(), members_.end(), IdLess);
  for (size_t i = 0; i < members_.size(); ++i) {
    CONSUL_CHECK(!members_[i].id.empty());
    CONSUL_CHECK(members_[i].id.value.size() <= kIdBytesMax);
    CONSUL_CHECK(i == 0 || members_[i - 1].id != members_[i].id);
  }
}

size_t Configuration::voters_count() const {
  return std::count_if(members_.begin(), members_.end(),
                       [](const Member& member) { return member.kind == MemberKind::kVoter; });
}

const Member* Configuration::Find(const ServerId& id) const {
  for (const Member& member : members_) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

bool Configuration::IsVoter(const ServerId& id) const {
  const Member* member = Find(id);
  return member != nullptr && member->kind == MemberKind::kVoter;
}

Configuration Configuration::With(const ServerId& id, MemberKind kind) const {
  std::vector<Member> members = Without(id).members_;
  members.push_back(Member{id, kind});
  return Configuration(std::move(members));
}

Configuration Configuration::Without(const ServerId& id) const {
  Configuration result = *this;
  std::erase_if(result.members_, [&id](const Member& member) { return member.id == id; });
  return result;
}

std::string Configuration::Encode() const {
  std::string bytes;
  bytes.push_back(kFormatVersion);
  bytes.push_back(static_cast<char>(members_.size()));
  for (const Member& member : members_) {
    bytes.push_back(static_cast<char>(member.kind));
    bytes.push_back(static_cast<char>(member.id.value.size()));
    bytes.append(member.id.value);
  }
  return bytes;
}

std::optional<Configuration> Configuration::Decode(std::string_view bytes) {
  if (bytes.size() < 2 || bytes[0] != kFormatVersion) return std::nullopt;
  const size_t count = static_cast<uint8_t>(bytes[1]);
  if (count > kMembersMax) return std::nullopt;
  bytes.remove_prefix(2);
  std::vector<Member> members;
  for (size_t i = 0; i < count; ++i) {
    if (bytes.size() < 2) return std::nullopt;
    const uint8_t kind = static_cast<uint8_t>(bytes[0]);
    const size_t length = static_cast<uint8_t>(bytes[1]);
    bytes.remove_prefix(2);
    if (kind != static_cast<uint8_t>(MemberKind::kVoter) &&
        kind != static_cast<uint8_t>(MemberKind::kLearner)) {
      return std::nullopt;
    }
    if (length == 0 || length > bytes.size()) return std::nullopt;
    Member member{ServerId{std::string(bytes.substr(0, length))}, static_cast<MemberKind>(kind)};
    if (!members.empty() && !IdLess(members.back(), member)) return std::nullopt;
    members.push_back(std::move(member));
    bytes.remove_prefix(length);
  }
  if (!bytes.empty()) return std::nullopt;
  return Configuration(std::move(members));
}

}  // namespace consul::raft
