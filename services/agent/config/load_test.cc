// Files and flags to a Config, on a disk of its own. A case's input is a little language:
//   file NAME       the lines up to "end" are its content; below the case's own directory
//   path NAME       -config-file or -config-dir of it
//   format F        -config-format
//   hcl TEXT        -hcl
//   flag X K JSON   what flag -X sets key K to
//   machine K=V...  host, route, route6, or INTERFACE=ADDRESS; the default is host=h route=10.0.0.1
// The output is every setting that differs from that machine's agent with nothing but a data_dir,
// the warnings and the error. A data_dir of "/data" is given unless the case says "no data_dir".
#include "services/agent/config/load.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "services/agent/config/config_dump.h"
#include "services/agent/config/parse.h"
#include "services/base/text_test.h"

namespace consul::agent::config {
namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = testing::TempDir() + "/config.XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

  void Write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path_ + "/" + name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }

 private:
  std::string path_;
};

void ReadMachine(std::istringstream* words, Machine* machine) {
  *machine = Machine();
  for (std::string word; *words >> word;) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = word.substr(equals + 1);
    if (name == "host") {
      machine->host_name = value;
    } else if (name == "route") {
      machine->default_route_address = value;
    } else if (name == "route6") {
      machine->default_route_address_v6 = value;
    } else {
      machine->interface_addresses.emplace_back(name, value);
    }
  }
}

std::string RestOf(std::istringstream* words) {
  std::string rest;
  std::getline(*words >> std::ws, rest);
  return rest;
}

void AddFlag(std::istringstream* words, Sources* sources) {
  std::string flag;
  std::string key;
  *words >> flag >> key;
  Value value = *ParseJson("{\"v\":" + RestOf(words) + "}", "")->Find("v");
  value.source = std::make_shared<const std::string>("flag -" + flag);
  sources->flags.Set(key, value);
}

// What a message says of the case's own directory is the same in every run.
std::string Without(const std::string& directory, std::string text) {
  for (size_t at = 0; (at = text.find(directory, at)) != std::string::npos;) {
    text.replace(at, directory.size(), "DIR");
  }
  return text;
}

const Machine kMachine{"h", "10.0.0.1", "", {}};

std::string Report(const Loaded& loaded) {
  Sources plain;
  plain.flags.Set("data_dir", "/data");
  const auto before = Dump(Load(plain, kMachine)->config);
  const auto after = Dump(loaded.config);
  std::string out;
  for (size_t i = 0; i < after.size(); ++i) {
    if (after[i] != before[i]) out += after[i].first + ": " + after[i].second + "\n";
  }
  for (const std::string& warning : loaded.warnings) out += "warning: " + warning + "\n";
  return out.empty() ? "as the defaults\n" : out;
}

std::string RunCase(const std::string& input) {
  const Directory directory;
  Machine machine = kMachine;
  Sources sources;
  sources.flags.Set("data_dir", "/data");
  std::istringstream lines(input);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "file") {
      const std::string name = RestOf(&words);
      std::string text;
      while (std::getline(lines, line) && line != "end") text += line + "\n";
      directory.Write(name, text);
    } else if (word == "path") {
      sources.paths.push_back(directory.path() + "/" + RestOf(&words));
    } else if (word == "format") {
      sources.format = RestOf(&words);
    } else if (word == "hcl") {
      sources.fragments.push_back(RestOf(&words));
    } else if (word == "flag") {
      AddFlag(&words, &sources);
    } else if (word == "machine") {
      ReadMachine(&words, &machine);
    } else if (word == "no") {
      sources.flags = Value();
    } else {
      return "unknown line: " + line + "\n";
    }
  }
  const auto loaded = Load(sources, machine);
  if (!loaded.ok()) {
    const std::string text(loaded.status().message());
    return base::PrefixLines("error:", Without(directory.path(), text) + "\n");
  }
  return Without(directory.path(), Report(*loaded));
}

