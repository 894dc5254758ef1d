#include "gateway/http/fake_backend.h"

#include <utility>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/health/v1/health.pb.h"
#include "consul/query/v1/query.pb.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "consul/status/v1/status.pb.h"
#include "services/rpc/errors.h"

namespace consul::gateway::http {
namespace {

using query::v1::QueryMeta;
using query::v1::QueryOptions;

template <typename T>
const T& Request(const rpc::Call& call) {
  return static_cast<const T&>(call.request());
}
template <typename T>
T* Response(const rpc::Call& call) {
  return static_cast<T*>(call.response());
}

absl::Status FillMeta(const QueryOptions& options, uint64_t index, QueryMeta* meta) {
  if (!options.datacenter().empty() && options.datacenter() != "dc1") {
    return rpc::Error(errors::v1::REASON_NO_PATH_TO_DATACENTER, "No path to datacenter");
  }
  meta->set_index(index);
  meta->set_known_leader(true);
  meta->set_effective_consistency(options.consistency());
  if (options.consistency() == query::v1::CONSISTENCY_STALE) {
    meta->mutable_last_contact()->set_nanos(17 * 1000 * 1000);
  }
  return absl::OkStatus();
}

void FillNode(catalog::v1::Node* node) {
  node->set_id("6f2f0a4e");
  node->set_node("node1");
  node->set_address("127.0.0.1");
  node->set_datacenter("dc1");
  auto* const address = node->add_tagged_addresses();
  address->set_key("lan");
  address->set_value("127.0.0.1");
  node->set_create_index(4);
  node->set_modify_index(5);
}

}  // namespace

// A call that waits for a key to change.
class FakeBackend::Parked final : public rpc::Call::Waiting, public rpc::Task {
 public:
  Parked(FakeBackend* backend, rpc::Call* call)
      : backend_(backend), call_(call), soon_(backend->soon_) {
    if (soon_) call_->executor()->Expect(1);
  }

  void Cancel() override {
    cancelled_ = true;
    backend_->Remove(this);
    Wake();
  }

  // REQUIRES: not in the set of those who wait any more.
  void Wake() {
    if (!posted_.exchange(true)) call_->executor()->Post(this);
  }

  void Run() override {
    rpc::Call* const call = call_;
    FakeBackend* const backend = backend_;
    const bool cancelled = cancelled_;
    if (soon_) call->executor()->Expect(-1);
    call->waiting.reset();  // this
    if (cancelled) {
      ++backend->cancelled_;
      call->status = absl::CancelledError("the call was cancelled");
      call->Done();
    } else {
      backend->Run(call);
    }
  }

