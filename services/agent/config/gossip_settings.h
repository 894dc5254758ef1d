// services/agent/config/gossip_settings.h
//
// The settings of gossip: who is joined, the pools' times, and encryption.
//
// Threads: belongs to one Build.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_GOSSIP_SETTINGS_H_
#define CONSUL_SERVICES_AGENT_CONFIG_GOSSIP_SETTINGS_H_

#include <string>
#include <vector>

#include "services/agent/config/config.h"
#include "services/agent/config/settings.h"

namespace consul::agent::config {

// Fills the fields of `config` that are gossip's; `server` is settled already. What is wrong goes
// to `settings`, what is odd to `warnings`.
void ReadGossip(Settings* settings, Config* config, std::vector<std::string>* warnings);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_GOSSIP_SETTINGS_H_
