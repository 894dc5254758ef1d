#include "services/server/leader_duties.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/server/reconcile.h"
#include "services/state/command.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

using internal::raft::v1::Command;

uint64_t WallNs() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

VoterVersions::Outcome OutcomeOf(const absl::Status& raised) {
  return rpc::Detail(raised).reason() == errors::v1::REASON_OUTCOME_UNKNOWN
             ? VoterVersions::Outcome::kInDoubt
             : VoterVersions::Outcome::kKnown;
}

}  // namespace

LeaderDuties::LeaderDuties(Options options, const gossip::MemberList* lan,
                           rpc::Consensus* consensus, state::VersionSource* state,
                           VoterVersions* versions, base::Logger* logger)
    : options_(std::move(options)),
      lan_(lan),
      consensus_(consensus),
      state_(state),
      versions_(versions),
      logger_(logger),
      reconcile_at_(Clock::now()),
      collect_at_(reconcile_at_),
      absences_(options_.absence_grace),
      tombstones_(options_.tombstone_ttl),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "leader");
}

LeaderDuties::~LeaderDuties() { Stop(); }

void LeaderDuties::Lead() {
  base::MutexLock lock(&mutex_);
  if (role_ == Role::kFollows) role_ = Role::kBegins;
  changed_.Signal();
}

void LeaderDuties::Follow() {
  base::MutexLock lock(&mutex_);
  role_ = Role::kFollows;
  changed_.Signal();
}

void LeaderDuties::MembersChanged() {
  base::MutexLock lock(&mutex_);
  members_changed_ = true;
  changed_.Signal();
}

void LeaderDuties::VersionsChanged() {
  base::MutexLock lock(&mutex_);
  versions_changed_ = true;
  changed_.Signal();
}

void LeaderDuties::MemberReaped(std::string name, std::string generation) {
  base::MutexLock lock(&mutex_);
  reaped_[std::move(name)] = std::move(generation);
  members_changed_ = true;
  changed_.Signal();
}

void LeaderDuties::AskToStop() {
  base::MutexLock lock(&mutex_);
  stop_ = true;
  changed_.Signal();
}

void LeaderDuties::Stop() {
  AskToStop();
  if (thread_.joinable()) thread_.join();
}

void LeaderDuties::Run() {
  bool begun = true;
  for (;;) {
    const Work work = WaitForWork();
    if (work.stop) return;
    if (work.begin) {
      logger_->Info("consul", "cluster leadership acquired");
      logger_->Info("consul", base::StrCat("New leader elected: ", options_.node_name));
      tombstones_.Clear();
      absences_.Clear();
      begun = false;
    }
    if (work.reconcile) {
      const bool done = ReconcileOnce();
      reconcile_at_ = Clock::now() + (done ? options_.reconcile_interval : options_.retry_interval);
      if (done && !std::exchange(begun, true)) options_.begun();
    } else if (work.raise) {
      RaiseVersion();
    }
    if (work.collect) {
      CollectTombstones();
      collect_at_ = Clock::now() + options_.tombstone_grain;
    }
  }
}

LeaderDuties::Work LeaderDuties::WaitForWork() {
  base::MutexLock lock(&mutex_);
  for (;;) {
    if (stop_) return {.stop = true};
    if (role_ == Role::kFollows) {
      changed_.Wait(&mutex_);
      continue;
    }
    const Clock::time_point now = Clock::now();
    Work work;
    work.begin = role_ == Role::kBegins;
    work.reconcile = work.begin || members_changed_ || now >= reconcile_at_;
    work.raise = work.reconcile || versions_changed_ || now >= raise_at_;
    work.collect = now >= collect_at_;
    if (work.raise || work.collect) {
      role_ = Role::kLeads;
      if (work.reconcile) members_changed_ = false;
      if (work.raise) versions_changed_ = false;
      return work;
    }
    changed_.WaitFor(&mutex_, std::min({reconcile_at_, raise_at_, collect_at_}) - now);
  }
}

bool LeaderDuties::Over() {
  base::MutexLock lock(&mutex_);
  return stop_ || role_ == Role::kFollows;
}

bool LeaderDuties::ReconcileOnce() {
  if (!NameCluster()) return false;
  RaiseVersion();
  const auto newest = state_->Load();
  const auto& version = static_cast<const state::Version&>(*newest);
  Corrections corrections = Reconcile(*lan_->members(), options_.datacenter, version);
  for (const Conflict& conflict : corrections.conflicts) {
    logger_->Error("consul", base::StrCat("failed to reconcile ", conflict.subject, ": ",
                                          conflict.text));
  }
  const bool present = WriteAll(std::move(corrections.writes));
  // Who was just written may have been reaped meanwhile.
  const auto written = state_->Load();
  return WriteAll(ForgetAbsent(static_cast<const state::Version&>(*written))) && present;
}

