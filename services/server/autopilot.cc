#include "services/server/autopilot.h"

#include <algorithm>
#include <utility>

#include "services/base/strings.h"
#include "services/state/sealed_command.h"

namespace consul::server {
namespace {

using raft::MembershipChange;
using raft::ServerId;

raft::Duration ToDuration(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

// "b (2a3f...)", as log lines name a server.
std::string NameOf(const std::string& name, const ServerId& id) {
  return name.empty() ? id.value : base::StrCat(name, " (", id.value, ")");
}

AutopilotAction ActionOf(MembershipChange::Kind kind, const ServerId& id, std::string news) {
  return {.change = {kind, id}, .news = std::move(news), .force_leave = {}};
}

// Why the server's program might not know what the log may hold; empty: it knows all of it.
std::string BehindTheCluster(const AutopilotView& view, const ServerId& id) {
  // Everybody knows that.
  if (view.cluster_version <= state::kBaselineVersion) return "";
  const auto known = view.state_versions.find(id);
  if (known != view.state_versions.end() && known->second >= view.cluster_version) return "";
  return base::StrCat(known == view.state_versions.end()
                          ? "it has not said which version of the state machine its program knows"
                          : base::StrCat("its program knows version ", known->second,
                                         " of the state machine"),
                      ", and the cluster is at version ", view.cluster_version);
}

// A failed or unknown server that takes part.
struct Dead {
  const raft::Member* member;
  const ServerMember* server;  // null: unknown
};

}  // namespace

operators::v1::AutopilotConfiguration DefaultAutopilotConfiguration() {
  operators::v1::AutopilotConfiguration configuration;
  configuration.set_cleanup_dead_servers(true);
  configuration.mutable_last_contact_threshold()->set_nanos(200'000'000);
  configuration.set_max_trailing_logs(250);
  configuration.set_min_quorum(0);
  configuration.mutable_server_stabilization_time()->set_seconds(10);
  return configuration;
}

void Autopilot::Clear() {
  health_ = ClusterHealth();
  stability_.clear();
  gone_.clear();
}

void Autopilot::Meet(raft::Time now, const raft::Configuration& configuration,
                     const std::vector<ServerMember>& pool) {
  for (const ServerMember& server : pool) seen_[server.id] = {server.name, server.address};
  std::erase_if(seen_, [&](const auto& each) {
    return !configuration.Contains(each.first) && FindServer(pool, each.first) == nullptr;
  });
  if (last_configuration_.has_value()) {
    for (const raft::Member& member : last_configuration_->members()) {
      if (!configuration.Contains(member.id)) removed_at_[member.id] = now;
    }
  }
  last_configuration_ = configuration;
  std::erase_if(removed_at_, [&](const auto& each) {
    return configuration.Contains(each.first) || now - each.second >= kRemovedGrace;
  });
}

const ClusterHealth& Autopilot::Observe(const AutopilotView& view) {
  Remember(view);
  health_ = ClusterHealth();
  health_.healthy = true;
  size_t healthy_voters = 0;
  for (const raft::Member& member : view.configuration.members()) {
    const ServerHealth& server = health_.servers.emplace_back(HealthOf(view, member));
    if (!server.healthy) health_.healthy = false;
    if (server.healthy && server.voter) ++healthy_voters;
  }
  if (view.configuration.voters_count() > 0 && healthy_voters > view.configuration.quorum()) {
    health_.failure_tolerance = healthy_voters - view.configuration.quorum();
  }
  return health_;
}

ServerHealth Autopilot::HealthOf(const AutopilotView& view, const raft::Member& member) {
  ServerHealth health;
  health.id = member.id;
  if (const ServerMember* const server = FindServer(view.pool, member.id)) health.member = *server;
  health.leader = member.id == view.self;
  health.voter = member.kind == raft::MemberKind::kVoter;
  raft::Duration late{0};
  if (health.leader) {
    health.last_contact = raft::Duration{0};
    health.last_term = view.term;
    health.last_index = view.last_index;
  } else {
    for (const raft::MemberProgress& progress : view.progress) {
      if (progress.id != member.id) continue;
      health.last_contact = std::max(view.now - progress.heard_at, raft::Duration{0});
      health.last_index = progress.match;
      // It is found out anew in each term.
      if (progress.match.value > 0) health.last_term = view.term;
      // Once for the interval itself, and once for what is under way when the leader looks.
      late = 2 * view.heartbeat_interval;
    }
  }
  const uint64_t trailing = view.last_index - std::min(view.last_index, health.last_index);
  health.healthy =
      health.status() == agent::v1::MEMBER_STATUS_ALIVE && health.last_contact.has_value() &&
      *health.last_contact <= ToDuration(view.settings.last_contact_threshold()) + late &&
      health.last_term == view.term && trailing <= view.settings.max_trailing_logs();
  const auto [stability, is_new] = stability_.try_emplace(member.id);
  if (is_new || stability->second.healthy != health.healthy) {
    stability->second = {health.healthy, view.now, view.wall_now};
  }
  health.stable_since = stability->second.since;
  health.stable_since_wall = stability->second.since_wall;
  return health;
}

void Autopilot::Remember(const AutopilotView& view) {
  const raft::Configuration& configuration = view.configuration;
  Meet(view.now, configuration, view.pool);
  for (const raft::Member& member : configuration.members()) {
    const ServerMember* const server = FindServer(view.pool, member.id);
    const bool known = server != nullptr;
    if (known && server->status != agent::v1::MEMBER_STATUS_FAILED) {
      gone_.erase(member.id);
    } else if (const auto gone = gone_.find(member.id);
               gone == gone_.end() || gone->second.known != known) {
      gone_[member.id] = {known, view.now};
    }
  }
  // Nothing is remembered of who takes no part.
  const auto takes_no_part = [&](const auto& each) { return !configuration.Contains(each.first); };
  std::erase_if(stability_, takes_no_part);
  std::erase_if(gone_, takes_no_part);
}

AutopilotDecision Autopilot::Decide(const AutopilotView& view) const {
  AutopilotDecision decision;
  RemoveLeft(view, &decision);
  Add(view, &decision);
  Promote(view, &decision);
  RemoveDead(view, &decision);
  return decision;
}

// The server that has the name or the address of `id`, which is not there any more.
const ServerMember* Autopilot::ReplacementOf(const AutopilotView& view, const ServerId& id) const {
  const ServerMember* const own = FindServer(view.pool, id);
  if (own != nullptr && own->present()) return nullptr;
  const auto seen = seen_.find(id);
  if (seen == seen_.end()) return nullptr;
  for (const ServerMember& server : view.pool) {
    if (server.id == id || server.status != agent::v1::MEMBER_STATUS_ALIVE) continue;
    if (server.name == seen->second.name || server.address == seen->second.address) return &server;
  }
  return nullptr;
}

void Autopilot::RemoveLeft(const AutopilotView& view, AutopilotDecision* decision) const {
  for (const raft::Member& member : view.configuration.members()) {
    // A leader that leaves sees to that itself, and the last voter stays.
    if (member.id == view.self || view.configuration.IsSoleVoter(member.id)) continue;
    const ServerMember* const server = FindServer(view.pool, member.id);
    if (server != nullptr && server->status == agent::v1::MEMBER_STATUS_LEFT) {
      decision->actions.push_back(
          ActionOf(MembershipChange::Kind::kRemove, member.id,
                   base::StrCat("removing server ", NameOf(server->name, member.id),
                                ", which has left")));
      continue;
    }
    if (const ServerMember* const other = ReplacementOf(view, member.id); other != nullptr) {
      const auto seen = seen_.find(member.id);
      AutopilotAction action = ActionOf(
          MembershipChange::Kind::kRemove, member.id,
          base::StrCat("removing server ", NameOf(seen->second.name, member.id), " at ",
                       seen->second.address, ", whose place ", NameOf(other->name, other->id),
                       " has taken"));
      decision->actions.push_back(std::move(action));
    }
  }
}

void Autopilot::Add(const AutopilotView& view, AutopilotDecision* decision) const {
  size_t members = view.configuration.members().size();
  for (const ServerMember& server : view.pool) {
    if (server.status != agent::v1::MEMBER_STATUS_ALIVE) continue;
    if (view.configuration.Contains(server.id) || removed_at_.contains(server.id)) continue;
    const auto other =
        std::find_if(view.pool.begin(), view.pool.end(), [&](const ServerMember& each) {
          return each.bootstrap && each.id != server.id;
        });
    if (server.bootstrap && other != view.pool.end()) {
      decision->obstacles.push_back(
          base::StrCat("Two nodes are in bootstrap mode: ", server.name, " and ", other->name,
                       ". Only one node should be in bootstrap mode, not adding Raft peer."));
      continue;
    }
    if (members >= raft::Configuration::kMembersMax) {
      decision->obstacles.push_back(base::StrCat("server ", NameOf(server.name, server.id),
                                                 " is not added: ", members,
                                                 " servers take part, the most there may be"));
      continue;
    }
    ++members;
    decision->actions.push_back(
        ActionOf(MembershipChange::Kind::kAddLearner, server.id,
                 base::StrCat("adding server ", NameOf(server.name, server.id), " at ",
                              server.address, ", which does not vote yet")));
  }
}

void Autopilot::Promote(const AutopilotView& view, AutopilotDecision* decision) const {
  const raft::Duration stable = ToDuration(view.settings.server_stabilization_time());
  for (const ServerHealth& health : health_.servers) {
    if (health.voter || !health.healthy || view.now - health.stable_since < stable) continue;
    if (const std::string behind = BehindTheCluster(view, health.id); !behind.empty()) {
      decision->obstacles.push_back(base::StrCat("server ", NameOf(health.member->name, health.id),
                                                 " is not promoted to a voter: ", behind));
      continue;
    }
    decision->actions.push_back(
        ActionOf(MembershipChange::Kind::kAddVoter, health.id,
                 base::StrCat("promoting server ", NameOf(health.member->name, health.id),
                              " to a voter")));
  }
}

void Autopilot::RemoveDead(const AutopilotView& view, AutopilotDecision* decision) const {
  if (!view.settings.cleanup_dead_servers()) return;
  std::vector<Dead> dead;
  size_t dead_voters = 0;
  for (const raft::Member& member : view.configuration.members()) {
    const auto gone = gone_.find(member.id);
    if (gone == gone_.end() || member.id == view.self) continue;
    // One that is not dead yet counts: it does not help a majority either.
    if (member.kind == raft::MemberKind::kVoter) ++dead_voters;
    const ServerMember* const server = FindServer(view.pool, member.id);
    const raft::Duration grace = gone->second.known ? kFailedGrace : kUnknownGrace;
    if (view.now - gone->second.since >= grace) dead.push_back({&member, server});
  }
  const size_t voters = view.configuration.voters_count();
  for (const Dead& each : dead) {
    const std::string name =
        NameOf(each.server == nullptr ? "" : each.server->name, each.member->id);
    if (each.member->kind == raft::MemberKind::kVoter) {
      if (voters - dead_voters < view.settings.min_quorum()) {
        decision->obstacles.push_back(base::StrCat(
            "dead server ", name, " is not removed: removing ", dead_voters, "/", voters,
            " servers would leave less than min_quorum, which is ", view.settings.min_quorum()));
        continue;
      }
      // So the rest is a majority of those that there were, and no other part can be one.
      if (dead_voters > (voters - 1) / 2) {
        decision->obstacles.push_back(base::StrCat("dead server ", name, " is not removed: ",
                                                   dead_voters, " of ", voters,
                                                   " servers are no minority"));
        continue;
      }
    }
    AutopilotAction action =
        ActionOf(MembershipChange::Kind::kRemove, each.member->id,
                 base::StrCat(each.server == nullptr ? "removing server that nobody knows: "
                                                     : "removing failed server ",
                              name));
    if (each.server != nullptr) action.force_leave = each.server->name;
    decision->actions.push_back(std::move(action));
  }
}

}  // namespace consul::server
