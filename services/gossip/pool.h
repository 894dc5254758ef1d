// services/gossip/pool.h
//
// A gossip pool at work: a Cluster with its thread, its clock, its sockets and what it keeps on
// disk. It decides nothing about the protocol; it carries what Cluster says to the network and
// back, publishes the members, and words what happens for the log. LAN and WAN are two pools of
// this one type.
//
// Threads: one of its own, `gossip/lan` or `gossip/wan`. All methods from any, except where said;
// callbacks come on the pool's thread and must be short.
// Background: services/gossip/README.md (The driver).
#ifndef CONSUL_SERVICES_GOSSIP_POOL_H_
#define CONSUL_SERVICES_GOSSIP_POOL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gossip/cluster.h"
#include "services/gossip/joining.h"
#include "services/gossip/member_list.h"

namespace consul::base {
class Logger;
}  // namespace consul::base

namespace consul::gossip {

struct PoolOptions {
  ClusterOptions cluster;
  PoolIdentity identity;
  ClusterSelf self;
  // Where packets and streams are received; the port also counts for targets without one.
  Endpoint listen;
  // What is not encrypted is refused, and nothing is sent that is not. Without a keyring: no
  // matter.
  bool verify_incoming = true;
  bool verify_outgoing = true;
  // Where the keyring is kept once an operator has changed it, and the members that are known: file
  // names are in keyring_file.h and member_snapshot.h. Empty: not kept.
  std::string keyring_directory;
  std::string snapshot_directory;
  // The members that were known before a leave are joined again at the start, as those that were
  // known before a crash always are.
  bool rejoin_after_leave = false;
};

// Where a member is.
struct PlacedMember {
  std::string name;
  Coordinate coordinate;
};

class Pool {
 public:
  // Told in the order of events.
  class Listener {
   public:
    virtual void OnMemberEvent(const MemberEvent& event) = 0;
    // members() is a new list.
    virtual void OnMembersPublished() = 0;
    virtual void OnUserEvent(const UserEvent& event) = 0;
    // Another node has the name and keeps it.
    virtual void OnNameLost(const NameConflict& conflict) = 0;

   protected:
    ~Listener() = default;
  };

  // A pool of one that has its port, and whose own member is published. Errors: as
  // Transport::Bind and Cluster::Create; a snapshot that cannot be read is a line in the log and no
  // more. `listener` and `logger` outlive the pool.
  static absl::StatusOr<std::unique_ptr<Pool>> Open(PoolOptions options, Listener* listener,
                                                    base::Logger* logger);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Tells the own join, inside. Once, by the owner, before Start or not at all: then Start does.
  void Announce();
  // Takes part, on its own thread, and looks for the members that it knew before. Once, by the
  // owner.
  void Start();
  // Ends at once, without a leave. What waits is answered with CANCELLED. Idempotent, by the owner.
  void Stop();

  const MemberList& list() const;
  std::shared_ptr<const MemberList::Members> members() const { return list().members(); }
  const std::string& name() const;

  // Joins each of the targets (Resolver::Resolve says what they may be).
  void Join(std::vector<std::string> targets, std::function<void(JoinOutcome)> done);
  // Calls `task` on the pool's thread after `delay`, unless the pool stops before.
  void After(Duration delay, std::function<void()> task);
  // Leaves; `done` when everybody was told. Idempotent: later callers wait with the first.
  void Leave(std::function<void()> done);

  // As Cluster's of the same names.
  void ForceLeave(std::string name, bool prune, std::function<void(absl::Status)> done);
  void SendUserEvent(std::string name, std::string payload, bool coalesce,
                     std::function<void(absl::Status)> done);
  void UpdateTags(Tags tags, std::function<void(absl::Status)> done);
  void SetClusterId(std::string cluster_id);
  void ChangeKeys(KeyRequest request, std::function<void(absl::StatusOr<KeyResult>)> done);

  // Asks whether each member hears us: `ack` for each that says so, then `done`.
  void Ping(std::function<void(const std::string& member)> ack,
            std::function<void(absl::StatusOr<QueryDone>)> done);

  // The coordinates that are known, by name; with an empty name the own. Null in `done`: none.
  void CoordinateOf(std::string name, std::function<void(std::optional<Coordinate>)> done);
  // Those of the members that are alive, by name, as far as they are known.
  void Places(std::function<void(std::vector<PlacedMember>)> done);

  // Name and value of each figure, sorted by name: the keys of `consul info`'s serf groups. As of
  // the last thing that happened in the pool.
  std::vector<std::pair<std::string, std::string>> Stats() const;
  // Whether the pool was opened with a keyring.
  bool encrypted() const;

 private:
  class Impl;
  explicit Pool(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_POOL_H_
