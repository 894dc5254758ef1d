#include "services/agent/agent.h"

#include <algorithm>
#include <future>
#include <string_view>
#include <utility>

#include "services/agent/config/node_id.h"
#include "services/agent/data_dir.h"
#include "services/agent/joiner.h"
#include "services/agent/node_sync.h"
#include "services/agent/pool_options.h"
#include "services/agent/reachability.h"
#include "services/agent/role.h"
#include "services/agent/self.h"
#include "services/agent/user_event.h"
#include "services/api/coordinate_handlers.h"
#include "services/api/snapshot_handlers.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"
#include "services/gossip/words.h"
#include "services/rpc/errors.h"
#include "services/rpc/listen_check.h"

namespace consul::agent {
namespace {

// The faces come last, when a server may lead already: a port that is taken is found out before.
absl::Status CheckFace(std::string_view name, const std::vector<config::Endpoint>& listen) {
  for (const config::Endpoint& endpoint : listen) {
    // Whether it collides with what IPv4 has is for the face to say.
    if (endpoint.address == "::") continue;
    const absl::Status status = rpc::CheckListen(endpoint.ToString());
    if (!status.ok()) {
      return absl::Status(status.code(),
                          base::StrCat(name, ": ", base::ToStd(status.message())));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFaces(const config::Config& config) {
  absl::Status status = CheckFace("HTTP server", config.http_listen);
  if (status.ok()) status = CheckFace("DNS server", config.dns_listen);
  // The default port of RPC may be somebody else's.
  if (status.ok() && config.rpc_port_asked) status = CheckFace("RPC server", config.rpc_listen);
  return status;
}

// The same error under the name that the reference's agent gives it.
absl::Status OfAgent(const absl::Status& status) {
  return rpc::Error(errors::v1::REASON_NOT_FOUND,
                    base::StrCat("agent: ", base::ToStd(status.message())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(config::Config config, base::Logger* logger,
                                                    AgentCallbacks callbacks) {
  if (absl::Status status = MakeDataDir(config.data_dir); !status.ok()) return status;
  if (config.server) {
    if (absl::Status status = CheckServerData(config.data_dir); !status.ok()) return status;
  }
  absl::StatusOr<std::unique_ptr<base::FileLock>> lock =
      base::FileSystem::Posix()->Lock(base::JoinPath(config.data_dir, "lock"));
  if (!lock.ok()) return lock.status();
  absl::StatusOr<std::string> node_id = config::ResolveNodeId(config.node_id, config.data_dir);
  if (!node_id.ok()) return node_id.status();
  if (absl::Status status = CheckFaces(config); !status.ok()) return status;
  std::unique_ptr<Agent> agent(
      new Agent(std::move(config), *std::move(lock), *std::move(node_id), logger,
                std::move(callbacks)));
  if (absl::Status status = agent->Begin(); !status.ok()) return status;
  return agent;
}

Agent::Agent(config::Config config, std::unique_ptr<base::FileLock> lock, std::string node_id,
             base::Logger* logger, AgentCallbacks callbacks)
    : config_(std::move(config)),
      lock_(std::move(lock)),
      node_id_(std::move(node_id)),
      generation_(base::MakeUuid()),
      logger_(logger),
      callbacks_(std::move(callbacks)),
      handlers_({&rpc::PublicApi(), &rpc::InternalApi()}),
      heard_(config_.default_query_time, config_.max_query_time),
      restores_([this] { return role_->backend(); }) {}

Agent::~Agent() { Stop(); }

absl::Status Agent::Begin() {
  if (absl::Status status = OpenLanPool(); !status.ok()) return status;
  RoleContext context{&config_,   {node_id_, generation_}, logger_, &metrics_,
                      lan_.get(), callbacks_.failed};
  role_ = config_.server ? MakeServerRole(std::move(context)) : MakeClientRole(std::move(context));
  if (absl::Status status = role_->OpenPool(); !status.ok()) return status;
  RegisterHandlers();
  lan_->Announce();
  role_->Announce();
  if (absl::Status status = role_->Open(&handlers_); !status.ok()) return status;
  node_sync_ = std::make_unique<NodeSync>(CatalogNode(config_, node_id_), generation_,
                                          role_->backend(), logger_, NodeSync::Times());
  // Nobody leads yet, or no server is known, as the log then says; it is tried again as soon as
  // somebody takes writes.
  node_sync_->TryNow();
  if (!config_.disable_coordinates) {
    node_sync_->TellPlaces({[this] { return OwnPlace(); },
                            [this] { return size_t(lan_->members()->members_size()); }});
  }
  node_sync_->Begin();
  role_->Start([this] { node_sync_->TrySoon(); });
  lan_->Start();
  return absl::OkStatus();
}

absl::Status Agent::OpenLanPool() {
  std::vector<std::string> warnings;
  absl::StatusOr<gossip::PoolOptions> options =
      LanPoolOptions(config_, {node_id_, generation_}, &warnings);
  if (!options.ok()) return options.status();
  for (const std::string& warning : warnings) logger_->Warn("agent", warning);
  absl::StatusOr<std::unique_ptr<gossip::Pool>> lan =
      gossip::Pool::Open(*std::move(options), this, logger_);
  if (!lan.ok()) return lan.status();
  lan_ = *std::move(lan);
  joiner_ = std::make_unique<Joiner>("LAN", lan_.get(), logger_);
  return absl::OkStatus();
}

void Agent::RegisterHandlers() {
  view_.self = Self(config_, node_id_);
  view_.gateway_settings = GatewaySettings(config_);
  view_.lan = &lan_->list();
  view_.wan = role_->wan() == nullptr ? nullptr : &role_->wan()->list();
  view_.stats = [this] { return Stats(); };
  view_.leave = [this](auto done) { RequestLeave(std::move(done)); };
  view_.join = [this](const std::string& address, bool wan, auto done) {
    Join(address, wan, std::move(done));
  };
  view_.force_leave = [this](const v1::ForceLeaveRequest& request, auto done) {
    ForceLeave(request, std::move(done));
  };
  view_.probe = [this](bool wan, auto done) { Probe(wan, std::move(done)); };
  view_.metrics = &metrics_;
  view_.metric_names = {config_.telemetry.metrics_prefix, config_.telemetry.host};
  view_.logger = logger_;
  api::RegisterAgent(&view_, &handlers_);
  event_view_ = {config_.datacenter, &heard_, [this](const event::v1::Event& event, auto done) {
                   TellEvent(event, std::move(done));
                 }};
  api::RegisterEvents(&event_view_, &handlers_);
  api::RegisterRestore(&restores_, &handlers_);
  role_->Register(&handlers_);
}

std::vector<v1::StatGroup> Agent::Stats() const {
  // An agent has no checks and services of its own before it can be given any.
  std::vector<v1::StatGroup> groups = {
      Group("agent",
            {{"check_monitors", "0"}, {"check_ttls", "0"}, {"checks", "0"}, {"services", "0"}}),
      Group("build", BuildStats()),
      Group("runtime", RuntimeStats()),
      Group("serf_lan", lan_->Stats()),
  };
  role_->AddStats(&groups);
  std::sort(groups.begin(), groups.end(),
            [](const auto& one, const auto& other) { return one.key() < other.key(); });
  return groups;
}

// ---- The LAN pool.

void Agent::OnMemberEvent(const gossip::MemberEvent& event) {
  if (!event.heard_late) {
    logger_->Info("serf", base::StrCat(gossip::EventName(event.kind), ": ", event.member.name,
                                       " ", event.member.address.IpToString()));
  }
  if (event.kind == gossip::MemberEventKind::kReap && role_ != nullptr) {
    role_->MemberReaped(event.member.name,
                        std::string(gossip::TagValue(event.member.tags, kGenerationTag)));
  }
}

void Agent::OnMembersPublished() {
  if (role_ != nullptr) role_->MembersChanged(*lan_->members());
}

void Agent::OnUserEvent(const gossip::UserEvent& event) {
  if (!IsUserEvent(event)) return;
  absl::StatusOr<event::v1::Event> heard = FromGossip(event);
  const absl::StatusOr<bool> wanted =
      heard.ok() ? IsFor(*heard, config_.node_name) : heard.status();
  if (!wanted.ok()) {
    logger_->Error("agent", base::ToStd(wanted.status().message()));
  } else if (*wanted) {
    logger_->Log(base::LogLevel::kDebug, "agent",
                 base::StrCat("new event: event_name=", heard->name(), " event_id=", heard->id()));
    heard_.Add(*std::move(heard));
  }
}

void Agent::OnNameLost(const gossip::NameConflict& conflict) {
  if (!conflict.copy_of.empty()) return Fail(conflict.copy_of);
  Fail(base::StrCat("Node name conflict: ", conflict.name, " belongs to node id ",
                    conflict.winner_id, " at ", conflict.winner_address.ToString(),
                    ", and not to this one, ", conflict.own_id, " at ",
                    conflict.own_address.ToString()));
}

void Agent::Fail(const std::string& why) {
  logger_->Error("agent", why);
  callbacks_.failed();
}

absl::StatusOr<uint32_t> Agent::JoinAtStart() {
  uint32_t joined = 0;
  for (const bool wan : {false, true}) {
    const config::GossipPool& pool = wan ? config_.wan : config_.lan;
    if (pool.start_join.empty()) continue;
    std::promise<absl::StatusOr<uint32_t>> answered;
    const auto done = [&answered](absl::StatusOr<uint32_t> count) {
      answered.set_value(std::move(count));
    };
    if (wan) {
      role_->JoinWan(pool.start_join, done);
    } else {
      joiner_->Join(pool.start_join, done);
    }
    const absl::StatusOr<uint32_t> count = answered.get_future().get();
    if (!count.ok()) return count.status();
    joined += *count;
  }
  return joined;
}

void Agent::KeepJoining() {
  const auto exhausted = [this](const absl::Status& status) {
    Fail(std::string(base::ToStd(status.message())));
  };
  joiner_->KeepTrying(config_.lan, exhausted);
  role_->KeepJoiningWan(exhausted);
}

void Agent::Join(const std::string& address, bool wan,
                 std::function<void(absl::StatusOr<uint32_t>)> done) {
  if (wan) return role_->JoinWan({address}, std::move(done));
  joiner_->Join({address}, std::move(done));
}

void Agent::ForceLeave(const v1::ForceLeaveRequest& request,
                       std::function<void(absl::Status)> done) {
  logger_->Info("agent", base::StrCat("Force leaving node: ", request.node()));
  gossip::Pool* const pool = request.wan() ? role_->wan() : lan_.get();
  if (pool == nullptr) {
    return done(absl::FailedPreconditionError("Must be a server to leave WAN cluster"));
  }
  pool->ForceLeave(request.node(), request.prune(), [done = std::move(done)](absl::Status status) {
    done(absl::IsNotFound(status) ? OfAgent(status) : status);
  });
}

void Agent::Probe(bool wan,
                  std::function<void(absl::StatusOr<v1::ProbeReachabilityResponse>)> done) {
  gossip::Pool* const pool = wan ? role_->wan() : lan_.get();
  if (pool != nullptr) return ProbeReachability(pool, std::move(done));
  done(absl::FailedPreconditionError("This agent is in no WAN pool"));
}

std::optional<coordinate::v1::Coordinate> Agent::OwnPlace() {
  std::promise<std::optional<gossip::Coordinate>> told;
  lan_->CoordinateOf("", [&told](std::optional<gossip::Coordinate> own) { told.set_value(own); });
  const std::optional<gossip::Coordinate> own = told.get_future().get();
  if (!own.has_value()) return std::nullopt;
  return api::ToProto(*own);
}

void Agent::TellEvent(const event::v1::Event& event, std::function<void(absl::Status)> done) {
  GossipEvent told = ToGossip(event);
  lan_->SendUserEvent(std::move(told.name), std::move(told.payload), /*coalesce=*/false,
                      std::move(done));
}

// ---- The end.

void Agent::RequestLeave(std::function<void(absl::Status)> done) {
  std::optional<absl::Status> left;
  {
    base::MutexLock lock(&mutex_);
    left = left_;
    if (!left.has_value()) leaving_.push_back(std::move(done));
  }
  // Until the last face has ended somebody may still ask.
  if (left.has_value()) return done(*left);
  callbacks_.leave_asked();
}

absl::Status Agent::Leave() {
  // What it writes to the catalog is done before it says that it goes.
  node_sync_->Stop();
  if (absl::Status status = role_->AwaitLeave(); !status.ok()) return status;
  role_->Leave();
  std::promise<void> left;
  joiner_->StopTrying();
  lan_->Leave([&left] { left.set_value(); });
  left.get_future().wait();
  return absl::OkStatus();
}

void Agent::AnswerLeave(const absl::Status& status) {
  std::vector<std::function<void(absl::Status)>> leaving;
  {
    base::MutexLock lock(&mutex_);
    leaving.swap(leaving_);
    if (!left_.has_value()) left_ = status;
  }
  for (const auto& done : leaving) done(status);
}

void Agent::Stop() {
  if (node_sync_ != nullptr) node_sync_->AskToStop();
  restores_.AskToStop();
  if (joiner_ != nullptr) joiner_->StopTrying();
  // The pool tells the role of its members: it ends before.
  if (lan_ != nullptr) lan_->Stop();
  // A write that waits is answered when the role stops, if not before.
  if (role_ != nullptr) role_->Stop();
  if (node_sync_ != nullptr) node_sync_->Stop();
  restores_.Stop();
}

}  // namespace consul::agent
