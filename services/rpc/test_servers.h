// services/rpc/test_servers.h
//
// Servers for tests of forwarding: real gRPC servers over loopback whose backends do as they are
// told, and a fixture that forwards to them.
//
// Threads: the test's; counters and modes from any.
#ifndef CONSUL_SERVICES_RPC_TEST_SERVERS_H_
#define CONSUL_SERVICES_RPC_TEST_SERVERS_H_

#include <google/protobuf/arena.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "consul/status/v1/status.pb.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/forward_backend.h"
#include "services/rpc/grpc_server.h"
#include "services/rpc/grpc_strand.h"
#include "services/rpc/test_caller.h"
#include "services/rpc/waiting_call.h"

namespace consul::rpc {

inline constexpr char kGet[] = "/consul.kv.v1.KvService/Get";
inline constexpr char kPut[] = "/consul.kv.v1.KvService/Put";
inline constexpr char kLeader[] = "/consul.status.v1.StatusService/GetLeader";
inline constexpr char kMembers[] = "/consul.agent.v1.AgentService/ListMembers";
inline constexpr char kWatch[] = "/StreamService/Watch";

// The public API and a stream of reads, which it does not have yet.
inline const MethodTable& TestApi() {
  static const MethodTable* const table = [] {
    google::protobuf::FileDescriptorProto file;
    file.set_name("test/stream.proto");
    file.add_dependency(kv::v1::KeyValue::descriptor()->file()->name());
    auto* const service = file.add_service();
    service->set_name("StreamService");
    auto* const method = service->add_method();
    method->set_name("Watch");
    method->set_input_type(".consul.kv.v1.GetRequest");
    method->set_output_type(".consul.kv.v1.GetResponse");
    method->set_server_streaming(true);
    method->mutable_options()->SetExtension(options::v1::kind, options::v1::KIND_READ);
    static auto* const pool = new google::protobuf::DescriptorPool(
        google::protobuf::DescriptorPool::generated_pool());
    std::vector<const google::protobuf::ServiceDescriptor*> services(
        PublicApi().services().begin(), PublicApi().services().end());
    services.push_back(pool->BuildFile(file)->service(0));
    return new MethodTable(services);
  }();
  return *table;
}

// What a server does with a call.
enum class Mode { kAnswer, kHang, kNoLeader, kOverloaded, kShuttingDown };

// Takes every call and answers with its own name. A call that hangs waits until it is cancelled or
// the mode is another one and it is told to go on.
class ScriptedBackend : public Backend {
 public:
  explicit ScriptedBackend(std::string name) : name_(std::move(name)) {}

  void Start(Call* call) override {
    const std::string& path = call->method().path;
    if (path == kPut) ++writes;
    if (path != kPut) ++reads;
    if (path == kGet) {
      base::MutexLock lock(&mutex_);
      last_get_ = static_cast<const kv::v1::GetRequest&>(call->request());
    }
    if (call->method().server_streaming) return Stream(call);
    switch (mode.load()) {
      case Mode::kAnswer:
        return Answer(call);
      case Mode::kHang:
        return std::make_shared<Hanging>(this, call)->Begin();
      case Mode::kNoLeader:
        call->status = Error(errors::v1::REASON_NO_LEADER, "No cluster leader");
        return call->Done();
      case Mode::kOverloaded:
        call->status = Error(errors::v1::REASON_OVERLOADED, "too much", name_);
        return call->Done();
      case Mode::kShuttingDown:
        call->status = Error(errors::v1::REASON_SHUTTING_DOWN, "this server is stopping");
        return call->Done();
    }
  }

  kv::v1::GetRequest last_get() {
    base::MutexLock lock(&mutex_);
    return last_get_;
  }
  // Calls that hang are answered.
  void Release() {
    base::MutexLock lock(&mutex_);
    for (Hanging* const call : hanging_) call->Wake();
  }

  std::atomic<Mode> mode{Mode::kAnswer};
  std::atomic<int> reads{0};
  std::atomic<int> writes{0};
  std::atomic<int> hanging{0};
  std::atomic<int> messages{0};  // that a stream gives before it hangs

 private:
  class Hanging : public WaitingCall {
   public:
    Hanging(ScriptedBackend* backend, Call* call) : WaitingCall(call), backend_(backend) {}
    void Begin() {
      Attach();
      base::MutexLock lock(&backend_->mutex_);
      backend_->hanging_.insert(this);
      ++backend_->hanging;
    }

   private:
    void Continue() override { backend_->Answer(Release()); }
    void Detach() override {
      base::MutexLock lock(&backend_->mutex_);
      backend_->hanging_.erase(this);
      --backend_->hanging;
    }
    ScriptedBackend* const backend_;
  };

  void Answer(Call* call) {
    if (call->method().path == kGet) {
      auto* const response = static_cast<kv::v1::GetResponse*>(call->response());
      const auto& key = static_cast<const kv::v1::GetRequest&>(call->request()).key();
      auto* const meta = response->mutable_meta();
      meta->set_index(41);
      meta->set_known_leader(true);
      meta->mutable_last_contact()->set_nanos(7'000'000);
      meta->set_effective_consistency(query::v1::CONSISTENCY_STALE);
      std::string value = name_;
      if (key == "token") value = std::string(call->token);
      if (key == "large") value = std::string(10'000'000, 'x');
      response->mutable_entry()->set_key(key);
      response->mutable_entry()->set_value(value);
    } else if (call->method().path == kPut) {
      static_cast<kv::v1::PutResponse*>(call->response())->set_applied(true);
    } else {
      static_cast<status::v1::GetLeaderResponse*>(call->response())->set_leader(name_);
    }
    call->Done();
  }

