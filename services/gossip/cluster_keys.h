// services/gossip/cluster_keys.h
//
// The pool's keys, changed by query: every member is told what to do with its own keyring, and its
// answer goes into one result for the operator. This part is the member's side; a change becomes
// true when the driver has stored it, and only then is answered.
//
// Threads: as Cluster.
// Background: services/gossip/README.md (Cluster, Keys).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_KEYS_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_KEYS_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "services/gossip/cluster_context.h"
#include "services/gossip/cluster_output.h"
#include "services/gossip/keyring.h"

namespace consul::gossip {

// Adds one member's answer to a result.
void AddKeyAnswer(std::string_view from, const internal::gossip::v1::KeyAnswer& answer,
                  KeyResult* result);

// Says in `result->error` how many did not do it.
void FinishKeyResult(KeyResult* result);

class ClusterKeys {
 public:
  ClusterKeys(ClusterContext* context, std::optional<Keyring> keyring)
      : context_(context), keyring_(std::move(keyring)) {}

  // An answer that is to be sent.
  struct Answer {
    ReceivedQueryId query;
    internal::gossip::v1::KeyAnswer answer;
  };

  // A query came: what is asked is answered by TakeAnswers, at once or when it is stored.
  void Asked(ReceivedQueryId query, std::string_view source,
             const internal::gossip::v1::KeyQuery& asked);
  void Stored(uint64_t id, const absl::Status& status);
  std::vector<Answer> TakeAnswers() { return std::exchange(answers_, {}); }

  const std::optional<Keyring>& keyring() const { return keyring_; }

 private:
  struct Change {
    ReceivedQueryId query;
    internal::gossip::v1::KeyQuery asked;
  };
  struct Storing {
    uint64_t id;
    ReceivedQueryId query;
    Keyring next;
  };

  void List(ReceivedQueryId query);
  void Begin(const Change& change);
  void BeginNext();
  void Reply(ReceivedQueryId query, const absl::Status& status);

  ClusterContext* const context_;
  std::optional<Keyring> keyring_;
  std::optional<Storing> storing_;
  std::deque<Change> waiting_;
  std::vector<Answer> answers_;
  uint64_t last_id_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_KEYS_H_
