#include "services/gossip/pool.h"

#include <pthread.h>
#include <time.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <random>
#include <thread>
#include <unordered_map>

#include "services/base/check.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/gossip/codec.h"
#include "services/gossip/pool_files.h"
#include "services/gossip/resolver.h"
#include "services/gossip/transport.h"
#include "services/gossip/words.h"

namespace consul::gossip {
namespace {

using namespace std::chrono_literals;
using boost::asio::steady_timer;

// A new list is published so often at most, however many members change.
constexpr Duration kPublishInterval = 50ms;

Time Now() {
  timespec now{};
  // Goes on while the machine sleeps, so that a pool that has slept knows it.
  clock_gettime(CLOCK_BOOTTIME, &now);
  return Time(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

uint64_t Seed() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

agent::v1::Member ToProto(const ClusterMember& member) {
  agent::v1::Member proto;
  proto.set_name(member.name);
  proto.set_addr(member.address.IpToString());
  proto.set_port(member.address.port);
  for (const auto& [key, value] : member.tags) {
    auto* const tag = proto.add_tags();
    tag->set_key(key);
    tag->set_value(value);
  }
  proto.set_status(static_cast<agent::v1::MemberStatus>(member.status));
  proto.set_protocol_min(member.protocol.min);
  proto.set_protocol_max(member.protocol.max);
  proto.set_protocol_cur(member.protocol.cur);
  proto.set_delegate_min(member.versions.min);
  proto.set_delegate_max(member.versions.max);
  proto.set_delegate_cur(member.versions.cur);
  return proto;
}

CodecOptions CodecOf(const PoolOptions& options) {
  CodecOptions codec;
  codec.pool =
      options.identity.wan ? WanPoolName() : LanPoolName(options.identity.datacenter);
  codec.keyring = options.self.keyring;
  codec.verify_incoming = options.verify_incoming;
  codec.verify_outgoing = options.verify_outgoing;
  codec.nonces = RandomNonces();
  return codec;
}

}  // namespace

class Pool::Impl final : private Transport::Receiver {
 public:
  Impl(PoolOptions options, Listener* listener, base::Logger* logger)
      : options_(std::move(options)),
        listener_(listener),
        logger_(logger),
        io_(1),
        work_(io_.get_executor()),
        codec_(CodecOf(options_)),
        transport_(&io_, &codec_, this),
        resolver_(&io_),
        joining_(
            &resolver_, [this](const Endpoint& to) { return BeginJoin(to); },
            options_.listen.port, logger),
        tick_(io_),
        publish_(io_),
        files_({options_.keyring_directory, options_.snapshot_directory, options_.identity.wan,
                options_.rejoin_after_leave},
               logger) {}

  absl::Status Open();
  void Start();
  void Stop();

  const PoolOptions& options() const { return options_; }
  const MemberList& list() const { return list_; }
  ClusterStats stats() {
    base::MutexLock lock(&mutex_);
    return stats_;
  }

  // Runs `task` on the pool's thread; false once the pool has stopped.
  bool Post(std::function<void()> task) {
    base::MutexLock lock(&mutex_);
    if (stopped_) return false;
    boost::asio::post(io_, std::move(task));
    return true;
  }
  // What an input leaves to do.
  void Flush();
  Cluster& cluster() { return *cluster_; }

  Joining& joining() { return joining_; }
  void After(Duration delay, std::function<void()> task);
  void Leave(std::function<void()> done);
  void ChangeKeys(const KeyRequest& request,
                  std::function<void(absl::StatusOr<KeyResult>)> done);
  void Ping(std::function<void(const std::string&)> ack,
            std::function<void(absl::StatusOr<QueryDone>)> done);

 private:
  struct PingCall {
    std::function<void(const std::string&)> ack;
    std::function<void(absl::StatusOr<QueryDone>)> done;
  };

  // Transport::Receiver.
  void OnPacket(const Endpoint& from, std::string_view plain) override {
    cluster_->ReceivePacket(Now(), from, plain);
    Flush();
  }
  void OnUndeliverable(const Endpoint& to) override {
    cluster_->PacketUndeliverable(Now(), to);
    Flush();
  }
  void OnAccepted(StreamId stream, const Endpoint& from) override {
    cluster_->StreamAccepted(Now(), stream, from);
    Flush();
  }
  void OnOpened(StreamId stream) override {
    cluster_->StreamOpened(Now(), stream);
    Flush();
  }
  void OnMessage(StreamId stream, std::string_view plain) override {
    cluster_->StreamReceived(Now(), stream, plain);
    Flush();
  }
  void OnClosed(StreamId stream, std::string_view why) override {
    cluster_->StreamClosed(Now(), stream, why);
    Flush();
  }
  void OnRefused(const Endpoint& from, std::string_view why) override {
    logger_->Error("memberlist", base::StrCat(why, " from=", from.ToString()));
  }

  JoinId BeginJoin(const Endpoint& to);
  void Carry(ClusterOutput* output);
  void Tell(ClusterOutput* output);
  void StoreKeyring(const KeyringStore& store);
  void LeaveDone();
  void PublishSoon(const std::vector<std::string>& changed);
  void Publish();
  void ArmTick();
  void EndWaiting();

  const PoolOptions options_;
  Listener* const listener_;
  base::Logger* const logger_;
  base::Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  ClusterStats stats_ GUARDED_BY(mutex_);
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Codec codec_;
  Transport transport_;
  Resolver resolver_;
  Joining joining_;
  steady_timer tick_;
  Time tick_at_ = Time::max();
  steady_timer publish_;
  bool publish_armed_ = false;
  Time published_at_ = Time::min();
  PoolFiles files_;
  std::unique_ptr<Cluster> cluster_;
  std::vector<Endpoint> known_before_;
  bool flushing_ = false;
  std::map<std::string, agent::v1::Member> members_;
  MemberList list_;

  std::unordered_map<uint64_t, std::function<void(absl::StatusOr<KeyResult>)>> key_calls_;
  std::unordered_map<uint64_t, PingCall> pings_;
  std::vector<std::function<void()>> leaving_;
  bool left_ = false;

  std::thread thread_;
};

absl::Status Pool::Impl::Open() {
  if (absl::Status status = transport_.Bind(options_.listen); !status.ok()) return status;
  PoolFiles::Known known = files_.Load();
  known_before_ = std::move(known.members);
  auto cluster = Cluster::Create(options_.cluster, options_.identity, options_.self,
                                 known.restart, Seed(), Now());
  if (!cluster.ok()) return cluster.status();
  cluster_ = *std::move(cluster);
  const ClusterMember self = cluster_->Self();
  members_[self.name] = ToProto(self);
  Publish();
  return absl::OkStatus();
}

void Pool::Impl::Start() {
  Flush();
  transport_.Start();
  boost::asio::post(io_, [this] { joining_.Rejoin(std::move(known_before_)); });
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), options_.identity.wan ? "gossip/wan" : "gossip/lan");
    io_.run();
  });
}

