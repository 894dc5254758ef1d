#include "services/gossip/sim_network.h"

#include <algorithm>
#include <iterator>

#include "services/base/check.h"

namespace consul::gossip {
namespace {

// Packets that a sleeping process' socket holds.
constexpr size_t kInboxPacketsMax = 256;
// How late a piece of a stream is whose first copy was lost.
constexpr Duration kRetransmission = std::chrono::milliseconds(200);
// Millionths. With more, rounding could wake a process before its time, over and over.
constexpr int kDriftMax = 1000;

}  // namespace

// ---- Hosts.

HostId SimNetwork::AddHost(const Endpoint& address) {
  const HostId id{static_cast<uint32_t>(hosts_.size())};
  hosts_.emplace_back();
  hosts_.back().address = address;
  by_address_[address] = id;
  return id;
}

void SimNetwork::SetProcess(HostId id, SimProcess* process) {
  Host& host = hosts_[id.value];
  BreakStreams(id);
  host.process = process;
  ++host.life;
  host.timer_at = Time::max();
  for (const uint32_t index : host.inbox) free_events_.push_back(index);
  host.inbox.clear();
  host.inbox_packets = 0;
  host.paused_until = Time{};
  host.stalled_until = Time{};
  if (process != nullptr) Pump(id);
}

void SimNetwork::SetAddress(HostId id, const Endpoint& address) {
  Host& host = hosts_[id.value];
  const auto found = by_address_.find(host.address);
  if (found != by_address_.end() && found->second == id) by_address_.erase(found);
  host.address = address;
  by_address_[address] = id;
}

void SimNetwork::AddAddress(HostId id, const Endpoint& address) { by_address_[address] = id; }

void SimNetwork::Pause(HostId id, Duration duration) {
  Host& host = hosts_[id.value];
  host.paused_until = std::max(host.paused_until, now_ + duration);
  WakeAt(id, host.paused_until);
}

void SimNetwork::Stall(HostId id, Duration duration) {
  Host& host = hosts_[id.value];
  host.stalled_until = std::max(host.stalled_until, now_ + duration);
  WakeAt(id, host.stalled_until);
}

void SimNetwork::WakeAt(HostId id, Time at) {
  Event wake;
  wake.kind = EventKind::kWake;
  wake.host = id;
  wake.life = hosts_[id.value].life;
  Schedule(at, std::move(wake));
}

void SimNetwork::SetDrift(HostId id, int parts_per_million) {
  CONSUL_CHECK(parts_per_million >= -kDriftMax && parts_per_million <= kDriftMax);
  Host& host = hosts_[id.value];
  host.local_since = LocalNow(id);
  host.drift_since = now_;
  host.drift = parts_per_million;
}

Time SimNetwork::LocalNow(HostId id) const {
  const Host& host = hosts_[id.value];
  if (host.drift == 0) return host.local_since + (now_ - host.drift_since);
  const Duration passed = now_ - host.drift_since;
  return host.local_since + passed + passed / 1'000'000 * host.drift;
}

Time SimNetwork::ToGlobal(const Host& host, Time local) const {
  const Duration passed = local - host.local_since;
  if (host.drift == 0) return host.drift_since + passed;
  // One unit later rather than a timer that comes just too early.
  return host.drift_since + passed - passed / (1'000'000 + host.drift) * host.drift +
         std::chrono::microseconds(2);
}

// ---- What processes do.

Duration SimNetwork::Delay() {
  const Duration span = weather_.delay_max - weather_.delay_min;
  if (span.count() <= 0) return weather_.delay_min;
  return weather_.delay_min + Duration(static_cast<Duration::rep>(
                                  random_.Below(static_cast<uint64_t>(span.count()))));
}

void SimNetwork::SendPacket(HostId from, const Endpoint& to, std::string bytes) {
  SimTraffic& traffic = hosts_[from.value].traffic;
  ++traffic.packets;
  traffic.packet_bytes += bytes.size();
  const auto target = by_address_.find(to);
  if (target == by_address_.end() || IsCut(from, target->second)) return;
  if (hosts_[target->second.value].process == nullptr) {
    if (!hosts_[target->second.value].refuses || IsCut(target->second, from)) return;
    Event refused;
    refused.kind = EventKind::kUndeliverable;
    refused.host = from;
    refused.life = hosts_[from.value].life;
    refused.peer = to;
    Schedule(Leaves(from) + Delay() + Delay(), std::move(refused));
    return;
  }
  for (int copies = Chance(weather_.duplication) ? 2 : 1; copies > 0; --copies) {
    if (Chance(weather_.loss)) continue;
    Event packet;
    packet.kind = EventKind::kPacket;
    packet.host = target->second;
    packet.peer = hosts_[from.value].address;
    packet.bytes = copies > 1 ? bytes : std::move(bytes);
    Schedule(Leaves(from) + Delay(), std::move(packet));
  }
}

// In order: nothing arrives before what was sent before it.
Time SimNetwork::ArrivalOnStream(HostId from, Wire* wire) {
  Time arrival = Leaves(from) + Delay();
  while (Chance(weather_.stream_loss)) arrival += kRetransmission;
  arrival = std::max(arrival, wire->busy_until);
  wire->busy_until = arrival;
  return arrival;
}

void SimNetwork::OpenStream(HostId from, StreamId stream, const Endpoint& to) {
  ++hosts_[from.value].traffic.streams;
  const auto target = by_address_.find(to);
  const bool cut = target == by_address_.end() || IsCut(from, target->second) ||
                   IsCut(target->second, from);
  if (cut) return;  // The opener waits in vain.
  Host& host = hosts_[target->second.value];
  if (host.process == nullptr) {
    if (!host.refuses) return;
    streams_[{from, stream}] = {{target->second, StreamId{}}, now_};
    Event refused;
    refused.kind = EventKind::kStreamClosed;
    refused.host = from;
    refused.life = hosts_[from.value].life;
    refused.stream = stream;
    refused.bytes = "connection refused";
    Schedule(Leaves(from) + Delay() + Delay(), std::move(refused));
    return;
  }
  const StreamEnd here{from, stream};
  const StreamEnd there{target->second, StreamId{++accepted_}};
  streams_[here] = {there, now_};
  streams_[there] = {here, now_};
  Event accepted;
  accepted.kind = EventKind::kAccepted;
  accepted.host = there.host;
  accepted.life = host.life;
  accepted.stream = there.stream;
  accepted.peer = hosts_[from.value].address;
  const Time arrival = ArrivalOnStream(from, &streams_[here]);
  Schedule(arrival, std::move(accepted));
  Event opened;
  opened.kind = EventKind::kOpened;
  opened.host = from;
  opened.life = hosts_[from.value].life;
  opened.stream = stream;
  Schedule(arrival + Delay(), std::move(opened));
}

void SimNetwork::SendStream(HostId from, StreamId stream, std::string message) {
  hosts_[from.value].traffic.stream_bytes += message.size();
  const StreamEnd here{from, stream};
  const auto wire = streams_.find(here);
  if (wire == streams_.end() || IsCut(from, wire->second.other.host)) return;
  Event data;
  data.kind = EventKind::kStreamData;
  data.host = wire->second.other.host;
  data.life = hosts_[data.host.value].life;
  data.stream = wire->second.other.stream;
  data.bytes = std::move(message);
  Schedule(ArrivalOnStream(from, &wire->second), std::move(data));
}

void SimNetwork::CloseStream(HostId from, StreamId stream) {
  const StreamEnd here{from, stream};
  const auto wire = streams_.find(here);
  if (wire == streams_.end()) return;
  const StreamEnd there = wire->second.other;
  if (there.stream.value != 0 && !IsCut(from, there.host)) {
    Event closed;
    closed.kind = EventKind::kStreamClosed;
    closed.host = there.host;
    closed.life = hosts_[there.host.value].life;
    closed.stream = there.stream;
    closed.bytes = "closed by the other side";
    Schedule(ArrivalOnStream(from, &wire->second), std::move(closed));
  }
  streams_.erase(here);
}

void SimNetwork::BreakStreams(HostId host) {
  std::vector<StreamId> broken;
  for (auto wire = streams_.lower_bound({host, StreamId{}});
       wire != streams_.end() && wire->first.host == host; ++wire) {
    broken.push_back(wire->first.stream);
  }
  for (const StreamId stream : broken) CloseStream(host, stream);
}

// ---- Running.

void SimNetwork::Schedule(Time at, Event event) {
  uint32_t index = static_cast<uint32_t>(events_.size());
  if (free_events_.empty()) {
    events_.push_back(std::move(event));
  } else {
    index = free_events_.back();
    free_events_.pop_back();
    events_[index] = std::move(event);
  }
  const Host& host = hosts_[events_[index].host.value];
  // What comes on a stream stays in order.
  const EventKind kind = events_[index].kind;
  if (host.slowness.count() > 0 && (kind == EventKind::kTimer || kind == EventKind::kPacket)) {
    at += Duration(static_cast<Duration::rep>(
        random_.Below(static_cast<uint64_t>(host.slowness.count()))));
  }
  due_.push({at, order_++, index});
}

void SimNetwork::Pump(HostId id) {
  Host& host = hosts_[id.value];
  if (host.process == nullptr) return;
  host.process->Pump(/*ticked=*/false);
  ArmTimer(id);
}

void SimNetwork::ArmTimer(HostId id) {
  Host& host = hosts_[id.value];
  const Time deadline = host.process->NextDeadline();
  if (deadline == Time::max()) return;
  const Time at = std::max(now_, ToGlobal(host, deadline));
  // One that comes too early looks again.
  if (host.timer_at <= at) return;
  host.timer_at = at;
  Event timer;
  timer.kind = EventKind::kTimer;
  timer.host = id;
  timer.life = host.life;
  timer.timer = ++host.timer;
  Schedule(at, std::move(timer));
}

void SimNetwork::RunUntil(Time until) {
  while (!due_.empty() && due_.top().at <= until) {
    const Due due = due_.top();
    due_.pop();
    now_ = std::max(now_, due.at);
    Run(due.event);
  }
  now_ = std::max(now_, until);
}

void SimNetwork::Run(uint32_t index) {
  Host& host = hosts_[events_[index].host.value];
  const bool packet = events_[index].kind == EventKind::kPacket;
  const bool timer = events_[index].kind == EventKind::kTimer;
  const bool stale = host.process == nullptr ||
                     (!packet && events_[index].life != host.life) ||
                     (timer && events_[index].timer != host.timer);
  const bool held = host.paused_until > now_ || (host.stalled_until > now_ && !timer);
  if (!stale && held) {
    if (timer) host.timer_at = Time::max();
    const bool full = packet && host.inbox_packets >= kInboxPacketsMax;
    if (!full && !timer) {
      host.inbox_packets += packet ? 1 : 0;
      host.inbox.push_back(index);
      return;
    }
    free_events_.push_back(index);
    return;
  }
  const Event event = std::move(events_[index]);
  free_events_.push_back(index);
  if (!stale) Deliver(event);
}

void SimNetwork::Deliver(const Event& event) {
  Host& host = hosts_[event.host.value];
  if (event.kind == EventKind::kWake) {
    // A driver reads what has come before it looks at its timers.
    const std::vector<uint32_t> inbox = std::exchange(host.inbox, {});
    host.inbox_packets = 0;
    for (const uint32_t waiting : inbox) Run(waiting);
    if (host.process != nullptr) ArmTimer(event.host);
    return;
  }
  ++steps_;
  if (event.kind == EventKind::kTimer) {
    host.timer_at = Time::max();
    const Time deadline = host.process->NextDeadline();
    if (deadline == Time::max() || ToGlobal(host, deadline) > now_) {
      ArmTimer(event.host);
      return;
    }
  }
  // A process hears nothing of a stream that it has closed.
  const bool of_stream = event.kind == EventKind::kOpened || event.kind == EventKind::kStreamData ||
                         event.kind == EventKind::kStreamClosed;
  if (of_stream && streams_.count({event.host, event.stream}) == 0) return;
  SimProcess* const process = host.process;
  HandTo(process, event, LocalNow(event.host));
  if (host.process == process) {
    process->Pump(event.kind == EventKind::kTimer);
    ArmTimer(event.host);
  }
  if (observer_) observer_(event.host);
}

void SimNetwork::HandTo(SimProcess* process, const Event& event, Time local) {
  switch (event.kind) {
    case EventKind::kTimer:
      process->Tick(local);
      return;
    case EventKind::kPacket:
      process->ReceivePacket(local, event.peer, event.bytes);
      return;
    case EventKind::kUndeliverable:
      process->PacketUndeliverable(local, event.peer);
      return;
    case EventKind::kAccepted:
      process->StreamAccepted(local, event.stream, event.peer);
      return;
    case EventKind::kOpened:
      process->StreamOpened(local, event.stream);
      return;
    case EventKind::kStreamData:
      process->StreamReceived(local, event.stream, event.bytes);
      return;
    case EventKind::kStreamClosed:
      streams_.erase({event.host, event.stream});
      process->StreamClosed(local, event.stream, event.bytes);
      return;
    case EventKind::kWake:
      return;
  }
}

}  // namespace consul::gossip
