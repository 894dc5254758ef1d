#include "services/server/server.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <utility>

#include "services/base/file.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"
#include "services/raft/node.h"
#include "services/rpc/channel_backend.h"
#include "services/server/autopilot_driver.h"
#include "services/server/bootstrapper.h"
#include "services/server/cluster_name.h"
#include "services/server/departure.h"
#include "services/server/leader_duties.h"
#include "services/server/node_members.h"
#include "services/server/operator_view.h"
#include "services/server/pledge_file.h"
#include "services/server/raft_consensus.h"
#include "services/server/replicated_state.h"
#include "services/server/voter_versions.h"
#include "services/state/fsm.h"
#include "services/state/version.h"
#include "services/transport/grpc_transport.h"

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

uint32_t StateVersionOf(const Server::Options& options) {
  return options.state_version == 0 ? state::Fsm::kVersion : options.state_version;
}

transport::TransportOptions TransportTo(const Server::Options& options, base::Logger* logger) {
  transport::TransportOptions transport;
  transport.self = raft::ServerId{options.node_id};
  transport.datacenter = options.datacenter;
  transport.state_version = StateVersionOf(options);
  transport.logger = logger;
  return transport;
}

AutopilotDriver::Options AutopilotOptions(const Server::Options& options,
                                          VoterVersions* versions, base::Metrics* metrics) {
  AutopilotDriver::Options autopilot;
  autopilot.metrics = metrics;
  autopilot.datacenter = options.datacenter;
  autopilot.initial = options.autopilot;
  autopilot.heartbeat_interval = raft::Options().heartbeat_interval * options.raft_multiplier;
  autopilot.force_leave = options.force_leave;
  autopilot.state_version_of = [versions](const raft::ServerId& id) { return versions->Of(id); };
  autopilot.begin_promotion = [versions](const raft::ServerId& id) {
    return versions->BeginPromotion(id);
  };
  autopilot.end_promotion = [versions] { versions->EndPromotion(); };
  return autopilot;
}

// A backend for calls to one other server, which answers soon or not at all.
std::unique_ptr<rpc::Backend> ConnectTo(const std::string& address) {
  rpc::ChannelBackend::Options options;
  options.timeout = std::chrono::seconds(2);
  return std::make_unique<rpc::ChannelBackend>(address, options);
}

}  // namespace

Server::Server(Options options, const gossip::MemberList* lan, base::Metrics* metrics,
               base::Logger* logger)
    : options_(std::move(options)),
      lan_(lan),
      metrics_(metrics),
      logger_(logger),
      servers_(std::make_shared<const std::vector<ServerMember>>()),
      state_(std::make_unique<ReplicatedState>(
          [logger](const absl::Status& status) {
            logger->Error("consul", base::StrCat("cannot go on: ", base::ToStd(status.message())));
            logger->Release();
            std::_Exit(1);
          },
          // The catalog is that of another time: the leader compares it with the pool.
          [this](uint64_t index) {
            logger_->Info("raft", base::StrCat("restored user snapshot: index=", index));
            if (duties_ != nullptr) duties_->MembersChanged();
          })),
      consensus_(std::make_unique<RaftConsensus>(
          &state_->source(), [this](uint32_t version) { return versions_->Without(version); })),
      members_(std::make_unique<NodeMembers>(raft::ServerId{options_.node_id},
                                             [this] { VersionsChanged(); })),
      versions_(MakeVersions()),
      autopilot_(std::make_unique<AutopilotDriver>(
          AutopilotOptions(options_, versions_.get(), metrics_), lan, members_.get(),
          consensus_.get(), &state_->source(), logger)) {}

Server::~Server() { Stop(); }

std::unique_ptr<VoterVersions> Server::MakeVersions() {
  VoterVersions::Options versions;
  versions.self = raft::ServerId{options_.node_id};
  versions.own = StateVersionOf(options_);
  versions.said = [this](const raft::ServerId& id) { return transport_->StateVersionOf(id); };
  versions.name_of = [this](const raft::ServerId& id) { return NameOf(id); };
  versions.cluster_version = [this] {
    const auto newest = state_->source().Load();
    return static_cast<const state::Version&>(*newest).cluster_version();
  };
  versions.stable_for = [this] {
    const operators::v1::AutopilotConfiguration now = autopilot_->configuration();
    return std::chrono::seconds(now.server_stabilization_time().seconds()) +
           std::chrono::nanoseconds(now.server_stabilization_time().nanos());
  };
  return std::make_unique<VoterVersions>(std::move(versions), members_.get());
}

absl::Status Server::Open() {
  transport::TransportOptions transport = TransportTo(options_, logger_);
  transport.address_of = [this](const raft::ServerId& id) { return AddressOf(id.value); };
  transport.cluster_id = [this] { return cluster_id(); };
  transport.receive = [this](raft::Message message) { node_->Receive(std::move(message)); };
  transport.state_version_heard = [this](const raft::ServerId&) { VersionsChanged(); };
  transport.stream_broken = [this](const raft::ServerId& peer) {
    versions_->Changed(VoterVersions::Clock::now());
    node_->StreamBroken(peer);
  };
  transport_ = std::make_unique<transport::GrpcTransport>(std::move(transport));
  if (absl::Status status = OpenNode(); !status.ok()) return status;
  return OpenFounding();
}

