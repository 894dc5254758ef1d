// gateway/transcode/json_value.h
//
// The parts of a JSON value, for those who put them together: AppendJson in one go, JsonSlices in
// several.
//
// Threads: pure functions.
#ifndef CONSUL_GATEWAY_TRANSCODE_JSON_VALUE_H_
#define CONSUL_GATEWAY_TRANSCODE_JSON_VALUE_H_

#include <string>
#include <vector>

#include "gateway/transcode/json_plan.h"

namespace consul::gateway {

// Appends a member of an object, without its name: an absent message is its zero value, or what
// the plan says.
void AppendJsonMember(const JsonField& field, const google::protobuf::Message& message,
                      std::string* out);

// Appends element `i` of a list.
void AppendJsonElement(const JsonField& field, const google::protobuf::Message& message, int i,
                       std::string* out);

// Appends an entry of a map: its key, a colon and its value.
void AppendJsonEntry(const JsonField& map, const google::protobuf::Message& entry,
                     std::string* out);

// Looking through more entries at once than this would keep an event loop from others for too long
// (0.1 ms). Maps that can be larger come sorted from their methods, and are written as they come.
inline constexpr int kOrderedEntriesMax = 4096;

// Members stand in the order of their keys: returns the entries of a map so. Lists come sorted as a
// rule; then the result is empty, as it is beyond kOrderedEntriesMax.
std::vector<int> EntryOrder(const JsonField& map, const google::protobuf::Message& message);

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_JSON_VALUE_H_
