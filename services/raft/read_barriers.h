// services/raft/read_barriers.h
//
// The reads that wait at a server that does not lead. For all that wait in one mode it asks the
// leader one question, how far a state has to be, and asks the next only when it has the answer;
// then each waits until this server's state is that far.
//
// Threads: pure, of whoever has the turn at Core; time is an argument. Owes the callbacks that it
// holds.
// Background: services/raft/README.md (Servers that do not lead).
#ifndef CONSUL_SERVICES_RAFT_READ_BARRIERS_H_
#define CONSUL_SERVICES_RAFT_READ_BARRIERS_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"
#include "services/raft/node.h"

namespace consul::raft {

struct AnsweredRead {
  ReadCallback callback;
  absl::Status status;
};

class ReadBarriers {
 public:
  struct Limits {
    Duration ask_again{0};      // a question without an answer is asked again
    // A read is given up, so that its caller can look for a leader anew. It has so long at the
    // most: those that wait together have the time of the first of them, and one that came last may
    // be given up as soon as it came. That is FAILED_PRECONDITION, which only says to ask again;
    // who then does is among the first, and has all of it: rpc::LocalBackend asks again at once.
    Duration wait_max{0};
    // One that was granted waits so much longer for this server's state: its index stays good, and
    // another question would only be answered with a higher one.
    Duration apply_max{0};
    uint64_t reads_max = 0;     // that wait; above it they are refused
    Duration entries_late{0};   // how much later than the answer the entries may come
  };
  // Numbers begin behind `id_seed`, which no other life of this server used: an answer to that one
  // would be too old for a read of this one.
  ReadBarriers(const Limits& limits, uint64_t id_seed) : limits_(limits), id_last_(id_seed) {}

  // A read came. It is part of the next question.
  void Add(Time now, ReadMode mode, ReadCallback callback);

  // The questions to be sent now to `leader`, which leads `term`. With none known, the reads that
  // wait to be asked for are refused.
  std::vector<ReadIndexRequest> Ask(Time now, const ServerId& leader, Term term);

  void Answered(Time now, const ServerId& from, const ReadIndexReply& reply);
  // The state machine is at `index`.
  void Applied(Index index);
  // The log has what the leader has up to `last`, and what follows finds no room: reads that were
  // granted beyond it some time ago wait in vain. Of a newer one the entries may be on their way:
  // that is not the way of its answer.
  void RefuseBeyond(Time now, Index last, const absl::Status& why);
  // This server's term and leader are these now; an empty leader is silent, perhaps not lost.
  void LeaderIs(Term term, const ServerId& leader);

  // Gives up what waited too long. Due, as is Ask, at NextDeadline().
  void Expire(Time now);
  Time NextDeadline() const;
  void RefuseAll(const absl::Status& why);

  // Reads whose answer became known, each once.
  std::vector<AnsweredRead> TakeAnswered() { return std::exchange(answered_, {}); }

  // Some wait for Applied.
  bool wait_to_apply() const { return !granted_.empty(); }
  bool empty() const { return count_ == 0; }
  // A question of that mode is under way.
  bool asking(ReadMode mode) const { return modes_[static_cast<size_t>(mode)].asked.has_value(); }

 private:
  // Reads that share a question; all came before it was first asked.
  struct Batch {
    ReadId id;
    ServerId leader;
    Term term;
    Time asked_at;
    Time granted_at;
    Time deadline;
    std::vector<ReadCallback> reads;
  };
  struct Mode {
    std::optional<Batch> asked;
    std::vector<ReadCallback> waiting;
    Time waiting_deadline;  // of the first of them, and so of all (Limits::wait_max)
  };

  void Answer(std::vector<ReadCallback> reads, const absl::Status& status);

  const Limits limits_;
  std::array<Mode, 2> modes_;  // by ReadMode
  std::multimap<Index, Batch> granted_;
  uint64_t id_last_;
  uint64_t count_ = 0;
  std::vector<AnsweredRead> answered_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_READ_BARRIERS_H_
