// services/gossip/sim_network.h
//
// A network in virtual time, for whole pools in one process: datagrams and streams between hosts,
// with delay, loss, duplication, reordering, cuts in one direction, hosts that are down, asleep or
// slow, and clocks that drift. Everything random comes from one seed, so a run is the same again.
//
// Threads: none of its own; a test owns it.
// Background: services/gossip/swim.md (Tests).
#ifndef CONSUL_SERVICES_GOSSIP_SIM_NETWORK_H_
#define CONSUL_SERVICES_GOSSIP_SIM_NETWORK_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "services/gossip/random.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// What a host runs. Times are of the host's own clock. After each call the network pumps the host.
class SimProcess {
 public:
  virtual ~SimProcess() = default;
  virtual void Tick(Time now) = 0;
  virtual void ReceivePacket(Time now, const Endpoint& from, std::string_view plain) = 0;
  virtual void PacketUndeliverable(Time now, const Endpoint& to) = 0;
  virtual void StreamAccepted(Time now, StreamId stream, const Endpoint& from) = 0;
  virtual void StreamOpened(Time now, StreamId stream) = 0;
  virtual void StreamReceived(Time now, StreamId stream, std::string_view message) = 0;
  virtual void StreamClosed(Time now, StreamId stream, std::string_view why) = 0;
  virtual Time NextDeadline() const = 0;
  // Hands its outputs to the network. `ticked`: the last input was a Tick.
  virtual void Pump(bool ticked) = 0;
};

struct HostId {
  uint32_t value = 0;
  friend constexpr auto operator<=>(HostId, HostId) = default;
};

// What the network does to everything.
struct SimWeather {
  Duration delay_min = std::chrono::microseconds(500);
  Duration delay_max = std::chrono::microseconds(500);  // above min: packets overtake each other
  double loss = 0;         // of datagrams
  double stream_loss = 0;  // what is lost on a stream is sent again, and is late; below 1
  double duplication = 0;
};

struct SimTraffic {
  uint64_t packets = 0;
  uint64_t packet_bytes = 0;
  uint64_t streams = 0;  // opened
  uint64_t stream_bytes = 0;
};

class SimNetwork {
 public:
  explicit SimNetwork(uint64_t seed) : random_(seed) {}
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  // ---- Hosts. `process` is not owned; null: nothing runs there.
  HostId AddHost(const Endpoint& address);
  // Starts, replaces or ends what runs on a host. Streams of what ran before break.
  void SetProcess(HostId host, SimProcess* process);
  // The host is reached at another address from now on.
  void SetAddress(HostId host, const Endpoint& address);
  // And at this one; its packets come from the other.
  void AddAddress(HostId host, const Endpoint& address);
  const Endpoint& address(HostId host) const { return hosts_[host.value].address; }
  size_t hosts_count() const { return hosts_.size(); }

  // ---- Faults.
  SimWeather& weather() { return weather_; }
  // A host without a process refuses at once (the machine is up), or is silent (it is down).
  void SetRefuses(HostId host, bool refuses) { hosts_[host.value].refuses = refuses; }
  // Nothing gets from `from` to `to`.
  void Cut(HostId from, HostId to) { cuts_.insert({from, to}); }
  void Heal(HostId from, HostId to) { cuts_.erase({from, to}); }
  void HealAll() { cuts_.clear(); }
  // The process does not run until then. What comes meanwhile waits, some of it in vain.
  void Pause(HostId host, Duration duration);
  bool paused(HostId host) const { return hosts_[host.value].paused_until > now_; }
  // The process runs, its sockets do not: what comes, and what it sends, waits until then, some of
  // it in vain.
  void Stall(HostId host, Duration duration);
  bool stalled(HostId host) const { return hosts_[host.value].stalled_until > now_; }
  // Each input reaches the process up to this much later than it came.
  void SetSlowness(HostId host, Duration slowness) { hosts_[host.value].slowness = slowness; }
  // The host's clock runs this many millionths faster; at most a thousand, either way.
  void SetDrift(HostId host, int parts_per_million);

