#include "gateway/transcode/request_plan.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "consul/query/v1/query.pb.h"
#include "gateway/transcode/json_decode.h"
#include "gateway/transcode/json_text.h"
#include "services/base/bool_text.h"
#include "services/base/check.h"
#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"
#include "services/rpc/errors.h"

namespace consul::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::Status Invalid(std::string_view text, std::string_view subject) {
  return rpc::Error(errors::v1::REASON_INVALID_FIELD, text, subject);
}

absl::Status Conflict(std::string_view one, std::string_view other) {
  return rpc::Error(
      errors::v1::REASON_CONFLICTING_FIELDS,
      base::StrCat("Cannot specify ?", one, " with ?", other, ", conflicting semantics."), other);
}

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, &quoted);
  return quoted;
}

// Digits only, as strconv.ParseUint in base 10; on failure `problem` says which.
template <typename Number>
bool ParseNumber(std::string_view text, Number* value, std::string_view* problem) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *value, 10);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) return true;
  const bool all_read = result.ptr == text.data() + text.size();
  *problem = result.ec == std::errc::result_out_of_range && all_read ? "value out of range"
                                                                      : "invalid syntax";
  return false;
}

bool SetDuration(std::string_view text, const FieldDescriptor* field, Message* message) {
  const auto duration = base::ParseDuration(text);
  if (!duration.ok()) return false;
  auto* const value = static_cast<google::protobuf::Duration*>(
      message->GetReflection()->MutableMessage(message, field));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*duration);
  value->set_seconds(seconds.count());
  value->set_nanos(static_cast<int32_t>((*duration - seconds).count()));
  return true;
}

// Whether `query` has the parameter, as a duration above 0.
bool IsPositive(const Query& query, const std::string& parameter) {
  if (parameter.empty()) return false;
  const Parameter* const given = query.Find(parameter);
  if (given == nullptr) return false;
  const auto duration = base::ParseDuration(given->value);
  return duration.ok() && *duration > std::chrono::nanoseconds::zero();
}

bool IsDuration(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type()->full_name() == "google.protobuf.Duration";
}

const FieldDescriptor* FieldNamed(const Descriptor* type, const std::string& name) {
  const FieldDescriptor* const field = type->FindFieldByName(name);
  CONSUL_CHECK(field != nullptr);
  return field;
}

}  // namespace

RequestPlan::RequestPlan(const rpc::Method& method, const options::v1::Route& route,
                         std::span<const std::string> captures, JsonPlans* json_plans)
    : reflection_(method.request_prototype->GetReflection()) {
  const Descriptor* const type = method.descriptor->input_type();
  for (const std::string& name : captures) {
    captures_.push_back(FieldNamed(type, name));
    CONSUL_CHECK(captures_.back()->cpp_type() == FieldDescriptor::CPPTYPE_STRING);
  }
  AddFields(type, nullptr, route);
  if (route.checks_query_options()) checked_.reset(new RequestPlan(route));
  for (const auto& required : route.required()) {
    required_.push_back({FieldNamed(type, required.field()), required.text()});
  }
  refused_.assign(route.refused().begin(), route.refused().end());
  rejected_.assign(route.rejected().begin(), route.rejected().end());
  namespace_rejected_ = route.namespace_rejected();
  for (const auto& exclusive : route.exclusive()) {
    exclusive_.emplace_back(exclusive.parameter().begin(), exclusive.parameter().end());
  }
  if (!route.body_field().empty()) {
    body_ = FieldNamed(type, route.body_field());
    CONSUL_CHECK(!body_->is_repeated());
    CONSUL_CHECK(body_->type() == (route.json_body() ? FieldDescriptor::TYPE_MESSAGE
                                                     : FieldDescriptor::TYPE_BYTES));
  }
  if (route.json_body()) {
    json_ = json_plans->Of(body_ == nullptr ? type : body_->message_type());
    CONSUL_CHECK(IsDecodable(*json_));
    body_invalid_ =
        route.body_invalid().empty() ? "Request decode failed: " : route.body_invalid();
  }
  if (!takes_body()) return;
  CONSUL_CHECK(route.body_max() > 0);
  SetBodyMax(route.body_max());
  body_max_see_ = route.body_max_see();
}

RequestPlan::RequestPlan(const options::v1::Route& route)
    : reflection_(query::v1::QueryOptions::default_instance().GetReflection()) {
  AddFields(query::v1::QueryOptions::descriptor(), nullptr, route);
}

