// Goal: pools find each other, lose each other and say so, over real sockets. Method: several pools
// in one process on the loopback, with a profile that is fast; what is waited for is asked again
// until it is there.
#include "services/gossip/pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"

namespace consul::gossip {
namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 20s;

class LogLines : public base::Logger::Listener {
 public:
  explicit LogLines(base::Logger* logger) : logger_(logger) { logger_->Listen(this); }
  ~LogLines() { logger_->Unlisten(this); }
  void OnLine(base::LogLevel, std::string_view line) override {
    base::MutexLock lock(&mutex_);
    lines_ += base::StrCat(line, "\n");
  }
  std::string text() const {
    base::MutexLock lock(&mutex_);
    return lines_;
  }

 private:
  base::Logger* const logger_;
  mutable base::Mutex mutex_;
  std::string lines_ GUARDED_BY(mutex_);
};

bool Eventually(const std::function<bool()>& there) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!there()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::yield();
  }
  return true;
}

// One agent's pool with what it told.
class Peer final : public Pool::Listener {
 public:
  Peer(const std::string& name, uint16_t port, std::function<void(PoolOptions*)> change = {}) {
    PoolOptions options;
    options.identity.datacenter = "dc1";
    options.self.name = name;
    options.self.id = "id-" + name;
    options.self.address = *Endpoint::ParseIp("127.0.0.1", port);
    options.self.tags = {{"role", "node"}, {"dc", "dc1"}};
    options.listen = options.self.address;
    SwimOptions& swim = options.cluster.swim;
    swim.probe_interval = 100ms;
    swim.probe_timeout = 50ms;
    swim.gossip_interval = 20ms;
    swim.suspicion_max_timeout_mult = 2;
    if (change) change(&options);
    auto pool = Pool::Open(std::move(options), this, &logger);
    status = pool.status();
    if (pool.ok()) this->pool = *std::move(pool);
  }
  ~Peer() { pool.reset(); }

  void OnMemberEvent(const MemberEvent& event) override {
    base::MutexLock lock(&mutex);
    events.push_back(base::StrCat(event.kind == MemberEventKind::kJoin     ? "join "
                                  : event.kind == MemberEventKind::kLeave  ? "leave "
                                  : event.kind == MemberEventKind::kFailed ? "failed "
                                  : event.kind == MemberEventKind::kReap   ? "reap "
                                                                           : "update ",
                                  event.member.name));
  }
  void OnMembersPublished() override { ++published; }
  void OnUserEvent(const UserEvent& event) override {
    base::MutexLock lock(&mutex);
    user_events.push_back(event.name + "=" + event.payload);
  }
  void OnNameLost(const NameConflict& conflict) override {
    base::MutexLock lock(&mutex);
    events.push_back("name lost to " + conflict.winner_id);
  }

  // "a:alive b:failed", by name.
  std::string Sees() const {
    std::string text;
    const auto list = pool->members();  // held: another may be published meanwhile
    for (const auto& member : list->members()) {
      static constexpr const char* kNames[] = {"none", "alive", "leaving", "left", "failed"};
      base::StrAppend(&text, text.empty() ? "" : " ", member.name(), ":",
                      kNames[member.status()]);
    }
    return text;
  }
  bool EventuallySees(const std::string& expected) {
    return Eventually([&] { return Sees() == expected; });
  }
  bool Heard(const std::string& event) {
    base::MutexLock lock(&mutex);
    return std::count(events.begin(), events.end(), event) == 1;
  }
  // The list is published before its changes are told.
  bool EventuallyHears(const std::string& event) {
    return Eventually([&] { return Heard(event); });
  }
  JoinOutcome Join(const std::vector<std::string>& targets) {
    std::promise<JoinOutcome> outcome;
    pool->Join(targets, [&](JoinOutcome got) { outcome.set_value(std::move(got)); });
    return outcome.get_future().get();
  }
  void Leave() {
    std::promise<void> left;
    pool->Leave([&] { left.set_value(); });
    left.get_future().get();
  }
  absl::Status ForceLeave(const std::string& name, bool prune) {
    std::promise<absl::Status> done;
    pool->ForceLeave(name, prune, [&](absl::Status status) { done.set_value(status); });
    return done.get_future().get();
  }

