#include "tests/sim/cluster/history.h"

#include <cstdlib>
#include <utility>

#include "services/base/strings.h"

namespace consul::sim {

uint64_t NumberOf(std::string_view value) {
  return std::strtoull(std::string(value).c_str(), nullptr, 10);
}

History::Open History::Write(const std::string& key, uint64_t value, std::string text) {
  std::vector<Record>& records = records_[key];
  records.push_back({RegisterOperation::Write(value, Now(), std::nullopt)});
  records.back().operation.text = std::move(text);
  return {key, records.size() - 1};
}

History::Open History::CompareAndSet(const std::string& key, uint64_t expected, uint64_t value,
                                     std::string text) {
  std::vector<Record>& records = records_[key];
  records.push_back({RegisterOperation::CompareAndSet(expected, value, Now(), std::nullopt)});
  records.back().operation.text = std::move(text);
  return {key, records.size() - 1};
}

void History::Done(const Open& open, bool swapped) {
  RegisterOperation& operation = records_[open.key][open.position].operation;
  operation.returned = Now();
  operation.swapped = swapped;
}

void History::Refused(const Open& open) { records_[open.key][open.position].refused = true; }

void History::ReadKey(const std::string& key, const KvRows& rows, Moment called,
                      std::string text) {
  const auto found = rows.find(key);
  const uint64_t value = found == rows.end() ? 0 : NumberOf(found->second.value);
  std::vector<Record>& records = records_[key];
  records.push_back({RegisterOperation::Read(value, called, Now())});
  records.back().operation.text = std::move(text);
}

void History::ReadUnder(std::string_view prefix, const KvRows& rows, Moment called,
                        const std::string& text) {
  for (const std::string& key : keys_) {
    if (key.starts_with(prefix)) ReadKey(key, rows, called, text);
  }
}

size_t History::operations() const {
  size_t count = 0;
  for (const auto& [key, records] : records_) {
    for (const Record& record : records) count += record.refused ? 0 : 1;
  }
  return count;
}

size_t History::unknown() const {
  size_t count = 0;
  for (const auto& [key, records] : records_) {
    for (const Record& record : records) {
      if (!record.refused && !record.operation.returned.has_value()) ++count;
    }
  }
  return count;
}

std::string History::Check() const {
  for (const auto& [key, records] : records_) {
    std::vector<RegisterOperation> operations;
    for (const Record& record : records) {
      if (!record.refused) operations.push_back(record.operation);
    }
    const Linearizability result = CheckRegister(std::move(operations));
    if (result.verdict == Verdict::kLinearizable) continue;
    return base::StrCat(result.verdict == Verdict::kViolated ? "linearizability: " : "undecided: ",
                        key, " after ", result.states, " states: ", result.why);
  }
  return "";
}

}  // namespace consul::sim
