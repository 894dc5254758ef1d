#include "services/archive/summary.h"

#include <algorithm>
#include <map>
#include <utility>

#include "services/base/strings.h"
#include "services/state/snapshot.h"

namespace consul::archive {
namespace {

// The reference's names where it has one.
std::string NameOf(state::MapId map) {
  if (map == state::kKvMap) return "KVS";
  if (map == state::kNodeMap) return "Node";
  if (map == state::kServiceMap) return "Service";
  if (map == state::kCheckMap) return "Check";
  if (map == state::kCoordinateMap) return "Coordinate";
  if (map == state::kAutopilotMap) return "Autopilot";
  return base::StrCat("Map", static_cast<int>(map));
}

void SortBySize(std::vector<Count>* counts) {
  std::stable_sort(counts->begin(), counts->end(),
                   [](const Count& a, const Count& b) { return a.bytes > b.bytes; });
}

template <typename Spec>
void CountRows(const state::Table<Spec>& table, Summary* summary) {
  Count count{NameOf(Spec::kMap), table.size(), 0};
  table.ForEach("", nullptr, [&count](const auto& row) {
    count.bytes += row.ByteSizeLong();
    return true;
  });
  if (count.count > 0) summary->tables.push_back(std::move(count));
}

void CountKeys(const state::Tables& tables, const SummaryOptions& options, Summary* summary) {
  std::map<std::string, Count, std::less<>> counts;
  tables.kv.ForEach(options.key_prefix, nullptr, [&](const kv::v1::KeyValue& row) {
    const std::string_view name = KeyBeginning(row.key(), options.key_depth);
    auto found = counts.find(name);
    if (found == counts.end()) {
      found = counts.emplace(std::string(name), Count{std::string(name), 0, 0}).first;
    }
    ++found->second.count;
    found->second.bytes += row.ByteSizeLong();
    return true;
  });
  for (auto& [name, count] : counts) summary->keys.push_back(std::move(count));
  SortBySize(&summary->keys);
}

}  // namespace

std::string_view KeyBeginning(std::string_view key, uint64_t depth) {
  size_t end = 0;
  for (uint64_t part = 0; part < depth; ++part) {
    const size_t slash = key.find('/', end);
    if (slash == std::string_view::npos) return key;
    end = slash + 1;
  }
  return depth == 0 ? key : key.substr(0, end - 1);
}

absl::StatusOr<Summary> Summarize(const Source& source, const SummaryOptions& options) {
  state::SnapshotReader reader;
  absl::Status readable;
  auto meta = ReadArchive(source, [&](std::string_view bytes) {
    if (readable.ok()) readable = reader.Add(bytes);
    return absl::OkStatus();
  });
  if (!meta.ok()) return meta.status();
  if (!readable.ok()) return readable;
  const auto tables = reader.Finish();
  if (!tables.ok()) return tables.status();
  Summary summary;
  summary.meta = *std::move(meta);
  state::Tables::ForEachTable(*tables,
                              [&summary](const auto& table) { CountRows(table, &summary); });
  SortBySize(&summary.tables);
  if (options.keys) CountKeys(*tables, options, &summary);
  return summary;
}

}  // namespace consul::archive
