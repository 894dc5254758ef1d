// Text tests of the state machine: a small language of commands, reads, held versions and watches.
//
// Each write is one log entry and, outside `batch` ... `end`, one batch; indexes count from 10.
//   put KEY [VALUE] [flags=N] [cas=N]      delete KEY [cas=N]      delete-tree PREFIX
//   register NODE [id=] [address=] [skip] [generation=] [service=ID:NAME] [tags=a,b] [port=N]
//            [check=ID:STATUS[:SERVICE_ID]]... [by=membership]
//   deregister NODE [service=ID] [check=ID] [generation=G]
//   place NODE X [MS]    the coordinate of a node: its first place, its height in ms
//   autopilot TRAILING [cas=N]    the configuration of autopilot: its max_trailing_logs
//   collect INDEX    time HOURS    no-op    raw HEX    version N
//   cluster-id ID [version=N]    cluster-version N
// Reads of the newest version, or of the one held under a name by `at NAME`:
//   get KEY   list PREFIX   nodes   services   checks   places   service NAME   cluster   clock
//   autopilot-now   cluster-version-now
//   index MAP KEY       index MAP PREFIX*       hold NAME
//   watch NAME MAP KEY|PREFIX*             prints who is fired after each later write
// In keys "|" stands for a zero byte, "~" for the empty text; other odd bytes print as \xNN.
#include "services/state/fsm.h"

#include <map>
#include <sstream>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "services/base/text_test.h"
#include "services/state/version_source.h"

namespace consul::state {
namespace {

using base::StrCat;
using internal::raft::v1::Command;

std::string Unescape(std::string text) {
  if (text == "~") return "";
  for (char& c : text) c = c == '|' ? '\0' : c;
  return text;
}
std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\0') {
      out += '|';
    } else if (c > ' ' && c <= '~') {
      out += c;
    } else {
      char hex[8];
      std::snprintf(hex, sizeof(hex), "\\x%02x", static_cast<unsigned char>(c));
      out += hex;
    }
  }
  return out.empty() ? "~" : out;
}

const std::map<std::string, MapId>& MapNames() {
  static const auto* const kNames = new std::map<std::string, MapId>{
      {"kv", kKvMap},           {"nodes", kNodeMap},
      {"node-ids", kNodeIdMap}, {"node-addresses", kNodeAddressMap},
      {"services", kServiceMap}, {"service-names", kServiceNameMap},
      {"checks", kCheckMap},    {"service-checks", kServiceCheckMap},
      {"left", kLeftGenerationMap}, {"cluster", kClusterMap},
      {"coordinates", kCoordinateMap}, {"autopilot", kAutopilotMap}};
  return *kNames;
}
std::string NameOf(MapId map) {
  for (const auto& [name, id] : MapNames()) {
    if (id == map) return name;
  }
  return "?";
}

Slot ParseSlot(const std::string& map, const std::string& text, std::string* bytes) {
  const bool prefix = text.ends_with("*");
  *bytes = Unescape(prefix ? text.substr(0, text.size() - 1) : text);
  return {MapNames().at(map), prefix ? Slot::Kind::kPrefix : Slot::Kind::kKey, *bytes};
}

// "a=b" options and plain words of a line.
struct Words {
  explicit Words(const std::string& line) {
    std::istringstream in(line);
    std::string word;
    in >> verb;
    while (in >> word) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) {
        plain.push_back(word);
      } else {
        options.emplace(word.substr(0, equals), word.substr(equals + 1));
      }
    }
  }
  std::string at(size_t i) const { return i < plain.size() ? plain[i] : ""; }
  bool has(const std::string& name) const { return options.contains(name); }
  std::string operator[](const std::string& name) const {
    const auto found = options.find(name);
    return found == options.end() ? "" : found->second;
  }
  uint64_t number(const std::string& name) const { return std::stoull((*this)[name]); }
  std::string verb;
  std::vector<std::string> plain;
  std::multimap<std::string, std::string> options;
};

std::vector<std::string> Split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  std::string part;
  while (std::getline(in, part, at)) parts.push_back(part);
  return parts;
}

class NamedWaiter : public Waiter {
 public:
  NamedWaiter(std::string name, std::vector<std::string>* log)
      : name_(std::move(name)), log_(log) {}
  void Fire() override { log_->push_back(name_); }

 private:
  const std::string name_;
  std::vector<std::string>* const log_;
};

