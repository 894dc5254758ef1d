#include "services/agent/reachability.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "services/gossip/pool.h"

namespace consul::agent {
namespace {

using Clock = std::chrono::steady_clock;

// One question, until it is answered. The pool's thread alone calls it after it has begun.
class Probe {
 public:
  Probe(const gossip::MemberList* list,
        std::function<void(absl::StatusOr<v1::ProbeReachabilityResponse>)> done)
      : list_(list), begun_(Clock::now()), done_(std::move(done)) {
    for (const v1::Member& member : list_->members()->members()) {
      if (member.status() != v1::MEMBER_STATUS_ALIVE) continue;
      response_.add_live(member.name());
      missing_.insert(member.name());
    }
  }

  void Acknowledged(const std::string& member) {
    if (done_ == nullptr) return;
    v1::ReachabilityAck* const ack = response_.add_acks();
    ack->set_node(member);
    SetSinceBegun(ack->mutable_after());
    if (missing_.erase(member) == 0 && HasCome(member)) response_.add_live(member);
    if (missing_.empty()) Finish(absl::OkStatus());
  }

  void Finish(const absl::Status& status) {
    if (done_ == nullptr) return;
    const auto done = std::exchange(done_, nullptr);
    if (!status.ok()) return done(status);
    SetSinceBegun(response_.mutable_took());
    done(std::move(response_));
  }

 private:
  // Whether a member that was not alive when it was asked is alive now.
  bool HasCome(const std::string& name) const {
    const auto members = list_->members();
    return std::any_of(members->members().begin(), members->members().end(),
                       [&name](const v1::Member& member) {
                         return member.name() == name &&
                                member.status() == v1::MEMBER_STATUS_ALIVE;
                       });
  }

  void SetSinceBegun(google::protobuf::Duration* duration) const {
    const auto since = std::chrono::nanoseconds(Clock::now() - begun_).count();
    duration->set_seconds(since / 1'000'000'000);
    duration->set_nanos(static_cast<int32_t>(since % 1'000'000'000));
  }

  const gossip::MemberList* const list_;
  const Clock::time_point begun_;
  std::function<void(absl::StatusOr<v1::ProbeReachabilityResponse>)> done_;
  v1::ProbeReachabilityResponse response_;
  std::set<std::string> missing_;
};

}  // namespace

void ProbeReachability(gossip::Pool* pool,
                       std::function<void(absl::StatusOr<v1::ProbeReachabilityResponse>)> done) {
  const auto probe = std::make_shared<Probe>(&pool->list(), std::move(done));
  pool->Ping([probe](const std::string& member) { probe->Acknowledged(member); },
             [probe](const absl::StatusOr<gossip::QueryDone>& over) {
               probe->Finish(over.status());
             });
}

}  // namespace consul::agent
