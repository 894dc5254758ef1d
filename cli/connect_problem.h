// cli/connect_problem.h
//
// Why there is no agent at an address. gRPC's own text is made for its authors, so that when it
// could not connect, a plain connection is made here to see who is there and what it says.
//
// Threads: any; ConnectProblem blocks for three seconds at most, the name's lookup apart.
#ifndef CONSUL_CLI_CONNECT_PROBLEM_H_
#define CONSUL_CLI_CONNECT_PROBLEM_H_

#include <string>
#include <string_view>

#include "cli/agent_address.h"

namespace consul::cli {

// "connection refused", "it did not answer within 3s", "it is no agent's RPC address", or of an
// HTTP server "it passes no RPC on: 502 Bad Gateway: ..."; empty when what is there speaks HTTP/2,
// as an agent's RPC does.
std::string ConnectProblem(const AgentAddress& address);

// What the reply of an HTTP/1 server says, on one line of printable ASCII: its status, and the
// first line of its body where that is text: "502 Bad Gateway: RPC at ... cannot be reached".
std::string WhatItSays(std::string_view reply);

}  // namespace consul::cli

#endif  // CONSUL_CLI_CONNECT_PROBLEM_H_
