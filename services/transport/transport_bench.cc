// What a small append and its answer cost between two servers of one machine.
//
//   transport_bench [SECONDS]
//
// One at a time: a sends, b answers on gRPC's thread, and a's thread is woken. Then many at once: a
// keeps a window of appends under way, so that they leave in batches.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/grpc_fake_backend.h"
#include "services/rpc/grpc_server.h"
#include "services/transport/grpc_transport.h"
#include "services/transport/test_messages.h"

namespace consul::transport {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPayloadBytes = 100;
constexpr uint64_t kWindow = 256;

struct Server {
  Server(const std::string& id, std::function<void(raft::Message)> receive,
         const std::string* peer_address)
      : logger(base::LogLevel::kError) {
    TransportOptions options;
    options.self = raft::ServerId{id};
    options.datacenter = "dc1";
    options.address_of = [peer_address](const raft::ServerId&) { return *peer_address; };
    options.cluster_id = [] { return std::string(); };
    options.receive = std::move(receive);
    options.stream_broken = [](const raft::ServerId&) {};
    options.logger = &logger;
    transport = std::make_unique<GrpcTransport>(std::move(options));
    rpc::GrpcServer::Options port;
    port.addresses = {"127.0.0.1:0"};
    port.services = {{kServiceName, transport->service()}};
    server = std::make_unique<rpc::GrpcServer>(
        std::move(port), std::initializer_list<const rpc::MethodTable*>{}, &backend);
    if (!server->Start().ok()) std::abort();
    address = base::StrCat("127.0.0.1:", server->ports().front());
  }
  ~Server() {
    transport->Stop();
    server->Stop(std::chrono::milliseconds(0));
  }

  base::Logger logger;
  rpc::GrpcFakeBackend backend;
  std::unique_ptr<GrpcTransport> transport;
  std::unique_ptr<rpc::GrpcServer> server;
  std::string address;
};

// Answers that have come.
class Answers {
 public:
  void Add() {
    base::MutexLock lock(&mutex_);
    ++count_;
    came_.Signal();
  }
  void WaitFor(uint64_t count) {
    base::MutexLock lock(&mutex_);
    while (count_ < count) came_.Wait(&mutex_);
  }

 private:
  base::Mutex mutex_;
  base::CondVar came_;
  uint64_t count_ GUARDED_BY(mutex_) = 0;
};

void Run(double seconds) {
  Answers answers;
  std::string address_a;
  std::string address_b;
  Server* b_server = nullptr;
  Server a("a", [&](raft::Message) { answers.Add(); }, &address_b);
  Server b(
      "b",
      [&](raft::Message message) {
        b_server->transport->Send({message.to, message.from, message.term,
                                   raft::AppendReply{.accepted = true, .match = raft::Index{9}}});
      },
      &address_a);
  b_server = &b;
  address_a = a.address;
  address_b = b.address;
  const auto send = [&a] {
    a.transport->Send({raft::ServerId{"a"}, raft::ServerId{"b"}, raft::Term{7},
                       TestAppend(std::string(kPayloadBytes, 'x'))});
  };
  uint64_t sent = 0;
  for (const uint64_t window : {uint64_t{1}, kWindow}) {
    for (const uint64_t end = sent + window; sent < end; ++sent) send();
    answers.WaitFor(sent);
    const uint64_t first = sent;
    const auto start = Clock::now();
    const auto end = start + std::chrono::duration<double>(seconds);
    while (Clock::now() < end) {
      send();
      ++sent;
      if (sent - first >= window) answers.WaitFor(sent + 1 - window);
    }
    answers.WaitFor(sent);
    const std::chrono::duration<double> took = Clock::now() - start;
    const double count = static_cast<double>(sent - first);
    std::printf("window %4llu: %9.0f appends/s, %7.1f us each\n",
                static_cast<unsigned long long>(window), count / took.count(),
                took.count() / count * 1e6);
  }
}

}  // namespace
}  // namespace consul::transport

int main(int argc, char** argv) { consul::transport::Run(argc > 1 ? std::atof(argv[1]) : 3); }
