// gateway/transcode/json_text.h
//
// JSON text as Go's encoding/json writes it: its escapes, its numbers, its indentation. Existing
// clients compare such text, so it is followed to the byte.
//
// Threads: pure functions.
#ifndef CONSUL_GATEWAY_TRANSCODE_JSON_TEXT_H_
#define CONSUL_GATEWAY_TRANSCODE_JSON_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace consul::gateway {

// Appends `text` in quotes. Escaped are quotes, backslashes, controls, <, >, &, U+2028 and U+2029;
// each byte that is not part of valid UTF-8 becomes \ufffd.
void AppendJsonString(std::string_view text, std::string* out);

// Appends `bytes` as standard base64 with padding, in quotes.
void AppendJsonBase64(std::string_view bytes, std::string* out);

void AppendJsonInt(int64_t value, std::string* out);
void AppendJsonUint(uint64_t value, std::string* out);

// The shortest text that reads back as `value`; an exponent below 1e-6 and from 1e21 on. Values
// that are not finite, which JSON cannot say, are `null`.
void AppendJsonDouble(double value, std::string* out);

// Indents JSON that comes in pieces: four spaces for each level and no newline at the end, as
// json.Indent. Members and elements get a line each; `{}` and `[]` stay as they are.
//
// Threads: one.
class Indenter {
 public:
  // REQUIRES: the pieces together are well-formed and without white space between tokens; no string
  // is parted.
  void Append(std::string_view piece, std::string* out);

 private:
  size_t depth_ = 0;
  bool opened_ = false;  // the last character opened what may be empty
};

// The same for JSON in one piece.
void AppendIndented(std::string_view json, std::string* out);

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_JSON_TEXT_H_