absl::Status Server::OpenNode() {
  raft::NodeOptions node;
  node.directory = options_.data_dir + "/raft";
  node.address = options_.address;
  node.bootstrap = options_.bootstrap;
  node.core.self = raft::ServerId{options_.node_id};
  node.core.seed = std::random_device{}();
  node.core.raft_multiplier = options_.raft_multiplier;
  node.snapshots = SnapshotsOf(options_);
  node.transport = transport_.get();
  node.metrics = metrics_;
  node.address_of = [this](const raft::ServerId& id) { return AddressOf(id.value); };
  node.log = [this](raft::LogLevel level, std::string_view text) {
    // Raft's lines name their component already.
    constexpr std::string_view kComponent = "raft: ";
    if (text.starts_with(kComponent)) text.remove_prefix(kComponent.size());
    logger_->Log(FromRaft(level), "raft", text);
  };
  node.recovered_entry = [this](const raft::Entry& entry) {
    if (cluster_id().empty()) SetNameOnDisk(NameIn(entry));
    return cluster_id().empty();
  };
  node.on_role_change = [this](const raft::RoleChange&) {
    // The role it wakes up in is told inside Open, before anyone listens.
    if (started_) RoleChanged();
  };
  absl::StatusOr<std::unique_ptr<raft::Node>> opened =
      raft::Node::Open(std::move(node), state_.get());
  if (!opened.ok()) return opened.status();
  node_ = *std::move(opened);
  return absl::OkStatus();
}

absl::Status Server::OpenFounding() {
  pledge_file_ =
      std::make_unique<PledgeFile>(base::FileSystem::Posix(), options_.data_dir + "/raft");
  absl::StatusOr<std::optional<Foundation>> pledge = pledge_file_->Load();
  if (!pledge.ok()) return pledge.status();
  if (absl::Status status = NameOfFoundation(*pledge); !status.ok()) return status;

  Bootstrapper::Options founding;
  founding.datacenter = options_.datacenter;
  founding.self = options_.node_id;
  founding.expect = static_cast<size_t>(options_.bootstrap_expect);
  founding.connect = &ConnectTo;
  founding.has_state = [this] {
    const raft::NodeStatus status = node_->status();
    return status.term > raft::Term{0} || status.last_index > raft::Index{0};
  };
  founding.found = [this](const Foundation& foundation, std::function<void(absl::Status)> done) {
    std::vector<raft::Member> members;
    for (const std::string& id : foundation.servers()) members.push_back({raft::ServerId{id}});
    // The log is of that cluster from then on, though it is named by its first leader.
    const auto founded = [this, id = foundation.cluster_id(), done](const absl::Status& status) {
      if (status.ok()) SetNameOnDisk(id);
      done(status);
    };
    node_->Bootstrap(raft::Configuration(std::move(members)), founded);
  };
  bootstrapper_ = std::make_unique<Bootstrapper>(std::move(founding), *pledge,
                                                 pledge_file_.get(), lan_, logger_);

  LeaderDuties::Options duties;
  duties.begun = [this] { news_.duties_begun(); };
  duties.node_name = options_.node_name;
  duties.datacenter = options_.datacenter;
  duties.cluster_id = [file = pledge_file_.get()]() -> std::string {
    const auto founded = file->Load();
    return founded.ok() && founded->has_value() ? (*founded)->cluster_id() : base::MakeUuid();
  };
  duties_ = std::make_unique<LeaderDuties>(std::move(duties), lan_, consensus_.get(),
                                           &state_->source(), versions_.get(), logger_);
  return absl::OkStatus();
}

// Until the log has the entry that names the cluster.
absl::Status Server::NameOfFoundation(const std::optional<Foundation>& pledge) {
  if (!cluster_id().empty()) return absl::OkStatus();
  const raft::PlacedConfiguration newest = node_->configuration();
  if (pledge.has_value() && BeginsWith(newest, *pledge)) {
    SetNameOnDisk(pledge->cluster_id());
    return absl::OkStatus();
  }
  Foundation alone = FoundationOf(options_.node_id);
  const bool founds = newest.configuration.empty() || BeginsWith(newest, alone);
  if (!options_.bootstrap || !founds) return absl::OkStatus();
  SetNameOnDisk(alone.cluster_id());
  return pledge_file_->Store(std::move(alone));
}

void Server::SetNameOnDisk(const std::string& id) {
  {
    base::MutexLock lock(&mutex_);
    name_on_disk_ = id;
  }
  if (!started_ || id.empty()) return;
  transport_->PeersChanged();
  news_.cluster_named(id);
}

grpc::Service* Server::service() { return transport_->service(); }