void Pool::Impl::Stop() {
  {
    base::MutexLock lock(&mutex_);
    if (stopped_) return;
    stopped_ = true;
    // Behind everything that was posted before.
    boost::asio::post(io_, [this] {
      EndWaiting();
      transport_.Stop();
      work_.reset();
      io_.stop();
    });
  }
  if (thread_.joinable()) {
    thread_.join();
  } else {
    io_.run();
  }
}

void Pool::Impl::EndWaiting() {
  const absl::Status cancelled = absl::CancelledError("the agent is stopping");
  joining_.Stop();
  for (auto& [id, done] : std::exchange(key_calls_, {})) done(cancelled);
  for (auto& [id, ping] : std::exchange(pings_, {})) ping.done(cancelled);
  for (auto& done : std::exchange(leaving_, {})) done();
}

void Pool::Impl::After(Duration delay, std::function<void()> task) {
  const auto timer = std::make_shared<steady_timer>(io_);
  timer->expires_after(delay);
  timer->async_wait([timer, task = std::move(task)](const boost::system::error_code& ec) {
    if (!ec) task();
  });
}

void Pool::Impl::Leave(std::function<void()> done) {
  if (left_) return done();
  leaving_.push_back(std::move(done));
  cluster_->Leave(Now());
  Flush();
}

