// Goal: what a command sees of an agent over real gRPC, and of what is no agent at all. Method: a
// server of raw bytes in this process whose methods behave well, badly or not at all.
#include "cli/client.h"

#include <arpa/inet.h>
#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/connect_problem.h"
#include "gtest/gtest.h"

namespace consul::cli {
namespace {

using google::protobuf::StringValue;

constexpr size_t kLargeBytes = 8 << 20;  // twice gRPC's own limit
constexpr int kCount = 3;

grpc::ByteBuffer Encoded(const std::string& text) {
  StringValue message;
  message.set_value(text);
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// Behaves as the last part of its method's name says.
class Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Reactor(grpc::GenericCallbackServerContext* context)
      : context_(context), method_(context->method()) {
    StartRead(&message_);
  }

  void OnReadDone(bool) override {
    if (Is("Fail")) return Finish(grpc::Status(grpc::UNAVAILABLE, "No cluster leader"));
    if (Is("Large")) message_ = Encoded(std::string(kLargeBytes, 'x'));
    if (Is("Token")) message_ = Encoded(Token());
    if (Is("Garbled")) {
      const grpc::Slice slice("\xff\xff");
      message_ = grpc::ByteBuffer(&slice, 1);
    }
    StartWrite(&message_);
  }

  void OnWriteDone(bool) override {
    ++written_;
    if (Is("Endless")) return;  // until it is cancelled
    if (Is("Count") && written_ < kCount) return StartWrite(&message_);
    if (Is("Break")) return Finish(grpc::Status(grpc::RESOURCE_EXHAUSTED, "too slow"));
    Finish(grpc::Status::OK);
  }

  void OnCancel() override {
    if (Is("Endless")) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  bool Is(const std::string& name) const {
    return method_ == "/test.v1.TestService/" + name;
  }
  std::string Token() const {
    const auto& metadata = context_->client_metadata();
    const auto it = metadata.find("x-consul-token");
    return it == metadata.end() ? "none" : std::string(it->second.data(), it->second.size());
  }

  grpc::GenericCallbackServerContext* const context_;
  const std::string method_;
  grpc::ByteBuffer message_;
  int written_ = 0;
};

class Service final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Reactor(context);
  }
};

// A socket that is bound and, if so wished, listens; nobody ever accepts.
class SilentSocket {
 public:
  explicit SilentSocket(bool listens) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_TRUE(!listens || listen(fd_, 1) == 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~SilentSocket() { close(fd_); }
  const std::string& address() const { return address_; }
  int fd() const { return fd_; }

 private:
  const int fd_;
  std::string address_;
};

// Greets whoever connects, and ends when its client does.
class Greeter {
 public:
  explicit Greeter(std::string greeting) : greeting_(std::move(greeting)), socket_(true) {
    thread_ = std::thread([this] {
      // gRPC's attempt, and the one that asks why it failed.
      for (int i = 0; i < 2; ++i) {
        const int fd = accept(socket_.fd(), nullptr, nullptr);
        send(fd, greeting_.data(), greeting_.size(), MSG_NOSIGNAL);
        char buffer[1024];
        while (recv(fd, buffer, sizeof buffer, 0) > 0) {
        }
        close(fd);
      }
    });
  }
  ~Greeter() {
    shutdown(socket_.fd(), SHUT_RDWR);
    thread_.join();
  }
  const std::string& address() const { return socket_.address(); }

 private:
  const std::string greeting_;
  const SilentSocket socket_;
  std::thread thread_;
};

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterCallbackGenericService(&service_);
    builder.SetMaxReceiveMessageSize(-1);
    server_ = builder.BuildAndStart();
    options_.address.host_port = "127.0.0.1:" + std::to_string(port);
  }
  ~ClientTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  absl::Status Call(const std::string& method, const std::string& text = "x") {
    StringValue request;
    request.set_value(text);
    return Connect(options_)->Call("test.v1.TestService/" + method, request, &response_);
  }

  absl::Status Stream(const std::string& method, const std::function<bool()>& stop) {
    StringValue request;
    request.set_value("line");
    return Connect(options_)->Stream("test.v1.TestService/" + method, request, &response_,
                                     [this] { lines_.push_back(response_.value()); }, stop);
  }

  static bool Never() { return false; }

  Service service_;
  std::unique_ptr<grpc::Server> server_;
  ClientOptions options_;
  StringValue response_;
  std::vector<std::string> lines_;
};

TEST_F(ClientTest, ACallBringsItsAnswer) {
  ASSERT_TRUE(Call("Echo", "hello").ok());
  EXPECT_EQ(response_.value(), "hello");
}

TEST_F(ClientTest, OneClientMakesSeveralCalls) {
  const auto client = Connect(options_);
  for (const char* text : {"a", "b", "c"}) {
    StringValue request;
    request.set_value(text);
    ASSERT_TRUE(client->Call("test.v1.TestService/Echo", request, &response_).ok());
    EXPECT_EQ(response_.value(), text);
  }
}

TEST_F(ClientTest, AnAgentsErrorIsNoFailureToConnect) {
  const absl::Status status = Call("Fail");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "No cluster leader");
  EXPECT_FALSE(IsConnectFailure(status));
}

