#include "services/rpc/server_link.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::rpc {

ServerLink::ServerLink(KnownServer server, const ChannelSettings& settings)
    : server_(std::move(server)),
      channel_(OpenChannel(server_.address, settings)),
      stub_(channel_) {}

std::string ServerLink::Name() const {
  return base::StrCat("server ", server_.name, " at ", server_.address);
}

bool ServerLink::IsWell() {
  return channel_->GetState(true) == GRPC_CHANNEL_READY &&
         !failing_.load(std::memory_order_relaxed);
}

bool ServerLink::Add(Waking* call, Clock::time_point now, Clock::duration patience) {
  base::MutexLock lock(&mutex_);
  if (given_up_ != Fate::kServes) return false;
  const bool added = calls_.emplace(call, Call{now, patience}).second;
  CONSUL_CHECK(added);
  return true;
}

ServerLink::Fate ServerLink::FateOf(Waking* call) const {
  base::MutexLock lock(&mutex_);
  return calls_.at(call).fate;
}

void ServerLink::Remove(Waking* call, Clock::time_point now, bool answered) {
  base::MutexLock lock(&mutex_);
  calls_.erase(call);
  if (answered) heard_at_ = now;
}

void ServerLink::GiveUp(Fate fate) {
  CONSUL_CHECK(fate == Fate::kLeft || fate == Fate::kFailed);
  base::MutexLock lock(&mutex_);
  given_up_ = fate;
  TellAllLocked(fate);
}

bool ServerLink::HasLeft() const {
  base::MutexLock lock(&mutex_);
  return given_up_ == Fate::kLeft;
}

void ServerLink::FellSilent() {
  base::MutexLock lock(&mutex_);
  TellAllLocked(Fate::kSilent);
}

void ServerLink::TellAllLocked(Fate fate) {
  for (auto& [call, waits] : calls_) {
    waits.fate = fate;
    call->Wake();
  }
}

ServerLink::Waiting ServerLink::Look(Clock::time_point now) {
  base::MutexLock lock(&mutex_);
  if (calls_.empty()) return Waiting::kNobody;
  if (looking_) return Waiting::kSomebody;
  const Clock::time_point heard_at = heard_at_;
  looking_ = std::any_of(calls_.begin(), calls_.end(), [&](const auto& each) {
    return std::max(each.second.since, heard_at) + each.second.patience <= now;
  });
  return looking_ ? Waiting::kForLong : Waiting::kSomebody;
}

void ServerLink::Looked(Clock::time_point now, bool alive) {
  base::MutexLock lock(&mutex_);
  looking_ = false;
  if (alive) heard_at_ = now;
}

bool ServerLink::SetFailing(bool failing) {
  if (failing_.load(std::memory_order_relaxed) == failing) return failing;
  return failing_.exchange(failing, std::memory_order_relaxed);
}

}  // namespace consul::rpc
