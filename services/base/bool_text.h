// services/base/bool_text.h
//
// Truths as text.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_BASE_BOOL_TEXT_H_
#define CONSUL_SERVICES_BASE_BOOL_TEXT_H_

#include <optional>
#include <string_view>

namespace consul::base {

// "true", "t", "1" and their opposites, in the spellings that Go takes; nullopt for others.
std::optional<bool> ParseBool(std::string_view text);

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_BOOL_TEXT_H_