std::vector<Correction> LeaderDuties::ForgetAbsent(const state::Version& version) {
  std::map<std::string, std::string> reaped;
  {
    base::MutexLock lock(&mutex_);
    reaped.swap(reaped_);
  }
  const std::vector<std::string> absent = AbsentNodes(*lan_->members(), version);
  std::vector<Correction> corrections;
  const auto forget = [&](const std::string& name, std::string_view generation) {
    auto correction = ForgetNode(name, generation, "reaped", version);
    if (correction.has_value()) corrections.push_back(*std::move(correction));
  };
  for (const std::string& name : absences_.Due(Clock::now(), absent)) {
    if (!reaped.contains(name)) forget(name, "");
  }
  for (const auto& [name, generation] : reaped) {
    // It may be back by now.
    if (std::find(absent.begin(), absent.end(), name) != absent.end()) forget(name, generation);
  }
  return corrections;
}

bool LeaderDuties::WriteAll(std::vector<Correction> corrections) {
  bool done = true;
  for (Correction& correction : corrections) {
    if (Over()) return false;
    if (!Write(&correction.command, correction.subject).ok()) {
      done = false;
    } else if (!correction.news.empty()) {
      logger_->Info("consul", correction.news);
    }
  }
  return done;
}

bool LeaderDuties::NameCluster() {
  const auto newest = state_->Load();
  const auto& version = static_cast<const state::Version&>(*newest);
  if (!version.cluster_id(nullptr).empty()) return true;
  Command command;
  command.mutable_set_cluster_id()->set_cluster_id(options_.cluster_id());
  // Spares a new cluster an entry of its own for it.
  const VoterVersions::Raise raise =
      versions_->BeginRaise(Clock::now(), VoterVersions::Hold::kNone);
  if (raise.kind != VoterVersions::Raise::Kind::kNow) return Write(&command, "the cluster id").ok();
  command.mutable_set_cluster_id()->set_version(raise.version);
  const absl::Status named = Write(&command, "the cluster id", raise.term.value);
  versions_->EndRaise(OutcomeOf(named));
  return named.ok();
}

void LeaderDuties::RaiseVersion() {
  const Clock::time_point soon = Clock::now() + options_.retry_interval;
  raise_at_ = Clock::time_point::max();
  const VoterVersions::Raise raise =
      versions_->BeginRaise(Clock::now(), VoterVersions::Hold::kUntilStable);
  switch (raise.kind) {
    case VoterVersions::Raise::Kind::kNone:
      return;
    case VoterVersions::Raise::Kind::kLater:
      raise_at_ = std::max(raise.at, soon);
      return;
    case VoterVersions::Raise::Kind::kNow:
      break;
  }
  const auto newest = state_->Load();
  const uint32_t before = static_cast<const state::Version&>(*newest).cluster_version();
  Command command;
  command.mutable_set_cluster_version()->set_version(raise.version);
  const absl::Status raised = Write(&command, "the cluster's version", raise.term.value);
  versions_->EndRaise(OutcomeOf(raised));
  if (!raised.ok()) {
    raise_at_ = soon;
    return;
  }
  logger_->Info("consul", base::StrCat("cluster version raised from ", before, " to ",
                                       raise.version, ": every voter knows it"));
}

void LeaderDuties::CollectTombstones() {
  const auto newest = state_->Load();
  const std::optional<uint64_t> index = tombstones_.Due(
      Clock::now(), WallNs(), static_cast<const state::Version&>(*newest));
  if (!index.has_value()) return;
  Command command;
  command.mutable_collect_tombstones()->set_index(*index);
  if (Write(&command, "the tombstones' end").ok()) tombstones_.Collected(*index);
}

absl::Status LeaderDuties::Write(Command* command, std::string_view subject,
                                 std::optional<uint64_t> term) {
  const auto done = std::make_shared<std::promise<absl::Status>>();
  state::SealedCommand sealed = state::Seal(command);
  sealed.term = term;
  consensus_->Propose(std::move(sealed), [done](absl::StatusOr<rpc::Applied> applied) {
    done->set_value(applied.status());
  });
  absl::Status status = done->get_future().get();
  if (!status.ok() && !Over()) {
    logger_->Error("consul", base::StrCat("failed to reconcile ", subject, ": ",
                                          base::ToStd(status.message())));
  }
  return status;
}

}  // namespace consul::server
