// services/raft/core/text.h
//
// One line of text for each thing that a core says, for text tests and for traces of failing seeds.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_RAFT_CORE_TEXT_H_
#define CONSUL_SERVICES_RAFT_CORE_TEXT_H_

#include <string>
#include <string_view>

#include "services/raft/core/configuration.h"
#include "services/raft/core/message.h"
#include "services/raft/core/output.h"

namespace consul::raft {

std::string_view ToText(Role role);
std::string ToText(const Configuration& configuration);  // "a b c+" where + marks a learner
std::string ToText(const Entry& entry);                  // "2/7 set"  (term/index payload)
std::string ToText(const Message& message);
std::string ToText(const Persist& persist);
std::string ToText(const RoleChange& change);
std::string ToText(const Fact& fact);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_TEXT_H_
