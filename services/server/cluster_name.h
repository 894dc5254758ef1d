// services/server/cluster_name.h
//
// Of which cluster a server is. Its state says so, but what the log holds is applied only once a
// leader vouches for it, and a server that belongs to no cluster is taken in by the first that it
// meets. So a server that has a log looks there first, before it speaks to anybody.
//
// What the log holds may not be committed. That does not matter: all that could name a cluster name
// it as its foundation does, so that there is no other name for what follows the log's first entry.
//
// Threads: plain functions; NameWatch as state::Waiter says.
#ifndef CONSUL_SERVICES_SERVER_CLUSTER_NAME_H_
#define CONSUL_SERVICES_SERVER_CLUSTER_NAME_H_

#include <functional>
#include <memory>
#include <string>

#include "consul/internal/bootstrap/v1/bootstrap.pb.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/types.h"
#include "services/state/version_source.h"

namespace consul::server {

using internal::bootstrap::v1::Foundation;

// The cluster's id, where this entry names it; else empty.
std::string NameIn(const raft::Entry& entry);

// Whether a log whose newest configuration is this one begins with this foundation.
bool BeginsWith(const raft::PlacedConfiguration& newest, const Foundation& foundation);

// Of a server that founds a cluster by itself.
Foundation FoundationOf(const std::string& self);

// Waits for the state to name the cluster.
class NameWatch final : public state::Waiter, public std::enable_shared_from_this<NameWatch> {
 public:
  // `source` outlives it. `named` is told once: within Look, or on the apply thread.
  NameWatch(state::VersionSource* source, std::function<void(const std::string& id)> named)
      : source_(source), named_(std::move(named)) {}

  void Look();
  void Fire() override { Look(); }
  void Stop() { source_->registry().Cancel(this); }

 private:
  state::VersionSource* const source_;
  const std::function<void(const std::string&)> named_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_CLUSTER_NAME_H_