  base::Logger logger{base::LogLevel::kError};
  LogLines log{&logger};
  base::Mutex mutex;
  std::vector<std::string> events GUARDED_BY(mutex);
  std::vector<std::string> user_events GUARDED_BY(mutex);
  std::atomic<int> published{0};
  absl::Status status;
  std::unique_ptr<Pool> pool;
};

std::unique_ptr<Peer> Started(const std::string& name, uint16_t port,
                              std::function<void(PoolOptions*)> change = {}) {
  auto peer = std::make_unique<Peer>(name, port, std::move(change));
  EXPECT_TRUE(peer->status.ok()) << peer->status;
  if (peer->pool != nullptr) peer->pool->Start();
  return peer;
}

TEST(PoolTest, APoolOfOneIsPublishedBeforeItStarts) {
  Peer a("a", 18301);
  ASSERT_TRUE(a.status.ok()) << a.status;
  EXPECT_EQ(a.Sees(), "a:alive");
  EXPECT_FALSE(a.Heard("join a"));
  a.pool->Start();
  EXPECT_TRUE(a.Heard("join a"));  // told inside
  const auto member = a.pool->members()->members(0);
  EXPECT_EQ(member.addr(), "127.0.0.1");
  EXPECT_EQ(member.port(), 18301);
  ASSERT_EQ(member.tags_size(), 2);
  EXPECT_EQ(member.tags(0).key(), "role");
}

TEST(PoolTest, AJoinIsSeenByBothAndByAThird) {
  const auto a = Started("a", 18301);
  const auto b = Started("b", 18302);
  const auto c = Started("c", 18303);
  EXPECT_EQ(b->Join({"127.0.0.1:18301"}).joined, 1);
  EXPECT_EQ(c->Join({"localhost:18302"}).joined, 1);
  for (const auto* peer : {a.get(), b.get(), c.get()}) {
    EXPECT_TRUE(const_cast<Peer*>(peer)->EventuallySees("a:alive b:alive c:alive"))
        << peer->Sees();
  }
  EXPECT_TRUE(a->EventuallyHears("join c"));
}

TEST(PoolTest, AGracefulLeaveIsToldFromAFailure) {
  const auto a = Started("a", 18301);
  auto b = Started("b", 18302);
  auto c = Started("c", 18303);
  b->Join({"127.0.0.1:18301"});
  c->Join({"127.0.0.1:18301"});
  ASSERT_TRUE(a->EventuallySees("a:alive b:alive c:alive"));
  b->Leave();
  c->pool->Stop();
  EXPECT_TRUE(a->EventuallySees("a:alive b:left c:failed")) << a->Sees();
  EXPECT_TRUE(a->EventuallyHears("leave b"));
  EXPECT_TRUE(a->EventuallyHears("failed c"));
  EXPECT_NE(a->log.text().find("memberlist: Suspect c has failed, no acks received"),
            std::string::npos)
      << a->log.text();
}

TEST(PoolTest, AFailedMemberIsMadeToLeaveAndPruned) {
  const auto a = Started("a", 18301);
  auto b = Started("b", 18302);
  b->Join({"127.0.0.1:18301"});
  ASSERT_TRUE(a->EventuallySees("a:alive b:alive"));
  b->pool->Stop();
  ASSERT_TRUE(a->EventuallySees("a:alive b:failed"));
  const absl::Status unknown = a->ForceLeave("nosuch", false);
  EXPECT_EQ(unknown.message(), "No node found with name 'nosuch'");
  EXPECT_TRUE(a->ForceLeave("b", false).ok());
  EXPECT_TRUE(a->EventuallySees("a:alive b:left"));
  EXPECT_TRUE(a->ForceLeave("b", true).ok());
  EXPECT_TRUE(a->EventuallySees("a:alive"));
  EXPECT_TRUE(a->EventuallyHears("reap b"));
}