  void Stream(Call* call) {
    auto* const response = static_cast<kv::v1::GetResponse*>(call->response());
    for (int i = 0; i < messages; ++i) {
      response->mutable_entry()->set_value(name_);
      if (!call->Next()) break;
    }
    if (mode == Mode::kHang) return std::make_shared<Hanging>(this, call)->Begin();
    call->Done();
  }

  const std::string name_;
  base::Mutex mutex_;
  kv::v1::GetRequest last_get_ GUARDED_BY(mutex_);
  std::set<Hanging*> hanging_ GUARDED_BY(mutex_);
};

// A server on a port that it keeps.
struct Server {
  explicit Server(std::string name) : name(std::move(name)), backend(this->name) { Start(); }
  ~Server() { Stop(); }

  void Start() {
    grpc = std::make_unique<GrpcServer>(
        GrpcServer::Options{.addresses = {address}}, TestApi(), &backend);
    const absl::Status status = grpc->Start();
    ASSERT_TRUE(status.ok()) << status;
    address = base::StrCat("127.0.0.1:", grpc->ports()[0]);
  }
  void Stop() {
    if (grpc != nullptr) grpc->Stop(std::chrono::milliseconds(0));
    grpc.reset();
  }
  KnownServer known() const { return {"id-" + name, name, address}; }

  const std::string name;
  std::string address = "127.0.0.1:0";
  ScriptedBackend backend;
  std::unique_ptr<GrpcServer> grpc;
};

// A backend that forwards to servers which the test starts and stops.
class ForwardingTest : public testing::Test {
 protected:
  ForwardingTest() : handlers_(TestApi()) {
    for (const Method& method : TestApi().methods()) {
      if (method.kind != options::v1::KIND_LOCAL) continue;
      handlers_.Take(method.path, [](Call* call) { call->Done(); });
    }
    options_.hold_timeout = std::chrono::milliseconds(300);
    options_.margin = std::chrono::seconds(10);
    options_.read_margin = std::chrono::seconds(10);
    Make();
  }
  ~ForwardingTest() override {
    for (auto& server : servers_) server->backend.Release();
    backend_.reset();
  }

  void Make() { backend_ = std::make_unique<ForwardBackend>(options_, &handlers_, &logger_); }

  // Starts servers of these names and lets the backend know them.
  void StartServers(const std::vector<std::string>& names) {
    for (const std::string& name : names) servers_.push_back(std::make_unique<Server>(name));
    Publish();
  }
  void Publish() { Publish(nullptr, ServerStanding::kAlive); }
  // The same, with one of them of which the pool believes something else.
  void Publish(const Server* one, ServerStanding standing) {
    ServerList list;
    for (const auto& server : servers_) {
      list.servers.push_back(server->known());
      if (server.get() == one) list.servers.back().standing = standing;
    }
    list.members = servers_.size();
    backend_->SetServers(list);
  }

  std::unique_ptr<Caller> Make(const char* path, const google::protobuf::Message& request) {
    const Method& method = TestApi().Get(path);
    auto* const copy = request.New(&arena_);
    copy->CopyFrom(request);
    return std::make_unique<Caller>(method, &executor_, copy,
                                    method.response_prototype->New(&arena_));
  }
  std::unique_ptr<Caller> MakeGet(std::string_view key = "k", uint64_t index = 0,
                                  int wait_s = 0) {
    kv::v1::GetRequest request;
    request.set_key(std::string(key));
    if (index != 0) request.mutable_options()->set_index(index);
    if (wait_s != 0) request.mutable_options()->mutable_wait()->set_seconds(wait_s);
    return Make(kGet, request);
  }
  std::unique_ptr<Caller> MakePut(std::string value = "") {
    kv::v1::PutRequest request;
    request.set_key("k");
    request.set_value(std::move(value));
    return Make(kPut, request);
  }
  std::unique_ptr<Caller> Run(std::unique_ptr<Caller> call) {
    call->Begin(backend_.get());
    call->Wait();
    return call;
  }
  // The name of the server that answers a read.
  std::string Ask() { return ValueOf(*Run(MakeGet())); }

  static std::string ValueOf(Caller& call) {
    if (!call.status.ok()) return std::string(call.status.message());
    return static_cast<kv::v1::GetResponse*>(call.response())->entry().value();
  }
  static errors::v1::Reason ReasonOf(const Caller& call) { return Detail(call.status).reason(); }

  // The server that is asked first, and another one.
  Server& First() { return *servers_[Ask() == servers_[0]->name ? 0 : 1]; }
  Server& Other(const Server& first) { return *servers_[&first == servers_[0].get() ? 1 : 0]; }

  // Log lines that say that a server does not answer.
  int warnings() const { return lines_.warnings; }

  class Lines : public base::Logger::Listener {
   public:
    explicit Lines(base::Logger* logger) : logger_(logger) { logger_->Listen(this); }
    ~Lines() { logger_->Unlisten(this); }
    void OnLine(base::LogLevel, std::string_view line) override {
      if (line.find("does not answer") != std::string_view::npos) ++warnings;
    }
    std::atomic<int> warnings{0};

   private:
    base::Logger* const logger_;
  };

  google::protobuf::Arena arena_;
  EventThread executor_{[] {}};
  base::Logger logger_{base::LogLevel::kError};
  Lines lines_{&logger_};
  Handlers handlers_;
  ForwardBackend::Options options_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::unique_ptr<ForwardBackend> backend_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_TEST_SERVERS_H_
