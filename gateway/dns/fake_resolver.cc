#include "gateway/dns/fake_resolver.h"

#include <algorithm>
#include <utility>

namespace consul::gateway::dns {

// A lookup that waits; posted to the loop when it is let go.
class FakeResolver::Held final : public Lookup::State, public rpc::Task {
 public:
  explicit Held(Lookup* lookup) : lookup(lookup) {}
  void Run() override { lookup->Done(); }  // destroys this
  Lookup* const lookup;
};

void FakeResolver::SetNode(const std::string& node, const std::string& address) {
  base::MutexLock lock(&mutex_);
  if (address.empty()) {
    nodes_.erase(node);
  } else {
    nodes_[node].status = Found::Status::kFound;
    nodes_[node].address = address;
  }
  if (const auto it = validities_.find(node); it != validities_.end()) {
    it->second->Clear();
    validities_.erase(it);
  }
}

void FakeResolver::SetMeta(const std::string& node, const std::string& key,
                           const std::string& value) {
  base::MutexLock lock(&mutex_);
  nodes_[node].meta.emplace_back(key, value);
}

void FakeResolver::SetServers(std::vector<FoundServer> servers) {
  base::MutexLock lock(&mutex_);
  servers_ = std::move(servers);
}

void FakeResolver::Fail(bool fail) {
  base::MutexLock lock(&mutex_);
  fail_ = fail;
}

void FakeResolver::Hold() {
  base::MutexLock lock(&mutex_);
  hold_ = true;
}

void FakeResolver::Release() {
  base::MutexLock lock(&mutex_);
  hold_ = false;
  for (Held* held : held_) {
    Fill(held->lookup);
    held->lookup->executor->Post(held);
  }
  held_.clear();
}

std::shared_ptr<rpc::Validity> FakeResolver::ValidityOf(const std::string& node) {
  std::shared_ptr<rpc::Validity>& validity = validities_[node];
  if (validity == nullptr) validity = std::make_shared<rpc::Validity>();
  return validity;
}

void FakeResolver::Fill(Lookup* lookup) {
  if (fail_) return;
  if (lookup->plan.kind == PlanKind::kApex) {
    lookup->found.status = Found::Status::kFound;
    lookup->found.servers = servers_;
    return;
  }
  const NodeLookup& node = lookup->plan.node;
  lookup->found.status = Found::Status::kAbsent;
  if (!node.datacenter.empty()) return;
  lookup->validity = ValidityOf(node.node);
  if (const auto it = nodes_.find(node.node); it != nodes_.end()) lookup->found = it->second;
}

void FakeResolver::Start(Lookup* lookup) {
  executor_ = lookup->executor;
  ++lookups_;
  {
    base::MutexLock lock(&mutex_);
    if (hold_) {
      auto held = std::make_unique<Held>(lookup);
      held_.push_back(held.get());
      lookup->state = std::move(held);
      return;
    }
    Fill(lookup);
  }
  lookup->Done();
}

void FakeResolver::Cancel(Lookup* lookup) {
  ++cancels_;
  {
    base::MutexLock lock(&mutex_);
    const auto it = std::find_if(held_.begin(), held_.end(),
                                 [lookup](const Held* held) { return held->lookup == lookup; });
    // Already on its way.
    if (it == held_.end()) return;
    held_.erase(it);
  }
  lookup->Done();
}

}  // namespace consul::gateway::dns
