#include "tests/sim/cluster/cluster_checks.h"

#include <utility>

#include "services/base/strings.h"
#include "services/state/fsm.h"

namespace consul::sim {
namespace {

using base::StrCat;

bool SameBytes(const raft::Buffer& a, const raft::Buffer& b) {
  const std::string_view one = a == nullptr ? std::string_view() : std::string_view(*a);
  const std::string_view other = b == nullptr ? std::string_view() : std::string_view(*b);
  return one == other;
}

std::string Describe(const KvRows& rows) {
  std::string text;
  for (const auto& [key, row] : rows) {
    base::StrAppend(&text, text.empty() ? "" : ", ", key, "=", row.value.substr(0, 12), "@",
                    row.modify_index);
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace

void ClusterChecks::Break(std::string what) {
  if (!broken_.empty()) return;
  broken_ = std::move(what);
  if (world_->tracing()) world_->Trace(StrCat("BROKEN ", broken_));
}

// ---- The cores.

void ClusterChecks::OnOutput(const raft::ServerView& server, const raft::Output& output) {
  if (look_inside_) invariants_.OnOutput(server, output);
}

void ClusterChecks::OnSend(const raft::ServerView& server, const raft::Message& message) {
  if (look_inside_) invariants_.OnSend(server, message);
}

void ClusterChecks::OnReadRequested(const raft::ServerId& server, raft::ReadId id) {
  if (look_inside_) invariants_.OnReadRequested(server, id);
}

void ClusterChecks::OnReadAnswered(const raft::ServerView& server,
                                   const raft::ReadResult& result) {
  if (look_inside_) invariants_.OnReadAnswered(server, result);
}

void ClusterChecks::OnStop(const raft::ServerId& server) {
  if (look_inside_) invariants_.OnCrash(server);
}

void ClusterChecks::Check(const std::vector<raft::ServerView>& servers) {
  if (!look_inside_) return;
  invariants_.Check(servers, raft::Time::max());
  if (!invariants_.broken().empty()) Break(invariants_.broken());
}

// ---- The state machines.

void ClusterChecks::OnApplied(const raft::ServerView& server,
                              const std::vector<raft::Entry>& entries,
                              const std::vector<raft::ApplyResult>& results,
                              uint64_t state_hash) {
  for (size_t i = 0; i < entries.size(); ++i) {
    const raft::Entry& entry = entries[i];
    const uint64_t index = entry.index.value;
    if (look_inside_) invariants_.OnApplied(server, entry);
    if (index == applied_.size() + 1) {
      applied_.emplace_back(entry.term, entry.payload);
      reference_.Apply(entry);
    } else if (index > applied_.size()) {
      return Break(StrCat("gap: ", server.id.value, " applies entry ", index));
    }
    const auto& [term, payload] = applied_[index - 1];
    if (term != entry.term || !SameBytes(payload, entry.payload)) {
      return Break(StrCat("a committed entry changed: ", server.id.value, " applies at ", index,
                          " one of term ", entry.term.value, "; that of term ", term.value,
                          " was applied before"));
    }
    const auto& result = *static_cast<const state::CommandResult*>(results[i].get());
    if (result.index != index || result.applied != reference_.AppliedAt(index)) {
      return Break(StrCat("result: ", server.id.value, " says that entry ", index,
                          result.applied ? " was" : " was not", " applied"));
    }
  }
  CheckState(server.id, entries.back().index.value, state_hash);
}

void ClusterChecks::OnInstalled(const raft::ServerId& server, raft::Index index,
                                uint64_t state_hash) {
  CheckState(server, index.value, state_hash);
}

void ClusterChecks::CheckState(const raft::ServerId& server, uint64_t index,
                               uint64_t state_hash) {
  const auto [found, added] = states_.emplace(index, std::pair(state_hash, server));
  if (!added && found->second.first != state_hash) {
    Break(StrCat("state equality: ", server.value, " and ", found->second.second.value,
                 " differ at ", index));
  }
}

void ClusterChecks::OnAnswer(const raft::ServerId& server, const std::string& key, bool recurse,
                             const KvAnswer& answer) {
  KvRows expected;
  if (recurse) {
    expected = reference_.Under(key, answer.applied);
  } else if (const KvRow* row = reference_.Find(key, answer.applied)) {
    expected[key] = *row;
  }
  if (answer.rows != expected) {
    return Break(StrCat("answer: ", server.value, " at ", answer.applied, " gives for ", key, ": ",
                        Describe(answer.rows), "; the log says: ", Describe(expected)));
  }
  const uint64_t changed = reference_.ChangedAt(key, recurse, answer.applied);
  if (answer.index < changed || answer.index > std::max<uint64_t>(answer.applied, 1)) {
    Break(StrCat("index: ", server.value, " at ", answer.applied, " gives for ", key, " index ",
                 answer.index, "; it changed at ", changed));
  }
}

void ClusterChecks::OnStillWaiting(const raft::ServerId& server, const std::string& key,
                                   bool recurse, uint64_t index, uint64_t applied) {
  const uint64_t changed = reference_.ChangedAt(key, recurse, applied);
  if (changed <= index) return;
  Break(StrCat("missed: a query for ", key, " at ", server.value, " waits for more than ", index,
               ", and entry ", changed, " changed it"));
}

}  // namespace consul::sim
