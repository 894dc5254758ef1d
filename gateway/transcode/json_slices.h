// gateway/transcode/json_slices.h
//
// JSON of a message in slices, so that a large reply neither keeps its event loop from others nor
// lies in memory whole. What is large in the API is a list or a map, alone or as a member of an
// object: encoding can stop between two elements of those; an element itself is encoded at once.
//
// Threads: one at a time.
#ifndef CONSUL_GATEWAY_TRANSCODE_JSON_SLICES_H_
#define CONSUL_GATEWAY_TRANSCODE_JSON_SLICES_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/json_text.h"

namespace consul::gateway {

class JsonSlices {
 public:
  // The text of AppendJson. Plan and message outlive the slices.
  JsonSlices(const JsonType& type, const google::protobuf::Message& message);
  JsonSlices(const JsonField& field, const google::protobuf::Message& message);

  // The value in a list of its own; `[]` when it is absent. Call before Append.
  void WrapInList();
  // Indented, with a newline at the end. Call before Append.
  void Indent() { indent_ = true; }

  // Appends what comes next: `bytes` or more while there are so many, one element more at most
  // (twice that and the white space when indented). Returns true once the value is complete.
  bool Append(size_t bytes, std::string* out);

 private:
  bool AppendCompact(size_t bytes, std::string* out);
  void Begin(std::string* out);
  void AppendNextMember(std::string* out);
  void BeginMany(const JsonField& field, std::string* out);
  void AppendNextOfMany(std::string* out);

  // Null once the object is complete, or where there is none.
  const JsonType* object_ = nullptr;
  // Null once it is appended, or where there is none: the only value.
  const JsonField* value_ = nullptr;
  const google::protobuf::Message* message_;
  size_t next_member_ = 0;
  bool first_member_ = true;
  // The list or map whose elements are being appended; null: none.
  const JsonField* many_ = nullptr;
  int next_ = 0;
  int size_ = 0;
  std::vector<int> order_;
  bool begun_ = false;
  bool in_list_ = false;
  bool indent_ = false;
  Indenter indenter_;
};

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_JSON_SLICES_H_
