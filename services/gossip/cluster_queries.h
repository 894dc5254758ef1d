// services/gossip/cluster_queries.h
//
// Questions to all members and their answers. A question spreads by gossip; each member that is
// meant answers straight to the one who asked, and by way of a few others where that is wanted.
//
// Threads: as Cluster.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_QUERIES_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_QUERIES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gossip/cluster_context.h"
#include "services/gossip/cluster_keys.h"
#include "services/gossip/cluster_output.h"
#include "services/gossip/lamport_ring.h"
#include "services/gossip/types.h"

namespace consul::gossip {

class ClusterQueries {
 public:
  // Queries before `min` are not for this member: it was asked in its last life.
  ClusterQueries(ClusterContext* context, ClusterKeys* keys, LamportTime min);

  // `query` without the parts that are the same for all: time, id, source, address, timeout.
  // `result` for a query about keys.
  absl::StatusOr<QueryId> Ask(internal::gossip::v1::Query query, Duration timeout,
                              std::optional<KeyResult> result);
  absl::Status Respond(ReceivedQueryId id, std::string_view payload);

  void Received(const internal::gossip::v1::Query& query);
  void Received(const internal::gossip::v1::QueryReply& reply);
  void Received(const internal::gossip::v1::Relay& relay);

  // Sends what ClusterKeys has to answer.
  void AnswerKeys();

  void Tick();
  Time NextDeadline() const;
  Duration DefaultTimeout() const;

 private:
  // On the wire a query is told by its time and a random number.
  using WireId = std::pair<LamportTime, uint32_t>;

  struct Asked {
    QueryId id;
    Time deadline;
    std::set<std::string> acked;
    std::set<std::string> answered;
    std::optional<KeyResult> keys;
  };
  // What an answer to a query of another member, or of this one, needs.
  struct Answerable {
    WireId wire_id;
    std::string source;
    Endpoint address;
    uint32_t relay_factor = 0;
    Time deadline;
    bool answered = false;
  };

  bool IsMeant(const internal::gossip::v1::Query& query) const;
  internal::gossip::v1::QueryReply ReplyTo(const Answerable& query) const;
  void SendReply(const Answerable& query, internal::gossip::v1::QueryReply reply);
  void Relay(const Answerable& query, const internal::gossip::v1::QueryReply& reply);
  void Progress(Asked* asked, const internal::gossip::v1::QueryReply& reply);
  void End(std::map<WireId, Asked>::iterator asked);

  ClusterContext* const context_;
  ClusterKeys* const keys_;
  const LamportTime min_;
  LamportRing<uint32_t> seen_;
  std::map<WireId, Asked> asked_;
  std::map<ReceivedQueryId, Answerable> answerable_;  // in the order in which they came
  uint64_t last_id_ = 0;
  uint64_t last_received_id_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_QUERIES_H_
