// services/state/registration.h
//
// Whether a catalog registration may be applied: names, ids and the rules for who owns a node name.
// Apart from the writing, so that a refusal is known before anything is changed, and so that who
// would propose one can see that it would be refused.
//
// Threads: pure functions of the tables.
#ifndef CONSUL_SERVICES_STATE_REGISTRATION_H_
#define CONSUL_SERVICES_STATE_REGISTRATION_H_

#include <string_view>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/state/refusal.h"
#include "services/state/tables.h"

namespace consul::state {

// The check that the leader keeps for each member of the pool.
inline constexpr std::string_view kSerfCheckId = "serfHealth";

// Returns why `registration` may not be applied at the state machine's time, if so.
Refusal CheckRegistration(const Tables& tables,
                          const internal::raft::v1::CatalogRegister& registration);

// Whether the writes of `generation` are refused at the state machine's time; never those of the
// empty one.
bool HasLeft(const Tables& tables, std::string_view generation);

// Returns the node that a registration of `node` changes: the one with its id, else the one with
// its name; null when it is new.
const catalog::v1::Node* ExistingNode(const Tables& tables, const catalog::v1::Node& node);

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_REGISTRATION_H_
