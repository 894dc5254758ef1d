#include "gateway/transcode/response_plan.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <utility>

#include "gateway/transcode/json_text.h"
#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::string_view kEffectiveConsistency = "X-Consul-Effective-Consistency";

int64_t Milliseconds(const Message& message) {
  const auto& duration = static_cast<const google::protobuf::Duration&>(message);
  return duration.seconds() * 1000 + duration.nanos() / 1000000;
}

// The value of a header: numbers and flags as in JSON, texts without quotes, durations in ms.
void AppendHeaderValue(const JsonField& field, const Message& message, std::string* out) {
  switch (field.shape) {
    case JsonShape::kUint64:
      AppendJsonUint(field.reflection->GetUInt64(message, field.field), out);
      return;
    case JsonShape::kBool:
      out->append(field.reflection->GetBool(message, field.field) ? "true" : "false");
      return;
    case JsonShape::kEnumText:
      out->append(field.enum_texts.at(static_cast<size_t>(
          field.reflection->GetEnum(message, field.field)->index())));
      return;
    case JsonShape::kDurationText:
      AppendJsonInt(Milliseconds(field.reflection->GetMessage(message, field.field)), out);
      return;
    default:
      CONSUL_CHECK(false);  // AddHeaders lets no other shape in
  }
}

bool IsHeaderShape(JsonShape shape) {
  return shape == JsonShape::kUint64 || shape == JsonShape::kBool ||
         shape == JsonShape::kEnumText || shape == JsonShape::kDurationText;
}

}  // namespace

ResponsePlan::ResponsePlan(const rpc::Method& method, const options::v1::Route& route,
                           JsonPlans* plans)
    : form_(route.form()),
      content_type_(route.content_type()),
      not_found_when_absent_(route.absent() == options::v1::ABSENT_NOT_FOUND) {
  const Descriptor* const type = method.descriptor->output_type();
  if (!route.response_field().empty()) {
    const FieldDescriptor* const field = type->FindFieldByName(route.response_field());
    CONSUL_CHECK(field != nullptr);
    field_ = plans->Field(field);
    has_field_ = true;
  } else {
    CONSUL_CHECK(!not_found_when_absent_);
    for (const JsonField& field : plans->Of(type)->fields) {
      if (field.field != method.meta_field) whole_.fields.push_back(field);
    }
  }
  if (form_ == options::v1::FORM_RAW) {
    CONSUL_CHECK(has_field_);
    const FieldDescriptor* raw = field_.field;
    if (!route.raw_field().empty()) {
      CONSUL_CHECK(field_.shape == JsonShape::kMessage);
      raw_is_inside_ = true;
      raw = raw->message_type()->FindFieldByName(route.raw_field());
    }
    CONSUL_CHECK(raw != nullptr && raw->cpp_type() == FieldDescriptor::CPPTYPE_STRING);
    raw_ = plans->Field(raw);
  }
  CONSUL_CHECK(form_ != options::v1::FORM_JSON_LIST || has_field_);
  if (!route.absent_zero_while_empty().empty()) {
    zero_while_empty_ =
        method.descriptor->input_type()->FindFieldByName(route.absent_zero_while_empty());
    CONSUL_CHECK(zero_while_empty_ != nullptr && !zero_while_empty_->is_repeated());
  }
  if (route.has_status_unless()) {
    good_ = type->FindFieldByName(route.status_unless().field());
    CONSUL_CHECK(good_ != nullptr && good_->type() == FieldDescriptor::TYPE_BOOL &&
                 !good_->is_repeated());
    status_unless_good_ = static_cast<int>(route.status_unless().status());
  }
  if (method.meta_field != nullptr) AddHeaders(method, route, plans);
}

int ResponsePlan::Status(const Message& response) const {
  if (good_ == nullptr || response.GetReflection()->GetBool(response, good_)) return 200;
  return status_unless_good_;
}

void ResponsePlan::AddHeaders(const rpc::Method& method, const options::v1::Route& route,
                              JsonPlans* plans) {
  meta_ = method.meta_field;
  const Descriptor* const type = meta_->message_type();
  // What an agent answers by itself has an index, and knows of no leader.
  const bool index_alone = method.kind == options::v1::KIND_LOCAL;
  for (int i = 0; i < type->field_count(); ++i) {
    const std::string& name =
        type->field(i)->options().GetExtension(options::v1::field).header();
    if (name.empty() || (index_alone && type->field(i)->name() != "index")) continue;
    if (name == kEffectiveConsistency && !route.effective_consistency()) continue;
    headers_.push_back({base::StrCat(name, ": "), plans->Field(type->field(i))});
    CONSUL_CHECK(IsHeaderShape(headers_.back().field.shape));
  }
  std::sort(headers_.begin(), headers_.end(),
            [](const Header& a, const Header& b) { return a.name < b.name; });
  if (!route.meta_on_error()) return;
  const JsonField index = plans->Field(type->FindFieldByName("index"));
  for (const Header& header : headers_) {
    if (header.field.shape == JsonShape::kEnumText) continue;  // there is no effective consistency
    error_meta_ += header.name;
    if (header.field.field == index.field) {
      error_meta_ += "1";
    } else {
      error_meta_ += header.field.shape == JsonShape::kBool ? "false" : "0";
    }
    error_meta_ += "\r\n";
  }
}

bool ResponsePlan::IsAbsent(const Message& response) const {
  return has_field_ && IsEmpty(field_, response);
}

ResponsePlan::Result ResponsePlan::AppendBody(const Message& request, const Message& response,
                                              bool pretty, size_t bytes, std::string* out,
                                              std::unique_ptr<JsonSlices>* rest) const {
  if (form_ == options::v1::FORM_EMPTY) return Result::kEmpty;
  if (not_found_when_absent_ && IsAbsent(response) &&
      (zero_while_empty_ == nullptr ||
       request.GetReflection()->HasField(request, zero_while_empty_))) {
    return Result::kNotFound;
  }
  if (form_ == options::v1::FORM_RAW) {
    std::string scratch;
    const Message& owner =
        raw_is_inside_ ? field_.reflection->GetMessage(response, field_.field) : response;
    out->append(raw_.reflection->GetStringReference(owner, raw_.field, &scratch));
    return Result::kRaw;
  }
  JsonSlices slices =
      has_field_ ? JsonSlices(field_, response) : JsonSlices(whole_, response);
  if (form_ == options::v1::FORM_JSON_LIST) slices.WrapInList();
  if (pretty) slices.Indent();
  if (!slices.Append(bytes, out)) *rest = std::make_unique<JsonSlices>(std::move(slices));
  return Result::kJson;
}

void ResponsePlan::AppendMeta(const Message& response, std::string* out) const {
  if (meta_ == nullptr) return;
  const Message& meta = response.GetReflection()->GetMessage(response, meta_);
  for (const Header& header : headers_) {
    out->append(header.name);
    AppendHeaderValue(header.field, meta, out);
    out->append("\r\n");
  }
}

}  // namespace consul::gateway
