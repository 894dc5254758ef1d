// services/gossip/member_list.h
//
// The members of a pool as they were last published: what everybody but the pool itself sees of
// them.
//
// Threads: members() from any; Publish from the pool's.
#ifndef CONSUL_SERVICES_GOSSIP_MEMBER_LIST_H_
#define CONSUL_SERVICES_GOSSIP_MEMBER_LIST_H_

#include <memory>
#include <utility>

#include "consul/agent/v1/agent.pb.h"
#include "services/base/mutex.h"

namespace consul::gossip {

class MemberList {
 public:
  using Members = agent::v1::ListMembersResponse;

  // By name; never null.
  std::shared_ptr<const Members> members() const {
    base::MutexLock lock(&mutex_);
    return members_;
  }

  // What was published before is let go of outside of the mutex.
  void Publish(std::shared_ptr<const Members> members) {
    base::MutexLock lock(&mutex_);
    members_.swap(members);
  }

 private:
  // Not an atomic shared_ptr: that of libstdc++ 12 lets go of its lock without an order in load().
  mutable base::Mutex mutex_;
  std::shared_ptr<const Members> members_ GUARDED_BY(mutex_) = std::make_shared<const Members>();
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_MEMBER_LIST_H_
