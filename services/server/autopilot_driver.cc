#include "services/server/autopilot_driver.h"

#include <pthread.h>
#include <time.h>

#include <future>
#include <limits>
#include <memory>
#include <utility>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/strings.h"
#include "services/state/command.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

raft::Time BootTime() {
  timespec now;
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return raft::Time(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

AutopilotDriver::Options WithClock(AutopilotDriver::Options options) {
  if (options.now == nullptr) options.now = &BootTime;
  return options;
}

}  // namespace

AutopilotDriver::AutopilotDriver(Options options, const gossip::MemberList* lan,
                                 RaftMembers* members, rpc::Consensus* consensus,
                                 state::VersionSource* state, base::Logger* logger)
    : options_(WithClock(std::move(options))),
      lan_(lan),
      members_(members),
      consensus_(consensus),
      state_(state),
      logger_(logger),
      work_at_(Clock::now()),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "autopilot");
  if (options_.metrics != nullptr) Measure();
}

AutopilotDriver::~AutopilotDriver() { Stop(); }

void AutopilotDriver::Lead() {
  base::MutexLock lock(&mutex_);
  if (role_ == Role::kFollows) role_ = Role::kBegins;
  changed_.Signal();
}

void AutopilotDriver::Follow() {
  base::MutexLock lock(&mutex_);
  role_ = Role::kFollows;
  changed_.Signal();
}

void AutopilotDriver::MembersChanged() {
  base::MutexLock lock(&mutex_);
  members_changed_ = true;
  changed_.Signal();
}

void AutopilotDriver::AskToStop() {
  base::MutexLock lock(&mutex_);
  stop_ = true;
  changed_.Signal();
}

void AutopilotDriver::Measure() {
  const auto figure = [this](double (*of)(const ClusterHealth&)) {
    return [this, of] {
      const std::optional<ClusterHealth> now = health();
      return now.has_value() ? of(*now) : std::numeric_limits<double>::quiet_NaN();
    };
  };
  options_.metrics->GaugeBy(this, "autopilot.healthy", figure([](const ClusterHealth& health) {
                              return health.healthy ? 1.0 : 0.0;
                            }));
  options_.metrics->GaugeBy(this, "autopilot.failure_tolerance",
                            figure([](const ClusterHealth& health) {
                              return static_cast<double>(health.failure_tolerance);
                            }));
}

void AutopilotDriver::Stop() {
  if (options_.metrics != nullptr) options_.metrics->Forget(this);
  AskToStop();
  if (thread_.joinable()) thread_.join();
}

operators::v1::AutopilotConfiguration AutopilotDriver::configuration() const {
  const auto newest = state_->Load();
  const auto* const row = static_cast<const state::Version&>(*newest).autopilot(nullptr);
  return row == nullptr ? options_.initial : *row;
}

std::optional<ClusterHealth> AutopilotDriver::health() {
  const RaftMembers::View members = members_->view();
  if (!members.leads) return std::nullopt;
  const AutopilotView view = MakeView(members);
  base::MutexLock lock(&core_mutex_);
  return core_.Observe(view);
}

void AutopilotDriver::Run() {
  for (;;) {
    const Task task = WaitForWork();
    if (task == Task::kStop) return;
    if (task == Task::kMeet) {
      Meet();
      work_at_ = Clock::now() + options_.meet_interval;
      continue;
    }
    if (task == Task::kBegin) {
      told_.clear();
      base::MutexLock lock(&core_mutex_);
      core_.Clear();
    }
    const bool done = WriteInitial() && Work();
    work_at_ = Clock::now() + (done ? options_.interval : options_.retry_interval);
  }
}

AutopilotDriver::Task AutopilotDriver::WaitForWork() {
  base::MutexLock lock(&mutex_);
  for (;;) {
    if (stop_) return Task::kStop;
    const Clock::time_point now = Clock::now();
    const bool follows = role_ == Role::kFollows;
    const bool begins = role_ == Role::kBegins;
    const bool due = follows ? members_changed_ && now >= work_at_
                             : begins || members_changed_ || now >= work_at_;
    if (due) {
      members_changed_ = false;
      if (follows) return Task::kMeet;
      role_ = Role::kLeads;
      return begins ? Task::kBegin : Task::kWork;
    }
    if (follows && !members_changed_) {
      changed_.Wait(&mutex_);
    } else {
      changed_.WaitFor(&mutex_, work_at_ - now);
    }
  }
}

