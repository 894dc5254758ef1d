// services/transport/test_network.h
//
// For tests: servers of one process that have a transport and a server port each, know each other's
// addresses, and keep what comes.
//
// Threads: what waits, the test's.
#ifndef CONSUL_SERVICES_TRANSPORT_TEST_NETWORK_H_
#define CONSUL_SERVICES_TRANSPORT_TEST_NETWORK_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/grpc_fake_backend.h"
#include "services/rpc/grpc_server.h"
#include "services/transport/grpc_transport.h"

namespace consul::transport {

// Who is where.
class TestAddresses {
 public:
  std::string Of(const raft::ServerId& id) {
    base::MutexLock lock(&mutex_);
    const auto found = addresses_.find(id.value);
    return found == addresses_.end() ? "" : found->second;
  }
  void Set(const std::string& id, std::string address) {
    base::MutexLock lock(&mutex_);
    addresses_[id] = std::move(address);
  }

 private:
  base::Mutex mutex_;
  std::map<std::string, std::string> addresses_ GUARDED_BY(mutex_);
};

struct TestServerOptions {
  std::string datacenter = "dc1";
  std::string cluster_id = "";
  std::string address = "127.0.0.1:0";
  uint32_t state_version = 0;
  TransportLimits limits = {};
};

class TestServer final : private base::Logger::Listener {
 public:
  // The address it got is put into `addresses`, which outlives it.
  TestServer(const std::string& id, TestAddresses* addresses, TestServerOptions options = {})
      : id_{id}, logger_(base::LogLevel::kError), cluster_id_(std::move(options.cluster_id)) {
    logger_.Listen(this);
    TransportOptions to;
    to.self = id_;
    to.datacenter = options.datacenter;
    to.address_of = [addresses](const raft::ServerId& peer) { return addresses->Of(peer); };
    to.cluster_id = [this] {
      base::MutexLock lock(&mutex_);
      return cluster_id_;
    };
    to.receive = [this](raft::Message message) { Received(std::move(message)); };
    to.stream_broken = [this](const raft::ServerId& peer) {
      base::MutexLock lock(&mutex_);
      broken_.push_back(peer.value);
      changed_.SignalAll();
    };
    to.state_version = options.state_version;
    to.state_version_heard = [this](const raft::ServerId& peer) {
      // Asked inside the call, as whoever is told will.
      const std::optional<uint32_t> version = transport_->StateVersionOf(peer);
      base::MutexLock lock(&mutex_);
      heard_.push_back(base::StrCat(peer.value, " ", version.value_or(UINT32_MAX)));
      changed_.SignalAll();
    };
    to.logger = &logger_;
    to.limits = options.limits;
    transport_ = std::make_unique<GrpcTransport>(std::move(to));
    rpc::GrpcServer::Options server;
    server.addresses = {options.address};
    server.services = {{kServiceName, transport_->service()}};
    server_ = std::make_unique<rpc::GrpcServer>(std::move(server),
                                                std::initializer_list<const rpc::MethodTable*>{},
                                                &backend_);
    const absl::Status started = server_->Start();
    EXPECT_TRUE(started.ok()) << started;
    address_ = base::StrCat("127.0.0.1:", server_->ports().front());
    addresses->Set(id, address_);
  }
  ~TestServer() {
    Stop();
    logger_.Unlisten(this);
  }

  void Stop() {
    transport_->Stop();
    server_->Stop(std::chrono::milliseconds(0));
  }
  // As when the process dies: the sockets close first.
  void Kill() {
    server_->Stop(std::chrono::milliseconds(0));
    transport_->Stop();
  }

  const raft::ServerId& id() const { return id_; }
  const std::string& address() const { return address_; }
  int port() const { return server_->ports().front(); }
  GrpcTransport& transport() { return *transport_; }
  void SetClusterId(const std::string& cluster_id) {
    {
      base::MutexLock lock(&mutex_);
      cluster_id_ = cluster_id;
    }
    transport_->PeersChanged();
  }

  void Send(const TestServer& to, raft::Body body, uint64_t term = 1) {
    Send(to.id(), std::move(body), term);
  }
  void Send(const raft::ServerId& to, raft::Body body, uint64_t term = 1) {
    transport_->Send({id_, to, raft::Term{term}, std::move(body)});
  }

  // ---- What came. Each waits until `enough` says so of all that came.
  template <class Enough>
  std::vector<raft::Message> WaitFor(const Enough& enough) {
    base::MutexLock lock(&mutex_);
    while (!enough(received_)) changed_.Wait(&mutex_);
    return received_;
  }
  std::vector<raft::Message> WaitForCount(size_t count) {
    return WaitFor([count](const auto& received) { return received.size() >= count; });
  }
  void ForgetWhatCame() {
    base::MutexLock lock(&mutex_);
    received_ = {};
  }
  size_t received_count() {
    base::MutexLock lock(&mutex_);
    return received_.size();
  }
  // Until `peer`'s stream has broken `count` times.
  void WaitForBroken(const std::string& peer, int count = 1) {
    base::MutexLock lock(&mutex_);
    while (std::count(broken_.begin(), broken_.end(), peer) < count) changed_.Wait(&mutex_);
  }
  // "ID VERSION" of each time that another state version of a peer was heard. Waits for so many.
  std::vector<std::string> WaitForHeard(size_t count) {
    base::MutexLock lock(&mutex_);
    while (heard_.size() < count) changed_.Wait(&mutex_);
    return heard_;
  }
  size_t broken_count() {
    base::MutexLock lock(&mutex_);
    return broken_.size();
  }
  // Until a line with `part` was logged; the line.
  std::string WaitForLine(const std::string& part) {
    base::MutexLock lock(&mutex_);
    while (true) {
      for (const std::string& line : lines_) {
        if (line.find(part) != std::string::npos) return line;
      }
      changed_.Wait(&mutex_);
    }
  }
  size_t CountLines(const std::string& part) {
    base::MutexLock lock(&mutex_);
    return std::count_if(lines_.begin(), lines_.end(), [&part](const std::string& line) {
      return line.find(part) != std::string::npos;
    });
  }

 private:
  void Received(raft::Message message) {
    base::MutexLock lock(&mutex_);
    received_.push_back(std::move(message));
    changed_.SignalAll();
  }
  void OnLine(base::LogLevel, std::string_view line) override {
    base::MutexLock lock(&mutex_);
    lines_.emplace_back(line);
    changed_.SignalAll();
  }

  const raft::ServerId id_;
  base::Logger logger_;
  rpc::GrpcFakeBackend backend_;
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<rpc::GrpcServer> server_;
  std::string address_;

  base::Mutex mutex_;
  base::CondVar changed_;
  std::string cluster_id_ GUARDED_BY(mutex_);
  std::vector<raft::Message> received_ GUARDED_BY(mutex_);
  std::vector<std::string> broken_ GUARDED_BY(mutex_);
  std::vector<std::string> heard_ GUARDED_BY(mutex_);
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
};

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_TEST_NETWORK_H_
