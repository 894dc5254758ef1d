// Goal: whoever waits for a server that has fallen silent hears of it within seconds, and nobody
// gives up a server that is only slow. Method: as forward_backend_test.cc, with a relay before each
// server that can stand still, connections and all.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "services/base/check.h"
#include "services/rpc/errors.h"
#include "services/rpc/server_link.h"
#include "services/rpc/test_servers.h"

namespace consul::rpc {
namespace {

using namespace std::chrono_literals;

// Passes bytes on between a port of its own and another one.
class Relay {
 public:
  explicit Relay(const std::string& to) {
    const std::string port = to.substr(to.find(':') + 1);
    std::from_chars(port.data(), port.data() + port.size(), to_);
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = AddressOf(0);
    socklen_t size = sizeof(address);
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    CONSUL_CHECK(::bind(listener_, plain, size) == 0 && ::listen(listener_, 16) == 0);
    CONSUL_CHECK(::getsockname(listener_, plain, &size) == 0);
    address_ = base::StrCat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this] { Run(); });
  }
  ~Relay() {
    stop_ = true;
    thread_.join();
    for (const auto& [one, other] : peers_) ::close(one);
    ::close(listener_);
  }
  const std::string& address() const { return address_; }

  // Passes nothing on, and takes no new connection.
  std::atomic<bool> stands_still{false};
  // Bytes a millisecond that it takes from each server's connection, and from each client's, at the
  // most.
  std::atomic<size_t> pace{SIZE_MAX};
  std::atomic<size_t> pace_of_clients{SIZE_MAX};
  // Pieces passed on towards the server.
  std::atomic<int> passed{0};

 private:
  static sockaddr_in AddressOf(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }
  void Run() {
    while (!stop_) {
      const auto now = std::chrono::steady_clock::now();
      std::vector<pollfd> ready{{listener_, POLLIN, 0}};
      for (const auto& [one, other] : peers_) {
        if (rests_until_[one] <= now) ready.push_back({one, POLLIN, 0});
      }
      if (stands_still) ready.clear();
      ::poll(ready.data(), ready.size(), 1);
      for (const pollfd& each : ready) {
        if (each.revents == 0 || stands_still) continue;
        each.fd == listener_ ? Accept() : PassOn(each.fd);
      }
    }
  }
  void Accept() {
    const int client = ::accept(listener_, nullptr, nullptr);
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = AddressOf(to_);
    CONSUL_CHECK(::connect(server, reinterpret_cast<const sockaddr*>(&address),
                           sizeof(address)) == 0);
    peers_[client] = server;
    peers_[server] = client;
    clients_[client] = true;
  }
  void PassOn(int from) {
    const auto found = peers_.find(from);
    if (found == peers_.end()) return;
    const int to = found->second;
    char bytes[16384];
    const size_t most = std::min(
        sizeof(bytes), clients_.contains(from) ? pace_of_clients.load() : pace.load());
    if (most < sizeof(bytes)) rests_until_[from] = std::chrono::steady_clock::now() + 1ms;
    const ssize_t size = ::read(from, bytes, most);
    if (size > 0 && ::send(to, bytes, size, MSG_NOSIGNAL) == size) {
      if (clients_.contains(from)) ++passed;
      return;
    }
    for (const int each : {from, to}) {
      ::close(each);
      peers_.erase(each);
      clients_.erase(each);
      rests_until_.erase(each);
    }
  }

