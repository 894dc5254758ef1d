#include "services/raft/core/test_cluster.h"

#include <algorithm>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/raft/core/text.h"

namespace consul::raft {
namespace {

using base::StrCat;

std::string MachineBytes(const std::map<uint64_t, std::string>& machine) {
  std::string bytes;
  for (const auto& [index, payload] : machine) base::StrAppend(&bytes, index, "=", payload, "\n");
  return bytes;
}

std::map<uint64_t, std::string> MachineFrom(const std::string& bytes) {
  std::map<uint64_t, std::string> machine;
  for (size_t at = 0; at < bytes.size();) {
    const size_t equals = bytes.find('=', at);
    const size_t end = bytes.find('\n', equals);
    machine[std::stoull(bytes.substr(at, equals - at))] =
        bytes.substr(equals + 1, end - equals - 1);
    at = end + 1;
  }
  return machine;
}

}  // namespace

bool TestCluster::Server::Said(FactKind kind) const {
  return std::any_of(facts.begin(), facts.end(),
                     [kind](const Fact& fact) { return fact.kind == kind; });
}

TestCluster::TestCluster(const Members& members, uint64_t seed, const Options& base) {
  std::vector<Member> first;
  for (const std::string& name : members.voters) first.push_back({Id(name), MemberKind::kVoter});
  for (const std::string& name : members.learners) {
    first.push_back({Id(name), MemberKind::kLearner});
  }
  std::vector<std::string> names = members.spares;
  for (const Member& member : first) names.push_back(member.id.value);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    Server& server = servers_[Id(name)];
    server.id = Id(name);
    server.options = base;
    server.options.self = server.id;
    server.options.seed = seed++ * 7919;
    server.core = std::make_unique<Core>(server.options, consul::raft::Restart{}, now_);
  }
  for (const Member& member : first) {
    servers_.at(member.id).core->Bootstrap(now_, Configuration(first));
  }
  for (auto& [id, server] : servers_) Pump(server);
}

std::string TestCluster::Broken() const {
  if (invariants_.broken().empty()) return "";
  const size_t shown = std::min<size_t>(trace_.size(), 6000);
  return StrCat(invariants_.broken(), "\n", trace_.substr(trace_.size() - shown));
}

void TestCluster::Trace(const ServerId& id, const std::string& line) {
  constexpr size_t kTraceBytesMax = 1 << 20;
  if (trace_.size() > kTraceBytesMax) trace_.erase(0, kTraceBytesMax / 2);
  base::StrAppend(&trace_, id.value, ": ", line, "\n");
}

void TestCluster::CheckInvariants() {
  std::vector<ServerView> views;
  for (const auto& [id, server] : servers_) {
    views.push_back(ServerView{id, server.core.get(), &server.disk});
  }
  invariants_.Check(views, now_);
}

// ---- Time.

void TestCluster::Advance(Duration duration) {
  now_ += duration;
  for (auto& [id, server] : servers_) {
    if (!server.up() || server.core->NextDeadline() > now_) continue;
    server.core->Tick(now_);
    Pump(server);
  }
  CheckInvariants();
}

void TestCluster::Run(Duration duration, Duration step) {
  for (Duration passed{0}; passed < duration; passed += step) {
    Advance(step);
    Settle();
  }
}

void TestCluster::Expire(std::string_view name) {
  Server& server = at(name);
  const Time deadline = server.core->NextDeadline();
  CONSUL_CHECK(deadline != Time::max());
  now_ = std::max(now_, deadline);
  server.core->Tick(now_);
  Pump(server);
}

// ---- The wire.

void TestCluster::Deliver(size_t position, bool keep_copy) {
  Message message = wire_.at(position);
  if (!keep_copy) Lose(position);
  Server& to = servers_.at(message.to);
  if (!to.up() || cut_.contains({message.from, message.to})) return;
  to.core->Receive(now_, std::move(message));
  Pump(to);
}

void TestCluster::Settle(size_t messages_max) {
  for (size_t count = 0; !wire_.empty() && count < messages_max; ++count) Deliver(0);
}

void TestCluster::Cut(std::string_view from, std::string_view to) {
  cut_.insert({Id(from), Id(to)});
}

void TestCluster::CutOff(std::string_view name) {
  for (const auto& [id, server] : servers_) {
    Cut(name, id.value);
    Cut(id.value, name);
  }
}

void TestCluster::Heal() { cut_.clear(); }

// ---- Servers.