const bool kRegistered = base::RegisterTextTests(
    "ConfigTest",
    {"services/agent/config/testdata/load.txt", "services/agent/config/testdata/known_keys.txt",
     "services/agent/config/testdata/gossip.txt",
     "services/agent/config/testdata/validate.txt", "services/agent/config/testdata/addresses.txt"},
    RunCase);

TEST(LoadTest, DefaultsOfAnAgentWithADataDirOnly) {
  Sources sources;
  sources.flags.Set("data_dir", "/data");
  const auto loaded = Load(sources, Machine{"web-1", "10.0.0.1", "", {}});
  ASSERT_TRUE(loaded.ok());
  EXPECT_TRUE(loaded->warnings.empty());
  const Config& config = loaded->config;
  EXPECT_EQ(config.node_name, "web-1");
  EXPECT_EQ(config.datacenter, "dc1");
  EXPECT_FALSE(config.server);
  EXPECT_EQ(config.bind_address, "0.0.0.0");
  EXPECT_EQ(config.advertise_address, "10.0.0.1");
  EXPECT_EQ(config.advertise_address_wan, "10.0.0.1");
  EXPECT_EQ(config.http_listen, std::vector<Endpoint>({{"127.0.0.1", 8500}}));
  EXPECT_EQ(config.dns_listen, std::vector<Endpoint>({{"127.0.0.1", 8600}}));
  EXPECT_EQ(config.rpc_listen, std::vector<Endpoint>({{"127.0.0.1", 8400}}));
  EXPECT_EQ(config.serf_lan_listen, (Endpoint{"0.0.0.0", 8301}));
  EXPECT_FALSE(config.serf_wan_listen.has_value());
  EXPECT_FALSE(config.server_listen.has_value());
  EXPECT_TRUE(config.leave_on_terminate);
  EXPECT_FALSE(config.skip_leave_on_interrupt);
}

TEST(LoadTest, AFileLargerThanTheLimitIsNamed) {
  const Directory directory;
  directory.Write("a.json", std::string(kTextBytesMax + 1, ' '));
  Sources sources;
  sources.paths = {directory.path() + "/a.json"};
  EXPECT_EQ(std::string(Load(sources, Machine()).status().message()),
            "config: " + directory.path() + "/a.json is larger than the limit of 8388608 bytes");
}

TEST(LoadTest, AFileThatMayNotBeReadIsNamed) {
  const Directory directory;
  Sources sources;
  // A directory where a file should be: root may read any file, but this it may not.
  std::filesystem::create_directories(directory.path() + "/c/a.json");
  std::filesystem::create_symlink("nowhere", directory.path() + "/c/b.json");
  sources.paths = {directory.path() + "/c"};
  EXPECT_EQ(std::string(Load(sources, Machine()).status().message()),
            "config: Open failed on " + directory.path() + "/c/b.json: No such file or directory");
}

TEST(EndpointTest, ToStringBracketsIPv6) {
  EXPECT_EQ((Endpoint{"10.0.0.1", 80}).ToString(), "10.0.0.1:80");
  EXPECT_EQ((Endpoint{"::1", 80}).ToString(), "[::1]:80");
}

TEST(LogLevelTest, ReadsEveryNameInEitherCase) {
  EXPECT_EQ(ParseLogLevel("trace"), base::LogLevel::kTrace);
  EXPECT_EQ(ParseLogLevel("Debug"), base::LogLevel::kDebug);
  EXPECT_EQ(ParseLogLevel("INFO"), base::LogLevel::kInfo);
  EXPECT_EQ(ParseLogLevel("warn"), base::LogLevel::kWarn);
  EXPECT_EQ(ParseLogLevel("err"), base::LogLevel::kError);
  EXPECT_EQ(ParseLogLevel("error"), base::LogLevel::kError);
  EXPECT_EQ(ParseLogLevel("fatal"), std::nullopt);
  EXPECT_EQ(ParseLogLevel(""), std::nullopt);
}

}  // namespace
}  // namespace consul::agent::config
