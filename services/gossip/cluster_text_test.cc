// Text tests of Cluster: each case of testdata/cluster_*.txt is a pool of its own, commands, and
// what each member was told, by member. services/gossip/README.md has the commands.
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "consul/internal/gossip/v1/cluster.pb.h"
#include "consul/internal/gossip/v1/gossip.pb.h"
#include "gtest/gtest.h"
#include "services/base/check.h"
#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/base/text_test.h"
#include "services/gossip/cluster_text.h"
#include "services/gossip/test_pool.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;
using base::StrAppend;
using base::StrCat;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

Duration ToDuration(const std::string& text) {
  const auto parsed = base::ParseDuration(text);
  CONSUL_CHECK(parsed.ok());
  return *parsed;
}

std::pair<std::string, std::string> KeyAndValue(const std::string& word) {
  const size_t at = word.find('=');
  CONSUL_CHECK(at != std::string::npos);
  return {word.substr(0, at), word.substr(at + 1)};
}

class Interpreter {
 public:
  // One command; what happened, and what it answers.
  std::string Run(const std::string& line) {
    words_ = Split(line, ' ');
    const std::string name = words_.front();
    words_.erase(words_.begin());
    const auto found = Commands().find(name);
    if (found == Commands().end()) return StrCat("unknown command ", name, "\n");
    const std::string answer = found->second(*this);
    std::string out = pool().TakeTrace();
    if (!answer.empty()) out += answer + "\n";
    if (!pool().broken().empty()) out += "BROKEN " + pool().broken() + "\n";
    return out;
  }

 private:
  using Command = std::function<std::string(Interpreter&)>;

  std::string Word(size_t at) const { return at < words_.size() ? words_[at] : ""; }
  bool Has(const std::string& word) const {
    return std::find(words_.begin(), words_.end(), word) != words_.end();
  }
  std::string Option(const std::string& name) const {
    for (const std::string& word : words_) {
      if (word.rfind(name + "=", 0) == 0) return word.substr(name.size() + 1);
    }
    return "";
  }
  TestPool& pool() {
    if (pool_ == nullptr) pool_ = std::make_unique<TestPool>(1, options_);
    return *pool_;
  }
  TestPool::Node& node() { return pool().at(Word(0)); }
  Cluster& cluster() { return *node().cluster; }
  Time now() { return pool().now(); }
  std::string Pumped(const absl::Status& status) {
    pool().Pump(node());
    return std::string(status.message());
  }

  // Before the first member: options of all of them.
  std::string Options() {
    const std::map<std::string, Duration*> durations = {
        {"reconnect_timeout", &options_.reconnect_timeout},
        {"tombstone_timeout", &options_.tombstone_timeout},
        {"coalesce", &options_.coalesce_period},
        {"quiescent", &options_.quiescent_period},
        {"user_coalesce", &options_.user_coalesce_period},
        {"user_quiescent", &options_.user_quiescent_period},
        {"recent_intent_timeout", &options_.recent_intent_timeout},
    };
    const std::map<std::string, size_t*> sizes = {
        {"recent_intents_max", &options_.recent_intents_max},
        {"events_per_time_max", &options_.events_per_time_max},
        {"queries_max", &options_.queries_max},
    };
    CONSUL_CHECK(pool_ == nullptr);
    for (const std::string& word : words_) {
      const auto [name, value] = KeyAndValue(word);
      if (const auto duration = durations.find(name); duration != durations.end()) {
        *duration->second = ToDuration(value);
      } else if (name == "coordinates") {
        options_.coordinates = value == "on";
      } else {
        *sizes.at(name) = std::stoull(value);
      }
    }
    return "";
  }

  // "a tag=value keyring=AB member=b"
  std::string Add() {
    Tags tags;
    std::optional<Keyring> keyring;
    std::string member;
    for (size_t i = 1; i < words_.size(); ++i) {
      const auto [key, value] = KeyAndValue(words_[i]);
      if (key == "member") {
        member = value;
      } else if (key != "keyring") {
        tags.emplace_back(key, value);
      } else {
        keyring.emplace(KeyOf(value[0]));
        for (const char name : value.substr(1)) CONSUL_CHECK(keyring->Install(KeyOf(name)).ok());
      }
    }
    pool().Add(Word(0), std::move(tags), std::move(keyring), member);
    return "";
  }

  // All of them, in one pool.
  std::string Pool() {
    std::vector<std::string> names;
    std::string keyring;
    for (const std::string& word : words_) {
      if (word.find('=') == std::string::npos) {
        names.push_back(word);
      } else {
        keyring = " " + word;
      }
    }
    for (const std::string& name : names) {
      words_ = Split(name + keyring, ' ');
      Add();
      if (name != names.front()) pool().Join(name, names.front());
    }
    pool().Run(std::chrono::seconds(5));
    return "";
  }