class Script {
 public:
  std::string Run(const std::string& input) {
    std::istringstream lines(input);
    std::string line;
    while (std::getline(lines, line)) Line(line);
    return out_;
  }

 private:
  void Line(const std::string& line) {
    const Words words(line);
    if (words.verb.empty() || words.verb[0] == '#') return;
    if (words.verb == "batch") {
      batching_ = true;
    } else if (words.verb == "end") {
      batching_ = false;
      Flush();
    } else if (!Write(words) && !Read(words)) {
      base::StrAppend(&out_, "unknown: ", line, "\n");
    }
  }

  bool Write(const Words& words) {
    Command command;
    command.set_min_version(min_version_);
    command.set_proposed_at(time_ns_);
    if (words.verb == "put") {
      auto* put = command.mutable_kv_put();
      put->set_key(Unescape(words.at(0)));
      put->set_value(Unescape(words.at(1)));
      if (words.has("flags")) put->set_flags(words.number("flags"));
      if (words.has("cas")) put->set_cas(words.number("cas"));
    } else if (words.verb == "delete") {
      command.mutable_kv_delete()->set_key(Unescape(words.at(0)));
      if (words.has("cas")) command.mutable_kv_delete()->set_cas(words.number("cas"));
    } else if (words.verb == "delete-tree") {
      command.mutable_kv_delete_tree()->set_prefix(Unescape(words.at(0)));
    } else if (words.verb == "register") {
      Register(words, command.mutable_catalog_register());
    } else if (words.verb == "deregister") {
      auto* deregister = command.mutable_catalog_deregister();
      deregister->set_node(words.at(0));
      deregister->set_service_id(words["service"]);
      deregister->set_check_id(words["check"]);
      deregister->set_left_generation(words["generation"]);
    } else if (words.verb == "place") {
      auto* coordinate = command.mutable_update_coordinate()->mutable_coordinate();
      coordinate->set_node(words.at(0));
      coordinate->mutable_coord()->add_vec(std::stod(words.at(1)));
      if (!words.at(2).empty()) coordinate->mutable_coord()->set_height(std::stod(words.at(2)));
    } else if (words.verb == "autopilot") {
      auto* set = command.mutable_set_autopilot_configuration();
      set->mutable_configuration()->set_max_trailing_logs(std::stoull(words.at(0)));
      if (words.has("cas")) set->set_cas(words.number("cas"));
    } else if (words.verb == "collect") {
      command.mutable_collect_tombstones()->set_index(std::stoull(words.at(0)));
    } else if (words.verb == "cluster-id") {
      command.mutable_set_cluster_id()->set_cluster_id(words.at(0));
      if (words.has("version")) {
        command.mutable_set_cluster_id()->set_version(
            static_cast<uint32_t>(words.number("version")));
      }
    } else if (words.verb == "cluster-version") {
      command.mutable_set_cluster_version()->set_version(
          static_cast<uint32_t>(std::stoul(words.at(0))));
    } else if (words.verb == "time") {
      time_ns_ = std::stoull(words.at(0)) * 3600 * 1'000'000'000;
      return true;
    } else if (words.verb == "version") {
      min_version_ = static_cast<uint32_t>(std::stoul(words.at(0)));
      return true;
    } else if (words.verb == "no-op" || words.verb == "raw") {
      std::string bytes;
      for (size_t i = 0; i + 1 < words.at(0).size(); i += 2) {
        bytes += static_cast<char>(std::stoi(words.at(0).substr(i, 2), nullptr, 16));
      }
      Add(words.verb == "raw", bytes);
      return true;
    } else {
      return false;
    }
    Add(true, command.SerializeAsString());
    return true;
  }

  static void Register(const Words& words, internal::raft::v1::CatalogRegister* registration) {
    auto* node = registration->mutable_node();
    node->set_node(Unescape(words.at(0)));
    node->set_id(words["id"]);
    node->set_address(words["address"]);
    registration->set_skip_node_update(words.at(1) == "skip");
    registration->set_generation(words["generation"]);
    registration->set_by_membership(words["by"] == "membership");
    if (words.has("service")) {
      const auto parts = Split(words["service"], ':');
      auto* service = registration->mutable_service();
      service->set_id(parts.at(0));
      if (parts.size() > 1) service->set_service(parts[1]);
      for (const std::string& tag : Split(words["tags"], ',')) service->add_tags(tag);
      if (words.has("port")) service->set_port(static_cast<uint32_t>(words.number("port")));
    }
    const auto [first, last] = words.options.equal_range("check");
    for (auto it = first; it != last; ++it) {
      const auto parts = Split(it->second, ':');
      auto* check = registration->add_checks();
      check->set_check_id(parts.at(0));
      if (parts.size() > 1 && parts[1] == "passing") {
        check->set_status(health::v1::CHECK_STATUS_PASSING);
      } else if (parts.size() > 1 && parts[1] == "critical") {
        check->set_status(health::v1::CHECK_STATUS_CRITICAL);
      }
      if (parts.size() > 2) check->set_service_id(parts[2]);
    }
  }