 private:
  FakeBackend* const backend_;
  rpc::Call* const call_;
  const bool soon_;
  bool cancelled_ = false;
  std::atomic<bool> posted_{false};
};

// Nobody looks at what is held here, only whether it is.
FakeBackend::FakeBackend() : rows_(std::make_shared<int>(0), nullptr) {
  auto table = std::make_unique<const Table>();
  table_ = table.get();
  tables_.push_back(std::move(table));
  Answers();
}

FakeBackend::~FakeBackend() = default;

void FakeBackend::Answers() {
  const rpc::MethodTable& api = rpc::PublicApi();
  answers_.resize(api.methods().size(), [](FakeBackend*, const rpc::Call&) {
    return absl::UnimplementedError("the fake does not have this method");
  });
  const auto set = [&](std::string_view path, Answer answer) {
    answers_[api.Get(path).id] = std::move(answer);
  };
  set("/consul.kv.v1.KvService/Get", &FakeBackend::Get);
  set("/consul.kv.v1.KvService/List", &FakeBackend::List);
  set("/consul.kv.v1.KvService/ListKeys", &FakeBackend::ListKeys);
  set("/consul.kv.v1.KvService/Put", &FakeBackend::Put);
  set("/consul.kv.v1.KvService/Delete", &FakeBackend::Delete);
  set("/consul.kv.v1.KvService/DeleteTree", &FakeBackend::DeleteTree);
  set("/consul.catalog.v1.CatalogService/ListNodes", &FakeBackend::ListNodes);
  set("/consul.catalog.v1.CatalogService/GetNode", &FakeBackend::GetNode);
  set("/consul.agent.v1.AgentService/GetSelf", &FakeBackend::GetSelf);
  set("/consul.status.v1.StatusService/GetLeader", [](FakeBackend*, const rpc::Call& call) {
    Response<status::v1::GetLeaderResponse>(call)->set_leader("127.0.0.1:8300");
    return absl::OkStatus();
  });
  set("/consul.status.v1.StatusService/ListPeers",
      [](FakeBackend*, const rpc::Call&) { return absl::OkStatus(); });
  set("/consul.agent.v1.AgentService/Leave",
      [](FakeBackend*, const rpc::Call&) { return absl::OkStatus(); });
  set("/consul.agent.v1.AgentService/ListMembers", [](FakeBackend*, const rpc::Call& call) {
    auto* const member = Response<agent::v1::ListMembersResponse>(call)->add_members();
    member->set_name(Request<agent::v1::ListMembersRequest>(call).wan() ? "a.dc1" : "a");
    member->set_status(agent::v1::MEMBER_STATUS_ALIVE);
    return absl::OkStatus();
  });
}

void FakeBackend::Start(rpc::Call* call) {
  if (!call->token.empty()) {
    base::MutexLock lock(&mutex_);
    last_token_ = call->token;
  }
  const rpc::Method& method = call->method();
  if (method.options_field != nullptr) {
    const auto& options = static_cast<const QueryOptions&>(
        call->request().GetReflection()->GetMessage(call->request(), method.options_field));
    if (options.index() != 0) {
      base::MutexLock lock(&mutex_);
      if (options.index() >= table().index) {
        auto parked = std::make_unique<Parked>(this, call);
        parked_.insert(parked.get());
        call->waiting = std::move(parked);
        return;
      }
    }
  }
  Run(call);
}

void FakeBackend::Run(rpc::Call* call) {
  last_thread_ = std::this_thread::get_id();
  if (failing_.load()) {
    base::MutexLock lock(&mutex_);
    call->status = failure_;
  } else if (call->method().server_streaming) {
    call->status = Save(call);
  } else {
    call->status = answers_[call->method().id](this, *call);
  }
  call->rows = &rows_;
  call->ShareAnswer(call->response(), number_.load());
  call->Done();
}

// In three parts; of the datacenter "broken" there is only one.
absl::Status FakeBackend::Save(rpc::Call* call) {
  const auto& request = Request<snapshot::v1::SaveRequest>(*call);
  auto* const response = Response<snapshot::v1::SaveResponse>(*call);
  response->mutable_meta()->set_index(7);
  for (const char* const part : {"one, ", "two, ", "three"}) {
    response->mutable_part()->set_bytes(part);
    if (!call->Next()) return absl::ResourceExhaustedError("the face takes no more");
    if (request.options().datacenter() == "broken") return absl::InternalError("broken");
    response->Clear();
  }
  return absl::OkStatus();
}

void FakeBackend::Change(const std::function<void(Table*)>& change) {
  base::MutexLock lock(&mutex_);
  auto next = std::make_unique<Table>(table());
  ++next->index;
  change(next.get());
  table_.store(next.get(), std::memory_order_release);
  tables_.push_back(std::move(next));
  for (Parked* parked : std::exchange(parked_, {})) parked->Wake();
}

void FakeBackend::Remove(Parked* parked) {
  base::MutexLock lock(&mutex_);
  parked_.erase(parked);
}

void FakeBackend::Set(std::string_view key, std::string_view value) {
  Change([&](Table* table) {
    kv::v1::KeyValue& entry = table->entries[std::string(key)];
    if (entry.create_index() == 0) entry.set_create_index(table->index);
    entry.set_key(std::string(key));
    entry.set_value(std::string(value));
    entry.set_modify_index(table->index);
  });
}

void FakeBackend::SetMany(std::string_view prefix, int count, std::string_view value) {
  Change([&](Table* table) {
    for (int i = 0; i < count; ++i) {
      std::string number = std::to_string(i);
      number.insert(0, 6 - number.size(), '0');
      kv::v1::KeyValue entry;
      entry.set_key(std::string(prefix) + number);
      entry.set_value(std::string(value));
      entry.set_create_index(table->index);
      entry.set_modify_index(table->index);
      table->entries.insert_or_assign(entry.key(), entry);
    }
  });
}

size_t FakeBackend::waiting() const {
  base::MutexLock lock(&mutex_);
  return parked_.size();
}

void FakeBackend::FailWith(absl::Status status) {
  base::MutexLock lock(&mutex_);
  failing_ = !status.ok();
  failure_ = std::move(status);
}

std::string FakeBackend::last_token() const {
  base::MutexLock lock(&mutex_);
  return last_token_;
}

absl::Status FakeBackend::Get(const rpc::Call& call) {
  const auto& request = Request<kv::v1::GetRequest>(call);
  auto* const response = Response<kv::v1::GetResponse>(call);
  const Table& now = table();
  const auto found = now.entries.find(request.key());
  // As the state's handlers do: the row itself, not a copy.
  if (found != now.entries.end()) {
    response->unsafe_arena_set_allocated_entry(const_cast<kv::v1::KeyValue*>(&found->second));
  }
  return FillMeta(request.options(), now.index, response->mutable_meta());
}

absl::Status FakeBackend::List(const rpc::Call& call) {
  const auto& request = Request<kv::v1::ListRequest>(call);
  auto* const response = Response<kv::v1::ListResponse>(call);
  const Table& now = table();
  for (auto it = now.entries.lower_bound(request.prefix());
       it != now.entries.end() && it->first.starts_with(request.prefix()); ++it) {
    response->mutable_entries()->UnsafeArenaAddAllocated(
        const_cast<kv::v1::KeyValue*>(&it->second));
  }
  return FillMeta(request.options(), now.index, response->mutable_meta());
}

absl::Status FakeBackend::ListKeys(const rpc::Call& call) {
  const auto& request = Request<kv::v1::ListKeysRequest>(call);
  auto* const response = Response<kv::v1::ListKeysResponse>(call);
  const Table& now = table();
  for (auto it = now.entries.lower_bound(request.prefix());
       it != now.entries.end() && it->first.starts_with(request.prefix()); ++it) {
    response->add_keys(it->first);
  }
  return FillMeta(request.options(), now.index, response->mutable_meta());
}

absl::Status FakeBackend::Put(const rpc::Call& call) {
  const auto& request = Request<kv::v1::PutRequest>(call);
  bool applied = true;
  Change([&](Table* table) {
    const auto found = table->entries.find(request.key());
    const uint64_t was = found == table->entries.end() ? 0 : found->second.modify_index();
    applied = !request.has_cas() || request.cas() == was;
    if (!applied) return;
    kv::v1::KeyValue& entry = table->entries[request.key()];
    if (was == 0) entry.set_create_index(table->index);
    entry.set_key(request.key());
    entry.set_value(request.value());
    entry.set_flags(request.flags());
    entry.set_modify_index(table->index);
  });
  Response<kv::v1::PutResponse>(call)->set_applied(applied);
  return absl::OkStatus();
}

absl::Status FakeBackend::Delete(const rpc::Call& call) {
  const auto& request = Request<kv::v1::DeleteRequest>(call);
  Change([&](Table* table) { table->entries.erase(request.key()); });
  Response<kv::v1::DeleteResponse>(call)->set_applied(true);
  return absl::OkStatus();
}

absl::Status FakeBackend::DeleteTree(const rpc::Call& call) {
  const auto& request = Request<kv::v1::DeleteTreeRequest>(call);
  Change([&](Table* table) {
    std::erase_if(table->entries,
                  [&](const auto& row) { return row.first.starts_with(request.prefix()); });
  });
  Response<kv::v1::DeleteTreeResponse>(call)->set_applied(true);
  return absl::OkStatus();
}

absl::Status FakeBackend::ListNodes(const rpc::Call& call) {
  const auto& request = Request<catalog::v1::ListNodesRequest>(call);
  auto* const response = Response<catalog::v1::ListNodesResponse>(call);
  if (request.node_meta_size() == 0) FillNode(response->add_nodes());
  return FillMeta(request.options(), 5, response->mutable_meta());
}

absl::Status FakeBackend::GetNode(const rpc::Call& call) {
  const auto& request = Request<catalog::v1::GetNodeRequest>(call);
  auto* const response = Response<catalog::v1::GetNodeResponse>(call);
  if (request.node() == "node1") {
    auto* const entry = response->mutable_entry();
    FillNode(entry->mutable_node());
    // Out of order: the face sorts.
    for (const char* id : {"web", "consul"}) {
      auto* const service = entry->add_services();
      service->set_key(id);
      service->mutable_value()->set_node("node1");
      service->mutable_value()->set_id(id);
      service->mutable_value()->set_service(id);
      service->mutable_value()->set_port(80);
    }
  }
  return FillMeta(request.options(), 5, response->mutable_meta());
}

absl::Status FakeBackend::GetSelf(const rpc::Call& call) {
  auto* const response = Response<agent::v1::GetSelfResponse>(call);
  response->mutable_config()->set_node_name("node1");
  response->mutable_config()->set_server(true);
  auto& fields = *response->mutable_debug_config()->mutable_fields();
  fields["Z"].set_bool_value(true);
  fields["A"].set_number_value(1.5);
  fields["Ports"].mutable_struct_value();
  response->mutable_member()->set_name("node1");
  auto* const group = response->add_stats();
  group->set_key("raft");
  auto* const stat = group->add_value();
  stat->set_key("term");
  stat->set_value("2");
  return absl::OkStatus();
}

}  // namespace consul::gateway::http
