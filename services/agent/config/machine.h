// services/agent/config/machine.h
//
// What this host says about itself, for settings that default to it.
//
// Threads: ThisMachine may be called from any; the result is a plain value.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_MACHINE_H_
#define CONSUL_SERVICES_AGENT_CONFIG_MACHINE_H_

#include <string>
#include <utility>
#include <vector>

namespace consul::agent::config {

// A test fills this in by hand.
struct Machine {
  std::string host_name;
  // The address that packets to the default route leave from; empty when there is none.
  std::string default_route_address;
  std::string default_route_address_v6;
  // {"eth0", "10.0.0.7"}: every address of every interface that is up, loopback included.
  std::vector<std::pair<std::string, std::string>> interface_addresses;
};

// Asks the kernel; sends nothing. What cannot be found out is empty.
Machine ThisMachine();

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_MACHINE_H_
