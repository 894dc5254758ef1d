#include "services/rpc/server_links.h"

#include <grpcpp/support/client_callback.h>

#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/signs_of_life.h"

namespace consul::rpc {
namespace {

// The health service that every listener of ours has: an empty request asks about the server as a
// whole, and the answer is the field `status`.
constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kServing[] = "\x08\x01";

bool IsServing(const grpc::ByteBuffer& reply) {
  grpc::Slice slice;
  if (!reply.DumpToSingleSlice(&slice).ok()) return false;
  return std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size()) == kServing;
}

// Somebody who waits is looked after so many times in the patience that he has.
constexpr int kLooksPerPatience = 4;

}  // namespace

struct ServerLinks::PingCall {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer reply;
  std::shared_ptr<ServerLink> link;
  std::function<void(Pulse)> done;
};

ServerLinks::Pulse ServerLinks::PulseOf(const grpc::Status& status, const grpc::ByteBuffer& reply) {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return Pulse::kNone;
  return status.ok() && IsServing(reply) ? Pulse::kServes : Pulse::kAnswers;
}

ServerLinks::ServerLinks(Options options, base::TimerQueue* timers, base::Logger* logger)
    : options_(std::move(options)), timers_(timers), logger_(logger), order_(options_.seed) {}

ServerLinks::~ServerLinks() {
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(stopped_);
}

void ServerLinks::SetServers(const ServerList& list) {
  std::vector<std::pair<std::shared_ptr<ServerLink>, ServerLink::Fate>> gone;
  {
    base::MutexLock lock(&mutex_);
    order_.Update(list);
    for (auto it = links_.begin(); it != links_.end();) {
      bool stays = false;
      auto fate = ServerLink::Fate::kLeft;
      for (const KnownServer& server : list.servers) {
        stays = stays || server == it->second->server();
        if (server.id == it->first && server.standing == ServerStanding::kFailed) {
          fate = ServerLink::Fate::kFailed;
        }
      }
      if (!stays) {
        former_.push_back(it->second);
        gone.emplace_back(std::move(it->second), fate);
      }
      it = stays ? std::next(it) : links_.erase(it);
    }
    ArmLocked();
    // It drops those of the former ones for whom nobody waits.
    if (!former_.empty()) WatchLocked();
  }
  for (const auto& [link, fate] : gone) link->GiveUp(fate);
}

size_t ServerLinks::size() const {
  base::MutexLock lock(&mutex_);
  return order_.size();
}

std::shared_ptr<ServerLink> ServerLinks::Choose(std::span<const std::string> tried) {
  base::MutexLock lock(&mutex_);
  const KnownServer* const server = order_.First(tried);
  return server == nullptr ? nullptr : LinkLocked(*server);
}

std::shared_ptr<ServerLink> ServerLinks::LinkLocked(const KnownServer& server) {
  std::shared_ptr<ServerLink>& link = links_[server.id];
  if (link == nullptr) link = std::make_shared<ServerLink>(server, options_.channel);
  return link;
}

void ServerLinks::CannotDo(const ServerLink& link) {
  base::MutexLock lock(&mutex_);
  order_.Failed(link.server().id);
}

void ServerLinks::Failed(ServerLink* link, const absl::Status& why) {
  CannotDo(*link);
  // Nobody needs to look after one that left.
  if (link->HasLeft()) return;
  // Once for all calls that fail there, until it answers again.
  if (link->SetFailing(true)) return;
  logger_->Warn("consul", base::StrCat(link->Name(), " does not answer: ",
                                       base::ToStd(why.message())));
}

bool ServerLinks::Add(const std::shared_ptr<ServerLink>& link, Waking* call, bool may_block) {
  const auto patience = may_block ? options_.patience_blocked : options_.patience;
  if (!link->Add(call, ServerLink::Clock::now(), patience)) return false;
  if (watching_.load()) return true;
  base::MutexLock lock(&mutex_);
  WatchLocked();
  return true;
}

void ServerLinks::WatchLocked() {
  if (stopped_ || watching_.exchange(true)) return;
  timers_->Add(&watch_, ServerLink::Clock::now() + options_.patience / kLooksPerPatience);
}

