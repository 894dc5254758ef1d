// services/rpc/local_backend_fixture.h
//
// For tests of the local backend: a source of one key whose index and value the test sets, a
// consensus that the test turns, an executor that runs when told.
//
// Threads: one, but for the executor's Post.
#ifndef CONSUL_SERVICES_RPC_LOCAL_BACKEND_FIXTURE_H_
#define CONSUL_SERVICES_RPC_LOCAL_BACKEND_FIXTURE_H_

#include <google/protobuf/arena.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "consul/kv/v1/kv.pb.h"
#include "services/rpc/errors.h"
#include "services/rpc/local_backend.h"
#include "services/rpc/task_queue.h"
#include "services/state/version_source.h"

namespace consul::rpc {

using kv::v1::GetRequest;
using kv::v1::GetResponse;
using kv::v1::PutRequest;
using kv::v1::PutResponse;
using namespace std::chrono_literals;

inline constexpr state::MapId kMap{1};

// One key, "k", changed last at `index`.
class OneKey : public state::Versioned {
 public:
  OneKey(uint64_t index, std::string value) : index_(index) { row.set_value(std::move(value)); }
  uint64_t index() const override { return index_; }
  uint64_t IndexOf(const state::Slot& slot) const override {
    return slot.bytes == "k" || slot.bytes == "turns-bad" ? index_ : 0;
  }
  kv::v1::KeyValue row;

 private:
  const uint64_t index_;
};

// How often the handler ran.
inline std::atomic<int> reads = 0;

inline absl::Status ReadKey(const OneKey& version, const GetRequest& request, GetResponse* response,
                     state::WatchSet* watched) {
  ++reads;
  watched->AddKey(kMap, request.key());
  const bool bad = request.key() == "bad" || version.row.value() == "bad";
  if (bad) return Error(errors::v1::REASON_INVALID_FIELD, "bad key", "key");
  response->unsafe_arena_set_allocated_entry(const_cast<kv::v1::KeyValue*>(&version.row));
  return absl::OkStatus();
}

inline absl::Status PrepareKey(const PutRequest& request, state::SealedCommand* command) {
  if (request.key().empty()) return Error(errors::v1::REASON_MISSING_FIELD, "Missing key name");
  command->bytes = request.value();
  return absl::OkStatus();
}

inline void FinishKey(const Applied& applied, PutResponse* response) {
  response->set_applied(applied.changed);
  response->set_index(applied.index);
}

class TestConsensus : public Consensus {
 public:
  View view() const override { return now; }
  void Propose(state::SealedCommand command,
               std::function<void(absl::StatusOr<Applied>)> done) override {
    proposed.push_back(std::move(command.bytes));
    completions.push_back(std::move(done));
  }
  void ReadBarrier(ReadMode mode, std::function<void(absl::Status)> done) override {
    modes.push_back(mode);
    barriers.push_back(std::move(done));
  }
  static constexpr View kLeads{.has_leader = true, .leads = true, .leased = true, .alone = true,
                               .leader_known = true};
  static constexpr View kFollows{.has_leader = true, .leader_known = true,
                                 .last_contact = std::chrono::milliseconds(70)};
  View now = kLeads;
  std::vector<std::string> proposed;
  std::vector<std::function<void(absl::StatusOr<Applied>)>> completions;
  std::vector<ReadMode> modes;
  std::vector<std::function<void(absl::Status)>> barriers;
};

class TestExecutor : public Executor {
 public:
  void Post(Task* task) override { queue.Push(task); }
  bool gathers() const override { return gathering; }
  bool time_is_up() const override { return hurried; }
  void Expect(int more) override { expected += more; }
  // Runs until `done`, or for five seconds.
  void RunUntil(const bool& done) {
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (!done && std::chrono::steady_clock::now() < end) {
      if (queue.RunAll() == 0) std::this_thread::yield();
    }
  }
  TaskQueue queue;
  bool gathering = false;
  bool hurried = false;
  int expected = 0;
};

template <typename Request, typename Response>
class TestCall : public Call {
 public:
  TestCall(const Method& method, Executor* executor)
      : TestCall(method, executor, std::make_unique<google::protobuf::Arena>()) {}
  void Done() override {
    EXPECT_FALSE(done);
    done = true;
    // The response is valid here only.
    answer = static_cast<const Response&>(*response());
    given = response();
    if (when_done) when_done();
  }
  Request& request_to_fill() { return *request_; }
  uint64_t arena_bytes() const { return arena_->SpaceUsed(); }
  bool done = false;
  Response answer;
  const void* given = nullptr;  // where the answer was
  std::function<void()> when_done;

