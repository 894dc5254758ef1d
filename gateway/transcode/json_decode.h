// gateway/transcode/json_decode.h
//
// How JSON becomes a message, by the plan that also writes it, as Go's encoding/json reads: names
// match in any case, `null` is the zero value, and bytes that are no UTF-8 become U+FFFD. Unlike
// Go: of two members of one name the last counts alone, and an escape that is half of a surrogate
// pair is refused. Names that the plan does not have are refused.
//
// Threads: pure functions.
#ifndef CONSUL_GATEWAY_TRANSCODE_JSON_DECODE_H_
#define CONSUL_GATEWAY_TRANSCODE_JSON_DECODE_H_

#include <string_view>

#include "absl/status/status.h"
#include "gateway/transcode/json_plan.h"

namespace consul::gateway {

// Deepest nesting of what is read.
inline constexpr int kJsonDepthMax = 32;

// Whether messages of `type` can be read: they hold texts, bytes, numbers without sign, floating
// ones, truths, messages, lists of all these, and single durations that are written as text. These
// are read from a text of base::ParseDuration, or a number of nanoseconds.
bool IsDecodable(const JsonType& type);

// Fills `message` from one JSON object. INVALID_ARGUMENT with Go's text, but for the names of its
// types: "EOF" for nothing, "unexpected EOF" for what is cut off, `json: unknown field "X"`,
// "json: cannot unmarshal number into field Key of type string".
// REQUIRES: IsDecodable(type); `message` is of the plan's type, and empty.
absl::Status DecodeJson(std::string_view json, const JsonType& type,
                        google::protobuf::Message* message);

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_JSON_DECODE_H_