void Pool::Impl::LeaveDone() {
  left_ = true;
  for (auto& done : std::exchange(leaving_, {})) done();
}

// ---- Questions.

// The flush comes later: the caller does not know the id yet.
JoinId Pool::Impl::BeginJoin(const Endpoint& to) {
  const JoinId id = cluster_->Join(Now(), to, /*ignore_old_events=*/true);
  boost::asio::post(io_, [this] { Flush(); });
  return id;
}

void Pool::Impl::ChangeKeys(const KeyRequest& request,
                            std::function<void(absl::StatusOr<KeyResult>)> done) {
  const absl::StatusOr<QueryId> id = cluster_->ChangeKeys(Now(), request);
  if (!id.ok()) return done(id.status());
  key_calls_[id->value] = std::move(done);
  Flush();
}

void Pool::Impl::Ping(std::function<void(const std::string&)> ack,
                      std::function<void(absl::StatusOr<QueryDone>)> done) {
  QueryRequest request;
  request.name = "_ping";
  request.want_acks = true;
  const absl::StatusOr<QueryId> id = cluster_->Query(Now(), request);
  if (!id.ok()) return done(id.status());
  pings_[id->value] = {std::move(ack), std::move(done)};
  Flush();
}

// ---- What the cores want done.

void Pool::Impl::Flush() {
  // What is done may bring a new input, and that is here again: the outer one goes on.
  if (flushing_) return;
  flushing_ = true;
  for (ClusterOutput output = cluster_->TakeOutput(); !output.empty();
       output = cluster_->TakeOutput()) {
    Carry(&output);
    Tell(&output);
  }
  flushing_ = false;
  ArmTick();
  base::MutexLock lock(&mutex_);
  stats_ = cluster_->Stats();
}

void Pool::Impl::Carry(ClusterOutput* output) {
  for (const Packet& packet : output->packets) transport_.SendPacket(packet.to, packet.bytes);
  for (const StreamOpen& open : output->stream_opens) transport_.Open(open.stream, open.to);
  for (const StreamSend& send : output->stream_sends) transport_.Send(send.stream, send.message);
  for (const StreamClose& close : output->stream_closes) transport_.Close(close.stream);
  files_.Append(std::move(output->records));
  if (output->keyring_store.has_value()) StoreKeyring(*output->keyring_store);
}

// What others are told of a changed keyring is told when it is on disk.
void Pool::Impl::StoreKeyring(const KeyringStore& store) {
  files_.StoreKeyring(store.keyring, [this, store](absl::Status status) {
    Post([this, store, status = std::move(status)] {
      if (status.ok()) codec_.SetKeyring(store.keyring);
      cluster_->KeyringStored(Now(), store.id, status);
      Flush();
    });
  });
}

