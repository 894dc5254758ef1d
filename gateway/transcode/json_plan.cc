#include "gateway/transcode/json_plan.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string_view>
#include <utility>

#include "consul/options/v1/options.pb.h"
#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MessageFactory;

JsonShape MessageShape(const Descriptor* type, bool number) {
  const std::string_view name = type->full_name();
  if (name == "google.protobuf.Duration") {
    return number ? JsonShape::kDurationNumber : JsonShape::kDurationText;
  }
  if (name == "google.protobuf.Timestamp") return JsonShape::kTimestamp;
  if (name == "google.protobuf.Struct") return JsonShape::kStruct;
  return JsonShape::kMessage;
}

JsonShape ShapeOf(const FieldDescriptor* field, const options::v1::Field& option) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return JsonShape::kBool;
    case FieldDescriptor::CPPTYPE_INT32:
      return JsonShape::kInt32;
    case FieldDescriptor::CPPTYPE_INT64:
      return JsonShape::kInt64;
    case FieldDescriptor::CPPTYPE_UINT32:
      return JsonShape::kUint32;
    case FieldDescriptor::CPPTYPE_UINT64:
      return JsonShape::kUint64;
    case FieldDescriptor::CPPTYPE_FLOAT:
      return JsonShape::kFloat;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return JsonShape::kDouble;
    case FieldDescriptor::CPPTYPE_ENUM:
      return option.number() ? JsonShape::kEnumNumber : JsonShape::kEnumText;
    case FieldDescriptor::CPPTYPE_STRING:
      return field->type() == FieldDescriptor::TYPE_BYTES && !option.text() ? JsonShape::kBase64
                                                                            : JsonShape::kString;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageShape(field->message_type(), option.number());
  }
  CONSUL_CHECK(false);
  return JsonShape::kBool;
}

std::vector<std::string> EnumTexts(const EnumDescriptor* type) {
  std::vector<std::string> texts;
  for (int i = 0; i < type->value_count(); ++i) {
    const auto& value_options = type->value(i)->options();
    texts.push_back(value_options.HasExtension(options::v1::value)
                        ? value_options.GetExtension(options::v1::value).text()
                        : type->value(i)->name());
  }
  return texts;
}

}  // namespace

JsonPlans::JsonPlans() = default;
JsonPlans::~JsonPlans() = default;

JsonField JsonPlans::Field(const FieldDescriptor* field) {
  const options::v1::Field& option = field->options().GetExtension(options::v1::field);
  JsonField plan;
  plan.field = field;
  plan.reflection = MessageFactory::generated_factory()
                        ->GetPrototype(field->containing_type())
                        ->GetReflection();
  plan.shape = ShapeOf(field, option);
  plan.name = base::StrCat("\"", field->json_name(), "\":");
  plan.omit_empty = option.omit_empty();
  plan.null_if_empty = option.null_if_empty();
  plan.absent_json = option.absent_json();
  if (field->is_repeated()) {
    CONSUL_CHECK(!field->is_map());  // a `map` has no stable order
    plan.count = option.as_map() ? JsonCount::kMap : JsonCount::kList;
  }
  if (plan.shape == JsonShape::kEnumText) plan.enum_texts = EnumTexts(field->enum_type());
  if (plan.shape == JsonShape::kMessage) {
    plan.type = Of(field->message_type());
    // The zero value of a type inside itself would have no end.
    if (!plan.type->complete) plan.null_if_empty = true;
  }
  if (plan.count == JsonCount::kMap) {
    // Entries are two fields; the plan of a type that is being made further up is not complete yet,
    // but an entry cannot contain itself.
    CONSUL_CHECK(plan.type != nullptr && plan.type->fields.size() == 2);
    plan.key = &plan.type->fields[0];
    plan.value = &plan.type->fields[1];
    CONSUL_CHECK(plan.key->shape == JsonShape::kString && plan.key->count == JsonCount::kOne);
  }
  return plan;
}

const JsonType* JsonPlans::Of(const Descriptor* type) {
  std::unique_ptr<JsonType>& plan = types_[type];
  if (plan != nullptr) return plan.get();
  plan = std::make_unique<JsonType>();
  JsonType* const made = plan.get();
  std::vector<JsonField> fields;
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->options().GetExtension(options::v1::field).hidden()) continue;
    fields.push_back(Field(type->field(i)));
  }
  made->fields = std::move(fields);
  made->complete = true;
  return made;
}

}  // namespace consul::gateway
