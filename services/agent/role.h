// services/agent/role.h
//
// What an agent is besides a member of its pool: a server, which keeps the state, or a client,
// which forwards. Everything that differs between the two is behind this; an Agent is what both
// have.
//
// Threads: backend, AddStats and MembersChanged from any; the rest by the agent's owner.
#ifndef CONSUL_SERVICES_AGENT_ROLE_H_
#define CONSUL_SERVICES_AGENT_ROLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/agent/config/config.h"
#include "services/agent/pool_options.h"
#include "services/base/log.h"
#include "services/gossip/member_list.h"
#include "services/gossip/pool.h"
#include "services/rpc/backend.h"
#include "services/rpc/handlers.h"

namespace consul::base {
class Metrics;
}  // namespace consul::base

namespace consul::agent {

// What both roles are made of. All of it outlives the role.
struct RoleContext {
  const config::Config* config;
  AgentIdentity identity;
  base::Logger* logger;
  base::Metrics* metrics;
  gossip::Pool* lan;
  // The agent cannot go on, and the log says why.
  std::function<void()> failed;
};

class Role {
 public:
  virtual ~Role() = default;

  // Registers the handlers of methods that are the role's.
  virtual void Register(rpc::Handlers* handlers) = 0;
  // Opens the role's own pool, where it has one, and tells its own join.
  virtual absl::Status OpenPool() { return absl::OkStatus(); }
  virtual void Announce() {}
  // Recovers what is on disk and takes what ports it needs. `handlers` is complete, and outlives
  // the role.
  virtual absl::Status Open(const rpc::Handlers* handlers) = 0;
  // Takes part. `writable` is told, on any thread, when there is somebody who takes writes.
  virtual void Start(std::function<void()> writable) = 0;

  // Answers calls, once it is open.
  virtual rpc::Backend* backend() = 0;
  // The WAN pool; null: the role is in none.
  virtual gossip::Pool* wan() const { return nullptr; }
  // Joins the WAN pool; tells how many answered.
  virtual void JoinWan(std::vector<std::string> addresses,
                       std::function<void(absl::StatusOr<uint32_t>)> done) = 0;
  virtual void KeepJoiningWan(std::function<void(absl::Status)>) {}
  // The groups of `consul info` that are the role's.
  virtual void AddStats(std::vector<v1::StatGroup>* groups) const = 0;
  // The LAN pool has changed, or has forgotten a member.
  virtual void MembersChanged(const gossip::MemberList::Members& members) = 0;
  virtual void MemberReaped(const std::string&, const std::string&) {}

  // Whether it may leave now; blocks for as long as it takes to find out. UNAVAILABLE: it may not.
  virtual absl::Status AwaitLeave() = 0;
  // Ends what it does of itself, and tells its pools but the LAN one.
  virtual void Leave() = 0;
  // Ends everything. Calls that come later fail. Idempotent.
  virtual void Stop() = 0;
};

std::unique_ptr<Role> MakeServerRole(RoleContext context);
std::unique_ptr<Role> MakeClientRole(RoleContext context);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_ROLE_H_
