// The whole program against an agent of the test's own. A case's input:
//   env NAME=VALUE        a variable of the environment
//   file NAME             the lines up to "end" are its content, in the directory named by DIR
//   stdin TEXT            what standard input holds, without a line end
//   reply METHOD {TEXT}   the next answer to METHOD, as a text proto; a stream gives all of them
//   fail METHOD CODE TEXT what METHOD fails with
//   refused CAUSE         no agent answers
//   full                  standard output has no room
//   run WORDS             the command line; '...' and "..." keep spaces together
// Its output: "call:" lines with the requests (any UUID in them is UUID), standard output behind
// ">", standard error behind "!", and the exit code.
#include <ext/stdio_sync_filebuf.h>
#include <stdlib.h>

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/gateway_command.h"
#include "gtest/gtest.h"
#include "services/agent/config/config_dump.h"
#include "services/agent/config/load.h"
#include "services/base/text_test.h"
#include "services/base/uuid.h"

namespace consul::cli {
namespace {

using agent::config::Loaded;
using agent::config::Machine;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// What the test's agent was told to say, and what it was asked.
struct Script {
  std::map<std::string, std::deque<std::string>> replies;
  std::map<std::string, absl::Status> failures;
  std::string refused;
  std::string calls;
};

class ScriptedClient final : public Client {
 public:
  ScriptedClient(Script* script, const ClientOptions& options)
      : script_(script), options_(options) {}

  absl::Status Call(std::string_view method, const Message& request, Message* response) override {
    if (absl::Status status = Begin(method, request); !status.ok()) return status;
    auto& replies = script_->replies[std::string(method)];
    if (replies.empty()) return absl::InternalError("the case has no such reply");
    Parse(replies.front(), response);
    replies.pop_front();
    return absl::OkStatus();
  }

