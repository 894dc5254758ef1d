#include "services/rpc/method.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include "consul/kv/v1/kv.pb.h"
#include "services/rpc/handlers.h"
#include "services/rpc/task_queue.h"

namespace consul::rpc {
namespace {

const google::protobuf::ServiceDescriptor* KvService() {
  return kv::v1::KeyValue::descriptor()->file()->service(0);
}

const Method& Kv(const std::string& name) {
  return PublicApi().Get("/consul.kv.v1.KvService/" + name);
}

TEST(MethodTest, EveryPublicMethodHasAKindAndItsMessages) {
  ASSERT_GT(PublicApi().methods().size(), 10);
  for (const Method& method : PublicApi().methods()) {
    EXPECT_NE(method.kind, options::v1::KIND_UNSPECIFIED) << method.path;
    EXPECT_EQ(method.request_prototype->GetDescriptor(), method.descriptor->input_type());
    EXPECT_EQ(method.response_prototype->GetDescriptor(), method.descriptor->output_type());
    EXPECT_EQ(method.server_streaming, method.descriptor->server_streaming());
  }
}

TEST(MethodTest, RepliesWithARepeatedFieldAreLists) {
  EXPECT_TRUE(Kv("List").reply_is_list);
  EXPECT_TRUE(Kv("ListKeys").reply_is_list);
  EXPECT_TRUE(PublicApi().Get("/consul.catalog.v1.CatalogService/GetNode").reply_is_list);
  EXPECT_FALSE(Kv("Get").reply_is_list);
  EXPECT_FALSE(Kv("Put").reply_is_list);
}

TEST(MethodTest, EveryReadHasOptionsMetaAndADatacenter) {
  for (const Method& method : PublicApi().methods()) {
    if (method.kind != options::v1::KIND_READ) continue;
    ASSERT_NE(method.options_field, nullptr) << method.path;
    EXPECT_EQ(method.options_field->number(), 1) << method.path;
    EXPECT_EQ(method.options_field->message_type()->full_name(), "consul.query.v1.QueryOptions");
    ASSERT_NE(method.meta_field, nullptr) << method.path;
    EXPECT_EQ(method.meta_field->message_type()->full_name(), "consul.query.v1.QueryMeta");
    ASSERT_NE(method.datacenter_field, nullptr) << method.path;
    EXPECT_EQ(method.datacenter_field->containing_type()->full_name(),
              "consul.query.v1.QueryOptions");
  }
}

TEST(MethodTest, EveryWriteHasADatacenterAndNoReadOptions) {
  for (const Method& method : PublicApi().methods()) {
    if (method.kind != options::v1::KIND_WRITE) continue;
    EXPECT_EQ(method.options_field, nullptr) << method.path;
    EXPECT_EQ(method.meta_field, nullptr) << method.path;
    ASSERT_NE(method.datacenter_field, nullptr) << method.path;
    EXPECT_EQ(method.datacenter_field->name(), "datacenter");
  }
}

TEST(MethodTest, IdsAreDenseAndInOrder) {
  size_t next = 0;
  for (const Method& method : PublicApi().methods()) EXPECT_EQ(method.id, next++);
}

TEST(MethodTest, PathsAreAsOnTheWire) {
  EXPECT_EQ(Kv("Get").path, "/consul.kv.v1.KvService/Get");
  for (const Method& method : PublicApi().methods()) {
    EXPECT_EQ(PublicApi().Find(method.path), &method);
  }
}

TEST(MethodTest, KindsAreTheOptions) {
  EXPECT_EQ(Kv("Get").kind, options::v1::KIND_READ);
  EXPECT_EQ(Kv("Put").kind, options::v1::KIND_WRITE);
  EXPECT_TRUE(PublicApi().Get("/consul.agent.v1.AgentService/Monitor").server_streaming);
  EXPECT_FALSE(Kv("Get").server_streaming);
}

TEST(MethodTest, APathThatIsNotThereIsNotFound) {
  for (const char* path : {"", "/", "consul.kv.v1.KvService/Get", "/consul.kv.v1.KvService/get",
                           "/consul.kv.v1.KvService/Get/", "/consul.kv.v1.KvService/"}) {
    EXPECT_EQ(PublicApi().Find(path), nullptr) << path;
  }
}

TEST(MethodDeathTest, GetOfWhatIsNotThereIsAMistake) {
  EXPECT_DEATH(PublicApi().Get("/consul.kv.v1.KvService/Nothing"), "method != nullptr");
}

TEST(MethodDeathTest, AServiceTwiceIsAMistake) {
  const std::vector<const google::protobuf::ServiceDescriptor*> twice{KvService(), KvService()};
  EXPECT_DEATH(MethodTable table(twice), "second");
}

TEST(HandlersTest, AHandlerIsFoundByItsMethod) {
  Handlers handlers(PublicApi());
  EXPECT_TRUE(std::holds_alternative<std::monostate>(handlers.Of(Kv("Get"))));
  int taken = 0;
  handlers.Take(Kv("Get").path, [&taken](Call*) { ++taken; });
  std::get<CallHandler>(handlers.Of(Kv("Get"))).start(nullptr);
  EXPECT_EQ(taken, 1);
}

TEST(HandlersDeathTest, AHandlerTwiceIsAMistake) {
  Handlers handlers(PublicApi());
  handlers.Take(Kv("Get").path, [](Call*) {});
  EXPECT_DEATH(handlers.Take(Kv("Get").path, [](Call*) {}), "monostate");
}

TEST(HandlersDeathTest, AHandlerOfNoMethodIsAMistake) {
  Handlers handlers(PublicApi());
  EXPECT_DEATH(handlers.Take("/consul.kv.v1.KvService/Nothing", [](Call*) {}), "nullptr");
}

TEST(HandlersDeathTest, AMethodWithoutAHandlerIsAMistake) {
  Handlers handlers(PublicApi());
  for (const Method& method : PublicApi().methods()) {
    if (method.id != 0) handlers.Take(method.path, [](Call*) {});
  }
  EXPECT_DEATH(handlers.CheckComplete(), "monostate");
  handlers.Take(PublicApi().methods()[0].path, [](Call*) {});
  handlers.CheckComplete();
}

class NumberedTask : public Task {
 public:
  NumberedTask(int number, std::vector<int>* ran) : number_(number), ran_(ran) {}
  void Run() override {
    ran_->push_back(number_);
    if (then != nullptr) then->Push(this);
  }
  TaskQueue* then = nullptr;

