#include "services/raft/core/log_tail.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"

namespace consul::raft {
namespace {

// The last run that begins at or before `index`.
const TermRun* RunOf(const std::vector<TermRun>& runs, Index index) {
  auto after = std::upper_bound(runs.begin(), runs.end(), index,
                                [](Index i, const TermRun& run) { return i < run.first; });
  return after == runs.begin() ? nullptr : &*std::prev(after);
}

}  // namespace

LogTail::LogTail(const Restart& restart) {
  const Index before_log = restart.log_first.Previous();
  last_index_ = restart.log_last;
  runs_ = restart.term_runs;
  if (before_log == Index{0}) {
    base_ = LogPosition{};
  } else if (before_log == restart.snapshot.index) {
    base_ = LogPosition{restart.snapshot.index, restart.snapshot.term};
  } else {
    // Nobody knows the term before the first entry on disk: that entry can only be built upon.
    CONSUL_CHECK(restart.log_first <= restart.log_last);
    CONSUL_CHECK(!runs_.empty() && runs_.front().first == restart.log_first);
    base_ = LogPosition{restart.log_first, runs_.front().term};
    Compact(base_.index);
  }
  CONSUL_CHECK(runs_.empty() == (last_index_ == base_.index));
  CONSUL_CHECK(runs_.empty() || runs_.front().first == base_.index.Next());
  for (const Entry& entry : restart.tail) {
    if (entry.index <= base_.index) continue;
    CONSUL_CHECK(entries_.empty() || entry.index == entries_.back().index.Next());
    CONSUL_CHECK(TermAt(entry.index) == entry.term);
    bytes_ += entry.bytes();
    entries_.push_back(entry);
  }
  CONSUL_CHECK(entries_.empty() || entries_.back().index == last_index_);
}

std::optional<Term> LogTail::TermAt(Index index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index || index > last_index_) return std::nullopt;
  return RunOf(runs_, index)->term;
}

LogPosition LogTail::LastAtMost(Index index, Term term) const {
  Index at = std::min(index, last_index_);
  while (at > base_.index) {
    const TermRun* run = RunOf(runs_, at);
    if (run->term <= term) return LogPosition{at, run->term};
    at = run->first.Previous();
  }
  return base_;
}

void LogTail::Append(Entry entry) {
  CONSUL_CHECK(entry.index == last_index_.Next());
  CONSUL_CHECK(entry.term >= last_term());
  if (runs_.empty() || runs_.back().term != entry.term) {
    runs_.push_back(TermRun{entry.index, entry.term});
  }
  last_index_ = entry.index;
  bytes_ += entry.bytes();
  entries_.push_back(std::move(entry));
}

void LogTail::TruncateFrom(Index first) {
  CONSUL_CHECK(base_.index < first && first <= last_index_);
  while (!entries_.empty() && entries_.back().index >= first) {
    bytes_ -= entries_.back().bytes();
    entries_.pop_back();
  }
  while (!runs_.empty() && runs_.back().first >= first) runs_.pop_back();
  last_index_ = first.Previous();
}

void LogTail::Reset(LogPosition base) {
  base_ = base;
  last_index_ = base.index;
  runs_.clear();
  entries_.clear();
  bytes_ = 0;
}

void LogTail::Compact(Index index) {
  CONSUL_CHECK(index <= last_index_);
  if (index < base_.index) return;
  const std::optional<Term> term = index == base_.index ? base_.term : TermAt(index);
  base_ = LogPosition{index, *term};
  size_t before = 0;  // runs that lie wholly at or before the base
  while (before < runs_.size() &&
         (before + 1 < runs_.size() ? runs_[before + 1].first.Previous() : last_index_) <= index) {
    ++before;
  }
  runs_.erase(runs_.begin(), runs_.begin() + static_cast<ptrdiff_t>(before));
  if (!runs_.empty()) runs_.front().first = index.Next();
  while (!entries_.empty() && entries_.front().index <= index) {
    bytes_ -= entries_.front().bytes();
    entries_.pop_front();
  }
}

void LogTail::Evict(uint64_t bytes_max, Index durable) {
  while (bytes_ > bytes_max && !entries_.empty() && entries_.front().index <= durable) {
    bytes_ -= entries_.front().bytes();
    entries_.pop_front();
  }
}

uint64_t LogTail::Copy(Index first, Index last, uint64_t bytes_max,
                       std::vector<Entry>* out) const {
  CONSUL_CHECK(memory_first() <= first && first <= last && last <= last_index_);
  uint64_t copied = 0;
  for (Index at = first; at <= last; at = at.Next()) {
    const Entry& entry = entries_[at - memory_first()];
    if (copied > 0 && copied + entry.bytes() > bytes_max) break;
    copied += entry.bytes();
    out->push_back(entry);
  }
  return copied;
}

}  // namespace consul::raft
