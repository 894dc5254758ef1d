#include "services/agent/agent.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "services/agent/config/node_id.h"
#include "services/agent/node_sync.h"
#include "services/agent/self.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"

namespace consul::agent {
namespace {

// With the directories above it.
absl::Status MakeDataDir(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), base::StrCat("data_dir ", path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(config::Config config, base::Logger* logger,
                                                    LeaveListener leave_asked) {
  if (absl::Status status = MakeDataDir(config.data_dir); !status.ok()) return status;
  absl::StatusOr<std::string> node_id = config::ResolveNodeId(config.node_id, config.data_dir);
  if (!node_id.ok()) return node_id.status();
  std::unique_ptr<Agent> agent(
      new Agent(std::move(config), *std::move(node_id), logger, std::move(leave_asked)));
  if (absl::Status status = agent->Begin(); !status.ok()) return status;
  return agent;
}

Agent::Agent(config::Config config, std::string node_id, base::Logger* logger,
             LeaveListener leave_asked)
    : config_(std::move(config)),
      node_id_(std::move(node_id)),
      generation_(base::MakeUuid()),
      logger_(logger),
      leave_asked_(std::move(leave_asked)),
      handlers_({&rpc::PublicApi(), &rpc::InternalApi()}),
      lan_(LanMember(config_, node_id_, generation_), [this](const gossip::Event& event) {
        LogEvent(event);
        if (role_ != nullptr) role_->MembersChanged(*lan_.members());
      }) {
  RoleContext context{&config_, node_id_, logger_, &lan_.list(),
                      [this](const gossip::Event& event) { LogEvent(event); }};
  role_ = config_.server ? MakeServerRole(std::move(context)) : MakeClientRole(std::move(context));
}

Agent::~Agent() { Stop(); }

absl::Status Agent::Begin() {
  view_.self = Self(config_, node_id_);
  view_.lan = &lan_;
  view_.wan = role_->wan();
  view_.stats = [this] { return Stats(); };
  view_.leave = [this](auto done) { RequestLeave(std::move(done)); };
  view_.logger = logger_;
  api::RegisterAgent(&view_, &handlers_);
  role_->Register(&handlers_);
  if (absl::Status status = role_->Open(&handlers_); !status.ok()) return status;
  if (absl::Status status = ports_.Take(config_); !status.ok()) return status;
  node_sync_ = std::make_unique<NodeSync>(CatalogNode(config_, node_id_), generation_,
                                          role_->backend(), logger_, NodeSync::Times());
  // Nobody leads yet, or no server is known, as the log then says; it is tried again as soon as
  // somebody takes writes.
  node_sync_->TryNow();
  node_sync_->Begin();
  role_->Start([this] { node_sync_->TrySoon(); });
  return absl::OkStatus();
}

std::vector<v1::StatGroup> Agent::Stats() const {
  // An agent has no checks and services of its own before it can be given any.
  std::vector<v1::StatGroup> groups = {
      Group("agent",
            {{"check_monitors", "0"}, {"check_ttls", "0"}, {"checks", "0"}, {"services", "0"}}),
      Group("build", BuildStats()),
      Group("runtime", RuntimeStats()),
      Group("serf_lan", lan_.Stats()),
  };
  role_->AddStats(&groups);
  std::sort(groups.begin(), groups.end(),
            [](const auto& one, const auto& other) { return one.key() < other.key(); });
  return groups;
}

void Agent::LogEvent(const gossip::Event& event) const {
  // Names in the WAN pool carry the datacenter, which says nothing within one's own.
  std::string_view name = event.member.name();
  if (const std::string suffix = base::StrCat(".", config_.datacenter); name.ends_with(suffix)) {
    name.remove_suffix(suffix.size());
  }
  logger_->Info("serf", base::StrCat(gossip::EventName(event.kind), ": ", name, " ",
                                     event.member.addr()));
}

void Agent::RequestLeave(std::function<void(absl::Status)> done) {
  {
    base::MutexLock lock(&mutex_);
    leaving_.push_back(std::move(done));
  }
  leave_asked_();
}

absl::Status Agent::Leave() {
  if (absl::Status status = role_->AwaitLeave(); !status.ok()) return status;
  // What it writes to the catalog is done before it says that it goes.
  node_sync_->Stop();
  role_->Leave();
  lan_.Leave();
  return absl::OkStatus();
}

void Agent::AnswerLeave(const absl::Status& status) {
  std::vector<std::function<void(absl::Status)>> leaving;
  {
    base::MutexLock lock(&mutex_);
    leaving.swap(leaving_);
  }
  for (const auto& done : leaving) done(status);
}

void Agent::Stop() {
  if (node_sync_ != nullptr) node_sync_->AskToStop();
  // A write that waits is answered when the role stops, if not before.
  role_->Stop();
  if (node_sync_ != nullptr) node_sync_->Stop();
}

}  // namespace consul::agent
