#include "services/gossip/sim_pool.h"

#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/gossip/hash.h"

namespace consul::gossip {
namespace {

constexpr uint16_t kPort = 7946;

Endpoint AddressOf(uint32_t host) {
  const char bytes[] = {10, static_cast<char>(host >> 16), static_cast<char>(host >> 8),
                        static_cast<char>(host)};
  return *Endpoint::FromBytes({bytes, sizeof bytes}, kPort);
}

// A UUID in looks, the same in each run.
std::string IdOf(uint32_t host, int number) {
  std::string digits = std::to_string(uint64_t{host} * 1000 + static_cast<uint64_t>(number));
  digits.insert(0, 12 - digits.size(), '0');
  return base::StrCat("00000000-0000-4000-8000-", digits);
}

}  // namespace

class SimPool::Process : public SimProcess {
 public:
  Process(SimPool* pool, HostId host, SwimOptions options, PoolIdentity identity, MemberInfo self,
          uint64_t seed, Time now)
      : pool_(pool), host_(host), swim_(options, std::move(identity), std::move(self), seed, now) {}

  void Tick(Time now) override { swim_.Tick(now); }
  void ReceivePacket(Time now, const Endpoint& from, std::string_view plain) override {
    swim_.ReceivePacket(now, from, plain);
  }
  void PacketUndeliverable(Time now, const Endpoint& to) override {
    swim_.PacketUndeliverable(now, to);
  }
  void StreamAccepted(Time now, StreamId stream, const Endpoint& from) override {
    swim_.StreamAccepted(now, stream, from);
  }
  void StreamOpened(Time now, StreamId stream) override { swim_.StreamOpened(now, stream); }
  void StreamReceived(Time now, StreamId stream, std::string_view message) override {
    swim_.StreamReceived(now, stream, message);
  }
  void StreamClosed(Time now, StreamId stream, std::string_view why) override {
    swim_.StreamClosed(now, stream, why);
  }
  Time NextDeadline() const override { return swim_.NextDeadline(); }

  void Pump(bool ticked) override {
    Output output = swim_.TakeOutput();
    if (pool_->watched_) pool_->invariants_.OnOutput(host_.value, swim_, output, ticked);
    // The layer above, in its simplest form: the newer of two intents is right.
    for (const IntentReceived& intent : output.intents) {
      const auto held = swim_.Find(intent.name);
      if (held.has_value() && held->intent.time < intent.intent.time) {
        swim_.SetIntent(intent.name, intent.intent);
      }
    }
    if (pool_->listener_) pool_->listener_(host_, output);
    SimNetwork& network = pool_->network_;
    for (Packet& packet : output.packets) {
      network.SendPacket(host_, packet.to, std::move(packet.bytes));
    }
    for (const StreamOpen& open : output.stream_opens) {
      network.OpenStream(host_, open.stream, open.to);
    }
    for (StreamSend& send : output.stream_sends) {
      network.SendStream(host_, send.stream, std::move(send.message));
    }
    for (const StreamClose& close : output.stream_closes) network.CloseStream(host_, close.stream);
  }

  Swim& swim() { return swim_; }

 private:
  SimPool* const pool_;
  const HostId host_;
  Swim swim_;
};

SimPool::SimPool(SwimOptions options, uint64_t seed)
    : options_(options), seed_(seed), network_(seed) {
  identity_.datacenter = "dc1";
  network_.SetObserver([this](HostId host) { Observe(host); });
}

SimPool::~SimPool() = default;

HostId SimPool::AddHost(std::string name) {
  const auto number = static_cast<uint32_t>(hosts_.size());
  hosts_.emplace_back();
  hosts_.back().name = std::move(name);
  return network_.AddHost(AddressOf(number));
}

HostId SimPool::host(std::string_view name) const {
  for (uint32_t i = 0; i < hosts_.size(); ++i) {
    if (hosts_[i].name == name) return HostId{i};
  }
  CONSUL_CHECK(!"a host of that name");
  return {};
}

void SimPool::Start(HostId id) {
  Host& host = hosts_[id.value];
  MemberInfo self;
  self.name = host.member_name.empty() ? host.name : host.member_name;
  self.id = host.id.empty() ? IdOf(id.value, host.id_number) : host.id;
  self.address = network_.address(id);
  self.meta = host.meta;
  ++host.life;
  const uint64_t seed =
      StableHash().Number(seed_).Number(id.value).Number(host.life).value();
  host.process = std::make_unique<Process>(this, id, options_, identity_, std::move(self), seed,
                                           network_.LocalNow(id));
  if (watched_) invariants_.OnStart(id.value, host.process->swim());
  network_.SetProcess(id, host.process.get());
}

void SimPool::Kill(HostId id) {
  network_.SetProcess(id, nullptr);
  hosts_[id.value].process.reset();
  invariants_.OnStop(id.value);
}

Swim& SimPool::swim(HostId id) {
  CONSUL_CHECK(up(id));
  return hosts_[id.value].process->swim();
}

void SimPool::Preload() {
  std::vector<MemberPtr> members;
  for (uint32_t i = 0; i < hosts_.size(); ++i) {
    if (up(HostId{i})) members.push_back(swim(HostId{i}).table_for_test().member(Slot{0}));
  }
  for (uint32_t i = 0; i < hosts_.size(); ++i) {
    if (!up(HostId{i})) continue;
    swim(HostId{i}).PreloadForTest(members);
    if (watched_) invariants_.OnPreload(i, swim(HostId{i}));
  }
}

void SimPool::Join(HostId id, HostId to) {
  With(id, [&](Swim* swim, Time now) { swim->Join(now, network_.address(to)); });
}

std::string SimPool::WhyNotConverged() {
  std::string why;
  size_t members = 0;
  for (uint32_t i = 0; i < hosts_.size(); ++i) {
    members += up(HostId{i}) && !swim(HostId{i}).leaving() ? 1 : 0;
  }
  for (uint32_t i = 0; i < hosts_.size(); ++i) {
    if (!up(HostId{i}) || swim(HostId{i}).leaving()) continue;
    const Swim& view = swim(HostId{i});
    if (view.counts().living() != members) {
      base::StrAppend(&why, name(HostId{i}), " knows ", view.counts().living(), " of ", members,
                      "\n");
    }
    for (uint32_t j = 0; j < hosts_.size(); ++j) {
      if (!up(HostId{j}) || swim(HostId{j}).leaving()) continue;
      const Swim& other = swim(HostId{j});
      const auto entry = view.Find(other.self().name);
      const bool right = entry.has_value() && entry->state == LifeState::kAlive &&
                         entry->member->info == other.self() &&
                         entry->incarnation == other.incarnation();
      if (right) continue;
      base::StrAppend(&why, name(HostId{i}), " believes of ", other.self().name, ": ",
                      entry.has_value() ? ToText(entry->state) : "nothing", " ",
                      entry.has_value() ? entry->incarnation.value : 0, ", which is ",
                      other.incarnation().value, "\n");
    }
  }
  return why;
}

void SimPool::Observe(HostId id) {
  if (!watched_ || !up(id)) return;
  invariants_.Check(id.value, swim(id));
}

}  // namespace consul::gossip
