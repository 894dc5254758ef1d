// gateway/transcode/json_plan.h
//
// How messages become JSON. A plan is worked out once for each message type from its descriptor and
// the options on its fields; encoding then walks the plan and looks no name up.
//
// Threads: JsonPlans is filled by one thread at the start; plans are immutable from then on.
#ifndef CONSUL_GATEWAY_TRANSCODE_JSON_PLAN_H_
#define CONSUL_GATEWAY_TRANSCODE_JSON_PLAN_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
class Reflection;
}  // namespace google::protobuf

namespace consul::gateway {

struct JsonType;

// What a single value of a field is in JSON.
enum class JsonShape {
  kBool,
  kInt32,
  kInt64,
  kUint32,
  kUint64,
  kFloat,
  kDouble,
  kEnumText,
  kEnumNumber,
  kString,
  kBase64,
  kMessage,
  kDurationText,
  kDurationNumber,
  kTimestamp,
  kStruct,
};

enum class JsonCount { kOne, kList, kMap };

struct JsonField {
  const google::protobuf::FieldDescriptor* field = nullptr;
  const google::protobuf::Reflection* reflection = nullptr;  // of the type that has the field
  JsonShape shape = JsonShape::kBool;
  JsonCount count = JsonCount::kOne;
  std::string name;  // with quotes and colon
  bool omit_empty = false;
  bool null_if_empty = false;
  // kMessage, and the entries of kMap.
  const JsonType* type = nullptr;
  // kMap: the two fields of an entry.
  const JsonField* key = nullptr;
  const JsonField* value = nullptr;
  // kOne messages: what stands for an absent one; empty: its zero value.
  std::string absent_json;
  // kEnumText, by index in the enum's descriptor.
  std::vector<std::string> enum_texts;
};

struct JsonType {
  std::vector<JsonField> fields;  // in the order of declaration, hidden ones left out
  // False while the plan is being made: a type that contains itself meets its own plan so.
  bool complete = false;
};

class JsonPlans {
 public:
  JsonPlans();
  ~JsonPlans();
  JsonPlans(const JsonPlans&) = delete;
  JsonPlans& operator=(const JsonPlans&) = delete;

  // The plan of a type, which lives as long as this object.
  const JsonType* Of(const google::protobuf::Descriptor* type);
  // The plan of one field as it stands in its message, hidden or not.
  JsonField Field(const google::protobuf::FieldDescriptor* field);

 private:
  std::map<const google::protobuf::Descriptor*, std::unique_ptr<JsonType>> types_;
};

// Appends `message` as an object.
// REQUIRES: the message is of the plan's type.
void AppendJson(const JsonType& type, const google::protobuf::Message& message, std::string* out);

// Appends the value of one field of `message`, without its name. An absent message is `null`.
void AppendJson(const JsonField& field, const google::protobuf::Message& message,
                std::string* out);

// True when the field has its zero value: an absent message, an empty list, 0, "", false.
bool IsEmpty(const JsonField& field, const google::protobuf::Message& message);

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_JSON_PLAN_H_