// The fields of the request, and those of the messages in it (its QueryOptions or WriteOptions).
void RequestPlan::AddFields(const Descriptor* type, const FieldDescriptor* parent,
                            const options::v1::Route& route) {
  const auto passed_over = [&route](const std::string& parameter) {
    return std::ranges::find(route.passed_over(), parameter) != route.passed_over().end();
  };
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* const field = type->field(i);
    const options::v1::Field& option = field->options().GetExtension(options::v1::field);
    if (passed_over(option.query())) continue;
    if (!option.query().empty()) {
      parameters_.push_back({option.query(), option.query_alias(), option.invalid(),
                             option.query_needs_value(), option.query_is_bool(), field, parent});
      CONSUL_CHECK(!option.query_is_bool() || !option.invalid().empty());
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      Flags flags{{}, field, parent};
      for (int v = 0; v < field->enum_type()->value_count(); ++v) {
        const auto* const value = field->enum_type()->value(v);
        const auto& option = value->options().GetExtension(options::v1::value);
        if (option.query_flag().empty() || passed_over(option.query_flag())) continue;
        flags.flags.push_back({option.query_flag(),
                               value->number(),
                               {option.query_excludes().begin(), option.query_excludes().end()},
                               option.query_duration()});
      }
      if (!flags.flags.empty()) flags_.push_back(std::move(flags));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && parent == nullptr &&
               !field->is_repeated()) {
      AddFields(field->message_type(), field, route);
    }
  }
}

Message* RequestPlan::Owner(const FieldDescriptor* parent, Message* request) const {
  return parent == nullptr ? request : reflection_->MutableMessage(request, parent);
}

absl::Status RequestPlan::Fill(std::span<const std::string_view> captures, const Query& query,
                               Message* request) const {
  CONSUL_CHECK(captures.size() == captures_.size());
  for (size_t i = 0; i < captures.size(); ++i) {
    const FieldDescriptor* const field = captures_[i];
    if (field->type() == FieldDescriptor::TYPE_STRING && !base::IsUtf8(captures[i])) {
      return Invalid(base::StrCat("Invalid UTF-8 in ", field->name(), " of the path"),
                     field->name());
    }
    if (!captures[i].empty()) {
      reflection_->SetString(request, field, std::string(captures[i]));
    }
  }
  if (!query.parameters().empty()) {
    if (absl::Status status = FillQuery(query, request); !status.ok()) return status;
  }
  for (const RequiredField& required : required_) {
    if (!reflection_->HasField(*request, required.field)) {
      return rpc::Error(errors::v1::REASON_MISSING_FIELD, required.text, required.field->name());
    }
  }
  return absl::OkStatus();
}

absl::Status RequestPlan::CheckNamespace() const {
  if (namespace_rejected_.empty()) return absl::OkStatus();
  return Invalid(namespace_rejected_, "X-Consul-Namespace");
}

absl::Status RequestPlan::FillQuery(const Query& query, Message* request) const {
  if (absl::Status status = CheckQuery(query); !status.ok()) return status;
  if (checked_ != nullptr) {
    query::v1::QueryOptions forgotten;
    if (absl::Status status = checked_->FillQuery(query, &forgotten); !status.ok()) return status;
  }
  for (const Flags& flags : flags_) {
    if (absl::Status status = SetFlags(flags, query, request); !status.ok()) return status;
  }
  if (absl::Status status = CheckRejected(query); !status.ok()) return status;
  for (const Parameter& parameter : parameters_) {
    const bool by_alias = !parameter.alias.empty() && !query.Has(parameter.name);
    const std::string& name = by_alias ? parameter.alias : parameter.name;
    for (const gateway::Parameter& given : query.parameters()) {
      if (given.name != name) continue;
      Message* const owner = Owner(parameter.parent, request);
      if (absl::Status status = SetParameter(parameter, given.value, owner); !status.ok()) {
        return status;
      }
      // Of several values a single field takes the first.
      if (!parameter.field->is_repeated()) break;
    }
  }
  return absl::OkStatus();
}

absl::Status RequestPlan::CheckQuery(const Query& query) const {
  for (const std::vector<std::string>& exclusive : exclusive_) {
    int given = 0;
    for (const std::string& name : exclusive) given += query.Has(name) ? 1 : 0;
    if (given > 1) {
      return rpc::Error(errors::v1::REASON_CONFLICTING_FIELDS,
                        base::StrCat("Conflicting flags: ", query.Encode()), exclusive[0]);
    }
  }
  for (const std::string& name : refused_) {
    if (query.Has(name)) {
      return rpc::Error(errors::v1::REASON_UNSUPPORTED,
                        base::StrCat("Query parameter \"", name, "\" is not supported"), name);
    }
  }
  return absl::OkStatus();
}