  void Add(bool has_command, std::string bytes) {
    commands_.emplace_back(has_command, std::move(bytes));
    if (!batching_) Flush();
  }

  void Flush() {
    std::vector<FsmEntry> entries;
    for (const auto& [has_command, bytes] : commands_) {
      entries.push_back({next_index_++, has_command, bytes});
    }
    Fsm::Batch batch;
    const absl::Status status = fsm_.ApplyBatch(entries, &batch);
    commands_.clear();
    if (!status.ok()) {
      base::StrAppend(&out_, "stop: ", base::ToStd(status.message()), "\n");
      return;
    }
    for (const CommandResult& result : batch.results) Print(result);
    const auto fired = source_.Publish(std::move(batch.version), batch.touched);
    for (const auto& waiter : fired) waiter->Fire();
    std::sort(fired_.begin(), fired_.end());
    for (const std::string& name : fired_) base::StrAppend(&out_, "  fired ", name, "\n");
    fired_.clear();
    for (size_t i = 0; i < batch.touched.size(); ++i) {
      const Slot slot = batch.touched[i];
      base::StrAppend(&out_, "  touched ", NameOf(slot.map), " ", Escape(slot.bytes), "\n");
    }
  }

  void Print(const CommandResult& result) {
    base::StrAppend(&out_, result.index, ": ", result.applied ? "applied" : "not applied");
    if (result.reason != errors::v1::REASON_UNSPECIFIED) {
      base::StrAppend(&out_, " ", errors::v1::Reason_Name(result.reason), " (", result.subject,
                      "): ", result.text);
    }
    out_ += "\n";
  }

  bool Read(const Words& given) {
    Words words = given;
    std::shared_ptr<const Versioned> held = source_.Load();
    if (words.verb == "at") {
      held = held_.at(words.at(0));
      words.verb = words.at(1);
      words.plain.erase(words.plain.begin(), words.plain.begin() + 2);
    }
    const Version& version = static_cast<const Version&>(*held);
    if (words.verb == "hold") {
      held_[words.at(0)] = held;
    } else if (words.verb == "index") {
      std::string bytes;
      const Slot slot = ParseSlot(words.at(0), words.at(1), &bytes);
      WatchSet set;
      if (slot.kind == Slot::Kind::kKey) set.AddKey(slot.map, bytes);
      if (slot.kind == Slot::Kind::kPrefix) set.AddPrefix(slot.map, bytes);
      base::StrAppend(&out_, "index ", words.at(0), " ", words.at(1), " = ", version.IndexOf(set),
                      "\n");
    } else if (words.verb == "watch") {
      std::string bytes;
      const Slot slot = ParseSlot(words.at(1), words.at(2), &bytes);
      WatchSet set;
      if (slot.kind == Slot::Kind::kKey) set.AddKey(slot.map, bytes);
      if (slot.kind == Slot::Kind::kPrefix) set.AddPrefix(slot.map, bytes);
      auto waiter = std::make_shared<NamedWaiter>(words.at(0), &fired_);
      const bool parked = source_.Park(waiter, set, version.IndexOf(set));
      if (!parked) base::StrAppend(&out_, "not parked\n");
    } else {
      return ReadRows(words, version);
    }
    return true;
  }