  absl::Status Stream(std::string_view method, const Message& request, Message* response,
                      const std::function<void()>& on_message,
                      const std::function<bool()>& stop) override {
    if (absl::Status status = Begin(method, request); !status.ok()) return status;
    for (const std::string& reply : script_->replies[std::string(method)]) {
      Parse(reply, response);
      on_message();
      if (stop()) return absl::OkStatus();
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Begin(std::string_view method, const Message& request) {
    if (!script_->refused.empty()) return ConnectFailure(options_.address, script_->refused);
    TextFormat::Printer printer;
    printer.SetSingleLineMode(true);
    std::string text;
    printer.PrintToString(request, &text);
    std::string line = std::string(method) + " { " + text + "}";
    if (options_.address != AgentAddress()) {
      line += " at " + std::string(FaceName(options_.address.face)) + " " +
              options_.address.host_port;
    }
    if (!options_.token.empty()) line += " token " + options_.token;
    script_->calls += base::PrefixLines("call:", line + "\n");
    const auto failure = script_->failures.find(std::string(method));
    return failure == script_->failures.end() ? absl::OkStatus() : failure->second;
  }

  static void Parse(const std::string& text, Message* message) {
    if (!TextFormat::ParseFromString(text, message)) ADD_FAILURE() << "not a message: " << text;
  }

  Script* const script_;
  const ClientOptions options_;
};

std::vector<std::string> SplitWords(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (const char c : line) {
    if (quote != '\0' ? c == quote : c == '\'' || c == '"') {
      quote = quote == '\0' ? c : '\0';
      in_word = true;
    } else if (c == ' ' && quote == '\0') {
      if (in_word) words.push_back(std::exchange(word, ""));
      in_word = false;
    } else {
      word.push_back(c);
      in_word = true;
    }
  }
  if (in_word) words.push_back(word);
  return words;
}

absl::StatusCode CodeNamed(const std::string& name) {
  for (int code = 0; code < 17; ++code) {
    const auto status_code = static_cast<absl::StatusCode>(code);
    if (absl::StatusCodeToString(status_code) == name) return status_code;
  }
  ADD_FAILURE() << "no status code " << name;
  return absl::StatusCode::kUnknown;
}

void ReplaceAll(const std::string& from, const std::string& to, std::string* text) {
  for (size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size()) {
    text->replace(at, from.size(), to);
  }
}

// Those that a command makes up are others every time.
void MaskUuids(std::string* text) {
  constexpr size_t kUuidBytes = 36;
  for (size_t at = 0; at + kUuidBytes <= text->size(); ++at) {
    if (base::IsUuid(std::string_view(*text).substr(at, kUuidBytes))) {
      text->replace(at, kUuidBytes, "UUID");
    }
  }
}

class Case {
 public:
  Case() {
    std::string pattern = testing::TempDir() + "/cli.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    context_.in = &in_;
    context_.out = &out_;
    context_.err = &err_;
    context_.environment = [this](const char* name) { return environment_[name]; };
    context_.connect = [this](const ClientOptions& options) {
      return std::make_unique<ScriptedClient>(&script_, options);
    };
    context_.machine = [] { return Machine{"h", "10.0.0.1", "", {}}; };
    context_.interrupted = [] { return false; };
    context_.run_agent = [this](const Loaded& loaded) { return ShowAgent(loaded); };
    context_.run_gateway = [this](const GatewayOptions& options) { return ShowGateway(options); };
  }
  ~Case() { std::filesystem::remove_all(directory_); }

  std::string Run(const std::string& input) {
    std::istringstream lines(input);
    std::string output;
    for (std::string line; std::getline(lines, line);) {
      ReplaceAll("DIR", directory_, &line);
      const size_t space = line.find(' ');
      const std::string verb = line.substr(0, space);
      const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
      if (verb == "run") {
        output += RunProgram(SplitWords(rest));
      } else if (verb == "file") {
        std::ofstream file(directory_ + "/" + rest);
        while (std::getline(lines, line) && line != "end") file << line << "\n";
      } else {
        Tell(verb, rest);
      }
    }
    ReplaceAll(directory_, "DIR", &output);
    return output;
  }

 private:
  void Tell(const std::string& verb, const std::string& rest) {
    const size_t split = verb == "env" ? rest.find('=') : rest.find(' ');
    const std::string first = rest.substr(0, split);
    const std::string second = split == std::string::npos ? "" : rest.substr(split + 1);
    if (verb == "env") {
      environment_[first] = second;
    } else if (verb == "stdin") {
      in_.str(rest);
    } else if (verb == "reply") {
      script_.replies[first].push_back(second.substr(1, second.size() - 2));
    } else if (verb == "fail") {
      const size_t space = second.find(' ');
      script_.failures[first] =
          absl::Status(CodeNamed(second.substr(0, space)), second.substr(space + 1));
    } else if (verb == "refused") {
      script_.refused = rest;
    } else if (verb == "full") {
      full_file_.reset(std::fopen("/dev/full", "w"));
      full_buffer_ = std::make_unique<__gnu_cxx::stdio_sync_filebuf<char>>(full_file_.get());
      full_.rdbuf(full_buffer_.get());
      context_.out = &full_;
    } else {
      ADD_FAILURE() << "unknown line: " << verb << " " << rest;
    }
  }

  std::string RunProgram(const std::vector<std::string>& args) {
    const int code = Main(args, context_);
    MaskUuids(&script_.calls);
    const std::string output = script_.calls + base::PrefixLines(">", out_.str()) +
                               base::PrefixLines("!", err_.str()) + "exit " + std::to_string(code) +
                               "\n";
    script_.calls.clear();
    out_.str("");
    err_.str("");
    return output;
  }

  int ShowAgent(const Loaded& loaded) {
    agent::config::Sources plain;
    plain.flags.Set("data_dir", "/data");
    const auto before = Dump(agent::config::Load(plain, context_.machine())->config);
    const auto after = Dump(loaded.config);
    for (size_t i = 0; i < after.size(); ++i) {
      if (after[i] != before[i]) out_ << after[i].first << ": " << after[i].second << "\n";
    }
    for (const std::string& warning : loaded.warnings) out_ << "warning: " << warning << "\n";
    return kExitOk;
  }

  int ShowGateway(const GatewayOptions& options) {
    const auto show = [](const auto& endpoint) {
      return endpoint.has_value() ? endpoint->ToString() : "off";
    };
    out_ << "gateway to " << options.rpc_address << " http " << show(options.http_listen) << " dns "
         << show(options.dns_listen) << " datacenter "
         << options.datacenter.value_or("(the agent's)") << " domain "
         << options.domain.value_or("(the agent's)") << "\n";
    return kExitOk;
  }

  std::string directory_;
  std::istringstream in_;
  std::ostringstream out_;
  // As std::cout is made.
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> full_file_{nullptr, &std::fclose};
  std::unique_ptr<std::streambuf> full_buffer_;
  std::ostream full_{nullptr};
  std::ostringstream err_;
  std::map<std::string, std::string> environment_;
  Script script_;
  Context context_;
};

std::string RunCase(const std::string& input) { return Case().Run(input); }

const bool kRegistered = base::RegisterTextTests(
    "CliTest",
    {"cli/testdata/main.txt", "cli/testdata/help.txt", "cli/testdata/agent.txt",
     "cli/testdata/members.txt", "cli/testdata/local.txt", "cli/testdata/kv.txt",
     "cli/testdata/address.txt", "cli/testdata/gossip.txt", "cli/testdata/operator.txt",
     "cli/testdata/snapshot.txt"},
    RunCase);

// Every page of help fits a terminal, is written to standard output, and tells of every flag.
TEST(HelpTest, EveryPageFitsEightyColumns) {
  for (const CommandEntry& entry : Commands()) {
    Case run;
    std::istringstream lines(run.Run("run " + std::string(entry.name) + " -h"));
    std::string last;
    for (std::string line; std::getline(lines, line); last = line) {
      EXPECT_LE(line.size(), 82u) << entry.name << ": " << line;  // with the prefix "> "
      EXPECT_NE(line.substr(0, 1), "!") << entry.name << ": " << line;
    }
    EXPECT_EQ(last, "exit 0") << entry.name;
  }
}

TEST(CommandsTest, AreSortedAndUnique) {
  const auto& commands = Commands();
  for (size_t i = 1; i < commands.size(); ++i) EXPECT_LT(commands[i - 1].name, commands[i].name);
}

TEST(MembersTest, AStatusOfManyGroupsIsRefusedBeforeItIsCompiled) {
  EXPECT_EQ(Case().Run("run members -status " + std::string(100000, '(')),
            "! Failed to compile status regexp: error parsing regexp: it is 100000 bytes long, the "
            "limit is 1024\nexit 1\n");
}

// Each word of the program that prints of itself.
TEST(FullOutputTest, IsAnErrorOfEveryCommand) {
  std::vector<std::string> lines = {"keygen", "version", "-v", "--help", "kv -h"};
  for (const CommandEntry& entry : Commands()) lines.push_back(std::string(entry.name) + " -help");
  for (const std::string& line : lines) {
    EXPECT_EQ(Case().Run("full\nrun " + line),
              "! write to standard output failed: No space left on device\nexit 1\n")
        << line;
  }
}

// More than any buffer holds: it fails in the midst of the command.
TEST(FullOutputTest, OfALargeValue) {
  const std::string value(1 << 20, 'x');
  EXPECT_EQ(
      Case().Run("full\nreply consul.kv.v1.KvService/Get {entry {key: 'a' value: '" + value +
                 "'}}\nrun kv get a"),
      "call: consul.kv.v1.KvService/Get { options { } key: \"a\" }\n"
      "! write to standard output failed: No space left on device\nexit 1\n");
}

TEST(KeygenTest, EveryKeyIsAnother) {
  const std::string first = Case().Run("run keygen");
  EXPECT_EQ(first.size(), std::string("> \nexit 0\n").size() + 44);
  EXPECT_NE(first, Case().Run("run keygen"));
}

}  // namespace
}  // namespace consul::cli
