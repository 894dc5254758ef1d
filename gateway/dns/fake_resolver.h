// gateway/dns/fake_resolver.h
//
// A catalog in memory behind the Resolver seam, for tests and for measuring the server alone. It
// answers at once, or holds lookups back until it is told to let go.
//
// Threads: any; the tables are guarded.
#ifndef CONSUL_GATEWAY_DNS_FAKE_RESOLVER_H_
#define CONSUL_GATEWAY_DNS_FAKE_RESOLVER_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/dns/resolver.h"
#include "services/base/mutex.h"

namespace consul::gateway::dns {

class FakeResolver final : public Resolver {
 public:
  // `address` empty: the node is gone. What was answered about it is no longer valid.
  void SetNode(const std::string& node, const std::string& address);
  void SetMeta(const std::string& node, const std::string& key, const std::string& value);
  void SetServers(std::vector<FoundServer> servers);
  // Lookups fail from here on.
  void Fail(bool fail);
  // Lookups wait from here on; Release lets those go that wait, and later ones through.
  void Hold();
  void Release();

  int lookups() const { return lookups_.load(); }
  int cancels() const { return cancels_.load(); }
  // Of the last lookup.
  rpc::Executor* executor() const { return executor_.load(); }

  void Start(Lookup* lookup) override;
  void Cancel(Lookup* lookup) override;

 private:
  class Held;

  void Fill(Lookup* lookup) REQUIRES_LOCK(mutex_);
  std::shared_ptr<rpc::Validity> ValidityOf(const std::string& node) REQUIRES_LOCK(mutex_);

  mutable base::Mutex mutex_;
  std::map<std::string, Found> nodes_ GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<rpc::Validity>> validities_ GUARDED_BY(mutex_);
  std::vector<FoundServer> servers_ GUARDED_BY(mutex_);
  bool fail_ GUARDED_BY(mutex_) = false;
  bool hold_ GUARDED_BY(mutex_) = false;
  std::vector<Held*> held_ GUARDED_BY(mutex_);
  std::atomic<int> lookups_{0};
  std::atomic<int> cancels_{0};
  std::atomic<rpc::Executor*> executor_{nullptr};
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_FAKE_RESOLVER_H_