TEST(PoolTest, WhoHasNobodyToJoinSaysWhy) {
  const auto a = Started("a", 18301);
  const JoinOutcome outcome = a->Join({"127.0.0.1:18399", "a b", "127.0.0.1:18398"});
  EXPECT_EQ(outcome.joined, 0);
  ASSERT_EQ(outcome.errors.size(), 3);
  EXPECT_EQ(ListErrors({outcome.errors[1]}),
            "1 error occurred:\n\t* Failed to join 127.0.0.1: dial tcp 127.0.0.1:18399: connect: "
            "connection refused\n\n");
}

TEST(PoolTest, AnotherClusterIsRefusedAndBothSayWhy) {
  const auto a =
      Started("a", 18301, [](PoolOptions* options) { options->identity.cluster_id = "one"; });
  const auto b =
      Started("b", 18302, [](PoolOptions* options) { options->identity.cluster_id = "two"; });
  const JoinOutcome outcome = b->Join({"127.0.0.1:18301"});
  ASSERT_EQ(outcome.errors.size(), 1);
  for (const char* id : {"one", "two"}) {
    EXPECT_NE(outcome.errors[0].find(id), std::string::npos) << outcome.errors[0];
    EXPECT_TRUE(Eventually([&] { return a->log.text().find(id) != std::string::npos; }));
    EXPECT_TRUE(Eventually([&] { return b->log.text().find(id) != std::string::npos; }));
  }
}

TEST(PoolTest, AUserEventReachesEverybodyOnce) {
  const auto a = Started("a", 18301);
  const auto b = Started("b", 18302);
  b->Join({"127.0.0.1:18301"});
  ASSERT_TRUE(a->EventuallySees("a:alive b:alive"));
  std::promise<absl::Status> sent;
  a->pool->SendUserEvent("deploy", "v1", false,
                         [&](absl::Status status) { sent.set_value(status); });
  EXPECT_TRUE(sent.get_future().get().ok());
  const auto heard = [](Peer* peer) {
    base::MutexLock lock(&peer->mutex);
    return peer->user_events == std::vector<std::string>{"deploy=v1"};
  };
  EXPECT_TRUE(Eventually([&] { return heard(a.get()) && heard(b.get()); }));
}

TEST(PoolTest, EverybodyIsAskedWhetherItHearsUs) {
  const auto a = Started("a", 18301);
  const auto b = Started("b", 18302);
  b->Join({"127.0.0.1:18301"});
  ASSERT_TRUE(a->EventuallySees("a:alive b:alive"));
  base::Mutex mutex;
  std::set<std::string> heard;
  std::promise<absl::StatusOr<QueryDone>> done;
  a->pool->Ping(
      [&](const std::string& member) {
        base::MutexLock lock(&mutex);
        heard.insert(member);
      },
      [&](absl::StatusOr<QueryDone> over) { done.set_value(std::move(over)); });
  const absl::StatusOr<QueryDone> over = done.get_future().get();
  ASSERT_TRUE(over.ok()) << over.status();
  EXPECT_EQ(over->acks, 2);
  base::MutexLock lock(&mutex);
  EXPECT_EQ(heard, (std::set<std::string>{"a", "b"}));
}