absl::Status RequestPlan::CheckRejected(const Query& query) const {
  for (const options::v1::Rejected& rejected : rejected_) {
    const gateway::Parameter* const given = query.Find(rejected.parameter());
    if (given == nullptr || given->value.empty()) continue;
    if (std::ranges::find(rejected.except(), given->value) == rejected.except().end()) {
      return Invalid(rejected.text(), rejected.parameter());
    }
  }
  return absl::OkStatus();
}

absl::Status RequestPlan::SetFlags(const Flags& flags, const Query& query,
                                   Message* request) const {
  const Flags::Flag* chosen = nullptr;
  for (const Flags::Flag& flag : flags.flags) {
    if (!query.Has(flag.name) && !IsPositive(query, flag.duration)) continue;
    if (chosen != nullptr) return Conflict(chosen->name, flag.name);
    chosen = &flag;
  }
  if (chosen == nullptr) return absl::OkStatus();
  for (const std::string& excluded : chosen->excludes) {
    if (query.Has(excluded)) return Conflict(excluded, chosen->name);
  }
  Message* const owner = Owner(flags.parent, request);
  owner->GetReflection()->SetEnumValue(owner, flags.field, chosen->number);
  return absl::OkStatus();
}

absl::Status RequestPlan::SetParameter(const Parameter& parameter, std::string_view value,
                                       Message* message) const {
  const FieldDescriptor* const field = parameter.field;
  const google::protobuf::Reflection* const write = message->GetReflection();
  // A parameter with a text of its own may be empty and means nothing then, as in the reference.
  if (value.empty() && !parameter.invalid.empty()) return absl::OkStatus();
  std::string_view problem;
  bool valid = true;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      if (parameter.is_bool) {
        const std::optional<bool> truth = base::ParseBool(value);
        valid = truth.has_value();
        if (valid) write->SetBool(message, field, *truth);
        break;
      }
      if (!parameter.needs_value || !value.empty()) write->SetBool(message, field, true);
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->type() == FieldDescriptor::TYPE_STRING && !base::IsUtf8(value)) {
        return Invalid(base::StrCat("Invalid UTF-8 in parameter \"", parameter.name, "\""),
                       parameter.name);
      }
      if (field->is_repeated()) {
        write->AddString(message, field, std::string(value));
      } else {
        write->SetString(message, field, std::string(value));
      }
      break;
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = 0;
      valid = ParseNumber(value, &number, &problem);
      if (valid) write->SetUInt64(message, field, number);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      uint32_t number = 0;
      valid = ParseNumber(value, &number, &problem);
      if (valid) write->SetUInt32(message, field, number);
      break;
    }
    default:
      CONSUL_CHECK(IsDuration(field));
      valid = SetDuration(value, field, message);
      problem = "invalid duration";
  }
  if (valid) return absl::OkStatus();
  if (parameter.invalid.empty()) {
    return Invalid(base::StrCat("strconv.ParseUint: parsing ", Quoted(value), ": ", problem),
                   parameter.name);
  }
  std::string text = parameter.invalid;
  constexpr std::string_view kValue = "{value}";
  if (const size_t at = text.find(kValue); at != std::string::npos) {
    text.replace(at, kValue.size(), Quoted(value));
  }
  return Invalid(text, parameter.name);
}

absl::Status RequestPlan::SetBody(std::string body, Message* request) const {
  if (json_ == nullptr) {
    CONSUL_CHECK(body_ != nullptr);
    reflection_->SetString(request, body_, std::move(body));
    return absl::OkStatus();
  }
  const absl::Status status = DecodeJson(body, *json_, Owner(body_, request));
  if (status.ok()) return status;
  return Invalid(base::StrCat(body_invalid_, base::ToStd(status.message())), "body");
}

void RequestPlan::SetBodyMax(uint64_t bytes) {
  CONSUL_CHECK(takes_body());
  body_max_.store(bytes, std::memory_order_relaxed);
}

absl::Status RequestPlan::BodyTooLarge(uint64_t size) const {
  std::string text = base::StrCat("Request body(", size, " bytes) too large, max size: ",
                                  body_max(), " bytes.");
  if (!body_max_see_.empty()) base::StrAppend(&text, " See ", body_max_see_, ".");
  return rpc::Error(errors::v1::REASON_TOO_LARGE, text, body_ == nullptr ? "" : body_->name());
}

}  // namespace consul::gateway
