#include "services/server/server.h"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>

#include "services/base/strings.h"
#include "services/raft/node.h"
#include "services/server/autopilot_driver.h"
#include "services/server/leader_duties.h"
#include "services/server/node_members.h"
#include "services/server/operator_view.h"
#include "services/server/raft_consensus.h"
#include "services/server/replicated_state.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

base::LogLevel FromRaft(raft::LogLevel level) {
  switch (level) {
    case raft::LogLevel::kDebug:
      return base::LogLevel::kDebug;
    case raft::LogLevel::kInfo:
      return base::LogLevel::kInfo;
    case raft::LogLevel::kWarn:
      return base::LogLevel::kWarn;
    case raft::LogLevel::kError:
      return base::LogLevel::kError;
  }
  return base::LogLevel::kInfo;
}

raft::SnapshotOptions SnapshotsOf(const Server::Options& options) {
  raft::SnapshotOptions snapshots;
  if (options.raft_snapshot_threshold > 0) snapshots.entries_min = options.raft_snapshot_threshold;
  if (options.raft_snapshot_interval.count() > 0) {
    snapshots.interval = options.raft_snapshot_interval;
  }
  if (options.raft_trailing_logs > 0) snapshots.trailing_entries = options.raft_trailing_logs;
  return snapshots;
}

LeaderDuties::Options DutiesOptions(const Server::Options& options, std::function<void()> begun) {
  LeaderDuties::Options duties;
  duties.begun = std::move(begun);
  duties.node_name = options.node_name;
  duties.datacenter = options.datacenter;
  return duties;
}

AutopilotDriver::Options AutopilotOptions(const Server::Options& options) {
  AutopilotDriver::Options autopilot;
  autopilot.datacenter = options.datacenter;
  autopilot.initial = options.autopilot;
  autopilot.heartbeat_interval = raft::Options().heartbeat_interval * options.raft_multiplier;
  autopilot.force_leave = options.force_leave;
  return autopilot;
}

}  // namespace

Server::Server(Options options, const gossip::MemberList* lan, base::Logger* logger)
    : options_(std::move(options)),
      lan_(lan),
      logger_(logger),
      state_(std::make_unique<ReplicatedState>([logger](const absl::Status& status) {
        logger->Error("consul", base::StrCat("cannot go on: ", base::ToStd(status.message())));
        logger->Release();
        std::_Exit(1);
      })),
      consensus_(std::make_unique<RaftConsensus>()),
      duties_(std::make_unique<LeaderDuties>(
          DutiesOptions(options_, [this] { duties_begun_(); }), lan, consensus_.get(),
          &state_->source(), logger)),
      members_(std::make_unique<NodeMembers>(raft::ServerId{options_.node_id})),
      autopilot_(std::make_unique<AutopilotDriver>(AutopilotOptions(options_), lan,
                                                   members_.get(), consensus_.get(),
                                                   &state_->source(), logger)) {}

Server::~Server() { Stop(); }

absl::Status Server::Open() {
  raft::NodeOptions node;
  node.directory = options_.data_dir + "/raft";
  node.address = options_.address;
  node.bootstrap = options_.bootstrap;
  node.core.self = raft::ServerId{options_.node_id};
  node.core.seed = std::random_device{}();
  node.core.raft_multiplier = options_.raft_multiplier;
  node.snapshots = SnapshotsOf(options_);
  node.log = [this](raft::LogLevel level, std::string_view text) {
    // Raft's lines name their component already.
    constexpr std::string_view kComponent = "raft: ";
    if (text.starts_with(kComponent)) text.remove_prefix(kComponent.size());
    logger_->Log(FromRaft(level), "raft", text);
  };
  node.on_role_change = [this](const raft::RoleChange&) {
    // The role it wakes up in is told inside Open, before anyone listens.
    if (leader_changed_ != nullptr) RoleChanged();
  };
  absl::StatusOr<std::unique_ptr<raft::Node>> opened =
      raft::Node::Open(std::move(node), state_.get());
  if (!opened.ok()) return opened.status();
  node_ = *std::move(opened);
  return absl::OkStatus();
}

void Server::Start(std::function<void()> leader_changed, std::function<void()> duties_begun) {
  leader_changed_ = std::move(leader_changed);
  duties_begun_ = std::move(duties_begun);
  consensus_->SetNode(node_.get());
  members_->SetNode(node_.get());
  node_->Start();
}

void Server::RoleChanged() {
  if (consensus_->view().leads) {
    duties_->Lead();
    autopilot_->Lead();
  } else {
    duties_->Follow();
    autopilot_->Follow();
  }
  leader_changed_();
}

std::string Server::cluster_id() const {
  const auto newest = state_->source().Load();
  return static_cast<const state::Version&>(*newest).cluster_id(nullptr);
}

void Server::MembersChanged() {
  duties_->MembersChanged();
  autopilot_->MembersChanged();
}

void Server::MemberReaped(std::string name, std::string generation) {
  duties_->MemberReaped(std::move(name), std::move(generation));
}

void Server::StopDuties() {
  // A change of who takes part may wait for a majority that does not come.
  autopilot_->AskToStop();
  duties_->Stop();
}

void Server::Stop() {
  duties_->AskToStop();
  autopilot_->AskToStop();
  // A duty that waits for its write is answered when the node stops, if not before.
  if (node_ != nullptr) node_->Stop();
  duties_->Stop();
  autopilot_->Stop();
}

rpc::Consensus* Server::consensus() { return consensus_.get(); }

rpc::Consensus::View Server::view() const { return consensus_->view(); }

state::VersionSource* Server::state() { return &state_->source(); }

std::string Server::leader() const { return node_ == nullptr ? "" : node_->leader().address; }

std::vector<std::string> Server::peers() const {
  std::vector<std::string> peers;
  if (node_ == nullptr) return peers;
  const raft::PlacedConfiguration placed = node_->configuration();
  for (const raft::Member& member : placed.configuration.members()) {
    // The addresses of others come from gossip; alone there is only one.
    if (member.id.value == options_.node_id) peers.push_back(options_.address);
  }
  return peers;
}

std::optional<rpc::KnownServer> Server::other_leader() const {
  const raft::ServerId leader = members_->view().leader;
  if (leader.empty() || leader.value == options_.node_id) return std::nullopt;
  const std::vector<PoolServer> pool = PoolServers(*lan_->members(), options_.datacenter);
  const PoolServer* const server = FindServer(pool, leader);
  if (server == nullptr) return std::nullopt;
  return rpc::KnownServer{.id = leader.value, .name = server->name, .address = server->address};
}

operators::v1::GetRaftConfigurationResponse Server::raft_configuration() const {
  return RaftConfigurationOf(members_->view(),
                             PoolServers(*lan_->members(), options_.datacenter));
}

void Server::RemovePeer(const std::string& id, std::function<void(absl::Status)> done) {
  members_->Change({raft::MembershipChange::Kind::kRemove, raft::ServerId{id}}, std::move(done));
}

void Server::TransferLead(const std::string& id, std::function<void(absl::Status)> done) {
  members_->Transfer(raft::ServerId{id}, std::move(done));
}

AutopilotDriver* Server::autopilot() { return autopilot_.get(); }

std::map<std::string, std::string> Server::RaftStats() const {
  return node_ == nullptr ? std::map<std::string, std::string>() : node_->Stats();
}

}  // namespace consul::server