TEST(PoolTest, AKeyIsChangedEverywhere) {
  const Key old_key = *Key::FromBytes(std::string(16, 'k'));
  const Key new_key = *Key::FromBytes(std::string(32, 'n'));
  const std::string folder = testing::TempDir() + "/keys";
  std::filesystem::remove_all(folder);
  const auto options = [&](const std::string& name) {
    return [&, name](PoolOptions* options) {
      options->self.keyring = Keyring(old_key);
      options->keyring_directory = folder + "/" + name;
    };
  };
  const auto a = Started("a", 18301, options("a"));
  const auto b = Started("b", 18302, options("b"));
  b->Join({"127.0.0.1:18301"});
  ASSERT_TRUE(a->EventuallySees("a:alive b:alive"));
  const auto change = [&](KeyOperationKind kind, std::optional<Key> key) {
    KeyRequest request;
    request.operation = kind;
    request.key = std::move(key);
    std::promise<absl::StatusOr<KeyResult>> done;
    a->pool->ChangeKeys(request, [&](auto result) { done.set_value(std::move(result)); });
    return done.get_future().get();
  };
  for (const KeyOperationKind kind : {KeyOperationKind::kInstall, KeyOperationKind::kUse}) {
    const auto result = change(kind, new_key);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->error, "");
  }
  const auto removed = change(KeyOperationKind::kRemove, old_key);
  EXPECT_EQ(removed->error, "");
  const auto listed = change(KeyOperationKind::kList, std::nullopt);
  EXPECT_EQ(listed->nodes, 2);
  EXPECT_EQ(listed->keys, (std::map<std::string, size_t>{{new_key.ToBase64(), 2}}));
  EXPECT_EQ(listed->primary_keys, listed->keys);
  EXPECT_TRUE(std::filesystem::exists(folder + "/b/local.keyring"));
}

// Who may not join hears why from its own agent: in the join's error and in its log. The other side
// has it in its log as well.
void ExpectRefused(const std::function<void(PoolOptions*)>& member,
                   const std::function<void(PoolOptions*)>& joiner, const std::string& member_logs,
                   const std::string& joiner_logs) {
  const auto a = Started("a", 18301, member);
  const auto b = Started("b", 18302, joiner);
  const JoinOutcome outcome = b->Join({"127.0.0.1:18301"});
  EXPECT_EQ(outcome.joined, 0);
  EXPECT_EQ(outcome.errors,
            std::vector<std::string>{"Failed to join 127.0.0.1: " + joiner_logs});
  EXPECT_TRUE(b->log.text().find("Push/Pull with 127.0.0.1:18301 failed: " + joiner_logs) !=
              std::string::npos)
      << b->log.text();
  EXPECT_TRUE(Eventually([&] {
    return a->log.text().find("[ERR] memberlist: " + member_logs + " from=127.0.0.1:") !=
           std::string::npos;
  })) << a->log.text();
  EXPECT_EQ(a->Sees(), "a:alive");
  EXPECT_EQ(b->Sees(), "b:alive");
}

std::function<void(PoolOptions*)> WithKey(char c) {
  return [c](PoolOptions* options) {
    options->self.keyring = Keyring(*Key::FromBytes(std::string(16, c)));
  };
}

TEST(PoolTest, WithTheKeyOfThePoolOneGetsIn) {
  const auto a = Started("a", 18301, WithKey('k'));
  const auto b = Started("b", 18302, WithKey('k'));
  EXPECT_EQ(b->Join({"127.0.0.1:18301"}).joined, 1);
  EXPECT_TRUE(a->EventuallySees("a:alive b:alive")) << a->Sees();
}

TEST(PoolTest, WithTheWrongKeyNobodyGetsInAndBothLogsSayWhy) {
  ExpectRefused(WithKey('k'), WithKey('m'), "No installed keys could decrypt the message",
                "No installed keys could decrypt the message");
}

TEST(PoolTest, WithoutAKeyNobodyGetsInAndBothLogsSayWhy) {
  ExpectRefused(WithKey('k'), {}, "Encryption is configured but remote state is not encrypted",
                "Remote state is encrypted and encryption is not configured");
}

TEST(PoolTest, WithAKeyNobodyGetsIntoAPoolThatHasNoneAndBothLogsSayWhy) {
  ExpectRefused({}, WithKey('k'), "Remote state is encrypted and encryption is not configured",
                "Encryption is configured but remote state is not encrypted");
}

