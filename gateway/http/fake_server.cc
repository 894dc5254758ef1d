// The HTTP face over the fake backend, to be measured by itself:
//   fake_server PORT [THREADS]
// serves a key "foo" until its standard input ends.
#include <iostream>
#include <string>

#include "gateway/http/fake_backend.h"
#include "gateway/http/http_server.h"

int main(int argc, char** argv) {
  consul::gateway::http::FakeBackend backend;
  backend.Set("foo", "bar");
  consul::gateway::HttpOptions options;
  options.addresses = {{"127.0.0.1", static_cast<uint16_t>(argc > 1 ? std::stoi(argv[1]) : 0)}};
  if (argc > 2) options.threads = std::stoi(argv[2]);
  options.settings.connections_per_client_max = 0;
  consul::gateway::HttpServer server(options, &backend);
  if (const absl::Status status = server.Start(); !status.ok()) {
    std::cerr << status << "\n";
    return 1;
  }
  std::cout << "listening on 127.0.0.1:" << server.ports()[0] << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  return 0;
}