void Pool::Impl::Tell(ClusterOutput* output) {
  for (const Fact& fact : output->facts) {
    const LogLine line = Word(fact);
    logger_->Log(line.level, line.component, line.text);
  }
  for (const ClusterFact& fact : output->cluster_facts) {
    const LogLine line = Word(fact);
    logger_->Log(line.level, line.component, line.text);
  }
  PublishSoon(output->members_changed);
  for (const MemberEvent& event : output->member_events) listener_->OnMemberEvent(event);
  for (const UserEvent& event : output->user_events) listener_->OnUserEvent(event);
  // Whoever is told that it has joined sees the members at once.
  if (!output->join_results.empty() && publish_armed_) {
    publish_.cancel();
    Publish();
  }
  for (const JoinResult& result : output->join_results) joining_.OnResult(result);
  for (const QueryProgress& progress : output->query_progress) {
    const auto ping = pings_.find(progress.id.value);
    if (ping != pings_.end()) ping->second.ack(progress.from);
  }
  for (const QueryDone& done : output->queries_done) {
    auto ping = pings_.extract(done.id.value);
    if (!ping.empty()) ping.mapped().done(done);
  }
  for (KeyResult& result : output->key_results) {
    auto done = key_calls_.extract(result.id.value);
    if (!done.empty()) done.mapped()(std::move(result));
  }
  if (output->name_lost.has_value()) listener_->OnNameLost(*output->name_lost);
  if (output->leave_done) LeaveDone();
}

void Pool::Impl::ArmTick() {
  const Time due = cluster_->NextDeadline();
  if (due == tick_at_) return;
  tick_at_ = due;
  if (due == Time::max()) {
    tick_.cancel();
    return;
  }
  tick_.expires_after(std::max(Duration(0), due - Now()));
  tick_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    tick_at_ = Time::max();
    cluster_->Tick(Now());
    Flush();
  });
}

// ---- The list.

void Pool::Impl::PublishSoon(const std::vector<std::string>& changed) {
  if (changed.empty()) return;
  for (const std::string& name : changed) {
    if (const std::optional<ClusterMember> member = cluster_->Find(name)) {
      members_[name] = ToProto(*member);
    } else {
      members_.erase(name);
    }
  }
  if (publish_armed_) return;
  const Time now = Now();
  if (now - kPublishInterval >= published_at_ || published_at_ == Time::min()) return Publish();
  publish_armed_ = true;
  publish_.expires_after(published_at_ + kPublishInterval - now);
  publish_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) Publish();
  });
}

void Pool::Impl::Publish() {
  publish_armed_ = false;
  published_at_ = Now();
  auto members = std::make_shared<MemberList::Members>();
  members->mutable_members()->Reserve(static_cast<int>(members_.size()));
  for (const auto& [name, member] : members_) *members->add_members() = member;
  list_.Publish(std::move(members));
  listener_->OnMembersPublished();
}

// ---- Pool.

Pool::Pool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pool::~Pool() { Stop(); }

absl::StatusOr<std::unique_ptr<Pool>> Pool::Open(PoolOptions options, Listener* listener,
                                                 base::Logger* logger) {
  auto impl = std::make_unique<Impl>(std::move(options), listener, logger);
  if (absl::Status status = impl->Open(); !status.ok()) return status;
  return std::unique_ptr<Pool>(new Pool(std::move(impl)));
}

void Pool::Announce() { impl_->Flush(); }
void Pool::Start() { impl_->Start(); }
void Pool::Stop() { impl_->Stop(); }
const MemberList& Pool::list() const { return impl_->list(); }
const std::string& Pool::name() const { return impl_->options().self.name; }
bool Pool::encrypted() const { return impl_->options().self.keyring.has_value(); }

void Pool::Join(std::vector<std::string> targets, std::function<void(JoinOutcome)> done) {
  const bool posted = impl_->Post([impl = impl_.get(), targets = std::move(targets), done] {
    impl->joining().Join(targets, done);
  });
  if (!posted) done({0, {"the agent is stopping"}});
}

void Pool::After(Duration delay, std::function<void()> task) {
  impl_->Post([impl = impl_.get(), delay, task = std::move(task)] { impl->After(delay, task); });
}

void Pool::Leave(std::function<void()> done) {
  if (!impl_->Post([impl = impl_.get(), done] { impl->Leave(done); })) done();
}

