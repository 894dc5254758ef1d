// Text tests of what the leader, which is the server "a", does about the servers that take part.
//
//   voters ID...    learners ID...     those that take part
//   server NAME [id=NAME] [address=10.0.0.N:8300] [status=alive|leaving|left|failed] [bootstrap=1]
//                                      adds to the pool, or changes the member of that name
//   forget NAME                        the pool does not know it any more
//   last N                             the leader's last index; it begins at 1000
//   behind ID N      silent ID DURATION|never      how a server is, as the leader knows; at first
//                                      each has everything and was heard 10 ms ago
//   set [cleanup=] [contact=] [trailing=] [quorum=] [stable=]
//   cluster-version N      knows ID N    the cluster's version; what a server says that it knows
//   pass DURATION                      time passes, observed every two seconds
//   decide                             prints what is to be done, and what is in the way
//   do                                 does the first of it, and prints that
//   lead                               another lead begins
//   follow                             the pool is seen by one that does not lead yet
//   health                             prints how the servers are
#include "services/server/autopilot.h"

#include <sstream>

#include "gtest/gtest.h"
#include "services/base/check.h"
#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/base/text_test.h"

namespace consul::server {
namespace {

using base::StrCat;
using raft::MembershipChange;
using raft::ServerId;

constexpr raft::Duration kObservedEvery = std::chrono::seconds(2);

std::chrono::nanoseconds DurationOf(const std::string& text) {
  const auto duration = base::ParseDuration(text);
  CONSUL_CHECK(duration.ok());
  return *duration;
}

void Set(const std::string& text, google::protobuf::Duration* out) {
  const std::chrono::nanoseconds duration = DurationOf(text);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  out->set_seconds(seconds.count());
  out->set_nanos(static_cast<int32_t>((duration - seconds).count()));
}

std::string KindText(MembershipChange::Kind kind) {
  switch (kind) {
    case MembershipChange::Kind::kAddLearner:
      return "learner";
    case MembershipChange::Kind::kAddVoter:
      return "voter";
    case MembershipChange::Kind::kDemote:
      return "demote";
    case MembershipChange::Kind::kRemove:
      return "remove";
  }
  return "";
}

class World {
 public:
  World() {
    view_.settings = DefaultAutopilotConfiguration();
    view_.heartbeat_interval = std::chrono::milliseconds(150);
    view_.self = ServerId{"a"};
    view_.term = raft::Term{3};
    view_.last_index = raft::Index{1000};
    view_.now = raft::Time(std::chrono::hours(1));
  }

