// Serves nodes n0.node.consul to nN.node.consul from memory, to measure the DNS server alone:
//   bench_server PORT [NODES [THREADS]]
// It runs until its standard input ends.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "gateway/dns/fake_resolver.h"
#include "gateway/dns/server.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  consul::gateway::dns::FakeResolver resolver;
  const int nodes = argc > 2 ? std::atoi(argv[2]) : 1;
  for (int i = 0; i < nodes; ++i) resolver.SetNode("n" + std::to_string(i), "10.1.10.38");
  consul::gateway::DnsServer server(&resolver);
  consul::gateway::DnsServer::Options options;
  options.listen = {{"127.0.0.1", static_cast<uint16_t>(std::atoi(argv[1]))}};
  options.settings->datacenter = "dc1";
  options.threads = argc > 3 ? std::atoi(argv[3]) : 0;
  const absl::Status status = server.Start(options);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  const consul::gateway::dns::Stats stats = server.stats();
  std::printf("udp %llu kept %llu lookups %llu lost %llu\n",
              static_cast<unsigned long long>(stats.udp_queries),
              static_cast<unsigned long long>(stats.kept_answers),
              static_cast<unsigned long long>(stats.lookups),
              static_cast<unsigned long long>(stats.send_failures));
  return 0;
}
