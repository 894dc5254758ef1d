#include "services/rpc/leader_forward.h"

#include <memory>
#include <utility>

#include "services/base/check.h"
#include "services/rpc/forwarded_call.h"

namespace consul::rpc {
namespace {

ForwardBackend::Options ForLeader(ForwardBackend::Options options) {
  options.for_leader = true;
  return options;
}

}  // namespace

LeaderForward::LeaderForward(ForwardBackend::Options options, base::Logger* logger)
    : options_(ForLeader(std::move(options))), links_(options_.links, &timers_, logger) {}

LeaderForward::~LeaderForward() { Stop(); }

void LeaderForward::SetLeader(const std::optional<KnownServer>& leader) {
  ServerList list;
  if (leader.has_value()) list.servers.push_back(*leader);
  list.members = list.servers.size();
  links_.SetServers(list);
}

bool LeaderForward::Start(Call* call) {
  CONSUL_CHECK(!call->for_leader);
  if (!HasLeader()) return false;
  std::make_shared<ForwardedCall>(&options_, &links_, &timers_, call)->Begin();
  return true;
}

}  // namespace consul::rpc
