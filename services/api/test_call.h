// services/api/test_call.h
//
// A call to a handler for tests: its executor is a queue that the test runs, and it takes as many
// messages as the test says.
//
// Threads: the test's; Post from any.
#ifndef CONSUL_SERVICES_API_TEST_CALL_H_
#define CONSUL_SERVICES_API_TEST_CALL_H_

#include <google/protobuf/arena.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/rpc/call.h"
#include "services/rpc/task_queue.h"

namespace consul::api {

class TestExecutor : public rpc::Executor {
 public:
  void Post(rpc::Task* task) override { queue.Push(task); }
  void RunAll() {
    while (queue.RunAll() != 0) {
    }
  }
  rpc::TaskQueue queue;
};

template <typename Request, typename Response>
class TestCall : public rpc::Call {
 public:
  // `method` is "consul.agent.v1.AgentService/Join".
  TestCall(const std::string& method, rpc::Executor* executor)
      : TestCall(method, executor, std::make_unique<google::protobuf::Arena>()) {}
  bool Next() override {
    if (static_cast<int>(messages.size()) >= messages_max) return false;
    messages.push_back(answer());
    return true;
  }
  void Done() override { ++done; }
  Request& request_to_fill() { return *request_; }
  const Response& answer() const { return static_cast<const Response&>(*response()); }

  int messages_max = 1 << 20;
  std::vector<Response> messages;
  int done = 0;

 private:
  using Arena = google::protobuf::Arena;
  TestCall(const std::string& method, rpc::Executor* executor, std::unique_ptr<Arena> arena)
      : TestCall(method, executor, Arena::CreateMessage<Request>(arena.get()), std::move(arena)) {}
  TestCall(const std::string& method, rpc::Executor* executor, Request* request,
           std::unique_ptr<Arena> arena)
      : Call(rpc::PublicApi().Get("/" + method), executor, request,
             Arena::CreateMessage<Response>(arena.get())),
        arena_(std::move(arena)),
        request_(request) {}
  const std::unique_ptr<Arena> arena_;
  Request* const request_;
};

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_TEST_CALL_H_
