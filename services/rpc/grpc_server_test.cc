// The gRPC server and the channel backend, each against the other over loopback, the fake backend
// behind them.
#include "services/rpc/grpc_server.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "consul/options/v1/options.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/channel_backend.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_bytes.h"
#include "services/rpc/grpc_fake_backend.h"
#include "services/rpc/grpc_status.h"
#include "services/rpc/grpc_strand.h"
#include "services/rpc/test_caller.h"

namespace consul::rpc {
namespace {

constexpr char kGet[] = "/consul.kv.v1.KvService/Get";
constexpr char kMonitor[] = "/consul.agent.v1.AgentService/Monitor";

// The lines that a Monitor has given.
std::vector<std::string> LinesOf(const Caller& call) {
  std::vector<std::string> lines;
  for (const auto& message : call.messages()) {
    lines.push_back(static_cast<const agent::v1::MonitorResponse&>(*message).line());
  }
  return lines;
}

class GrpcServerTest : public testing::Test {
 protected:
  void StartServer(GrpcServer::Limits limits = {}) {
    server_ = std::make_unique<GrpcServer>(
        GrpcServer::Options{.addresses = {"127.0.0.1:0"}, .limits = limits}, PublicApi(),
        &backend_);
    const absl::Status status = server_->Start();
    ASSERT_TRUE(status.ok()) << status;
    address_ = base::StrCat("127.0.0.1:", server_->ports()[0]);
    channel_ = std::make_unique<ChannelBackend>(address_, ChannelBackend::Options{});
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  }

  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
  }

  std::unique_ptr<Caller> Make(const char* path, const google::protobuf::Message& request) {
    const Method& method = PublicApi().Get(path);
    auto* const copy = request.New(&arena_);
    copy->CopyFrom(request);
    return std::make_unique<Caller>(method, &executor_, copy,
                                    method.response_prototype->New(&arena_));
  }

  std::unique_ptr<Caller> MakeGet(std::string_view key) {
    kv::v1::GetRequest request;
    request.set_key(std::string(key));
    return Make(kGet, request);
  }

  std::unique_ptr<Caller> Get(std::string_view key) {
    auto call = MakeGet(key);
    call->Begin(channel_.get());
    call->Wait();
    return call;
  }

  static std::string ValueOf(const Caller& call) {
    return static_cast<const kv::v1::GetResponse*>(const_cast<Caller&>(call).response())
        ->entry()
        .value();
  }

