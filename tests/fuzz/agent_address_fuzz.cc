// Goal: no address of an agent, and nothing that is found there, crashes a command; what is taken
// for an HTTP address is one of a host and a port, and stays so.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/agent_address.h"
#include "cli/connect_problem.h"

namespace {

using consul::cli::CheckRpcAddress;
using consul::cli::ParseHttpAddress;
using consul::cli::WhatItSays;

void Require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<std::string> host_port = ParseHttpAddress(text);
  if (host_port.ok()) {
    Require(CheckRpcAddress(*host_port).ok());
    Require(*ParseHttpAddress(*host_port) == *host_port);
  }
  for (const char c : WhatItSays(text)) Require(c >= ' ' && c <= '~');
  return 0;
}
