// cli/json_text.h
//
// JSON for what commands print.
//
// Threads: pure function.
#ifndef CONSUL_CLI_JSON_TEXT_H_
#define CONSUL_CLI_JSON_TEXT_H_

#include <string>
#include <string_view>

namespace consul::cli {

// `text` (UTF-8) in quotes, with what JSON does not allow in them escaped.
std::string JsonString(std::string_view text);

}  // namespace consul::cli

#endif  // CONSUL_CLI_JSON_TEXT_H_