void Pool::ForceLeave(std::string name, bool prune, std::function<void(absl::Status)> done) {
  const bool posted = impl_->Post([impl = impl_.get(), name = std::move(name), prune, done] {
    const absl::Status status = impl->cluster().ForceLeave(Now(), name, prune);
    impl->Flush();
    done(status);
  });
  if (!posted) done(absl::CancelledError("the agent is stopping"));
}

void Pool::SendUserEvent(std::string name, std::string payload, bool coalesce,
                         std::function<void(absl::Status)> done) {
  const bool posted = impl_->Post([impl = impl_.get(), name = std::move(name),
                                   payload = std::move(payload), coalesce, done] {
    const absl::Status status = impl->cluster().SendUserEvent(Now(), name, payload, coalesce);
    impl->Flush();
    done(status);
  });
  if (!posted) done(absl::CancelledError("the agent is stopping"));
}

void Pool::UpdateTags(Tags tags, std::function<void(absl::Status)> done) {
  const bool posted = impl_->Post([impl = impl_.get(), tags = std::move(tags), done] {
    const absl::Status status = impl->cluster().UpdateTags(Now(), tags);
    impl->Flush();
    done(status);
  });
  if (!posted) done(absl::CancelledError("the agent is stopping"));
}

void Pool::SetClusterId(std::string cluster_id) {
  impl_->Post([impl = impl_.get(), cluster_id = std::move(cluster_id)] {
    impl->cluster().SetClusterId(cluster_id);
    impl->Flush();
  });
}

void Pool::ChangeKeys(KeyRequest request,
                      std::function<void(absl::StatusOr<KeyResult>)> done) {
  const bool posted = impl_->Post([impl = impl_.get(), request = std::move(request), done] {
    impl->ChangeKeys(request, done);
  });
  if (!posted) done(absl::CancelledError("the agent is stopping"));
}

void Pool::Ping(std::function<void(const std::string& member)> ack,
                std::function<void(absl::StatusOr<QueryDone>)> done) {
  if (!impl_->Post([impl = impl_.get(), ack = std::move(ack), done] { impl->Ping(ack, done); })) {
    done(absl::CancelledError("the agent is stopping"));
  }
}

void Pool::CoordinateOf(std::string name,
                        std::function<void(std::optional<Coordinate>)> done) {
  const bool posted = impl_->Post([impl = impl_.get(), name = std::move(name), done] {
    done(impl->cluster().CoordinateOf(name.empty() ? impl->options().self.name : name));
  });
  if (!posted) done(std::nullopt);
}

void Pool::Places(std::function<void(std::vector<PlacedMember>)> done) {
  const bool posted = impl_->Post([impl = impl_.get(), done] {
    std::vector<PlacedMember> places;
    for (const ClusterMember& member : impl->cluster().Members()) {
      if (member.status != MemberStatus::kAlive) continue;
      const std::optional<Coordinate> place = impl->cluster().CoordinateOf(member.name);
      if (place.has_value()) places.push_back({member.name, *place});
    }
    done(std::move(places));
  });
  if (!posted) done({});
}

std::vector<std::pair<std::string, std::string>> Pool::Stats() const {
  const ClusterStats stats = impl_->stats();
  return {
      {"coordinate_resets", std::to_string(stats.coordinate_resets)},
      {"encrypted", stats.encrypted ? "true" : "false"},
      {"event_queue", std::to_string(stats.event_queue)},
      {"event_time", std::to_string(stats.event_time.value)},
      {"failed", std::to_string(stats.failed)},
      {"health_score", std::to_string(stats.health_score)},
      {"intent_queue", std::to_string(stats.intent_queue)},
      {"left", std::to_string(stats.left)},
      {"member_time", std::to_string(stats.member_time.value)},
      {"members", std::to_string(stats.members)},
      {"query_queue", std::to_string(stats.query_queue)},
      {"query_time", std::to_string(stats.query_time.value)},
  };
}

}  // namespace consul::gossip
