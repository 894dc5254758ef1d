#include "services/agent/config/settings.h"

#include "services/base/duration.h"
#include "services/base/strings.h"

namespace consul::agent::config {

const Value* Settings::Find(std::string_view path) const {
  const Value* at = &tree_;
  while (at != nullptr) {
    const size_t dot = path.find('.');
    at = at->Find(path.substr(0, dot));
    if (dot == std::string_view::npos) return at;
    path.remove_prefix(dot + 1);
  }
  return nullptr;
}

std::string Settings::Origin(std::string_view path) const {
  const Value* value = Find(path);
  if (value == nullptr || value->source == nullptr || value->source->empty()) return "";
  return base::StrCat(" (", *value->source, ")");
}

void Settings::Read(std::string_view path, std::string* out) const {
  if (const Value* value = Find(path)) *out = *value->as_string();
}

void Settings::Read(std::string_view path, bool* out) const {
  if (const Value* value = Find(path)) *out = *value->as_bool();
}

void Settings::Read(std::string_view path, std::chrono::nanoseconds* out) {
  const Value* value = Find(path);
  if (value == nullptr) return;
  const auto duration = base::ParseDuration(*value->as_string());
  if (!duration.ok()) {
    Fault(base::StrCat(path, ": ", base::ToStd(duration.status().message()), Origin(path)));
  } else if (duration->count() < 0) {
    Fault(base::StrCat(path, " cannot be ", *value->as_string(),
                       ". Must be greater than or equal to zero", Origin(path)));
  } else {
    *out = *duration;
  }
}

void Settings::ReadInteger(std::string_view path, int64_t min, std::optional<int64_t> max,
                           int64_t* out) {
  const Value* value = Find(path);
  if (value == nullptr) return;
  const int64_t number = *value->as_int();
  if (number >= min && (!max.has_value() || number <= *max)) {
    *out = number;
    return;
  }
  std::string fault = base::StrCat(path, " cannot be ", number, ". Must be ");
  if (max.has_value()) {
    base::StrAppend(&fault, "between ", min, " and ", *max);
  } else {
    base::StrAppend(&fault, "greater than or equal to ", min == 0 ? "zero" : base::StrCat(min));
  }
  Fault(fault + Origin(path));
}

absl::Status Settings::Result() const {
  if (faults_.empty()) return absl::OkStatus();
  if (faults_.size() == 1) return absl::InvalidArgumentError(faults_.front());
  std::string text = base::StrCat(faults_.size(), " errors occurred:");
  for (const std::string& fault : faults_) base::StrAppend(&text, "\n\t* ", fault);
  return absl::InvalidArgumentError(text);
}

}  // namespace consul::agent::config