void AutopilotDriver::Meet() {
  const RaftMembers::View members = members_->view();
  const std::vector<ServerMember> pool = ServerMembers(*lan_->members(), options_.datacenter);
  base::MutexLock lock(&core_mutex_);
  core_.Meet(options_.now(), members.configuration.configuration, pool);
}

bool AutopilotDriver::Over() {
  base::MutexLock lock(&mutex_);
  return stop_ || role_ != Role::kLeads;
}

AutopilotView AutopilotDriver::MakeView(const RaftMembers::View& members) const {
  AutopilotView view;
  view.now = options_.now();
  view.wall_now = std::chrono::system_clock::now();
  view.settings = configuration();
  view.heartbeat_interval = options_.heartbeat_interval;
  view.self = members.self;
  view.term = members.term;
  view.last_index = members.last_index;
  view.configuration = members.configuration.configuration;
  view.progress = members.progress;
  view.pool = ServerMembers(*lan_->members(), options_.datacenter);
  const auto newest = state_->Load();
  view.cluster_version = static_cast<const state::Version&>(*newest).cluster_version();
  for (const raft::Member& member : view.configuration.members()) {
    const std::optional<uint32_t> known = options_.state_version_of(member.id);
    if (known.has_value()) view.state_versions.emplace(member.id, *known);
  }
  return view;
}

bool AutopilotDriver::WriteInitial() {
  const auto newest = state_->Load();
  if (static_cast<const state::Version&>(*newest).autopilot(nullptr) != nullptr) return true;
  internal::raft::v1::Command command;
  auto* const set = command.mutable_set_autopilot_configuration();
  *set->mutable_configuration() = options_.initial;
  // Another leader's may be on its way.
  set->set_cas(0);
  const auto written = std::make_shared<std::promise<absl::Status>>();
  consensus_->Propose(state::Seal(&command), [written](absl::StatusOr<rpc::Applied> applied) {
    written->set_value(applied.status());
  });
  const absl::Status status = written->get_future().get();
  if (!status.ok() && !Over()) {
    logger_->Error("autopilot", base::StrCat("failed to write the configuration: ",
                                             base::ToStd(status.message())));
  }
  return status.ok();
}

bool AutopilotDriver::Work() {
  // Each change may bring about the next one.
  while (!Over()) {
    const RaftMembers::View members = members_->view();
    if (!members.leads) return true;
    const AutopilotView view = MakeView(members);
    AutopilotDecision decision;
    {
      base::MutexLock lock(&core_mutex_);
      core_.Observe(view);
      decision = core_.Decide(view);
    }
    Tell(decision.obstacles);
    if (decision.actions.empty()) return true;
    if (!CarryOut(decision.actions.front())) return false;
  }
  return true;
}

bool AutopilotDriver::CarryOut(const AutopilotAction& action) {
  const bool promotes = action.change.kind == raft::MembershipChange::Kind::kAddVoter;
  if (promotes && !options_.begin_promotion(action.change.id)) return false;
  logger_->Info("autopilot", action.news);
  const auto changed = std::make_shared<std::promise<absl::Status>>();
  members_->Change(action.change, [changed](absl::Status status) {
    changed->set_value(std::move(status));
  });
  const absl::Status status = changed->get_future().get();
  if (promotes) options_.end_promotion();
  if (!status.ok()) {
    if (!Over()) {
      logger_->Error("autopilot", base::StrCat("failed at ", action.news, ": ",
                                               base::ToStd(status.message())));
    }
    return false;
  }
  if (!action.force_leave.empty()) options_.force_leave(action.force_leave);
  return true;
}

void AutopilotDriver::Tell(const std::vector<std::string>& obstacles) {
  std::set<std::string> now(obstacles.begin(), obstacles.end());
  for (const std::string& obstacle : now) {
    if (!told_.contains(obstacle)) logger_->Warn("autopilot", obstacle);
  }
  told_ = std::move(now);
}

}  // namespace consul::server