void TestCluster::Crash(std::string_view name, size_t writes_that_reach_the_disk,
                        size_t entries_of_the_next) {
  Server& server = at(name);
  for (size_t i = 0; i < server.writes.size() && i <= writes_that_reach_the_disk; ++i) {
    Persist persist = server.writes[i].persist;
    if (i == writes_that_reach_the_disk) {  // torn: the first entries, never the vote behind them
      if (persist.reset_to.has_value() || entries_of_the_next == 0) break;
      persist.hard_state.reset();
      persist.entries.resize(std::min(entries_of_the_next, persist.entries.size()));
    }
    server.disk.Write(persist);
  }
  Trace(server.id, "crash");
  server.core.reset();
  server.writes.clear();
  server.to_apply.clear();
  server.machine.clear();
  server.staged.clear();
  invariants_.OnCrash(server.id);
  CheckInvariants();
}

void TestCluster::Restart(std::string_view name) {
  Server& server = at(name);
  Trace(server.id, "restart");
  server.machine = MachineFrom(server.snapshot_bytes);
  server.options.seed += 104729;
  server.core = std::make_unique<Core>(server.options, server.disk.ToRestart(tail_entries_max_),
                                       now_);
  Pump(server);
}

void TestCluster::Pump(Server& server) {
  while (server.up()) {
    Output output = server.core->TakeOutput();
    if (output.empty()) break;
    Act(server, std::move(output));
  }
  CheckInvariants();
}

void TestCluster::Act(Server& server, Output output) {
  invariants_.OnOutput(ServerView{server.id, server.core.get(), &server.disk}, output);
  for (Fact& fact : output.facts) {
    Trace(server.id, ToText(fact));
    server.facts.push_back(std::move(fact));
  }
  for (RoleChange& change : output.role_changes) {
    Trace(server.id, ToText(change));
    server.role_changes.push_back(std::move(change));
  }
  if (!output.persist.empty()) Trace(server.id, ToText(output.persist));
  SendAll(server, output.messages);
  if (!output.persist.empty()) server.writes.push_back(Write{std::move(output.persist), {}});
  if (server.writes.empty()) {
    SendAll(server, output.messages_after_persist);
  } else {
    std::vector<Message>& then = server.writes.back().then;
    then.insert(then.end(), std::make_move_iterator(output.messages_after_persist.begin()),
                std::make_move_iterator(output.messages_after_persist.end()));
  }
  for (const Entry& entry : output.committed) server.to_apply.push_back(entry);
  if (!server.hold_apply) ApplyAll(server);
  for (const ReadResult& read : output.reads) {
    Trace(server.id, StrCat("read ", read.id.value,
                            read.status == ReadStatus::kReady
                                ? StrCat(" ready at ", read.index.value)
                                : std::string(" not leader")));
    invariants_.OnReadAnswered(ServerView{server.id, server.core.get(), &server.disk}, read);
    server.reads.push_back(read);
  }
  ServeLoads(server, output);
  while (!server.hold_writes && !server.writes.empty()) FinishWrite(server);
}

void TestCluster::SendAll(Server& server, std::vector<Message>& messages) {
  for (Message& message : messages) {
    Trace(server.id, ToText(message));
    invariants_.OnSend(ServerView{server.id, server.core.get(), &server.disk}, message);
    wire_.push_back(std::move(message));
  }
}

void TestCluster::FinishWrite(Server& server) {
  Write write = std::move(server.writes.front());
  server.writes.pop_front();
  server.disk.Write(write.persist);
  SendAll(server, write.then);
  server.core->Persisted(now_, write.persist.id);
}

void TestCluster::ReleaseWrites(std::string_view name) {
  Server& server = at(name);
  server.hold_writes = false;
  while (!server.writes.empty()) FinishWrite(server);
  Pump(server);
}

void TestCluster::ApplyAll(Server& server) {
  if (server.to_apply.empty()) return;
  Index last;
  for (const Entry& entry : server.to_apply) {
    Trace(server.id, StrCat("apply ", ToText(entry)));
    invariants_.OnApplied(ServerView{server.id, server.core.get(), &server.disk}, entry);
    if (entry.kind == EntryKind::kCommand) server.machine[entry.index.value] = *entry.payload;
    last = entry.index;
  }
  server.to_apply.clear();
  server.core->Applied(now_, last);
}