  std::string Run(const std::string& line) {
    std::istringstream in(line);
    std::string verb;
    in >> verb;
    std::vector<std::string> words;
    std::map<std::string, std::string> options;
    for (std::string word; in >> word;) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) {
        words.push_back(word);
      } else {
        options[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
    if (verb == "voters") return Take(words, raft::MemberKind::kVoter);
    if (verb == "learners") return Take(words, raft::MemberKind::kLearner);
    if (verb == "server") return AddServer(words.at(0), options);
    if (verb == "forget") {
      std::erase_if(pool_, [&](const ServerMember& each) { return each.name == words.at(0); });
      return "";
    }
    if (verb == "set") return SetSettings(options);
    if (verb == "last") view_.last_index = raft::Index{std::stoul(words.at(0))};
    if (verb == "behind") behind_[words.at(0)] = std::stoul(words.at(1));
    if (verb == "silent") silent_[words.at(0)] = words.at(1);
    if (verb == "lead") autopilot_.Clear();
    if (verb == "follow") autopilot_.Meet(view_.now, view_.configuration, pool_);
    if (verb == "without") {
      view_.configuration = view_.configuration.Without(ServerId{words.at(0)});
    }
    if (verb == "cluster-version") {
      view_.cluster_version = static_cast<uint32_t>(std::stoul(words.at(0)));
    }
    if (verb == "knows") {
      view_.state_versions[ServerId{words.at(0)}] = static_cast<uint32_t>(std::stoul(words.at(1)));
    }
    if (verb == "pass") return Pass(DurationOf(words.at(0)));
    if (verb == "decide") return Decide();
    if (verb == "do") return Do();
    if (verb == "health") return Health();
    return "";
  }

 private:
  std::string Take(const std::vector<std::string>& ids, raft::MemberKind kind) {
    for (const std::string& id : ids) {
      view_.configuration = view_.configuration.With(ServerId{id}, kind);
    }
    return "";
  }

  std::string AddServer(const std::string& name, std::map<std::string, std::string>& options) {
    ServerMember* server = nullptr;
    for (ServerMember& each : pool_) {
      if (each.name == name) server = &each;
    }
    if (server == nullptr) {
      server = &pool_.emplace_back();
      server->id = ServerId{name};
      server->name = name;
      server->address = StrCat("10.0.0.", pool_.size(), ":8300");
    }
    if (options.contains("id")) server->id = ServerId{options["id"]};
    if (options.contains("address")) server->address = options["address"];
    if (options.contains("bootstrap")) server->bootstrap = true;
    const std::string& status = options["status"];
    server->status = status == "leaving"  ? agent::v1::MEMBER_STATUS_LEAVING
                     : status == "left"   ? agent::v1::MEMBER_STATUS_LEFT
                     : status == "failed" ? agent::v1::MEMBER_STATUS_FAILED
                                          : agent::v1::MEMBER_STATUS_ALIVE;
    return "";
  }

  std::string SetSettings(const std::map<std::string, std::string>& options) {
    for (const auto& [key, value] : options) {
      if (key == "cleanup") view_.settings.set_cleanup_dead_servers(value == "true");
      if (key == "contact") Set(value, view_.settings.mutable_last_contact_threshold());
      if (key == "trailing") view_.settings.set_max_trailing_logs(std::stoul(value));
      if (key == "quorum") view_.settings.set_min_quorum(static_cast<uint32_t>(std::stoul(value)));
      if (key == "stable") Set(value, view_.settings.mutable_server_stabilization_time());
    }
    return "";
  }

  const ClusterHealth& Observe() {
    view_.pool = OnePerId(pool_);
    view_.progress.clear();
    for (const raft::Member& member : view_.configuration.members()) {
      const std::string& id = member.id.value;
      if (member.id == view_.self || silent_[id] == "never") continue;
      const auto ago = DurationOf(silent_[id].empty() ? "10ms" : silent_[id]);
      view_.progress.push_back({.id = member.id,
                                .match = raft::Index{view_.last_index.value - behind_[id]},
                                .heard_at = view_.now - ago});
    }
    return autopilot_.Observe(view_);
  }

  std::string Pass(raft::Duration duration) {
    const raft::Time end = view_.now + duration;
    Observe();
    while (view_.now < end) {
      const raft::Duration step = std::min<raft::Duration>(kObservedEvery, end - view_.now);
      view_.now += step;
      Observe();
    }
    return "";
  }

  std::string Decide() {
    Observe();
    const AutopilotDecision decision = autopilot_.Decide(view_);
    std::string text;
    for (const AutopilotAction& action : decision.actions) text += Text(action);
    for (const std::string& obstacle : decision.obstacles) text += StrCat("! ", obstacle, "\n");
    return text.empty() ? "nothing\n" : text;
  }

  std::string Do() {
    Observe();
    const AutopilotDecision decision = autopilot_.Decide(view_);
    if (decision.actions.empty()) return "nothing\n";
    const AutopilotAction& action = decision.actions.front();
    raft::Configuration& configuration = view_.configuration;
    switch (action.change.kind) {
      case MembershipChange::Kind::kAddLearner:
        configuration = configuration.With(action.change.id, raft::MemberKind::kLearner);
        break;
      case MembershipChange::Kind::kAddVoter:
        configuration = configuration.With(action.change.id, raft::MemberKind::kVoter);
        break;
      case MembershipChange::Kind::kDemote:
        break;
      case MembershipChange::Kind::kRemove:
        configuration = configuration.Without(action.change.id);
        break;
    }
    Observe();
    return Text(action);
  }

  static std::string Text(const AutopilotAction& action) {
    std::string text = StrCat(KindText(action.change.kind), " ", action.change.id.value, ": ",
                              action.news, "\n");
    if (!action.force_leave.empty()) text += StrCat("  force-leave ", action.force_leave, "\n");
    return text;
  }

  std::string Health() {
    const ClusterHealth& health = Observe();
    std::string text = StrCat(health.healthy ? "healthy" : "unhealthy",
                              " tolerance=", health.failure_tolerance, "\n");
    for (const ServerHealth& server : health.servers) {
      const std::string_view role = server.voter ? " voter" : " learner";
      text += StrCat(server.id.value, server.leader ? " leader" : role,
                     server.healthy ? " healthy" : " unhealthy", " status=",
                     static_cast<int>(server.status()), " contact=",
                     server.last_contact.has_value() ? base::FormatDuration(*server.last_contact)
                                                     : "never",
                     " term=", server.last_term.value, " index=", server.last_index.value, " for ",
                     base::FormatDuration(view_.now - server.stable_since), "\n");
    }
    return text;
  }

  Autopilot autopilot_;
  std::vector<ServerMember> pool_;  // as the members are, two of one id too
  AutopilotView view_;
  std::map<std::string, uint64_t> behind_;
  std::map<std::string, std::string> silent_;
};

std::string RunCase(const std::string& input) {
  World world;
  std::string output;
  std::istringstream lines(input);
  for (std::string line; std::getline(lines, line);) output += world.Run(line);
  return output;
}

const bool registered =
    base::RegisterTextTests("AutopilotTest", {"services/server/testdata/autopilot.txt"}, &RunCase);

TEST(ServerMembersTest, ServersOfTheDatacenterThatSayWhoAndWhereTheyAre) {
  agent::v1::ListMembersResponse members;
  const auto add = [&](const std::string& name, const std::string& addr,
                       const std::map<std::string, std::string>& tags) {
    agent::v1::Member* const member = members.add_members();
    member->set_name(name);
    member->set_addr(addr);
    member->set_status(agent::v1::MEMBER_STATUS_FAILED);
    for (const auto& [key, value] : tags) {
      auto* const tag = member->add_tags();
      tag->set_key(key);
      tag->set_value(value);
    }
  };
  add("a", "10.0.0.1", {{"role", "consul"}, {"dc", "dc1"}, {"id", "i"}, {"port", "8300"},
                        {"build", "1.2.3:abc"}, {"bootstrap", "1"}});
  add("six", "fd00::1", {{"role", "consul"}, {"dc", "dc1"}, {"id", "j"}, {"port", "8301"}});
  add("client", "10.0.0.2", {{"role", "node"}, {"dc", "dc1"}, {"id", "k"}});
  add("far", "10.0.0.3", {{"role", "consul"}, {"dc", "dc2"}, {"id", "l"}, {"port", "8300"}});
  add("nameless", "10.0.0.4", {{"role", "consul"}, {"dc", "dc1"}, {"port", "8300"}});
  add("portless", "10.0.0.5", {{"role", "consul"}, {"dc", "dc1"}, {"id", "m"}, {"port", "83x"}});
  add("long", "10.0.0.6", {{"role", "consul"}, {"dc", "dc1"}, {"port", "8300"},
                           {"id", std::string(256, 'x')}});
  const std::vector<ServerMember> servers = ServerMembers(members, "dc1");
  ASSERT_EQ(servers.size(), 2);
  EXPECT_EQ(servers[0].id.value, "i");
  EXPECT_EQ(servers[0].name, "a");
  EXPECT_EQ(servers[0].address, "10.0.0.1:8300");
  EXPECT_EQ(servers[0].status, agent::v1::MEMBER_STATUS_FAILED);
  EXPECT_EQ(servers[0].version, "1.2.3");
  EXPECT_TRUE(servers[0].bootstrap);
  EXPECT_EQ(servers[0].tags.size(), 6);
  EXPECT_EQ(servers[1].address, "[fd00::1]:8301");
  EXPECT_EQ(servers[1].version, "");
  EXPECT_FALSE(servers[1].bootstrap);
}

TEST(ServerMembersTest, OfSeveralWithOneIdTheMostAliveStays) {
  const auto member = [](const std::string& id, const std::string& name,
                         agent::v1::MemberStatus status) {
    ServerMember server;
    server.id = ServerId{id};
    server.name = name;
    server.status = status;
    return server;
  };
  const std::vector<ServerMember> servers =
      OnePerId({member("b", "left", agent::v1::MEMBER_STATUS_LEFT),
                member("b", "leaving", agent::v1::MEMBER_STATUS_LEAVING),
                member("a", "failed", agent::v1::MEMBER_STATUS_FAILED),
                member("a", "left", agent::v1::MEMBER_STATUS_LEFT)});
  ASSERT_EQ(servers.size(), 2);
  EXPECT_EQ(servers[0].name, "failed");
  EXPECT_EQ(servers[1].name, "leaving");
}

}  // namespace
}  // namespace consul::server