void Server::Start(News news) {
  news_ = std::move(news);
  started_ = true;
  MembersChanged();
  consensus_->SetNode(node_.get());
  members_->SetNode(node_.get());
  // Before the pool meets anybody.
  if (const std::string id = cluster_id(); !id.empty()) news_.cluster_named(id);
  name_watch_ = std::make_shared<NameWatch>(&state_->source(), [this](const std::string& id) {
    transport_->PeersChanged();
    news_.cluster_named(id);
  });
  name_watch_->Look();
  node_->Start();
  bootstrapper_->Start();
}

void Server::RoleChanged() {
  if (consensus_->view().leads) {
    duties_->Lead();
    autopilot_->Lead();
  } else {
    duties_->Follow();
    autopilot_->Follow();
  }
  TellOfLeader();
  news_.leader_changed();
}

// The leader says so of itself when its duties begin.
void Server::TellOfLeader() {
  const std::string id = node_->leader().id.value;
  if (id == told_leader_) return;
  told_leader_ = id;
  if (id.empty() || id == options_.node_id) return;
  const std::string name = NameOf(raft::ServerId{id});
  logger_->Info("consul", base::StrCat("New leader elected: ", name.empty() ? id : name));
}

std::shared_ptr<const std::vector<ServerMember>> Server::servers() const {
  base::MutexLock lock(&mutex_);
  return servers_;
}

std::string Server::AddressOf(const std::string& id) const {
  if (id == options_.node_id) return options_.address;
  const auto known = servers();
  const ServerMember* const server = FindServer(*known, raft::ServerId{id});
  return server == nullptr ? std::string() : server->address;
}

std::string Server::NameOf(const raft::ServerId& id) const {
  if (id.value == options_.node_id) return options_.node_name;
  const auto known = servers();
  const ServerMember* const server = FindServer(*known, id);
  return server == nullptr ? std::string() : server->name;
}

void Server::VersionsChanged() {
  versions_->Changed(VoterVersions::Clock::now());
  duties_->VersionsChanged();
}

std::string Server::cluster_id() const {
  const auto newest = state_->source().Load();
  const std::string& id = static_cast<const state::Version&>(*newest).cluster_id(nullptr);
  if (!id.empty()) return id;
  base::MutexLock lock(&mutex_);
  return name_on_disk_;
}

void Server::MembersChanged() {
  if (!started_) return;
  auto now = std::make_shared<const std::vector<ServerMember>>(
      ServerMembers(*lan_->members(), options_.datacenter));
  {
    base::MutexLock lock(&mutex_);
    servers_ = std::move(now);
  }
  transport_->PeersChanged();
  bootstrapper_->MembersChanged();
  duties_->MembersChanged();
  autopilot_->MembersChanged();
}

void Server::MemberReaped(std::string name, std::string generation) {
  if (started_) duties_->MemberReaped(std::move(name), std::move(generation));
}

absl::Status Server::LeaveConsensus(const std::function<absl::Status()>& ask) {
  return server::LeaveConsensus(DepartureTimes(), members_.get(), ask);
}

void Server::StopDuties() {
  // A change of who takes part may wait for a majority that does not come.
  autopilot_->AskToStop();
  if (duties_ != nullptr) duties_->Stop();
}

void Server::Stop() {
  if (duties_ != nullptr) duties_->AskToStop();
  autopilot_->AskToStop();
  if (bootstrapper_ != nullptr) bootstrapper_->Stop();
  // A duty that waits for its write is answered when the node stops, if not before.
  if (node_ != nullptr) node_->Stop();
  if (transport_ != nullptr) transport_->Stop();
  if (name_watch_ != nullptr) name_watch_->Stop();
  StopDuties();
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
    std::string address = AddressOf(member.id.value);
    // One that nobody has heard of has no address.
    if (!address.empty()) peers.push_back(std::move(address));
  }
  return peers;
}

std::optional<rpc::KnownServer> Server::other_leader() const {
  const raft::ServerId leader = members_->view().leader;
  if (leader.empty() || leader.value == options_.node_id) return std::nullopt;
  const auto known = servers();
  const ServerMember* const server = FindServer(*known, leader);
  if (server == nullptr) return std::nullopt;
  return rpc::KnownServer{.id = leader.value, .name = server->name, .address = server->address};
}

operators::v1::GetRaftConfigurationResponse Server::raft_configuration() const {
  return RaftConfigurationOf(members_->view(), *servers());
}

void Server::RemovePeer(const std::string& id, std::function<void(absl::Status)> done) {
  members_->Change({raft::MembershipChange::Kind::kRemove, raft::ServerId{id}}, std::move(done));
}

void Server::TransferLead(const std::string& id, std::function<void(absl::Status)> done) {
  members_->Transfer(raft::ServerId{id}, std::move(done));
}

AutopilotDriver* Server::autopilot() { return autopilot_.get(); }

uint64_t Server::term() const { return node_ == nullptr ? 0 : node_->status().term.value; }

std::map<std::string, std::string> Server::RaftStats() const {
  return node_ == nullptr ? std::map<std::string, std::string>() : node_->Stats();
}

}  // namespace consul::server