  // A unary call as bytes, as a client in another language makes it.
  grpc::Status Raw(const std::string& path, const std::string& request, std::string* reply,
                   grpc::ClientContext* context) {
    const grpc::Slice slice(request);
    const grpc::ByteBuffer bytes(&slice, 1);
    grpc::ByteBuffer answer;
    grpc::CompletionQueue queue;
    auto reader = stub_->PrepareUnaryCall(context, path, bytes, &queue);
    reader->StartCall();
    grpc::Status status;
    reader->Finish(&answer, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    grpc::Slice single;
    if (status.ok() && answer.DumpToSingleSlice(&single).ok()) {
      reply->assign(reinterpret_cast<const char*>(single.begin()), single.size());
    }
    return status;
  }

  // One question of the reflection service, as bytes.
  std::string Reflect(const std::string& request) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    void* tag;
    bool ok;
    auto call = stub_->PrepareCall(
        &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
    call->StartCall(nullptr);
    queue.Next(&tag, &ok);
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    queue.Next(&tag, &ok);
    grpc::ByteBuffer reply;
    call->Read(&reply, nullptr);
    queue.Next(&tag, &ok);
    grpc::Status status;
    call->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    grpc::Slice single;
    if (!reply.DumpToSingleSlice(&single).ok()) return "";
    return std::string(reinterpret_cast<const char*>(single.begin()), single.size());
  }

  google::protobuf::Arena arena_;
  GrpcFakeBackend backend_;
  EventThread executor_{[] {}};
  std::unique_ptr<GrpcServer> server_;
  std::string address_;
  std::unique_ptr<ChannelBackend> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

TEST_F(GrpcServerTest, AnswersAUnaryCall) {
  StartServer();
  const auto call = Get("k");
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(ValueOf(*call), "value of k");
}

TEST_F(GrpcServerTest, AnAbsentEntryIsAnAnswer) {
  StartServer();
  const auto call = Get("missing");
  EXPECT_TRUE(call->status.ok());
  EXPECT_FALSE(static_cast<kv::v1::GetResponse*>(call->response())->has_entry());
}

TEST_F(GrpcServerTest, ACallThatWaitsIsAnsweredFromAnotherThread) {
  StartServer();
  for (int i = 0; i < 200; ++i) ASSERT_EQ(ValueOf(*Get("later")), "later");
}

TEST_F(GrpcServerTest, AnErrorKeepsItsReasonAndSubject) {
  StartServer();
  const auto call = Get("error:foo");
  EXPECT_EQ(call->status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(call->status.message(), "there is none");
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_NOT_FOUND);
  EXPECT_EQ(Detail(call->status).subject(), "foo");
}

TEST_F(GrpcServerTest, AnErrorWithoutAReasonHasNone) {
  StartServer();
  const auto call = Get("plain-error");
  EXPECT_EQ(call->status, absl::InternalError("broken"));
}

TEST_F(GrpcServerTest, TheTokenTravelsAsMetadata) {
  StartServer();
  auto call = MakeGet("token");
  call->token = "secret";
  call->Begin(channel_.get());
  call->Wait();
  EXPECT_EQ(ValueOf(*call), "secret");
}

TEST_F(GrpcServerTest, BytesThatAreNoRequestAreRefused) {
  StartServer();
  grpc::ClientContext context;
  std::string reply;
  const grpc::Status status = Raw(kGet, "\xff\xff\xff", &reply, &context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "request is not a consul.kv.v1.GetRequest");
}

TEST_F(GrpcServerTest, AMethodThatIsNotThereIsUnimplemented) {
  StartServer();
  grpc::ClientContext context;
  std::string reply;
  EXPECT_EQ(Raw("/consul.kv.v1.KvService/Nope", "", &reply, &context).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(GrpcServerTest, ACancelledCallIsFreedInTheBackend) {
  StartServer();
  auto call = MakeGet("wait");
  call->Begin(channel_.get());
  ASSERT_TRUE(Eventually([this] { return backend_.waiting == 1; }));
  call->BeginCancel();
  call->Wait();
  EXPECT_EQ(call->status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([this] { return backend_.waiting == 0; }));
  EXPECT_EQ(backend_.cancelled, 1);
}

TEST_F(GrpcServerTest, ADeadlineFreesTheCallInTheBackend) {
  StartServer();
  ChannelBackend hasty(address_, {.timeout = std::chrono::milliseconds(100)});
  hasty.SetTimes({.hold = std::chrono::milliseconds(0)});
  auto call = MakeGet("wait");
  call->Begin(&hasty);
  call->Wait();
  EXPECT_EQ(call->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([this] { return backend_.waiting == 0 && backend_.cancelled == 1; }));
}

TEST_F(GrpcServerTest, StopCancelsCallsThatWait) {
  StartServer();
  auto call = MakeGet("wait");
  call->Begin(channel_.get());
  ASSERT_TRUE(Eventually([this] { return backend_.waiting == 1; }));
  server_->Stop(std::chrono::milliseconds(10));
  call->Wait();
  EXPECT_FALSE(call->status.ok());
  EXPECT_EQ(backend_.waiting, 0);
  EXPECT_EQ(backend_.cancelled, 1);
}

TEST_F(GrpcServerTest, ARequestAboveTheLimitIsRefusedWithBothSizes) {
  StartServer({.request_bytes_max = 1000});
  const auto call = Get(std::string(2000, 'k'));
  EXPECT_EQ(call->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(call->status.message().find("vs. 1000"), std::string::npos) << call->status;
}

TEST_F(GrpcServerTest, AReplyAboveTheLimitIsRefusedByName) {
  StartServer({.reply_bytes_max = 1000});
  const auto call = Get("size:2000");
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_TOO_LARGE);
  EXPECT_EQ(Detail(call->status).subject(), "reply_bytes_max");
}

TEST_F(GrpcServerTest, AReplyOfTenMegabytesComesWhole) {
  StartServer();
  EXPECT_EQ(ValueOf(*Get("size:10000000")), std::string(10'000'000, 'x'));
}

TEST_F(GrpcServerTest, AStreamGivesItsMessagesInOrder) {
  StartServer();
  auto call = Make(kMonitor, agent::v1::MonitorRequest());
  call->Begin(channel_.get());
  call->Wait();
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(LinesOf(*call),
            (std::vector<std::string>{"0.........", "1.........", "2........."}));
}

TEST_F(GrpcServerTest, AStreamThatIsCancelledIsFreedInTheBackend) {
  StartServer();
  backend_.lines = 0;
  auto call = Make(kMonitor, agent::v1::MonitorRequest());
  call->Begin(channel_.get());
  ASSERT_TRUE(Eventually([this] { return backend_.waiting == 1; }));
  call->BeginCancel();
  call->Wait();
  EXPECT_EQ(call->status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([this] { return backend_.waiting == 0; }));
}

TEST_F(GrpcServerTest, AStreamFarAheadOfItsClientIsCutOff) {
  StartServer({.stream_messages_max = 4});
  backend_.lines = 1000;
  backend_.line_bytes = 1 << 20;
  auto call = Make(kMonitor, agent::v1::MonitorRequest());
  call->Begin(channel_.get());
  call->Wait();
  EXPECT_TRUE(backend_.refused);
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_OVERLOADED);
  EXPECT_LT(LinesOf(*call).size(), 1000u);
}

TEST_F(GrpcServerTest, AFaceThatTakesNoMoreEndsTheStream) {
  StartServer();
  backend_.lines = 20;
  auto call = Make(kMonitor, agent::v1::MonitorRequest());
  call->takes = 2;
  call->Begin(channel_.get());
  call->Wait();
  EXPECT_EQ(LinesOf(*call).size(), 2u);
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_OVERLOADED);
}

TEST_F(GrpcServerTest, ASecondServerIsToldThatTheAddressIsTaken) {
  StartServer();
  GrpcServer second({.addresses = {address_}}, PublicApi(), &backend_);
  const absl::Status status = second.Start();
  EXPECT_EQ(status, absl::AlreadyExistsError(
                        base::StrCat("listen tcp ", address_, ": address already in use")));
}

TEST_F(GrpcServerTest, AnAddressThatIsNoneIsNamed) {
  GrpcServer server({.addresses = {"localhost"}}, PublicApi(), &backend_);
  EXPECT_EQ(server.Start(),
            absl::InvalidArgumentError("listen tcp localhost: not an IP address and port"));
}

TEST_F(GrpcServerTest, AnAddressOfAnotherMachineIsNotCalledTaken) {
  GrpcServer server({.addresses = {"192.0.2.1:0"}}, PublicApi(), &backend_);
  EXPECT_EQ(server.Start(),
            absl::UnavailableError("listen tcp 192.0.2.1:0: cannot assign requested address"));
}

TEST_F(GrpcServerTest, WithoutAnAgentTheErrorNamesTheAddress) {
  ChannelBackend nobody("127.0.0.1:1", {});
  auto call = MakeGet("k");
  call->Begin(&nobody);
  call->Wait();
  EXPECT_EQ(call->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call->status.message().find("no agent answers at 127.0.0.1:1: "), 0u) << call->status;
}

TEST_F(GrpcServerTest, ReflectionListsEveryService) {
  StartServer();
  const std::string listed = Reflect(std::string("\x3a\x00", 2));  // list_services: ""
  for (const auto* service : PublicApi().services()) {
    EXPECT_NE(listed.find(service->full_name()), std::string::npos) << service->full_name();
  }
}

TEST_F(GrpcServerTest, ReflectionGivesTheFileOfASymbol) {
  StartServer();
  const std::string name = "consul.kv.v1.KvService";
  // file_containing_symbol
  const std::string size(1, static_cast<char>(name.size()));
  const std::string file = Reflect(base::StrCat("\x22", size, name));
  EXPECT_NE(file.find("consul/kv/v1/kv.proto"), std::string::npos);
  EXPECT_NE(file.find("ListKeysRequest"), std::string::npos);
  // and what it imports
  EXPECT_NE(file.find("consul/query/v1/query.proto"), std::string::npos);
}

TEST_F(GrpcServerTest, ReflectionListsItselfAndTheHealthService) {
  StartServer();
  const std::string listed = Reflect(std::string("\x3a\x00", 2));
  EXPECT_NE(listed.find("grpc.reflection.v1alpha.ServerReflection"), std::string::npos);
  EXPECT_NE(listed.find("grpc.health.v1.Health"), std::string::npos);
}

TEST_F(GrpcServerTest, ReflectionGivesTheFileOfAName) {
  StartServer();
  const std::string name = "consul/kv/v1/kv.proto";
  const std::string size(1, static_cast<char>(name.size()));
  EXPECT_NE(Reflect(base::StrCat("\x1a", size, name)).find("ListKeysRequest"), std::string::npos);
}

TEST_F(GrpcServerTest, ReflectionGivesTheFileOfAnExtension) {
  StartServer();
  grpc::reflection::v1alpha::ServerReflectionRequest request;
  auto* const extension = request.mutable_file_containing_extension();
  extension->set_containing_type("google.protobuf.MethodOptions");
  extension->set_extension_number(options::v1::kKindFieldNumber);
  EXPECT_NE(Reflect(request.SerializeAsString()).find("consul/options/v1/options.proto"),
            std::string::npos);
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  grpc::reflection::v1alpha::ServerReflectionResponse response;
  ASSERT_TRUE(response.ParseFromString(Reflect(request.SerializeAsString())));
  const auto& numbers = response.all_extension_numbers_response().extension_number();
  EXPECT_NE(std::find(numbers.begin(), numbers.end(), options::v1::kKindFieldNumber),
            numbers.end());
}

TEST_F(GrpcServerTest, ReflectionSaysWhatItDoesNotKnow) {
  StartServer();
  EXPECT_NE(Reflect("\x1a\x01x").find("File not found."), std::string::npos);
  EXPECT_NE(Reflect("\x22\x01x").find("Symbol not found."), std::string::npos);
  EXPECT_NE(Reflect("\x2a\x03\x0a\x01x").find("Extension not found."), std::string::npos);
  EXPECT_NE(Reflect("\x32\x01x").find("Type not found."), std::string::npos);
  EXPECT_NE(Reflect("").find("No request is set."), std::string::npos);
}

TEST_F(GrpcServerTest, HealthIsServingForEveryServiceAndTheWhole) {
  StartServer();
  std::vector<std::string> names = {""};
  for (const auto* service : PublicApi().services()) names.push_back(service->full_name());
  for (const std::string& name : names) {
    grpc::ClientContext context;
    std::string reply;
    const std::string size(1, static_cast<char>(name.size()));
    const std::string request = name.empty() ? "" : base::StrCat("\x0a", size, name);
    const grpc::Status status = Raw("/grpc.health.v1.Health/Check", request, &reply, &context);
    EXPECT_TRUE(status.ok()) << name << status.error_message();
    EXPECT_EQ(reply, "\x08\x01") << name;  // status: SERVING
  }
}

TEST(GrpcStatusTest, EveryReasonComesBackAsItWas) {
  for (int reason = 1; reason < errors::v1::Reason_ARRAYSIZE; ++reason) {
    const absl::Status status = Error(static_cast<errors::v1::Reason>(reason), "text", "subject");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  }
}

TEST(GrpcStatusTest, ATextThatIsNoUtf8LeavesTheReasonItsPlace) {
  const absl::Status status = Error(errors::v1::REASON_TOO_LARGE, "key \xff", "key");
  EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
}

// Calls end on the event thread while others begin on the same connection.
TEST_F(GrpcServerTest, ManyCallsThatWaitEndOnOneConnection) {
  StartServer();
  for (int round = 0; round < 20; ++round) {
    std::vector<std::unique_ptr<Caller>> calls;
    for (int i = 0; i < 200; ++i) {
      calls.push_back(MakeGet(i % 3 == 0 ? "key" : "later"));
      calls.back()->Begin(channel_.get());
    }
    for (const auto& call : calls) {
      call->Wait();
      EXPECT_TRUE(call->status.ok()) << call->status;
    }
  }
}

// Answers every call at once, and says on which thread.
class ThreadTeller final : public Backend {
 public:
  void Start(Call* call) override {
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof(name));
    call->status = absl::NotFoundError(name);
    call->Done();
  }
};

TEST_F(GrpcServerTest, AListIsMadeWhereNoMessageOfRaftWaitsForIt) {
  ThreadTeller backend;
  GrpcServer server(GrpcServer::Options{.addresses = {"127.0.0.1:0"}}, PublicApi(), &backend);
  ASSERT_TRUE(server.Start().ok());
  ChannelBackend channel(base::StrCat("127.0.0.1:", server.ports()[0]), {});
  const auto thread_of = [&](const char* path, const google::protobuf::Message& request) {
    const auto call = Make(path, request);
    call->Begin(&channel);
    call->Wait();
    return std::string(call->status.message());
  };
  EXPECT_EQ(thread_of("/consul.kv.v1.KvService/List", kv::v1::ListRequest()), "rpc");
  EXPECT_EQ(thread_of(kGet, kv::v1::GetRequest()), "nexting_thread");
  server.Stop();
}

TEST(GrpcStatusTest, ForeignDetailsAreDropped) {
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", "\xff\xff")),
            absl::AbortedError("m"));
}

TEST(GrpcBytesTest, AMessageInManySlicesIsDecoded) {
  kv::v1::GetRequest request;
  request.set_key("key");
  const std::string bytes = request.SerializeAsString();
  std::vector<grpc::Slice> slices;
  for (const char c : bytes) slices.emplace_back(std::string(1, c));
  kv::v1::GetRequest decoded;
  EXPECT_TRUE(Decode(grpc::ByteBuffer(slices.data(), slices.size()), &decoded));
  EXPECT_EQ(decoded.key(), "key");
}

grpc::ByteBuffer BytesOf(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

TEST(GrpcBytesTest, TheOptionsOfARequestAreReadFromItsBytes) {
  kv::v1::GetRequest request;
  request.set_key("key");
  request.mutable_options()->set_index(7);
  request.mutable_options()->mutable_wait()->set_seconds(5);
  const grpc::ByteBuffer bytes = BytesOf(request.SerializeAsString());
  EXPECT_EQ(OptionsOf(PublicApi().Get(kGet), bytes).SerializeAsString(),
            request.options().SerializeAsString());
}

TEST(GrpcBytesTest, BytesThatAreNoRequestHaveNoOptions) {
  const Method& method = PublicApi().Get(kGet);
  for (const std::string& text :
       {std::string(), std::string("\xff\xff\xff"), std::string("\x0a\x7f\x28\x07"),
        std::string("\x0a\xff\xff\xff\xff\x0f"), std::string("\x0a\x02\x28")}) {
    EXPECT_EQ(OptionsOf(method, BytesOf(text)).ByteSizeLong(), 0) << text;
  }
}

TEST(GrpcBytesTest, AMethodWithoutOptionsHasNone) {
  EXPECT_EQ(OptionsOf(PublicApi().Get(kMonitor), BytesOf("\x0a\x02\x28\x07")).index(), 0);
}

TEST(GrpcBytesTest, AWaitIsSetWithoutTouchingTheRest) {
  kv::v1::GetRequest request;
  request.set_key("key");
  request.mutable_options()->set_index(7);
  request.mutable_options()->mutable_wait()->set_seconds(300);
  request.mutable_options()->mutable_wait()->set_nanos(5);
  const grpc::ByteBuffer bytes = BytesOf(request.SerializeAsString());
  for (const int wait_ms : {1, 999, 1000, 61'001}) {
    kv::v1::GetRequest changed;
    ASSERT_TRUE(Decode(WithWait(bytes, std::chrono::milliseconds(wait_ms)), &changed));
    EXPECT_EQ(changed.options().wait().seconds(), wait_ms / 1000);
    EXPECT_EQ(changed.options().wait().nanos(), wait_ms % 1000 * 1'000'000);
    *changed.mutable_options()->mutable_wait() = request.options().wait();
    EXPECT_EQ(changed.SerializeAsString(), request.SerializeAsString());
  }
}

TEST(GrpcBytesTest, AnEmptyMessageIsDecoded) {
  const grpc::Slice slice;
  kv::v1::GetRequest decoded;
  EXPECT_TRUE(Decode(grpc::ByteBuffer(&slice, 1), &decoded));
}

}  // namespace
}  // namespace consul::rpc
