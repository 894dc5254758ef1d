#include "services/rpc/method.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "absl/container/flat_hash_map.h"
#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;

const FieldDescriptor* MessageField(const Descriptor* type, std::string_view type_name) {
  const FieldDescriptor* const field = type->FindFieldByNumber(1);
  if (field == nullptr || field->type() != FieldDescriptor::TYPE_MESSAGE) return nullptr;
  return field->message_type()->full_name() == type_name ? field : nullptr;
}

// The field that names a datacenter, in the first field's message or in the request itself.
const FieldDescriptor* DatacenterField(const Descriptor* type) {
  const FieldDescriptor* const first = type->FindFieldByNumber(1);
  if (first != nullptr && first->name() == "options") {
    return first->message_type()->FindFieldByName("datacenter");
  }
  return type->FindFieldByName("datacenter");
}

// In the message or in one that it has, but for what every reply has.
bool HasRepeatedField(const Descriptor* type) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* const field = type->field(i);
    if (field->is_repeated()) return true;
    const Descriptor* const inner = field->message_type();
    if (inner == nullptr || inner->full_name() == "consul.query.v1.QueryMeta") continue;
    if (HasRepeatedField(inner)) return true;
  }
  return false;
}

Method Describe(const MethodDescriptor* descriptor, size_t id) {
  MessageFactory* const factory = MessageFactory::generated_factory();
  Method method;
  method.descriptor = descriptor;
  method.path = base::StrCat("/", descriptor->service()->full_name(), "/", descriptor->name());
  method.kind = descriptor->options().GetExtension(options::v1::kind);
  CONSUL_CHECK(method.kind != options::v1::KIND_UNSPECIFIED);
  method.id = id;
  method.server_streaming = descriptor->server_streaming();
  method.reply_is_list = HasRepeatedField(descriptor->output_type());
  method.request_prototype = factory->GetPrototype(descriptor->input_type());
  method.response_prototype = factory->GetPrototype(descriptor->output_type());
  method.options_field = MessageField(descriptor->input_type(), "consul.query.v1.QueryOptions");
  method.meta_field = MessageField(descriptor->output_type(), "consul.query.v1.QueryMeta");
  method.datacenter_field = DatacenterField(descriptor->input_type());
  return method;
}

}  // namespace

struct MethodTable::Index {
  absl::flat_hash_map<std::string, const Method*> by_path;
};

MethodTable::MethodTable(std::span<const google::protobuf::ServiceDescriptor* const> services,
                         size_t first_id)
    : services_(services.begin(), services.end()), index_(std::make_unique<Index>()) {
  for (const auto* service : services_) {
    for (int i = 0; i < service->method_count(); ++i) {
      methods_.push_back(Describe(service->method(i), first_id + methods_.size()));
    }
  }
  for (const Method& method : methods_) {
    CONSUL_CHECK(index_->by_path.emplace(method.path, &method).second);
  }
}

MethodTable::~MethodTable() = default;

const Method* MethodTable::Find(std::string_view path) const {
  const auto found = index_->by_path.find(base::ToAbsl(path));
  return found == index_->by_path.end() ? nullptr : found->second;
}

const Method& MethodTable::Get(std::string_view path) const {
  const Method* const method = Find(path);
  CONSUL_CHECK(method != nullptr);
  return *method;
}

}  // namespace consul::rpc