  uint16_t to_ = 0;
  int listener_;
  std::string address_;
  std::map<int, int> peers_;
  std::map<int, bool> clients_;
  std::map<int, std::chrono::steady_clock::time_point> rests_until_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class SilenceTest : public ForwardingTest {
 protected:
  SilenceTest() {
    options_.hold_timeout = 10s;
    // Who hears of a silence does so by these, long before any other limit.
    options_.margin = 1h;
    options_.read_margin = 1h;
    options_.cancelled_write_wait = 1h;
    options_.links.patience = 40ms;
    options_.links.patience_blocked = 1h;
    options_.links.ping_timeout = 500ms;
    Make();
    for (const char* name : {"a", "b"}) {
      servers_.push_back(std::make_unique<Server>(name));
      relays_.push_back(std::make_unique<Relay>(servers_.back()->address));
    }
    PublishRelays();
  }
  ~SilenceTest() override {
    for (auto& server : servers_) server->backend.Release();
    backend_.reset();
  }

  void PublishRelays(const Server* one = nullptr,
                     ServerStanding standing = ServerStanding::kAlive) {
    ServerList list;
    for (size_t i = 0; i < servers_.size(); ++i) {
      list.servers.push_back({servers_[i]->known().id, servers_[i]->name, relays_[i]->address()});
      if (servers_[i].get() == one) list.servers.back().standing = standing;
    }
    list.members = servers_.size();
    backend_->SetServers(list);
  }
  // Of a server that does answer, however busy the machine is.
  void GiveItTime() {
    options_.links.ping_timeout = 10s;
    Make();
    PublishRelays();
  }
  Relay& RelayOf(const Server& server) {
    return *relays_[&server == servers_[0].get() ? 0 : 1];
  }
  // The call, which waits for its first server.
  std::unique_ptr<Caller> UnderWay(std::unique_ptr<Caller> call) {
    first_ = &First();
    first_->backend.mode = Mode::kHang;
    call->Begin(backend_.get());
    EXPECT_TRUE(Eventually([&] { return first_->backend.hanging == 1; }));
    return call;
  }
  // The first server has said several times that it serves.
  void AwaitSignsOfLife() {
    const int before = RelayOf(*first_).passed;
    EXPECT_TRUE(Eventually([&] { return RelayOf(*first_).passed > before + 10; }));
  }

  std::vector<std::unique_ptr<Relay>> relays_;
  Server* first_ = nullptr;
};

TEST_F(SilenceTest, AWriteUnderWayIsInDoubtOnceItsServerIsSilent) {
  const auto call = UnderWay(MakePut());
  RelayOf(*first_).stands_still = true;
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OUTCOME_UNKNOWN);
  EXPECT_EQ(call->status.message(),
            base::StrCat("rpc error: server ", first_->name, " at ", RelayOf(*first_).address(),
                         " broke off: it gives no sign of life; the write may or may not have "
                         "been done"));
  EXPECT_EQ(Other(*first_).backend.writes, 0);
  EXPECT_EQ(warnings(), 1);
  // The next ones go elsewhere.
  EXPECT_TRUE(Run(MakePut())->status.ok());
  EXPECT_EQ(Other(*first_).backend.writes, 1);
}

TEST_F(SilenceTest, AReadIsAnsweredByAnotherServer) {
  const auto call = UnderWay(MakeGet());
  RelayOf(*first_).stands_still = true;
  call->Wait();
  EXPECT_EQ(ValueOf(*call), Other(*first_).name);
}

TEST_F(SilenceTest, ABlockedReadIsAnsweredByAnotherServer) {
  options_.links.patience_blocked = 40ms;
  Make();
  PublishRelays();
  const auto call = UnderWay(MakeGet("k", 41, 600));
  RelayOf(*first_).stands_still = true;
  call->Wait();
  EXPECT_EQ(ValueOf(*call), Other(*first_).name);
}

// It is the one that asks for signs of life.
TEST_F(SilenceTest, WhoBlocksHearsOfASilenceThatAnotherCallFinds) {
  const auto blocked = UnderWay(MakeGet("k", 41, 600));
  RelayOf(*first_).stands_still = true;
  EXPECT_EQ(Ask(), Other(*first_).name);
  blocked->Wait();
  EXPECT_EQ(ValueOf(*blocked), Other(*first_).name);
}

TEST_F(SilenceTest, AServerThatIsOnlySlowIsWaitedFor) {
  GiveItTime();
  const auto write = UnderWay(MakePut());
  const auto read = MakeGet();
  read->Begin(backend_.get());
  AwaitSignsOfLife();
  EXPECT_FALSE(write->done());
  EXPECT_FALSE(read->done());
  first_->backend.Release();
  write->Wait();
  read->Wait();
  EXPECT_TRUE(write->status.ok()) << write->status;
  EXPECT_EQ(ValueOf(*read), first_->name);
  EXPECT_EQ(warnings(), 0);
}

// Ten megabytes at four a second: what the server says of itself stands behind them.
TEST_F(SilenceTest, AServerThatSendsALargeReplyOnASlowLineIsNotSilent) {
  for (const auto& relay : relays_) relay->pace = 4096;
  const auto call = Run(MakeGet("large"));
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(ValueOf(*call).size(), 10'000'000);
  EXPECT_EQ(servers_[0]->backend.reads + servers_[1]->backend.reads, 1);
}

// Three megabytes at one a second: whether the server serves is asked behind them.
TEST_F(SilenceTest, AServerThatIsSentALargeRequestOnASlowLineIsNotSilent) {
  for (const auto& relay : relays_) relay->pace_of_clients = 1024;
  const auto call = Run(MakePut(std::string(3'000'000, 'x')));
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(warnings(), 0);
}

// A write that has not been sent is never in doubt: the silent server is asked whether it serves.
TEST_F(SilenceTest, AWriteIsNotSentToAServerThatWasSilent) {
  options_.hold_timeout = 1ms;
  Make();
  PublishRelays();
  const auto call = UnderWay(MakePut());
  PublishRelays(&Other(*first_), ServerStanding::kFailed);
  RelayOf(*first_).stands_still = true;
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OUTCOME_UNKNOWN);
  EXPECT_EQ(ReasonOf(*Run(MakePut())), errors::v1::REASON_NO_SERVERS);
  // Once it is back it is asked as ever.
  RelayOf(*first_).stands_still = false;
  first_->backend.mode = Mode::kAnswer;
  EXPECT_TRUE(Eventually([&] { return Run(MakePut())->status.ok(); }));
}

