#include <boost/json.hpp>
#include <limits>

#include "services/archive/archive.h"
#include "services/base/strings.h"
#include "services/state/snapshot.h"

namespace consul::archive {
namespace {

namespace json = boost::json;

using base::StrCat;
using base::ToAbsl;

// What tells our archives from those of the reference, which have no such member.
constexpr std::string_view kStateKind = "consul.state";
constexpr size_t kDepthMax = 8;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(
      ToAbsl(StrCat("failed to read snapshot file: failed to decode snapshot metadata: ", what)));
}

absl::StatusOr<uint64_t> Number(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  if (value == nullptr) return Malformed(StrCat("there is no ", name));
  if (value->is_uint64()) return value->get_uint64();
  if (value->is_int64() && value->get_int64() >= 0) {
    return static_cast<uint64_t>(value->get_int64());
  }
  return Malformed(StrCat(name, " is no number that it may be"));
}

}  // namespace

std::string MetaText(const ArchiveMeta& meta) {
  return StrCat("{\"Version\":", meta.version, ",\"ID\":\"", meta.id, "\",\"Index\":", meta.index,
                ",\"Term\":", meta.term, ",\"Size\":", meta.size, ",\"State\":\"", kStateKind,
                "\",\"StateFormat\":", state::kArchivedFormat, "}\n");
}

absl::StatusOr<ArchiveMeta> ParseMeta(std::string_view text) {
  json::parse_options options;
  options.max_depth = kDepthMax;
  json::error_code error;
  const json::value parsed =
      json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return Malformed(error.message());
  const json::object* const object = parsed.if_object();
  if (object == nullptr) return Malformed("it is no object");
  ArchiveMeta meta;
  uint64_t format = 0;
  for (const auto& [name, number] : {std::pair{"Version", &meta.version},
                                     {"Index", &meta.index},
                                     {"Term", &meta.term},
                                     {"Size", &meta.size}}) {
    const absl::StatusOr<uint64_t> value = Number(*object, name);
    if (!value.ok()) return value.status();
    *number = *value;
  }
  const json::value* const id = object->if_contains("ID");
  if (id == nullptr || !id->is_string()) return Malformed("there is no ID");
  meta.id = std::string(id->get_string().data(), id->get_string().size());
  const json::value* const state = object->if_contains("State");
  if (state == nullptr) {
    return absl::FailedPreconditionError(
        "the snapshot was made by HashiCorp's Consul, whose state is its own: it cannot be read "
        "here");
  }
  const absl::StatusOr<uint64_t> told = Number(*object, "StateFormat");
  if (!told.ok()) return told.status();
  format = *told;
  const bool known = state->is_string() && state->get_string() == kStateKind;
  if (!known || meta.version > kArchiveVersion || format > state::kArchivedFormat) {
    return absl::FailedPreconditionError(
        "the snapshot was made by a newer version of this program, and is not known to this one");
  }
  if (meta.size > kStateBytesMax) {
    return Malformed(StrCat("a state of ", meta.size, " bytes is over the limit of ",
                            kStateBytesMax));
  }
  return meta;
}

}  // namespace consul::archive
