#include "services/server/leader_duties.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <memory>
#include <string_view>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"
#include "services/state/command.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

using catalog::v1::Node;
using health::v1::HealthCheck;
using internal::raft::v1::Command;

// The check by which the leader says what the pool thinks of a node, in the reference's words.
constexpr std::string_view kSerfHealthId = "serfHealth";
constexpr std::string_view kSerfHealthName = "Serf Health Status";
constexpr std::string_view kSerfHealthAlive = "Agent alive and reachable";
// The service that every server is registered as.
constexpr std::string_view kServerService = "consul";

std::string_view TagOf(const agent::v1::Member& member, std::string_view key) {
  for (const auto& tag : member.tags()) {
    if (tag.key() == key) return tag.value();
  }
  return {};
}

catalog::v1::Service ServerService(const agent::v1::Member& member) {
  catalog::v1::Service service;
  service.set_node(member.name());
  service.set_id(std::string(kServerService));
  service.set_service(std::string(kServerService));
  service.set_port(std::stoul("0" + std::string(TagOf(member, "port"))));
  auto* const version = service.add_meta();
  version->set_key("version");
  const std::string_view build = TagOf(member, "build");
  version->set_value(std::string(build.substr(0, build.find(':'))));
  service.mutable_weights()->set_passing(1);
  service.mutable_weights()->set_warning(1);
  return service;
}

bool SameService(const catalog::v1::Service* have, const catalog::v1::Service& want) {
  return have != nullptr && have->port() == want.port() && have->meta_size() == 1 &&
         have->meta(0).value() == want.meta(0).value();
}

}  // namespace

LeaderDuties::LeaderDuties(Options options, const gossip::Pool* lan, rpc::Consensus* consensus,
                           state::VersionSource* state, base::Logger* logger)
    : options_(std::move(options)),
      lan_(lan),
      consensus_(consensus),
      state_(state),
      logger_(logger),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "leader");
}

LeaderDuties::~LeaderDuties() { Stop(); }

void LeaderDuties::Lead() {
  base::MutexLock lock(&mutex_);
  begin_ = !leads_;
  leads_ = true;
  changed_.Signal();
}

void LeaderDuties::Follow() {
  base::MutexLock lock(&mutex_);
  leads_ = false;
  changed_.Signal();
}

void LeaderDuties::MembersChanged() {
  base::MutexLock lock(&mutex_);
  members_changed_ = true;
  changed_.Signal();
}

void LeaderDuties::Stop() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void LeaderDuties::Run() {
  Clock::time_point reconcile_at = Clock::now();
  Clock::time_point collect_at = Clock::now();
  for (;;) {
    bool begin = false;
    bool members_changed = false;
    {
      base::MutexLock lock(&mutex_);
      const auto due = std::min(reconcile_at, collect_at);
      while (!stop_ && !begin_ && !(leads_ && (members_changed_ || Clock::now() >= due))) {
        if (leads_) {
          changed_.WaitFor(&mutex_, due - Clock::now());
        } else {
          changed_.Wait(&mutex_);
        }
      }
      if (stop_) return;
      begin = std::exchange(begin_, false);
      members_changed = std::exchange(members_changed_, false);
    }
    if (begin) Begin();
    if (begin || members_changed || Clock::now() >= reconcile_at) {
      Reconcile();
      reconcile_at = Clock::now() + options_.reconcile_interval;
    }
    if (begin) options_.begun();
    if (Clock::now() >= collect_at) {
      CollectTombstones();
      collect_at = Clock::now() + options_.tombstone_grain;
    }
  }
}

void LeaderDuties::Begin() {
  logger_->Info("consul", "cluster leadership acquired");
  logger_->Info("consul", base::StrCat("New leader elected: ", options_.node_name));
  // Tombstones from before this lead are as old as we know them to be: not at all.
  index_at_.clear();
  NameCluster();
}

void LeaderDuties::NameCluster() {
  const auto version = state_->Load();
  if (!static_cast<const state::Version&>(*version).cluster_id(nullptr).empty()) return;
  Command command;
  command.mutable_set_cluster_id()->set_cluster_id(base::MakeUuid());
  Write(&command, "the cluster id");
}

void LeaderDuties::Reconcile() {
  const auto members = lan_->members();
  for (const agent::v1::Member& member : members->members()) {
    if (member.status() == agent::v1::MEMBER_STATUS_ALIVE) ReconcileAlive(member);
  }
}

void LeaderDuties::ReconcileAlive(const agent::v1::Member& member) {
  const auto newest = state_->Load();
  const auto& version = static_cast<const state::Version&>(*newest);
  const Node* const have = version.nodes().Find(state::NodeKey(member.name()), nullptr);
  const HealthCheck* const check =
      version.checks().Find(state::OfNodeKey(member.name(), kSerfHealthId), nullptr);
  const bool passing = check != nullptr && check->status() == health::v1::CHECK_STATUS_PASSING;
  const bool server = TagOf(member, "role") == kServerService;
  const catalog::v1::Service* const service =
      version.services().Find(state::OfNodeKey(member.name(), kServerService), nullptr);
  const bool same_node = have != nullptr && have->address() == member.addr() &&
                         have->id() == TagOf(member, "id");
  if (same_node && passing && (!server || SameService(service, ServerService(member)))) return;

  Command command;
  auto* const registration = command.mutable_catalog_register();
  registration->set_by_membership(true);
  registration->mutable_node()->set_node(member.name());
  registration->mutable_node()->set_id(std::string(TagOf(member, "id")));
  registration->mutable_node()->set_address(member.addr());
  registration->mutable_node()->set_datacenter(options_.datacenter);
  if (server) *registration->mutable_service() = ServerService(member);
  HealthCheck* const alive = registration->add_checks();
  alive->set_node(member.name());
  alive->set_check_id(std::string(kSerfHealthId));
  alive->set_name(std::string(kSerfHealthName));
  alive->set_status(health::v1::CHECK_STATUS_PASSING);
  alive->set_output(std::string(kSerfHealthAlive));
  if (!Write(&command, base::StrCat("member '", member.name(), "'"))) return;
  if (!passing) {
    logger_->Info("consul",
                  base::StrCat("member '", member.name(), "' joined, marking health alive"));
  }
}

void LeaderDuties::CollectTombstones() {
  const auto now = Clock::now();
  uint64_t index = 0;
  while (!index_at_.empty() && now - index_at_.front().first >= options_.tombstone_ttl) {
    index = index_at_.front().second;
    index_at_.pop_front();
  }
  const uint64_t newest = state_->Load()->index();
  // A state at rest is noted once, and nothing is proposed for it.
  if (newest > collected_ && (index_at_.empty() || index_at_.back().second != newest)) {
    index_at_.emplace_back(now, newest);
  }
  if (index == 0) return;
  Command command;
  command.mutable_collect_tombstones()->set_index(index);
  // The collection itself moves the index; it leaves nothing to collect.
  if (Write(&command, "the tombstones' end")) collected_ = state_->Load()->index();
}

bool LeaderDuties::Write(Command* command, std::string_view what) {
  const auto done = std::make_shared<std::promise<absl::Status>>();
  consensus_->Propose(state::Seal(command), [done](absl::StatusOr<rpc::Applied> applied) {
    done->set_value(applied.status());
  });
  const absl::Status status = done->get_future().get();
  if (!status.ok()) {
    logger_->Error("consul", base::StrCat("failed to reconcile ", what, ": ",
                                          base::ToStd(status.message())));
  }
  return status.ok();
}

}  // namespace consul::server
