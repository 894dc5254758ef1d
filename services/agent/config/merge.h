// services/agent/config/merge.h
//
// Lays one configuration tree over another.
//
// Threads: pure function.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_MERGE_H_
#define CONSUL_SERVICES_AGENT_CONFIG_MERGE_H_

#include "services/agent/config/value.h"

namespace consul::agent::config {

// Objects merge key by key, lists append, everything else is replaced by `over`; an absent `over`
// changes nothing. A key that stands several times in one object is merged in order, so that
// afterwards every key of `base` is there once.
void Merge(Value* base, const Value& over);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_MERGE_H_