TEST(PoolTest, OfAnotherDatacenterNobodyGetsInAndBothLogsSayWhy) {
  const auto dc2 = [](PoolOptions* options) { options->identity.datacenter = "dc2"; };
  ExpectRefused({}, dc2,
                "The stream is of the LAN pool of another datacenter (a018cb08), "
                "this agent is a member of lan:dc1",
                "The other is a member of lan:dc1, this agent of lan:dc2");
}

TEST(PoolTest, WhoseNameIsTakenReadsItsOwnNameInItsLog) {
  const auto a = Started("a", 18301);
  const auto b = Started("b", 18302);
  b->Join({"127.0.0.1:18301"});
  ASSERT_TRUE(a->EventuallySees("a:alive b:alive"));
  const auto other = Started("b", 18303, [](PoolOptions* options) { options->self.id = "id-x"; });
  EXPECT_EQ(other->Join({"127.0.0.1:18301"}).joined, 0);
  EXPECT_NE(other->log.text().find("[ERR] memberlist: Member 'b' is not let in: "),
            std::string::npos)
      << other->log.text();
}

TEST(PoolTest, ARestartedMemberFindsTheOthersByItself) {
  const std::string folder = testing::TempDir() + "/rejoin";
  std::filesystem::remove_all(folder);
  const auto keep = [&](PoolOptions* options) { options->snapshot_directory = folder; };
  const auto a = Started("a", 18301);
  auto b = Started("b", 18302, keep);
  b->Join({"127.0.0.1:18301"});
  ASSERT_TRUE(b->EventuallySees("a:alive b:alive"));
  b.reset();
  ASSERT_TRUE(a->EventuallySees("a:alive b:failed"));
  b = Started("b", 18302, keep);
  EXPECT_TRUE(b->EventuallySees("a:alive b:alive"));
  EXPECT_TRUE(a->EventuallySees("a:alive b:alive"));
  // After a leave it does not.
  b->Leave();
  b.reset();
  b = Started("b", 18302, keep);
  EXPECT_EQ(b->Sees(), "b:alive");
}

TEST(PoolTest, APortThatIsTakenIsNamed) {
  const auto a = Started("a", 18301);
  Peer b("b", 18301);
  EXPECT_EQ(b.status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(b.status.message().find("127.0.0.1:18301"), std::string::npos) << b.status;
}

TEST(PoolTest, TagsThatAreTooManyAreAnErrorWithTheLimit) {
  Peer a("a", 18301, [](PoolOptions* options) {
    options->self.tags = {{"long", std::string(600, 'x')}};
  });
  EXPECT_EQ(a.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(a.status.message().find("512"), std::string::npos) << a.status;
}

TEST(PoolTest, StopAnswersWhatWaitsAndWhatComesLater) {
  auto a = Started("a", 18301, [](PoolOptions* options) {
    options->cluster.query_timeout_mult = 100'000;
  });
  std::promise<absl::StatusOr<QueryDone>> done;
  a->pool->Ping([](const std::string&) {},
                [&](absl::StatusOr<QueryDone> over) { done.set_value(std::move(over)); });
  a->pool->Stop();
  EXPECT_EQ(done.get_future().get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(a->Join({"127.0.0.1:18302"}).errors.size(), 1);
  EXPECT_EQ(a->ForceLeave("b", false).code(), absl::StatusCode::kCancelled);
  a->Leave();
  a->pool->Stop();
}

TEST(PoolTest, StatsHaveTheKeysOfTheReference) {
  const auto a = Started("a", 18301);
  std::string keys;
  for (const auto& [key, value] : a->pool->Stats()) keys += key + " ";
  EXPECT_EQ(keys,
            "coordinate_resets encrypted event_queue event_time failed health_score intent_queue "
            "left member_time members query_queue query_time ");
}

}  // namespace
}  // namespace consul::gossip