  bool ReadRows(const Words& words, const Version& version) {
    const auto print = [this](const auto& row) {
      base::StrAppend(&out_, Text(row), "\n");
      return true;
    };
    WatchSet watch;
    if (words.verb == "get") {
      const kv::v1::KeyValue* entry = version.kv().Find(Unescape(words.at(0)), &watch);
      base::StrAppend(&out_, entry == nullptr ? "absent" : Text(*entry), " @",
                      version.IndexOf(watch), "\n");
      return true;
    }
    if (words.verb == "list") {
      version.kv().ForEach(Unescape(words.at(0)), &watch, print);
    } else if (words.verb == "nodes") {
      version.nodes().ForEach("", &watch, print);
    } else if (words.verb == "services") {
      version.services().ForEach("", &watch, print);
    } else if (words.verb == "checks") {
      version.checks().ForEach("", &watch, print);
    } else if (words.verb == "places") {
      version.coordinates().ForEach("", &watch, print);
    } else if (words.verb == "service") {
      version.services().ForEachBy<ServiceSpec::kByName>(OfServicePrefix(words.at(0)), &watch,
                                                         print);
    } else if (words.verb == "cluster") {
      base::StrAppend(&out_, "cluster ", Escape(version.cluster_id(&watch)), "\n");
    } else if (words.verb == "autopilot-now") {
      const operators::v1::AutopilotConfiguration* row = version.autopilot(&watch);
      if (row != nullptr) print(*row);
    } else if (words.verb == "cluster-version-now") {
      base::StrAppend(&out_, "cluster version ", version.cluster_version(), "\n");
      return true;
    } else if (words.verb == "clock") {
      base::StrAppend(&out_, "clock ", version.time_ns() / 3'600'000'000'000, "h applied ",
                      version.index(), "\n");
      return true;
    } else {
      return false;
    }
    base::StrAppend(&out_, "@", version.IndexOf(watch), "\n");
    return true;
  }

  static std::string Indexes(uint64_t created, uint64_t modified) {
    return StrCat(" created=", created, " modified=", modified);
  }
  static std::string Text(const coordinate::v1::NodeCoordinate& row) {
    return StrCat(row.node(), " at ", row.coord().vec(0), " height ", row.coord().height(),
                  Indexes(row.create_index(), row.modify_index()));
  }
  static std::string Text(const operators::v1::AutopilotConfiguration& row) {
    return StrCat("autopilot trailing=", row.max_trailing_logs(),
                  Indexes(row.create_index(), row.modify_index()));
  }
  static std::string Text(const kv::v1::KeyValue& entry) {
    return StrCat(Escape(entry.key()), "=", Escape(entry.value()),
                  entry.flags() == 0 ? "" : StrCat(" flags=", entry.flags()),
                  Indexes(entry.create_index(), entry.modify_index()));
  }
  static std::string Text(const catalog::v1::Node& node) {
    return StrCat(node.node(), " id=", Escape(node.id()), " address=", Escape(node.address()),
                  Indexes(node.create_index(), node.modify_index()));
  }
  static std::string Text(const catalog::v1::Service& service) {
    std::string tags;
    for (const std::string& tag : service.tags()) StrAppendTag(&tags, tag);
    return StrCat(service.node(), " ", service.id(), ":", service.service(), tags,
                  service.port() == 0 ? "" : StrCat(" port=", service.port()),
                  Indexes(service.create_index(), service.modify_index()));
  }
  static std::string Text(const health::v1::HealthCheck& check) {
    std::string tags;
    for (const std::string& tag : check.service_tags()) StrAppendTag(&tags, tag);
    const std::string status = health::v1::CheckStatus_Name(check.status()).substr(13);
    return StrCat(check.node(), " ", check.check_id(), " ", status,
                  check.service_id().empty()
                      ? ""
                      : StrCat(" of ", check.service_id(), ":", check.service_name(), tags),
                  Indexes(check.create_index(), check.modify_index()));
  }
  static void StrAppendTag(std::string* out, const std::string& tag) { *out += " #" + tag; }

  std::string out_;
  std::vector<std::string> fired_;
  Fsm fsm_;
  VersionSource source_{fsm_.MakeVersion()};
  std::map<std::string, std::shared_ptr<const Versioned>> held_;
  std::vector<std::pair<bool, std::string>> commands_;
  bool batching_ = false;
  uint64_t next_index_ = 10;
  uint64_t time_ns_ = 0;
  uint32_t min_version_ = 1;
};

const bool registered = base::RegisterTextTests(
    "FsmText",
    {"services/state/testdata/kv.txt", "services/state/testdata/index.txt",
     "services/state/testdata/autopilot.txt", "services/state/testdata/catalog.txt",
     "services/state/testdata/watch.txt", "services/state/testdata/log.txt",
     "services/state/testdata/cluster.txt"},
    [](const std::string& input) { return Script().Run(input); });

}  // namespace
}  // namespace consul::state