  std::string Event() {
    return Pumped(cluster().SendUserEvent(now(), Word(1), Word(2) == "-" ? "" : Word(2),
                                          Has("coalesce")));
  }

  std::string Query() {
    QueryRequest request;
    request.name = Word(1);
    request.payload = Word(2);
    request.nodes = Split(Option("nodes"), ',');
    for (const std::string& tag : Split(Option("tags"), ',')) {
      const size_t colon = tag.find(':');
      request.tags.emplace_back(tag.substr(0, colon), tag.substr(colon + 1));
    }
    request.want_acks = Has("acks");
    if (!Option("relay").empty()) request.relay_factor = std::stoul(Option("relay"));
    if (!Option("timeout").empty()) request.timeout = ToDuration(Option("timeout"));
    return Pumped(cluster().Query(now(), request).status());
  }

  std::string Keys() {
    static const std::map<std::string, KeyOperationKind> kOperations = {
        {"list", KeyOperationKind::kList},
        {"install", KeyOperationKind::kInstall},
        {"use", KeyOperationKind::kUse},
        {"remove", KeyOperationKind::kRemove}};
    KeyRequest request;
    request.operation = kOperations.at(Word(1));
    if (request.operation != KeyOperationKind::kList) request.key = KeyOf(Word(2)[0]);
    return Pumped(cluster().ChangeKeys(now(), request).status());
  }

  std::string SetTags() {
    Tags tags;
    for (size_t i = 1; i < words_.size(); ++i) tags.push_back(KeyAndValue(words_[i]));
    return Pumped(cluster().UpdateTags(now(), std::move(tags)));
  }

  // A message out of the blue: "a leave b 7", "a prune b 7", "a join b 7", "a event NAME TEXT 7",
  // and of the layer below "a dead b INCARNATION".
  std::string Hear() {
    pb::Packet packet;
    pb::ClusterMessage message;
    const uint64_t time = std::stoull(words_.back());
    if (Word(1) == "dead") {
      pb::Dead* dead = packet.add_deads();
      dead->set_name(Word(2));
      dead->set_id_check(HashId(pool().at(Word(2)).id));
      dead->set_incarnation(static_cast<uint32_t>(time));
      dead->set_accuser("x");
      return Deliver(packet);
    }
    if (Word(1) == "join") {
      message.mutable_join()->set_name(Word(2));
      message.mutable_join()->set_time(time);
    } else if (Word(1) == "event") {
      message.mutable_user_event()->set_name(Word(2));
      message.mutable_user_event()->set_payload(Word(3));
      message.mutable_user_event()->set_time(time);
    } else {
      message.mutable_leave()->set_name(Word(2));
      message.mutable_leave()->set_time(time);
      message.mutable_leave()->set_prune(Word(1) == "prune");
    }
    packet.add_customs(message.SerializeAsString());
    return Deliver(packet);
  }

  std::string Deliver(const pb::Packet& packet) {
    cluster().ReceivePacket(now(), *Endpoint::Parse("10.9.9.9:1"), packet.SerializeAsString());
    pool().Pump(node());
    return "";
  }

  // Members whose views are the same stand in one line: "a b: a alive, b alive".
  std::string Views() {
    std::vector<std::pair<std::string, std::string>> views;
    for (auto& [name, node] : pool().nodes()) {
      const std::string view = pool().View(name);
      const auto same = std::find_if(views.begin(), views.end(),
                                     [&](const auto& known) { return known.second == view; });
      if (same == views.end()) {
        views.emplace_back(name, view);
      } else {
        StrAppend(&same->first, " ", name);
      }
    }
    std::string text;
    for (const auto& [names, view] : views) {
      StrAppend(&text, text.empty() ? "" : "\n", names, ": ", view);
    }
    return text;
  }

  std::string Member() {
    const std::optional<ClusterMember> member = cluster().Find(Word(1));
    if (!member.has_value()) return "no such member";
    std::string text = StrCat(member->name, " ", member->id, " ", member->address.ToString(), " ",
                              ToText(member->status), " at ", member->status_time.value);
    for (const auto& [key, value] : member->tags) StrAppend(&text, " ", key, "=", value);
    return text;
  }