TEST_F(ClientTest, MessagesBeyondTheDefaultLimitOfGrpcPass) {
  ASSERT_TRUE(Call("Large").ok());
  EXPECT_EQ(response_.value().size(), kLargeBytes);
  ASSERT_TRUE(Call("Echo", std::string(kLargeBytes, 'y')).ok());
  EXPECT_EQ(response_.value().size(), kLargeBytes);
}

TEST_F(ClientTest, TheTokenTravels) {
  ASSERT_TRUE(Call("Token").ok());
  EXPECT_EQ(response_.value(), "none");
  options_.token = "secret";
  ASSERT_TRUE(Call("Token").ok());
  EXPECT_EQ(response_.value(), "secret");
}

TEST_F(ClientTest, AnAnswerOfAnotherTypeIsNamed) {
  EXPECT_EQ(Call("Garbled").message(),
            "the answer to test.v1.TestService/Garbled is not of its type");
  EXPECT_EQ(Stream("Garbled", &Never).message(),
            "the answer to test.v1.TestService/Garbled is not of its type");
}

TEST_F(ClientTest, AStreamBringsEveryMessage) {
  EXPECT_TRUE(Stream("Count", &Never).ok());
  EXPECT_EQ(lines_, std::vector<std::string>({"line", "line", "line"}));
}

TEST_F(ClientTest, AStreamThatBreaksSaysWhy) {
  const absl::Status status = Stream("Break", &Never);
  EXPECT_EQ(lines_.size(), 1u);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "too slow");
}

TEST_F(ClientTest, AStreamThatIsRefusedSaysWhy) {
  EXPECT_EQ(Stream("Fail", &Never).message(), "No cluster leader");
  EXPECT_TRUE(lines_.empty());
}

TEST_F(ClientTest, AStreamEndsWhenItIsToldToStop) {
  EXPECT_TRUE(Stream("Endless", [this] { return !lines_.empty(); }).ok());
  EXPECT_EQ(lines_.size(), 1u);
}

TEST_F(ClientTest, NobodyListens) {
  const SilentSocket socket(false);
  options_.address.host_port = socket.address();
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = Call("Echo");
  EXPECT_TRUE(IsConnectFailure(status));
  EXPECT_EQ(std::string(status.message()), "dial tcp " + socket.address() + ": connection refused");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1500));
  EXPECT_TRUE(IsConnectFailure(Stream("Count", &Never)));
}

TEST_F(ClientTest, SomebodyListensAndSaysNothing) {
  const SilentSocket socket(true);
  options_.address.host_port = socket.address();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(std::string(Call("Echo").message()),
            "dial tcp " + socket.address() + ": it did not answer within 3s");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(4000));
}

TEST_F(ClientTest, SomebodyListensAndIsNoHttpEither) {
  const Greeter greeter("SSH-2.0-OpenSSH_9.2\r\n");
  options_.address = {Face::kHttp, greeter.address()};
  const absl::Status status = Call("Echo");
  EXPECT_EQ(std::string(status.message()),
            "dial tcp " + greeter.address() + ": it is no agent's HTTP address");
  EXPECT_EQ(ConnectFailureFace(status), "HTTP");
}

TEST_F(ClientTest, AnHttpServerThatPassesNothingOnIsQuoted) {
  const Greeter greeter(
      "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n502 Bad Gateway: no RPC");
  options_.address = {Face::kHttp, greeter.address()};
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(std::string(Call("Echo").message()),
            "dial tcp " + greeter.address() + ": it passes no RPC on: 502 Bad Gateway: no RPC");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1500));
}

TEST_F(ClientTest, AnAgentHasNoProblem) { EXPECT_EQ(ConnectProblem(options_.address), ""); }

TEST(WhatItSaysTest, IsTheStatusAndTheFirstLineOfText) {
  for (const auto& [reply, expected] : std::vector<std::pair<std::string, std::string>>{
           {"", ""},
           {"HTTP/1.", ""},
           {"HTTP/1.1 400 Bad Request", "400 Bad Request"},
           {"HTTP/1.1 400 Bad Request\r\nDate: x\r\n\r\n", "400 Bad Request"},
           {"HTTP/1.1 429 Too Many Requests\r\n\r\nToo many\nof them",
            "429 Too Many Requests: Too many"},
           {"HTTP/1.1 503 Busy\r\nX: y\r\n\r\n503 Busy: very", "503 Busy: very"},
           {"HTTP/1.1 400 Bad Request\r\n\r\n<html>no</html>", "400 Bad Request"},
           {"HTTP/1.1 400 \x1b[2J\r\n\r\n\x1b[2J", "400 "},
           {"HTTP/1.1 " + std::string(1000, 'x'), std::string(200, 'x')}}) {
    EXPECT_EQ(WhatItSays(reply), expected);
  }
}

TEST_F(ClientTest, AnAddressWithoutAPortIsNamed) {
  options_.address.host_port = "127.0.0.1";
  EXPECT_EQ(Call("Echo").message(), "dial tcp 127.0.0.1: missing port in address");
}

}  // namespace
}  // namespace consul::cli
