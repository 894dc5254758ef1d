// What a person sees: /usr/bin/dig against a server with a small catalog.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <regex>
#include <string>

#include "gateway/dns/fake_resolver.h"
#include "gateway/dns/server.h"
#include "gateway/dns/text_test.h"

namespace consul::gateway::dns {
namespace {

// dig's output without what changes from run to run: its version, ids, times, ports, serials.
std::string Normalized(const std::string& output) {
  std::string out;
  for (const std::string& line : SplitLines(output)) {
    static const std::regex kChanging("^(; <<>>|;; (global options|Got answer|Query time|SERVER|"
                                      "WHEN|MSG SIZE)).*|^; \\(1 server found\\)$|^$");
    if (std::regex_match(line, kChanging)) continue;
    std::string fixed = std::regex_replace(line, std::regex("id: [0-9]+"), "id: ID");
    fixed = std::regex_replace(fixed, std::regex("(hostmaster\\.[a-z.]*) [0-9]+"), "$1 SERIAL");
    out += fixed + "\n";
  }
  return out;
}

class Dig {
 public:
  Dig() {
    resolver_.SetNode("armons-macbook-air", "10.1.10.38");
    resolver_.SetNode("six", "2001:db8::1");
    resolver_.SetNode("named", "host.example.com");
    resolver_.SetServers({{"Armons-MacBook-Air", "10.1.10.38"}});
    DnsServer::Options options;
    options.listen = {{"127.0.0.1", 0}, {"::1", 0}};
    options.settings->datacenter = "dc1";
    EXPECT_EQ(server_.Start(options).message(), "");
  }

  // `input` is dig's arguments behind the server's address; "@6" before them asks over IPv6.
  std::string Run(const std::string& input) {
    std::string arguments = SplitLines(input).at(0);
    const bool v6 = arguments.starts_with("@6 ");
    if (v6) arguments = arguments.substr(3);
    const std::string command = "/usr/bin/dig @" + std::string(v6 ? "::1" : "127.0.0.1") + " -p " +
                                std::to_string(server_.port(v6 ? 1 : 0)) + " +tries=1 +time=5 " +
                                arguments + " 2>&1";
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::string output;
    char buffer[4096];
    while (const size_t bytes = fread(buffer, 1, sizeof(buffer), pipe.get())) {
      output.append(buffer, bytes);
    }
    return Normalized(output);
  }

 private:
  FakeResolver resolver_;
  DnsServer server_{&resolver_};
};

TEST(DigTest, Text) {
  Dig dig;
  RunTextTest("gateway/dns/testdata/dig.txt",
              [&dig](const std::string& input) { return dig.Run(input); });
}

}  // namespace
}  // namespace consul::gateway::dns