void ServerLinks::LookAtAll() {
  std::vector<std::shared_ptr<ServerLink>> silent;
  {
    base::MutexLock lock(&mutex_);
    // Before it is looked who waits: whoever is missed sets it again.
    watching_.store(false);
    bool waited_for = false;
    const auto now = ServerLink::Clock::now();
    const auto nobody_waits_for = [&](const std::shared_ptr<ServerLink>& link) {
      const ServerLink::Waiting waiting = link->Look(now);
      if (waiting == ServerLink::Waiting::kForLong) silent.push_back(link);
      waited_for = waited_for || waiting != ServerLink::Waiting::kNobody;
      return waiting == ServerLink::Waiting::kNobody;
    };
    for (const auto& [id, link] : links_) nobody_waits_for(link);
    std::erase_if(former_, nobody_waits_for);
    if (waited_for) WatchLocked();
  }
  for (const auto& link : silent) AskForLife(link);
}

void ServerLinks::AskForLife(const std::shared_ptr<ServerLink>& link) {
  const SignsOfLife signs(link->server().address, options_.channel.keepalive_timeout);
  Ping(link, [this, link, signs](Pulse pulse) {
    const bool alive = pulse != Pulse::kNone || signs.Since();
    link->Looked(ServerLink::Clock::now(), alive);
    if (alive) return;
    Failed(link.get(), absl::DeadlineExceededError("it gives no sign of life"));
    link->FellSilent();
  });
}

void ServerLinks::Ping(std::shared_ptr<ServerLink> link, std::function<void(Pulse)> done) {
  auto owned = std::make_unique<PingCall>();
  PingCall* const ping = owned.get();
  {
    base::MutexLock lock(&mutex_);
    if (!stopped_) pings_.insert(owned.release());
  }
  if (owned != nullptr) return done(Pulse::kAnswers);
  const grpc::Slice empty;
  ping->request = grpc::ByteBuffer(&empty, 1);
  ping->link = std::move(link);
  ping->done = std::move(done);
  ping->context.set_deadline(std::chrono::system_clock::now() + options_.ping_timeout);
  ping->link->stub()->UnaryCall(
      &ping->context, kHealthCheck, grpc::StubOptions(), &ping->request, &ping->reply,
      [this, ping](grpc::Status status) {
        ping->done(PulseOf(status, ping->reply));
        const std::unique_ptr<PingCall> over(ping);
        base::MutexLock lock(&mutex_);
        pings_.erase(ping);
        pinged_.SignalAll();
      });
}

void ServerLinks::ArmLocked() {
  if (armed_ || stopped_ || order_.size() < 2) return;
  armed_ = true;
  timers_->Add(this, std::chrono::steady_clock::now() + order_.Stay(options_.stay_min));
}

void ServerLinks::Due() {
  Candidates candidates;
  {
    base::MutexLock lock(&mutex_);
    armed_ = false;
    // It is armed again when there is a choice.
    if (stopped_ || order_.size() < 2) return;
    candidates = std::make_shared<const std::vector<KnownServer>>(order_.Shuffled());
  }
  GoOver(candidates, 0);
}

void ServerLinks::GoOver(const Candidates& candidates, size_t next) {
  std::shared_ptr<ServerLink> link;
  {
    base::MutexLock lock(&mutex_);
    // With none that answers, calls find out for themselves.
    if (next == candidates->size()) return ArmLocked();
    link = LinkLocked((*candidates)[next]);
  }
  Ping(std::move(link), [this, candidates, next](Pulse pulse) {
    if (pulse != Pulse::kServes) return GoOver(candidates, next + 1);
    base::MutexLock lock(&mutex_);
    order_.Prefer((*candidates)[next].id);
    DropUnusedLocked();
    ArmLocked();
  });
}

void ServerLinks::DropUnusedLocked() {
  const KnownServer* const first = order_.First();
  for (auto it = links_.begin(); it != links_.end();) {
    const bool first_of_all = first != nullptr && it->first == first->id;
    it = it->second.use_count() > 1 || first_of_all ? std::next(it) : links_.erase(it);
  }
}

void ServerLinks::Stop() {
  {
    base::MutexLock lock(&mutex_);
    stopped_ = true;
    for (PingCall* const ping : pings_) ping->context.TryCancel();
  }
  timers_->Remove(this);
  timers_->Remove(&watch_);
  base::MutexLock lock(&mutex_);
  while (!pings_.empty()) pinged_.Wait(&mutex_);
}

}  // namespace consul::rpc
