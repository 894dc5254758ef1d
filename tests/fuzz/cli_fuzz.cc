// Goal: no command line crashes the program, and it ends with an exit code that scripts know. The
// input is the command line, a word a line; no agent answers, and the words name no file.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/gateway_command.h"
#include "services/agent/config/load.h"

namespace consul::cli {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

class NobodyThere final : public Client {
 public:
  absl::Status Call(std::string_view, const google::protobuf::Message&,
                    google::protobuf::Message*) override {
    return ConnectFailure(AgentAddress(), "connection refused");
  }
  absl::Status Stream(std::string_view, const google::protobuf::Message&,
                      google::protobuf::Message*, const std::function<void()>&,
                      const std::function<bool()>&) override {
    return ConnectFailure(AgentAddress(), "connection refused");
  }
};

// The words, without those that would open a file.
std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string word(text.substr(0, end));
    for (char& c : word) {
      if (c == '/' || c == '.' || c == '\0') c = ':';
    }
    if (word.starts_with("@")) word[0] = '~';
    words.push_back(std::move(word));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return words;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::istringstream in("from standard input");
  std::ostringstream out;
  std::ostringstream err;
  Context context;
  context.in = &in;
  context.out = &out;
  context.err = &err;
  context.environment = [](const char*) { return std::string(); };
  context.connect = [](const ClientOptions&) { return std::make_unique<NobodyThere>(); };
  context.machine = [] {
    return agent::config::Machine{"h", "10.0.0.1", "", {{"eth0", "10.0.0.1"}}};
  };
  context.interrupted = [] { return true; };
  context.run_agent = [](const agent::config::Loaded& loaded) {
    Require(!loaded.config.data_dir.empty());
    return kExitOk;
  };
  context.run_gateway = [](const GatewayOptions&) { return kExitOk; };
  const int code = Main(Words(text), context);
  Require(code == kExitOk || code == kExitError || code == kExitNothingMatched ||
          code == kExitUnknownCommand);
  // Whoever fails says why.
  if (code != kExitOk) Require(!err.str().empty() || !out.str().empty());
  return 0;
}

}  // namespace consul::cli
