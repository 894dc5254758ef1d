#include "services/gossip/tags.h"

#include <set>

#include "consul/internal/gossip/v1/cluster.pb.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

absl::Status WhyNotTags(const Tags& tags) {
  std::set<std::string_view> seen;
  for (const auto& [key, value] : tags) {
    if (key.empty()) return absl::InvalidArgumentError("A tag has an empty key");
    if (!base::IsUtf8(key) || !base::IsUtf8(value)) {
      return absl::InvalidArgumentError("A tag is not valid UTF-8");
    }
    if (!seen.insert(key).second) {
      return absl::InvalidArgumentError(base::StrCat("Tag ", key, " is given twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> EncodeMeta(const MemberMeta& meta) {
  if (absl::Status status = WhyNotTags(meta.tags); !status.ok()) return status;
  pb::Meta message;
  for (const auto& [key, value] : meta.tags) {
    pb::Tag* tag = message.add_tags();
    tag->set_key(key);
    tag->set_value(value);
  }
  message.set_version_min(meta.versions.min);
  message.set_version_max(meta.versions.max);
  message.set_version_cur(meta.versions.cur);
  std::string bytes = message.SerializeAsString();
  if (bytes.size() > kMetaBytesMax) {
    return absl::ResourceExhaustedError(
        base::StrCat("Encoded length of tags is ", bytes.size(), " bytes, the limit is ",
                     kMetaBytesMax, " bytes"));
  }
  return bytes;
}

absl::StatusOr<MemberMeta> DecodeMeta(std::string_view bytes) {
  MemberMeta meta;
  if (bytes.empty()) return meta;
  pb::Meta message;
  if (bytes.size() > kMetaBytesMax ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("not encoded tags");
  }
  meta.tags.reserve(message.tags_size());
  for (const pb::Tag& tag : message.tags()) meta.tags.emplace_back(tag.key(), tag.value());
  if (absl::Status status = WhyNotTags(meta.tags); !status.ok()) return status;
  meta.versions = {message.version_min(), message.version_max(), message.version_cur()};
  if (meta.versions.min == 0 || meta.versions.min > meta.versions.cur ||
      meta.versions.cur > meta.versions.max) {
    return absl::InvalidArgumentError(base::StrCat("speaks version ", meta.versions.cur,
                                                   ", understands ", meta.versions.min, " to ",
                                                   meta.versions.max));
  }
  return meta;
}

std::string_view TagValue(const Tags& tags, std::string_view key) {
  for (const auto& [name, value] : tags) {
    if (name == key) return value;
  }
  return {};
}

}  // namespace consul::gossip
