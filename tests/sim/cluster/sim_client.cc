#include "tests/sim/cluster/sim_client.h"

#include <algorithm>
#include <utility>

#include "services/base/strings.h"

namespace consul::sim {
namespace {

using base::StrCat;
using internal::raft::v1::Command;

std::string NameOf(Consistency consistency) {
  switch (consistency) {
    case Consistency::kDefault:
      return "default";
    case Consistency::kConsistent:
      return "consistent";
    case Consistency::kStale:
      return "stale";
  }
  return "";
}

}  // namespace

// ---- The connection.

Duration SimConnection::Way() {
  return cluster_->world().Between(std::chrono::microseconds(50), Milliseconds(1));
}

void SimConnection::Call(SimServer* server, Request request, Duration patience,
                         std::function<void(const Answer&)> done) {
  const uint64_t number = ++number_;
  done_ = std::move(done);
  SimWorld& world = cluster_->world();
  world.After(Way(), [this, number, server, request = std::move(request)] {
    server->Begin(request, [this, number](const Answer& answer) {
      cluster_->world().After(Way(), [this, number, answer] { Finish(number, answer); });
    });
  });
  world.After(patience, [this, number] { Finish(number, Answer{}); });
}

void SimConnection::Finish(uint64_t number, const Answer& answer) {
  if (number != number_ || done_ == nullptr) return;
  std::exchange(done_, nullptr)(answer);
}

// ---- Clients.

SimClient::SimClient(SimCluster* cluster, History* history, uint64_t number)
    : cluster_(cluster),
      world_(cluster->world()),
      history_(history),
      client_(number),
      connection_(cluster) {}

void SimClient::Next() {
  if (stopped_) return;
  world_.After(world_.Between(Duration{0}, cluster_->options().think_max), [this] {
    if (!stopped_) Act();
  });
}

void SimClient::Act() {
  const std::string& key = world_.Choose(history_->keys());
  const uint64_t choice = world_.Below(200);
  if (choice < 60) return Put(key);
  if (choice < 85) return CompareAndSet(key);
  if (choice < 91) return Delete(key);
  if (choice < 92) return DeleteTree();
  if (choice < 94) return Collect();
  if (choice < 134) return Get(key, Consistency::kDefault);
  if (choice < 156) return Get(key, Consistency::kConsistent);
  if (choice < 172) return Get(key, Consistency::kStale);
  if (choice < 186) return List(Consistency::kDefault);
  if (choice < 193) return List(Consistency::kConsistent);
  List(Consistency::kStale);
}

std::string SimClient::NewValue(uint64_t* number) {
  *number = ++values_ * 100 + client_;
  return StrCat(*number, ":",
                std::string(world_.Below(cluster_->options().value_bytes_max), 'v'));
}

void SimClient::Write(Command* command, std::vector<History::Open> opens) {
  command->set_min_version(1);
  command->set_proposed_at(static_cast<uint64_t>(world_.now().since_start.count()));
  Request request;
  request.command = command->SerializeAsString();
  connection_.Call(&cluster_->AnyServer(), std::move(request),
                   world_.Between(Milliseconds(500), Milliseconds(4000)),
                   [this, opens = std::move(opens)](const Answer& answer) {
                     for (const History::Open& open : opens) Written(open, answer);
                     Next();
                   });
}

void SimClient::Written(const History::Open& open, const Answer& answer) {
  switch (answer.outcome) {
    case Answer::Outcome::kDone:
      return history_->Done(open, answer.applied);
    case Answer::Outcome::kRefused:
      return history_->Refused(open);
    case Answer::Outcome::kUnknown:
      return;
  }
}

void SimClient::Put(const std::string& key) {
  Command command;
  uint64_t number = 0;
  command.mutable_kv_put()->set_key(key);
  command.mutable_kv_put()->set_value(NewValue(&number));
  Write(&command, {history_->Write(key, number, StrCat("client ", client_))});
}

void SimClient::CompareAndSet(const std::string& key) {
  const KvRow& row = known_[key];
  Command command;
  uint64_t number = 0;
  command.mutable_kv_put()->set_key(key);
  command.mutable_kv_put()->set_value(NewValue(&number));
  command.mutable_kv_put()->set_cas(row.modify_index);
  Write(&command, {history_->CompareAndSet(key, NumberOf(row.value), number,
                                           StrCat("client ", client_))});
}

void SimClient::Delete(const std::string& key) {
  Command command;
  command.mutable_kv_delete()->set_key(key);
  Write(&command, {history_->Write(key, 0, StrCat("client ", client_, " deletes"))});
}

void SimClient::DeleteTree() {
  Command command;
  command.mutable_kv_delete_tree()->set_prefix(std::string(kPrefix));
  std::vector<History::Open> opens;
  for (const std::string& key : history_->keys()) {
    opens.push_back(history_->Write(key, 0, StrCat("client ", client_, " deletes all")));
  }
  Write(&command, std::move(opens));
}

// As the leader's duty does now and then.
void SimClient::Collect() {
  Command command;
  const uint64_t applied = cluster_->checks().reference().applied_index();
  command.mutable_collect_tombstones()->set_index(applied > 50 ? applied - 50 : 0);
  Write(&command, {});
}

void SimClient::Get(const std::string& key, Consistency consistency) {
  Request request;
  request.key = key;
  request.consistency = consistency;
  Read(std::move(request));
}

void SimClient::List(Consistency consistency) {
  Request request;
  request.key = std::string(kPrefix);
  request.recurse = true;
  request.consistency = consistency;
  Read(std::move(request));
}

void SimClient::Read(Request request) {
  SimServer* const server = &cluster_->AnyServer();
  const Moment called = history_->Now();
  connection_.Call(server, request, world_.Between(Milliseconds(500), Milliseconds(3000)),
                   [this, server, request, called, life = server->lives()](const Answer& answer) {
                     if (answer.outcome == Answer::Outcome::kDone) {
                       HasRead(*server, life, request, called, answer.kv);
                     }
                     Next();
                   });
}

void SimClient::HasRead(const SimServer& server, uint64_t life, const Request& request,
                        Moment called, const KvAnswer& answer) {
  for (const std::string& key : history_->keys()) {
    if (!request.recurse && key != request.key) continue;
    const auto found = answer.rows.find(key);
    known_[key] = found == answer.rows.end() ? KvRow{} : found->second;
  }
  const std::string text = StrCat("client ", client_, ", ", server.id().value, ", ",
                                  NameOf(request.consistency));
  if (request.consistency == Consistency::kStale) {
    CheckStale(server, life, answer);
  } else if (request.recurse) {
    history_->ReadUnder(request.key, answer.rows, called, text);
  } else {
    history_->ReadKey(request.key, answer.rows, called, text);
  }
}

// That the rows are those of the log at that index is ClusterChecks::OnAnswer's.
void SimClient::CheckStale(const SimServer& server, uint64_t life, const KvAnswer& answer) {
  auto& [last_life, last_applied] = stale_[server.id()];
  if (life == last_life && answer.applied < last_applied) {
    cluster_->checks().Break(StrCat("stale reads go back: ", server.id().value, " from ",
                                    last_applied, " to ", answer.applied));
  }
  last_life = life;
  last_applied = answer.applied;
}

// ---- Watchers.

SimWatcher::SimWatcher(SimCluster* cluster, History* history, std::string key, bool recurse,
                       Consistency consistency)
    : cluster_(cluster),
      world_(cluster->world()),
      history_(history),
      key_(std::move(key)),
      recurse_(recurse),
      consistency_(consistency),
      connection_(cluster) {}

void SimWatcher::Next() {
  const bool moves = server_ == nullptr;
  if (moves) server_ = &cluster_->AnyServer();
  // A stale server's index says nothing of another's, nor of its own after a start.
  if (consistency_ == Consistency::kStale && (moves || server_->lives() != life_)) {
    last_ = KvAnswer{};
  }
  life_ = server_->lives();
  Request request;
  request.key = key_;
  request.recurse = recurse_;
  request.consistency = consistency_;
  request.index = last_.index;
  request.wait = for_ever_ ? std::chrono::seconds(600)
                           : world_.Between(Milliseconds(200), Milliseconds(5000));
  const Moment called = history_->Now();
  const Duration patience = request.wait + std::chrono::seconds(2);
  connection_.Call(server_, std::move(request), patience,
                   [this, called, server = server_, life = life_](const Answer& answer) {
                     Saw(*server, life, called, answer);
                   });
}

void SimWatcher::Saw(const SimServer& server, uint64_t life, Moment called, const Answer& answer) {
  if (answer.outcome != Answer::Outcome::kDone) {
    server_ = nullptr;
    world_.After(Milliseconds(20), [this] { Next(); });
    return;
  }
  const std::string text = StrCat("watcher, ", server.id().value, ", ", NameOf(consistency_));
  if (consistency_ == Consistency::kStale) {
    if (server.lives() != life) last_ = KvAnswer{};
  } else if (recurse_) {
    history_->ReadUnder(key_, answer.kv.rows, called, text);
  } else {
    history_->ReadKey(key_, answer.kv.rows, called, text);
  }
  ClusterChecks& checks = cluster_->checks();
  if (answer.kv.index < last_.index) {
    checks.Break(StrCat("a watcher's index goes back from ", last_.index, " to ", answer.kv.index,
                        " at ", server.id().value));
  }
  const ReferenceKv& reference = checks.reference();
  if (!answer.in_vain && last_.index > 0 &&
      reference.ChangedAt(key_, recurse_, answer.kv.applied) <= last_.index &&
      !reference.CollectedWithin(last_.applied, answer.kv.applied)) {
    checks.Break(StrCat("a watcher sees index ", last_.index, " twice at ", server.id().value));
  }
  if (answer.kv.index > last_.index) ++changes_;
  last_ = answer.kv;
  Next();
}

std::string SimWatcher::CheckEnd(const std::vector<SimServer*>& members) const {
  // Nobody tells a server that is no member any more what happens.
  if (std::find(members.begin(), members.end(), server_) == members.end()) return "";
  const ReferenceKv& reference = cluster_->checks().reference();
  const uint64_t end = reference.applied_index();
  KvRows rows = reference.Under(key_, end);
  if (!recurse_) std::erase_if(rows, [this](const auto& row) { return row.first != key_; });
  if (rows == last_.rows) return "";
  return StrCat("a ", NameOf(consistency_), " watcher of ", key_, " at ",
                server_->id().value, " has seen ", last_.index, " last, and the log ends with ",
                reference.ChangedAt(key_, recurse_, end));
}

}  // namespace consul::sim