TEST_F(SilenceTest, AWriteWhoseServerHasFailedHasSoLongToBeAnswered) {
  options_.cancelled_write_wait = 50ms;
  GiveItTime();
  const auto call = UnderWay(MakePut());
  PublishRelays(first_, ServerStanding::kFailed);
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OUTCOME_UNKNOWN);
  EXPECT_NE(call->status.message().find("broke off: it has failed;"), std::string::npos)
      << call->status;
}

TEST_F(SilenceTest, AWriteWhoseServerHasFailedMayBeAnsweredAllTheSame) {
  GiveItTime();
  const auto call = UnderWay(MakePut());
  PublishRelays(first_, ServerStanding::kFailed);
  first_->backend.Release();
  call->Wait();
  EXPECT_TRUE(call->status.ok()) << call->status;
}

// Those that come behind it go elsewhere at once.
TEST_F(SilenceTest, AWriteWhoseServerLeavesIsWaitedFor) {
  options_.cancelled_write_wait = 0ms;
  GiveItTime();
  const auto call = UnderWay(MakePut());
  PublishRelays(first_, ServerStanding::kLeft);
  EXPECT_EQ(Ask(), Other(*first_).name);
  AwaitSignsOfLife();
  EXPECT_FALSE(call->done());
  first_->backend.Release();
  call->Wait();
  EXPECT_TRUE(call->status.ok()) << call->status;
}

TEST_F(SilenceTest, AServerThatLeftAndIsSilentIsNotWaitedFor) {
  const auto call = UnderWay(MakePut());
  PublishRelays(first_, ServerStanding::kLeft);
  RelayOf(*first_).stands_still = true;
  call->Wait();
  EXPECT_EQ(ReasonOf(*call), errors::v1::REASON_OUTCOME_UNKNOWN);
}

// ---- The link by itself.

class ServerLinkTest : public testing::Test {
 protected:
  class Waiter : public Waking {
   public:
    explicit Waiter(Executor* executor) : Waking(executor) {}
    void OnWake() override {}
  };
  using Fate = ServerLink::Fate;
  using Waiting = ServerLink::Waiting;

  EventThread executor_{[] {}};
  ServerLink link_{{"id-a", "a", "127.0.0.1:1"}, {}};
  std::shared_ptr<Waiter> read_ = std::make_shared<Waiter>(&executor_);
  std::shared_ptr<Waiter> blocked_ = std::make_shared<Waiter>(&executor_);
  const ServerLink::Clock::time_point start_ = ServerLink::Clock::now();
};

TEST_F(ServerLinkTest, WhoHasWaitedForLongHasTheServerAskedOnce) {
  EXPECT_EQ(link_.Look(start_), Waiting::kNobody);
  ASSERT_TRUE(link_.Add(read_.get(), start_, 2s));
  ASSERT_TRUE(link_.Add(blocked_.get(), start_, 10s));
  EXPECT_EQ(link_.Look(start_ + 1999ms), Waiting::kSomebody);
  EXPECT_EQ(link_.Look(start_ + 2s), Waiting::kForLong);
  EXPECT_EQ(link_.Look(start_ + 3s), Waiting::kSomebody);  // it is being asked
  link_.Looked(start_ + 3s, true);
  EXPECT_EQ(link_.Look(start_ + 4999ms), Waiting::kSomebody);
  EXPECT_EQ(link_.Look(start_ + 5s), Waiting::kForLong);
  link_.Looked(start_ + 5s, false);
  EXPECT_EQ(link_.Look(start_ + 5s), Waiting::kForLong);
  link_.Looked(start_ + 5s, true);
  // An answer is a sign of life as well.
  link_.Remove(read_.get(), start_ + 6s, true);
  EXPECT_EQ(link_.Look(start_ + 15999ms), Waiting::kSomebody);
  EXPECT_EQ(link_.Look(start_ + 16s), Waiting::kForLong);
  link_.Remove(blocked_.get(), start_ + 16s, false);
  EXPECT_EQ(link_.Look(start_ + 17s), Waiting::kNobody);
}

TEST_F(ServerLinkTest, NothingIsSentToAServerThatWasGivenUp) {
  ASSERT_TRUE(link_.Add(read_.get(), start_, 2s));
  link_.FellSilent();
  EXPECT_EQ(link_.FateOf(read_.get()), Fate::kSilent);
  ASSERT_TRUE(link_.Add(blocked_.get(), start_, 10s));
  EXPECT_EQ(link_.FateOf(blocked_.get()), Fate::kServes);
  link_.Remove(read_.get(), start_, false);
  link_.GiveUp(Fate::kFailed);
  EXPECT_EQ(link_.FateOf(blocked_.get()), Fate::kFailed);
  EXPECT_FALSE(link_.Add(read_.get(), start_, 2s));
  link_.Remove(blocked_.get(), start_, false);
}

}  // namespace
}  // namespace consul::rpc