 private:
  const int number_;
  std::vector<int>* const ran_;
};

TEST(TaskQueueTest, TasksRunOldestFirstAndOnce) {
  TaskQueue queue;
  std::vector<int> ran;
  NumberedTask one(1, &ran);
  NumberedTask two(2, &ran);
  NumberedTask three(3, &ran);
  queue.Push(&one);
  queue.Push(&two);
  queue.Push(&three);
  EXPECT_EQ(queue.RunAll(), 3);
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(queue.RunAll(), 0);
}

TEST(TaskQueueTest, ABurstWakesTheConsumerOnce) {
  TaskQueue queue;
  std::vector<int> ran;
  NumberedTask one(1, &ran);
  NumberedTask two(2, &ran);
  EXPECT_TRUE(queue.Push(&one));
  EXPECT_FALSE(queue.Push(&two));
  queue.RunAll();
  EXPECT_TRUE(queue.Push(&one));
  queue.RunAll();
}

// Or a task that posts itself would keep the loop from its sockets.
TEST(TaskQueueTest, WhatATaskPushesRunsTheNextTime) {
  TaskQueue queue;
  std::vector<int> ran;
  NumberedTask again(1, &ran);
  again.then = &queue;
  queue.Push(&again);
  EXPECT_EQ(queue.RunAll(), 1);
  again.then = nullptr;
  EXPECT_EQ(queue.RunAll(), 1);
  EXPECT_EQ(ran, (std::vector<int>{1, 1}));
}

}  // namespace
}  // namespace consul::rpc