 private:
  TestCall(const Method& method, Executor* executor,
           std::unique_ptr<google::protobuf::Arena> arena)
      : TestCall(method, executor, google::protobuf::Arena::CreateMessage<Request>(arena.get()),
                 std::move(arena)) {}
  TestCall(const Method& method, Executor* executor, Request* request,
           std::unique_ptr<google::protobuf::Arena>&& arena)
      : Call(method, executor, request,
             google::protobuf::Arena::CreateMessage<Response>(arena.get())),
        arena_(std::move(arena)),
        request_(request) {}
  const std::unique_ptr<google::protobuf::Arena> arena_;
  Request* const request_;
};

using GetCall = TestCall<GetRequest, GetResponse>;
using PutCall = TestCall<PutRequest, PutResponse>;

inline const MethodTable& KvApi() {
  static const MethodTable* const table = [] {
    static const google::protobuf::ServiceDescriptor* const service =
        kv::v1::KeyValue::descriptor()->file()->service(0);
    return new MethodTable(std::span(&service, 1));
  }();
  return *table;
}

class LocalBackendTest : public testing::Test {
 protected:
  LocalBackendTest()
      : source_(std::make_unique<OneKey>(5, "five")), handlers_(KvApi()) {
    handlers_.Read("/consul.kv.v1.KvService/Get", &source_, &ReadKey);
    handlers_.Write<PutRequest, PutResponse>("/consul.kv.v1.KvService/Put", &PrepareKey,
                                             &FinishKey);
    for (const char* other : {"List", "ListKeys", "Delete", "DeleteTree"}) {
      handlers_.Take(std::string("/consul.kv.v1.KvService/") + other, [](Call* call) {
        call->status = absl::UnimplementedError("not in this test");
        call->Done();
      });
    }
    LocalBackend::Options options;
    options.datacenter = "dc1";
    options.hold_timeout = 50ms;
    backend_ = std::make_unique<LocalBackend>(options, &handlers_, &consensus_);
  }
  ~LocalBackendTest() override { backend_->Idle(); }

  std::unique_ptr<GetCall> NewGet(std::string key = "k") {
    auto call =
        std::make_unique<GetCall>(KvApi().Get("/consul.kv.v1.KvService/Get"), &executor_);
    call->request_to_fill().set_key(std::move(key));
    return call;
  }
  std::unique_ptr<PutCall> NewPut(std::string value) {
    auto call =
        std::make_unique<PutCall>(KvApi().Get("/consul.kv.v1.KvService/Put"), &executor_);
    call->request_to_fill().set_key("k");
    call->request_to_fill().set_value(std::move(value));
    return call;
  }
  void Publish(uint64_t index, std::string value, std::string_view touched = "k") {
    state::SlotList slots;
    slots.AddKey(kMap, touched);
    for (const auto& waiter :
         source_.Publish(std::make_unique<OneKey>(index, std::move(value)), slots)) {
      waiter->Fire();
    }
  }

  state::VersionSource source_;
  TestConsensus consensus_;
  TestExecutor executor_;
  Handlers handlers_;
  std::unique_ptr<LocalBackend> backend_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LOCAL_BACKEND_FIXTURE_H_