  // ---- For processes.
  void SendPacket(HostId from, const Endpoint& to, std::string bytes);
  void OpenStream(HostId from, StreamId stream, const Endpoint& to);
  void SendStream(HostId from, StreamId stream, std::string message);
  void CloseStream(HostId from, StreamId stream);
  Time LocalNow(HostId host) const;

  // ---- Running.
  Time now() const { return now_; }
  // After an input from outside: hands on its outputs and notes its deadline.
  void Pump(HostId host);
  // Runs what is due up to `until`.
  void RunUntil(Time until);
  void RunFor(Duration duration) { RunUntil(now_ + duration); }
  // Called after each step, with the host that took it.
  void SetObserver(std::function<void(HostId)> observer) { observer_ = std::move(observer); }

  const SimTraffic& traffic(HostId host) const { return hosts_[host.value].traffic; }
  uint64_t steps() const { return steps_; }

 private:
  enum class EventKind : uint8_t {
    kTimer, kWake, kPacket, kUndeliverable, kAccepted, kOpened, kStreamData, kStreamClosed,
  };
  struct Event {
    EventKind kind = EventKind::kTimer;
    HostId host;
    uint64_t life = 0;  // of the host, when the event is for one process alone
    Endpoint peer;
    StreamId stream;
    uint64_t timer = 0;  // which of the host's timers
    std::string bytes;
  };
  struct Due {
    Time at;
    uint64_t order;
    uint32_t event;
    bool operator>(const Due& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  struct Host {
    Endpoint address;
    SimProcess* process = nullptr;
    uint64_t life = 0;
    bool refuses = false;
    Time paused_until;
    Time stalled_until;
    std::vector<uint32_t> inbox;  // events that wait for the end of a pause or stall
    size_t inbox_packets = 0;
    Duration slowness{};
    int drift = 0;
    Time drift_since;  // where the host's clock agreed with
    Time local_since;  // this of its own
    Time timer_at = Time::max();
    uint64_t timer = 0;  // the last one that was armed; the others mean nothing any more
    SimTraffic traffic;
  };
  struct StreamEnd {
    HostId host;
    StreamId stream;
    friend auto operator<=>(const StreamEnd&, const StreamEnd&) = default;
  };
  struct Wire {
    StreamEnd other;
    Time busy_until;  // towards the other end: in order
  };

  void Schedule(Time at, Event event);
  void Run(uint32_t index);
  void Deliver(const Event& event);
  void HandTo(SimProcess* process, const Event& event, Time local);
  void ArmTimer(HostId host);
  Time ToGlobal(const Host& host, Time local) const;
  Duration Delay();
  bool Chance(double probability) { return probability > 0 && random_.Unit() < probability; }
  bool IsCut(HostId from, HostId to) const { return !cuts_.empty() && cuts_.count({from, to}) > 0; }
  void WakeAt(HostId host, Time at);
  // When what `from` sends now leaves it.
  Time Leaves(HostId from) const { return std::max(now_, hosts_[from.value].stalled_until); }
  Time ArrivalOnStream(HostId from, Wire* wire);
  void BreakStreams(HostId host);

  Random random_;
  SimWeather weather_;
  Time now_{};
  uint64_t order_ = 0;
  uint64_t steps_ = 0;
  uint64_t accepted_ = 0;
  std::vector<Host> hosts_;
  std::unordered_map<Endpoint, HostId, EndpointHash> by_address_;
  std::set<std::pair<HostId, HostId>> cuts_;
  std::map<StreamEnd, Wire> streams_;
  std::vector<Event> events_;
  std::vector<uint32_t> free_events_;
  std::priority_queue<Due, std::vector<Due>, std::greater<Due>> due_;
  std::function<void(HostId)> observer_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SIM_NETWORK_H_
