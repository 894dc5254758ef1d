// services/rpc/evaluation.h
//
// A read carried out once: its handler on the newest version, the meta of its result, the validity
// of its reply. When to do that, and for whom, is decided in local_backend.h and parked_reads.h; on
// which threads a long list is looked up, in long_reads.h.
//
// Threads: any; each keeps its own scratch, so that a read allocates nothing.
#ifndef CONSUL_SERVICES_RPC_EVALUATION_H_
#define CONSUL_SERVICES_RPC_EVALUATION_H_

#include <google/protobuf/arena.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>

#include "absl/status/status.h"
#include "consul/query/v1/query.pb.h"
#include "services/rpc/call.h"
#include "services/rpc/consensus.h"
#include "services/rpc/handlers.h"
#include "services/state/watch_set.h"

namespace consul::rpc {

// Rows of lists that an event loop looks up at one go: at most a millisecond of its time
// (docs/PERFORMANCE.md, Large replies).
inline constexpr size_t kRowsAtOnce = 4096;

// What a read asks, whoever asks it, with its consistency settled.
struct Question {
  const ReadHandler* handler;
  const Method* method;
  const google::protobuf::Message* request;
  const query::v1::QueryOptions* options;  // of the request; null: none given
  bool stale = false;

  // The index whose successor is waited for; 0: the read does not wait.
  uint64_t given() const { return options == nullptr ? 0 : options->index(); }
};

struct Read : Question {
  Call* call;
};

Read ReadOf(Call* call, const ReadHandler& handler);

struct Evaluated {
  uint64_t index = 0;  // of the result
  bool cut = false;    // it would have come to more than kRowsAtOnce: there is no result
  google::protobuf::Message* response = nullptr;
  // Both are this thread's own, until its next evaluation, or the answer's.
  const Rows* rows = nullptr;
  const state::WatchSet* watched = nullptr;
};

// What reads are answered with: a response on an arena of its own, and the version whose rows it
// refers to.
struct Answer {
  explicit Answer(const google::protobuf::Message& prototype);

  // As Call::rows: the version, and with it the answer.
  static Rows HoldOf(const std::shared_ptr<Answer>& answer) { return {answer, answer->rows.get()}; }

  alignas(8) char block[1024];
  google::protobuf::Arena arena;
  google::protobuf::Message* const response;
  Rows rows;
};

// The QueryOptions of a request; null: none given.
const query::v1::QueryOptions* OptionsOf(const Method& method,
                                         const google::protobuf::Message& request);
inline const query::v1::QueryOptions* OptionsOf(const Call& call) {
  return OptionsOf(call.method(), call.request());
}

// Runs the handler on the newest version into `response`, which is on an arena and empty, the meta
// included, unless it is cut: then what is in the response is of no use. `evaluated` is set with an
// error too, but for its index.
absl::Status Evaluate(const Question& question, const Consensus& consensus,
                      google::protobuf::Message* response, Evaluated* evaluated);

// The same however many rows there are, with `watched` in place of this thread's scratch.
absl::Status EvaluateWhole(const Question& question, const Consensus& consensus, Answer* answer,
                           state::WatchSet* watched, Evaluated* evaluated);

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