void TestCluster::ServeLoads(Server& server, Output& output) {
  for (const LoadRequest& load : output.loads) {
    ++server.loads_count;
    std::vector<Entry> entries;
    uint64_t bytes = 0;
    for (Index at = load.first; at <= load.last && at >= server.disk.log_first; at = at.Next()) {
      CONSUL_CHECK(at <= server.disk.log_last());
      const Entry& entry = server.disk.entries[at - server.disk.log_first];
      bytes += entry.bytes();
      if (!entries.empty() && bytes > load.bytes_max) break;
      entries.push_back(entry);
    }
    server.core->EntriesLoaded(now_, load, std::move(entries));
  }
  for (const SnapshotLoadRequest& load : output.snapshot_loads) {
    std::optional<Buffer> bytes;
    if (load.offset == load.meta.size_bytes) {
      bytes = MakeBuffer("");
    } else if (server.disk.snapshot.id == load.meta.id) {
      bytes = MakeBuffer(server.snapshot_bytes.substr(load.offset, load.bytes_max));
    }
    server.core->SnapshotChunkLoaded(now_, load, std::move(bytes));
  }
  for (SnapshotStore& store : output.snapshot_stores) Store(server, store);
}

void TestCluster::Store(Server& server, SnapshotStore& store) {
  if (store.offset == 0) server.staged.clear();
  CONSUL_CHECK(server.staged.size() == store.offset);
  server.staged += *store.bytes;
  server.core->SnapshotChunkStored(now_, store.meta.id, server.staged.size());
  if (!store.last) return;
  ApplyAll(server);
  CONSUL_CHECK(server.staged.size() == store.meta.size_bytes);
  server.disk.snapshot = store.meta;
  server.snapshot_bytes = server.staged;
  server.machine = MachineFrom(server.staged);
  server.core->SnapshotInstalled(now_, store.meta);
}

void TestCluster::TakeSnapshot(std::string_view name, uint64_t keep) {
  Server& server = at(name);
  const Index index = server.core->applied_index();
  if (!server.writes.empty() || index <= server.disk.snapshot.index) return;
  SnapshotMeta meta;
  meta.index = index;
  meta.term = server.disk.TermAt(index);
  meta.configuration = server.core->ConfigurationAt(index);
  server.snapshot_bytes = MachineBytes(server.machine);
  meta.id = StrCat(server.id.value, "-", index.value);
  meta.size_bytes = server.snapshot_bytes.size();
  server.disk.snapshot = meta;
  const Index cut = keep > index.value ? Index{1} : index + 1 - keep;
  const Index first = std::max(server.disk.log_first, cut);
  server.disk.entries.erase(
      server.disk.entries.begin(),
      server.disk.entries.begin() + static_cast<ptrdiff_t>(first - server.disk.log_first));
  server.disk.log_first = first;
  server.core->SnapshotTaken(now_, meta, first);
  Pump(server);
}

// ---- Shorthand.

void TestCluster::Elect(std::string_view name) {
  now_ += at(name).options.election_timeout_max * at(name).options.raft_multiplier;
  Server& server = at(name);
  server.core->Tick(now_);
  Pump(server);
  Settle();
}

std::string TestCluster::leader() const {
  const Server* best = nullptr;
  for (const auto& [id, server] : servers_) {
    if (!server.up() || server.core->role() != Role::kLeader) continue;
    if (best == nullptr || server.core->term() > best->core->term()) best = &server;
  }
  return best == nullptr ? "" : best->id.value;
}

ProposeResult TestCluster::Propose(std::string_view name, std::string payload) {
  std::vector<Proposal> batch{{EntryKind::kCommand, MakeBuffer(std::move(payload))}};
  const ProposeResult result = core(name).Propose(now_, std::move(batch));
  Pump(at(name));
  return result;
}

ReadRequestStatus TestCluster::Read(std::string_view name, uint64_t id, ReadMode mode) {
  invariants_.OnReadRequested(Id(name), ReadId{id});
  const ReadRequestStatus status = core(name).ReadRequest(now_, ReadId{id}, mode);
  Pump(at(name));
  return status;
}

MembershipResult TestCluster::Change(std::string_view name, MembershipChange::Kind kind,
                                     std::string_view id) {
  const MembershipResult result = core(name).ChangeMembership(now_, {kind, Id(id)});
  Pump(at(name));
  return result;
}

std::string TestCluster::Log(std::string_view name) {
  Server& server = at(name);
  DurableState all = server.disk;
  for (const Write& write : server.writes) all.Write(write.persist);
  std::string text;
  for (const Entry& entry : all.entries) {
    base::StrAppend(&text, text.empty() ? "" : " ", ToText(entry));
  }
  return text;
}

}  // namespace consul::raft
