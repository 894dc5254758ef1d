// services/rpc/evaluation.h
//
// A read carried out once: its handler on the newest version, the meta of its result, the validity
// of its reply. When to do that, and for whom, is decided in local_backend.h and parked_reads.h.
//
// Threads: any; each keeps its own scratch, so that a read allocates nothing.
#ifndef CONSUL_SERVICES_RPC_EVALUATION_H_
#define CONSUL_SERVICES_RPC_EVALUATION_H_

#include <chrono>
#include <cstdint>
#include <random>

#include "absl/status/status.h"
#include "consul/query/v1/query.pb.h"
#include "services/rpc/call.h"
#include "services/rpc/consensus.h"
#include "services/rpc/handlers.h"
#include "services/state/watch_set.h"

namespace consul::rpc {

// A read with its consistency settled.
struct Read {
  Call* call;
  const ReadHandler* handler;
  const query::v1::QueryOptions* options;  // null: none given
  bool stale = false;

  // The index whose successor is waited for; 0: the read does not wait.
  uint64_t given() const { return options == nullptr ? 0 : options->index(); }
};

struct Evaluated {
  uint64_t index = 0;  // of the result
  // Both are this thread's own, until its next evaluation.
  const Rows* rows = nullptr;
  const state::WatchSet* watched = nullptr;
};

// The QueryOptions of a call's request; null: none given.
const query::v1::QueryOptions* OptionsOf(const Call& call);

// Runs the handler on the newest version into `response`, which is on an arena and empty, the meta
// included. The read's call gives the request and nothing else. `evaluated` is set with an error
// too, but for its index.
absl::Status Evaluate(const Read& read, const Consensus& consensus,
                      google::protobuf::Message* response, Evaluated* evaluated);

// Gives the call a validity, where it wants one and the result may be kept.
void GiveValidity(const Read& read, const Evaluated& evaluated);

// How long a read waits that gave an index: as it says, or `wait_default`; a sixteenth at random is
// added, to part clients that began together. Never longer than `wait_max`.
std::chrono::nanoseconds WaitOf(const query::v1::QueryOptions& options,
                                std::chrono::nanoseconds wait_default,
                                std::chrono::nanoseconds wait_max);

// Lets go of the versions that this thread keeps.
void DropVersions();

// This thread's source of chance.
std::mt19937_64& ThreadRandom();

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_EVALUATION_H_
