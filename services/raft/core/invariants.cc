#include "services/raft/core/invariants.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "services/base/strings.h"

namespace consul::raft {
namespace {

using base::StrCat;

uint64_t HashOf(const Entry& entry) {
  const std::string_view payload =
      entry.payload == nullptr ? std::string_view() : std::string_view(*entry.payload);
  uint64_t hash = std::hash<std::string_view>()(payload);
  hash = hash * 31 + entry.term.value;
  return hash * 31 + static_cast<uint64_t>(entry.kind);
}

}  // namespace

Term DurableState::TermAt(Index index) const {
  if (index == snapshot.index && index != Index{0}) return snapshot.term;
  if (index < log_first || index > log_last()) return Term{0};
  return entries[index - log_first].term;
}

void DurableState::Write(const Persist& persist) {
  if (persist.reset_to.has_value()) {
    entries.clear();
    log_first = persist.reset_to->Next();
  }
  if (!persist.entries.empty()) {
    const uint64_t keep = persist.entries.front().index - log_first;
    if (keep < entries.size()) entries.resize(keep);
    entries.insert(entries.end(), persist.entries.begin(), persist.entries.end());
  }
  if (persist.hard_state.has_value()) hard_state = *persist.hard_state;
}

Restart DurableState::ToRestart(size_t tail_entries_max) const {
  Restart restart;
  restart.hard_state = hard_state;
  restart.snapshot = snapshot;
  restart.log_first = log_first;
  restart.log_last = log_last();
  for (const Entry& entry : entries) {
    if (restart.term_runs.empty() || restart.term_runs.back().term != entry.term) {
      restart.term_runs.push_back(TermRun{entry.index, entry.term});
    }
    if (entry.kind == EntryKind::kConfiguration) {
      restart.configurations.push_back({entry.index, *Configuration::Decode(*entry.payload)});
    }
  }
  const size_t count = std::min(tail_entries_max, entries.size());
  restart.tail.assign(entries.end() - static_cast<ptrdiff_t>(count), entries.end());
  return restart;
}

void Invariants::Break(std::string what) {
  if (broken_.empty()) broken_ = std::move(what);
}

Index Invariants::committed_max() const {
  return committed_.empty() ? Index{0} : committed_.rbegin()->first;
}

std::map<Index, Term>& Invariants::LogOf(const ServerView& server) {
  const auto [found, started] = logs_.try_emplace(server.id);
  if (!started) return found->second;
  if (server.disk->snapshot.index > Index{0}) {
    found->second[server.disk->snapshot.index] = server.disk->snapshot.term;
  }
  for (const Entry& entry : server.disk->entries) found->second[entry.index] = entry.term;
  return found->second;
}

// Log matching: an index and a term name one entry and everything before it, on all servers for
// ever.
void Invariants::OnOutput(const ServerView& server, const Output& output) {
  const Persist& persist = output.persist;
  std::map<Index, Term>& log = LogOf(server);
  if (persist.reset_to.has_value()) {
    log.clear();
    log[*persist.reset_to] = server.core->snapshot().term;
  }
  for (const Entry& entry : persist.entries) {
    log.erase(log.lower_bound(entry.index), log.end());
    uint64_t before = 0;
    if (entry.index > Index{1}) {
      if (log.empty() || log.rbegin()->first != entry.index.Previous()) {
        Break(StrCat("gap: ", server.id.value, " persists entry ", entry.index.value));
        return;
      }
      before = chains_[Key(*log.rbegin())];
    }
    const uint64_t chain = before * 1000003 + HashOf(entry);
    const auto [found, added] = chains_.emplace(Key(entry.index, entry.term), chain);
    if (!added && found->second != chain) {
      Break(StrCat("log matching: ", server.id.value, " entry ", entry.index.value, " term ",
                   entry.term.value));
    }
    log[entry.index] = entry.term;
  }
}

void Invariants::OnSend(const ServerView& server, const Message& message) {
  const DurableState& disk = *server.disk;
  const auto* request = std::get_if<VoteRequest>(&message.body);
  const auto* vote = std::get_if<VoteReply>(&message.body);
  const bool pre_vote =
      (request != nullptr && request->pre_vote) || (vote != nullptr && vote->pre_vote);
  if (!pre_vote && message.term > disk.hard_state.term) {
    Break(StrCat("durable term: ", server.id.value, " speaks in term ", message.term.value,
                 " before it is on disk"));
  }
  ServerId voted;
  if (request != nullptr && !request->pre_vote) voted = server.id;
  if (vote != nullptr && !vote->pre_vote && vote->granted) voted = message.to;
  if (!voted.empty()) {
    if (disk.hard_state.term == message.term && disk.hard_state.voted_for != voted) {
      Break(StrCat("durable vote: ", server.id.value, " for ", voted.value));
    }
    const auto [found, added] = votes_.emplace(std::pair(server.id, message.term), voted);
    if (!added && found->second != voted) {
      Break(StrCat("two votes: ", server.id.value, " in term ", message.term.value));
    }
  }
  const auto* append = std::get_if<AppendReply>(&message.body);
  if (append != nullptr && append->accepted && append->match > disk.snapshot.index &&
      append->match > disk.log_last() && disk.hard_state.term == message.term) {
    Break(StrCat("durable ack: ", server.id.value, " acks ", append->match.value, ", disk has ",
                 disk.log_last().value));
  }
}

// State machine safety: no two servers apply different entries at one index.
void Invariants::OnApplied(const ServerView& server, const Entry& entry) {
  const auto [found, added] = applied_.emplace(entry.index, HashOf(entry));
  if (!added && found->second != HashOf(entry)) {
    Break(StrCat("state machine safety: ", server.id.value, " at ", entry.index.value));
  }
}

void Invariants::OnReadRequested(const ServerId&, ReadId id) { reads_[id] = committed_max(); }

void Invariants::OnReadAnswered(const ServerView& server, const ReadResult& result) {
  if (result.status != ReadStatus::kReady) return;
  if (result.index < reads_[result.id]) {
    Break(StrCat("stale read: ", server.id.value, " answers at ", result.index.value, ", ",
                 reads_[result.id].value, " was committed before it asked"));
  }
  if (server.core->applied_index() < result.index) {
    Break(StrCat("read before applied: ", server.id.value));
  }
}

void Invariants::OnCrash(const ServerId& server) {
  led_.erase(server);
  const Term term = last_[server].term;
  last_[server] = Last{term, Index{0}, Index{0}};
  logs_.erase(server);
}

void Invariants::Check(const std::vector<ServerView>& servers, Time now) {
  ++checks_;
  for (const ServerView& server : servers) {
    if (server.core == nullptr) continue;
    CheckMonotonic(server);
    CheckCommit(server, servers);
    CheckLeader(server);
  }
  CheckLeases(servers, now);
}

void Invariants::CheckMonotonic(const ServerView& server) {
  const Core& core = *server.core;
  Last& last = last_[server.id];
  if (core.term() < last.term && server.disk->hard_state.term >= last.term) {
    Break(StrCat("term goes back: ", server.id.value));
  }
  if (core.commit_index() < last.commit) Break(StrCat("commit goes back: ", server.id.value));
  if (core.applied_index() < last.applied) Break(StrCat("applied goes back: ", server.id.value));
  if (core.applied_index() > core.commit_index()) {
    Break(StrCat("applied beyond commit: ", server.id.value));
  }
  if (core.commit_index() > core.last_index()) {
    Break(StrCat("commit beyond the log: ", server.id.value));
  }
  last = Last{core.term(), core.commit_index(), core.applied_index()};
}

// A new commit is on the disks of a majority, as the server that counted it sees its voters; and no
// index is committed twice with different entries.
void Invariants::CheckCommit(const ServerView& server, const std::vector<ServerView>& servers) {
  const Core& core = *server.core;
  const Index commit = core.commit_index();
  if (commit == Index{0}) return;
  const std::optional<Term> term = core.log().TermAt(commit);
  if (!term.has_value()) return;  // before the log's base: seen when it was news
  if (commit > committed_max()) {
    size_t durable = 0;
    const Configuration& members = core.configuration().configuration;
    for (const ServerView& other : servers) {
      if (members.IsVoter(other.id) && other.disk->TermAt(commit) == *term) ++durable;
    }
    if (core.role() != Role::kLeader && !led_.contains(server.id)) {
      Break(StrCat("commit: ", server.id.value, " knows ", commit.value, " before any leader"));
    } else if (*term != core.term()) {
      Break(StrCat("figure 8: ", server.id.value, " commits ", commit.value, " of term ",
                   term->value));
    } else if (durable < members.quorum()) {
      Break(StrCat("commit: ", server.id.value, " counts ", commit.value, " with ", durable,
                   " disks of ", members.quorum()));
    }
    for (Index at = committed_max().Next(); at <= commit; at = at.Next()) {
      const std::optional<Term> term_at = core.log().TermAt(at);
      if (term_at.has_value()) committed_[at] = {.term = *term_at, .in = core.term()};
    }
  }
  const auto found = committed_.find(commit);
  if (found != committed_.end() && found->second.term != *term) {
    Break(StrCat("two commits: ", server.id.value, " at ", commit.value));
  }
}

// One leader a term, and each has everything that was committed in earlier ones (leader
// completeness). Who comes to lead a term that is over may lack what was committed since.
void Invariants::CheckLeader(const ServerView& server) {
  const Core& core = *server.core;
  if (core.role() != Role::kLeader) {
    led_.erase(server.id);
    return;
  }
  const auto [found, added] = leaders_.emplace(core.term(), server.id);
  if (!added && found->second != server.id) {
    Break(StrCat("two leaders in term ", core.term().value, ": ", found->second.value, " and ",
                 server.id.value));
  }
  if (!led_.insert(server.id).second) return;
  for (const auto& [index, committed] : committed_) {
    if (committed.in >= core.term() || index < core.log().base().index) continue;
    if (core.log().TermAt(index) != committed.term) {
      Break(StrCat("leader completeness: ", server.id.value, " lacks ", index.value));
    }
  }
}

// While a lease holds nobody else commits in a later term: the lease's reads would be stale.
void Invariants::CheckLeases(const std::vector<ServerView>& servers, Time now) {
  for (const ServerView& holder : servers) {
    if (holder.core == nullptr || holder.core->LeaseUntil() <= holder.clock.value_or(now)) continue;
    for (const auto& [term, leader] : leaders_) {
      if (term > holder.core->term()) {
        Break(StrCat("lease: ", holder.id.value, " holds one of term ",
                     holder.core->term().value, " while ", leader.value, " led term ",
                     term.value));
      }
    }
  }
}

}  // namespace consul::raft
