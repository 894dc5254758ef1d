#include "services/gossip/joining.h"

#include <string_view>
#include <utility>

#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/gossip/resolver.h"

namespace consul::gossip {
namespace {

constexpr char kStopping[] = "the agent is stopping";

}  // namespace

std::string ListErrors(const std::vector<std::string>& errors) {
  if (errors.empty()) return "";
  std::string text = errors.size() == 1 ? "1 error occurred:\n"
                                        : base::StrCat(errors.size(), " errors occurred:\n");
  for (const std::string& error : errors) base::StrAppend(&text, "\t* ", error, "\n");
  return text + "\n";
}

Joining::Joining(Resolver* resolver, Start start, uint16_t port_default, base::Logger* logger)
    : resolver_(resolver),
      start_(std::move(start)),
      port_default_(port_default),
      logger_(logger) {}

void Joining::Join(const std::vector<std::string>& targets, Done done) {
  JoinOutcome refused;
  if (targets.size() > kTargetsMax) {
    refused.errors.push_back(
        base::StrCat(targets.size(), " addresses to join, the limit is ", kTargetsMax));
  }
  if (stopped_) refused.errors.push_back(kStopping);
  if (targets.empty() || !refused.errors.empty()) return done(std::move(refused));
  const auto joining = std::make_shared<Try>();
  joining->done = std::move(done);
  joining->targets_left = targets.size();
  for (const std::string& target : targets) ResolveTarget(joining, target);
}

void Joining::ResolveTarget(const std::shared_ptr<Try>& joining, const std::string& target) {
  resolver_->Resolve(target, port_default_, [this, joining, target](auto endpoints) {
    if (endpoints.ok() && !stopped_) return JoinNext(joining, *std::move(endpoints), 0, "");
    const std::string_view why =
        stopped_ ? kStopping : base::ToStd(endpoints.status().message());
    TargetDone(joining, base::StrCat("Failed to resolve ", target, ": ", why));
  });
}

void Joining::JoinNext(const std::shared_ptr<Try>& joining, std::vector<Endpoint> endpoints,
                       size_t next, const std::string& error) {
  if (stopped_ || next == endpoints.size()) return TargetDone(joining, error);
  const Endpoint to = endpoints[next];
  Begin(to, [this, joining, endpoints = std::move(endpoints), next](const JoinResult& result) {
    if (result.joined) {
      ++joining->outcome.joined;
      return TargetDone(joining, "");
    }
    JoinNext(joining, endpoints, next + 1,
             base::StrCat("Failed to join ", result.to.IpToString(), ": ", result.error));
  });
}

void Joining::TargetDone(const std::shared_ptr<Try>& joining, const std::string& error) {
  if (!error.empty()) joining->outcome.errors.push_back(error);
  if (--joining->targets_left == 0) joining->done(std::move(joining->outcome));
}

void Joining::Rejoin(std::vector<Endpoint> known) {
  known_ = std::move(known);
  if (!known_.empty()) RejoinNext();
}

void Joining::RejoinNext() {
  const Endpoint to = known_.back();
  known_.pop_back();
  const std::string where = to.ToString();
  logger_->Info("serf", base::StrCat("Attempting re-join to previously known node: ", where));
  Begin(to, [this, where](const JoinResult& result) {
    if (result.joined) {
      known_.clear();
      logger_->Info("serf", base::StrCat("Re-joined to previously known node: ", where));
    } else if (known_.empty()) {
      logger_->Warn("serf", "Failed to re-join any previously known node");
    } else {
      RejoinNext();
    }
  });
}

void Joining::Begin(const Endpoint& to, std::function<void(const JoinResult&)> done) {
  under_way_[start_(to).value] = {to, std::move(done)};
}

void Joining::OnResult(const JoinResult& result) {
  const auto done = under_way_.extract(result.id.value);
  if (!done.empty()) done.mapped().done(result);
}

void Joining::Stop() {
  stopped_ = true;
  known_.clear();
  for (const auto& [id, each] : std::exchange(under_way_, {})) {
    JoinResult stopped;
    stopped.to = each.to;
    stopped.error = kStopping;
    each.done(stopped);
  }
  resolver_->Stop();
}

}  // namespace consul::gossip