  std::string Stats() {
    const ClusterStats stats = cluster().Stats();
    return StrCat("coordinate_resets=", stats.coordinate_resets, " encrypted=",
                  stats.encrypted ? "true" : "false", " event_queue=", stats.event_queue,
                  " event_time=", stats.event_time.value, " failed=", stats.failed,
                  " health_score=", stats.health_score, " intent_queue=", stats.intent_queue,
                  " left=", stats.left, " member_time=", stats.member_time.value, " members=",
                  stats.members, " query_queue=", stats.query_queue, " query_time=",
                  stats.query_time.value);
  }

  std::string Snapshot() {
    std::string text = StrCat("clocks ", node().restart.member_time.value, " ",
                              node().restart.event_time.value, " ",
                              node().restart.query_time.value);
    for (const auto& [name, address] : node().rejoin) StrAppend(&text, ", ", name);
    return text;
  }

  std::string Rejoin() {
    for (const auto& [name, address] : std::map(node().rejoin)) {
      cluster().Join(now(), address, /*ignore_old_events=*/false);
    }
    pool().Pump(node());
    return "";
  }

  template <typename Action>
  static Command Do(Action action) {
    return [action](Interpreter& i) {
      action(i);
      return std::string();
    };
  }

  static const std::map<std::string, Command>& Commands() {
    using I = Interpreter;
    static const std::map<std::string, Command> kCommands = {
        {"options", [](I& i) { return i.Options(); }},
        {"add", [](I& i) { return i.Add(); }},
        {"pool", [](I& i) { return i.Pool(); }},
        {"join", Do([](I& i) { i.pool().Join(i.Word(0), i.Word(1), i.Has("ignore")); })},
        {"rejoin", [](I& i) { return i.Rejoin(); }},
        {"leave", Do([](I& i) {
           i.cluster().Leave(i.now());
           i.pool().Pump(i.node());
         })},
        {"force_leave",
         [](I& i) { return i.Pumped(i.cluster().ForceLeave(i.now(), i.Word(1), i.Has("prune"))); }},
        {"cluster_id", Do([](I& i) { i.cluster().SetClusterId(i.Word(1)); })},
        {"crash", Do([](I& i) { i.pool().Crash(i.Word(0)); })},
        {"restart",
         Do([](I& i) { i.pool().Restart(i.Word(0), i.Has("fresh"), i.Has("new_id")); })},
        {"cut", Do([](I& i) { i.pool().Cut(i.Word(0), i.Word(1)); })},
        {"cut_off", Do([](I& i) { i.pool().CutOff(i.Word(0)); })},
        {"heal", Do([](I& i) { i.pool().Heal(); })},
        {"run", Do([](I& i) { i.pool().Run(ToDuration(i.Word(0))); })},
        {"tags", [](I& i) { return i.SetTags(); }},
        {"event", [](I& i) { return i.Event(); }},
        {"answers", Do([](I& i) { i.node().answers[i.Word(1)] = i.Word(2); })},
        {"query", [](I& i) { return i.Query(); }},
        {"keys", [](I& i) { return i.Keys(); }},
        {"hold_keys", Do([](I& i) { i.node().hold_stores = true; })},
        {"store_keys", Do([](I& i) {
           i.node().hold_stores = false;
           i.pool().StoreKeys(i.node());
         })},
        {"cannot_store_keys",
         Do([](I& i) { i.node().store_status = absl::InternalError("disk is full"); })},
        {"hear", [](I& i) { return i.Hear(); }},
        {"views", [](I& i) { return i.Views(); }},
        {"member", [](I& i) { return i.Member(); }},
        {"stats", [](I& i) { return i.Stats(); }},
        {"snapshot", [](I& i) { return i.Snapshot(); }},
    };
    return kCommands;
  }

  ClusterOptions options_;
  std::unique_ptr<TestPool> pool_;
  std::vector<std::string> words_;
};

// A command after "-" is run in silence; others are repeated with what they did.
std::string RunCase(const std::string& input) {
  Interpreter interpreter;
  std::string out;
  for (const std::string& line : Split(input, '\n')) {
    if (line.rfind("- ", 0) == 0) {
      const std::string said = interpreter.Run(line.substr(2));
      if (said.find("BROKEN") != std::string::npos) out += said;
      continue;
    }
    out += "> " + line + "\n" + interpreter.Run(line);
  }
  return out;
}

const bool kRegistered = base::RegisterTextTests(
    "ClusterTextTest",
    {"services/gossip/testdata/cluster_members.txt", "services/gossip/testdata/cluster_gone.txt",
     "services/gossip/testdata/cluster_events.txt", "services/gossip/testdata/cluster_queries.txt",
     "services/gossip/testdata/cluster_keys.txt"},
    &RunCase);

}  // namespace
}  // namespace consul::gossip
