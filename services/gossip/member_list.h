// services/gossip/member_list.h
//
// The members of a pool as they were last published: what everybody but the pool itself sees of
// them.
//
// Threads: members() from any; Publish from the pool's.
#ifndef CONSUL_SERVICES_GOSSIP_MEMBER_LIST_H_
#define CONSUL_SERVICES_GOSSIP_MEMBER_LIST_H_

#include <atomic>
#include <memory>
#include <utility>

#include "consul/agent/v1/agent.pb.h"

namespace consul::gossip {

class MemberList {
 public:
  using Members = agent::v1::ListMembersResponse;

  // By name; never null.
  std::shared_ptr<const Members> members() const { return members_.load(); }

  void Publish(std::shared_ptr<const Members> members) { members_.store(std::move(members)); }

 private:
  std::atomic<std::shared_ptr<const Members>> members_{std::make_shared<const Members>()};
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_MEMBER_LIST_H_
