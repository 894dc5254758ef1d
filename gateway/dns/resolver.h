// gateway/dns/resolver.h
//
// The lookups that answers need, as the event loop sees them: started, told when done, cancelled.
// The seam between the DNS face and where the catalog is; backend_resolver.h is the real one.
//
// Threads: Start and Cancel on the loop's thread; Done comes on that thread too.
#ifndef CONSUL_GATEWAY_DNS_RESOLVER_H_
#define CONSUL_GATEWAY_DNS_RESOLVER_H_

#include <memory>

#include "gateway/dns/responder.h"
#include "services/rpc/call.h"
#include "services/rpc/executor.h"

namespace consul::gateway::dns {

// One lookup. Whoever starts it derives from it, owns it, and may destroy it inside Done or later,
// never before.
class Lookup {
 public:
  virtual ~Lookup() = default;

  // Set before Start.
  Plan plan;
  rpc::Executor* executor = nullptr;

  // Set when Done runs. Without a validity the answer may not be kept.
  Found found;
  std::shared_ptr<const rpc::Validity> validity;

  // Called exactly once, inside Start, inside Cancel, or later by the executor.
  virtual void Done() = 0;

  // What the resolver keeps of it.
  class State {
   public:
    virtual ~State() = default;
  };
  std::unique_ptr<State> state;
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // REQUIRES: lookup->plan.needs_lookup().
  virtual void Start(Lookup* lookup) = 0;
  // The answer is no longer wanted; Done comes inside Cancel or soon after. REQUIRES: started, and
  // Done has not been called.
  virtual void Cancel(Lookup* lookup) = 0;
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_RESOLVER_H_
