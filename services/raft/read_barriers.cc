#include "services/raft/read_barriers.h"

#include <algorithm>

#include "services/base/strings.h"

namespace consul::raft {
namespace {

absl::Status NoLeader() { return absl::FailedPreconditionError("no leader is known"); }

absl::Status LeaderLost() {
  return absl::FailedPreconditionError("leadership changed while the read waited");
}

absl::Status NoAnswer() {
  return absl::FailedPreconditionError("no leader answered in time");
}

absl::Status TooFarBehind(Index index) {
  return absl::ResourceExhaustedError(base::StrCat(
      "this server lags behind: it has not applied entry ", index.value, " in time"));
}

}  // namespace

void ReadBarriers::Add(Time now, ReadMode mode, ReadCallback callback) {
  if (count_ >= limits_.reads_max) {
    answered_.push_back({std::move(callback),
                         absl::ResourceExhaustedError(base::StrCat(
                             "reads that wait exceed the limit of ", limits_.reads_max))});
    return;
  }
  Mode& of = modes_[static_cast<size_t>(mode)];
  if (of.waiting.empty()) of.waiting_deadline = now + limits_.wait_max;
  of.waiting.push_back(std::move(callback));
  ++count_;
}

std::vector<ReadIndexRequest> ReadBarriers::Ask(Time now, const ServerId& leader, Term term) {
  std::vector<ReadIndexRequest> requests;
  for (size_t m = 0; m < modes_.size(); ++m) {
    Mode& of = modes_[m];
    const bool again = of.asked.has_value() && now >= of.asked->asked_at + limits_.ask_again;
    if (leader.empty()) {
      Answer(std::exchange(of.waiting, {}), NoLeader());
      if (again) of.asked->asked_at = now;  // nobody can be asked: in a while, then
      continue;
    }
    if (!of.asked.has_value() && !of.waiting.empty()) {
      of.asked = Batch{.id = ReadId{++id_last_},
                       .leader = leader,
                       .term = term,
                       .asked_at = now,
                       .granted_at = {},
                       .deadline = of.waiting_deadline,
                       .reads = std::exchange(of.waiting, {})};
    } else if (!again) {
      continue;
    }
    // Asked again by the same number: an answer that is only late counts as well.
    of.asked->asked_at = now;
    requests.push_back({of.asked->id, static_cast<ReadMode>(m)});
  }
  return requests;
}

void ReadBarriers::Answered(Time now, const ServerId& from, const ReadIndexReply& reply) {
  for (Mode& of : modes_) {
    if (!of.asked.has_value() || of.asked->id != reply.id || of.asked->leader != from) continue;
    Batch batch = std::move(*of.asked);
    of.asked.reset();
    if (reply.granted) {
      batch.deadline += limits_.apply_max;
      batch.granted_at = now;
      granted_.emplace(reply.index, std::move(batch));
    } else {
      Answer(std::move(batch.reads), LeaderLost());
    }
  }
}

void ReadBarriers::Applied(Index index) {
  while (!granted_.empty() && granted_.begin()->first <= index) {
    Answer(std::move(granted_.begin()->second.reads), absl::OkStatus());
    granted_.erase(granted_.begin());
  }
}

void ReadBarriers::RefuseBeyond(Time now, Index last, const absl::Status& why) {
  for (auto at = granted_.upper_bound(last); at != granted_.end();) {
    if (now < at->second.granted_at + limits_.entries_late) {
      ++at;
      continue;
    }
    Answer(std::move(at->second.reads), why);
    at = granted_.erase(at);
  }
}

// Those that only wait for their state may go on: what they were told stays true.
void ReadBarriers::LeaderIs(Term term, const ServerId& leader) {
  for (Mode& of : modes_) {
    if (!of.asked.has_value()) continue;
    if (of.asked->term == term && (leader.empty() || of.asked->leader == leader)) continue;
    Answer(std::move(of.asked->reads), LeaderLost());
    of.asked.reset();
  }
}

void ReadBarriers::Expire(Time now) {
  for (Mode& of : modes_) {
    if (of.asked.has_value() && of.asked->deadline <= now) {
      Answer(std::move(of.asked->reads), NoAnswer());
      of.asked.reset();
    }
    if (!of.waiting.empty() && of.waiting_deadline <= now) {
      Answer(std::exchange(of.waiting, {}), NoAnswer());
    }
  }
  for (auto at = granted_.begin(); at != granted_.end();) {
    if (at->second.deadline > now) {
      ++at;
      continue;
    }
    Answer(std::move(at->second.reads), TooFarBehind(at->first));
    at = granted_.erase(at);
  }
}

Time ReadBarriers::NextDeadline() const {
  Time at = Time::max();
  for (const Mode& of : modes_) {
    if (of.asked.has_value()) {
      at = std::min({at, of.asked->deadline, of.asked->asked_at + limits_.ask_again});
    }
    if (!of.waiting.empty()) at = std::min(at, of.waiting_deadline);
  }
  for (const auto& [index, batch] : granted_) at = std::min(at, batch.deadline);
  return at;
}

void ReadBarriers::RefuseAll(const absl::Status& why) {
  for (Mode& of : modes_) {
    if (of.asked.has_value()) Answer(std::move(of.asked->reads), why);
    of.asked.reset();
    Answer(std::exchange(of.waiting, {}), why);
  }
  for (auto& [index, batch] : granted_) Answer(std::move(batch.reads), why);
  granted_.clear();
}

void ReadBarriers::Answer(std::vector<ReadCallback> reads, const absl::Status& status) {
  count_ -= reads.size();
  for (ReadCallback& read : reads) answered_.push_back({std::move(read), status});
}

}  // namespace consul::raft
