#include "services/rpc/grpc_fake_backend.h"

#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "consul/agent/v1/agent.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "services/rpc/errors.h"
#include "services/rpc/waiting_call.h"

namespace consul::rpc {
namespace {

void Answer(Call* call, std::string value) {
  auto* const response = static_cast<kv::v1::GetResponse*>(call->response());
  response->mutable_meta()->set_index(7);
  response->mutable_entry()->set_key(static_cast<const kv::v1::GetRequest&>(call->request()).key());
  response->mutable_entry()->set_value(std::move(value));
  call->Done();
}

class Never : public WaitingCall {
 public:
  Never(GrpcFakeBackend* backend, Call* call) : WaitingCall(call), backend_(backend) {}
  void Begin() {
    Attach();
    ++backend_->waiting;
  }

 private:
  void Continue() override {}
  void Detach() override {
    --backend_->waiting;
    ++backend_->cancelled;
  }
  GrpcFakeBackend* const backend_;
};

class Later : public WaitingCall {
 public:
  explicit Later(Call* call) : WaitingCall(call) {}
  void Begin() {
    Attach();
    std::thread([self = std::static_pointer_cast<Later>(shared_from_this())] {
      self->Wake();
    }).detach();
  }

 private:
  void Continue() override { Answer(Release(), "later"); }
  void Detach() override {}
};

}  // namespace

void GrpcFakeBackend::Start(Call* call) {
  const std::string& path = call->method().path;
  if (path == "/consul.kv.v1.KvService/Get") return Get(call);
  if (path == "/consul.agent.v1.AgentService/Monitor") return Monitor(call);
  if (path == "/consul.agent.v1.AgentService/ListMembers") {
    auto* const member =
        static_cast<agent::v1::ListMembersResponse*>(call->response())->add_members();
    member->set_name("n1");
    member->set_addr("127.0.0.1");
    member->set_port(8301);
    member->set_status(agent::v1::MEMBER_STATUS_ALIVE);
    return call->Done();
  }
  call->status = Error(errors::v1::REASON_UNSUPPORTED, "the fake backend has no such method");
  call->Done();
}

void GrpcFakeBackend::Get(Call* call) {
  const std::string_view key = static_cast<const kv::v1::GetRequest&>(call->request()).key();
  if (key == "missing") return call->Done();
  if (key == "wait") return std::make_shared<Never>(this, call)->Begin();
  if (key == "later") return std::make_shared<Later>(call)->Begin();
  if (key == "token") return Answer(call, std::string(call->token));
  if (key.starts_with("size:")) {
    return Answer(call, std::string(std::strtoul(key.data() + 5, nullptr, 10), 'x'));
  }
  if (key.starts_with("error:")) {
    call->status = Error(errors::v1::REASON_NOT_FOUND, "there is none", key.substr(6));
    return call->Done();
  }
  if (key == "plain-error") {
    call->status = absl::InternalError("broken");
    return call->Done();
  }
  Answer(call, "value of " + std::string(key));
}

void GrpcFakeBackend::Monitor(Call* call) {
  if (lines == 0) return std::make_shared<Never>(this, call)->Begin();
  auto* const response = static_cast<agent::v1::MonitorResponse*>(call->response());
  for (int i = 0; i < lines; ++i) {
    std::string line = std::to_string(i);
    line.resize(line_bytes, '.');
    response->set_line(line);
    if (call->Next()) continue;
    refused = true;
    call->status = Error(errors::v1::REASON_OVERLOADED, "the reader is too slow");
    break;
  }
  call->Done();
}

}  // namespace consul::rpc
