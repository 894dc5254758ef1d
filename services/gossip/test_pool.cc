#include "services/gossip/test_pool.h"

#include <algorithm>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/gossip/cluster_text.h"

namespace consul::gossip {
namespace {

using base::StrCat;
using std::chrono::seconds;

// A connection over a cut takes this long to be given up.
constexpr Duration kConnectTimeout = seconds(5);

std::pair<std::string, std::string> Pair(std::string_view a, std::string_view b) {
  return a < b ? std::pair<std::string, std::string>(a, b)
               : std::pair<std::string, std::string>(b, a);
}

}  // namespace

TestPool::TestPool(uint64_t seed, ClusterOptions options)
    : options_(options), random_(seed) {}

TestPool::Node& TestPool::Add(const std::string& name, Tags tags, std::optional<Keyring> keyring,
                              const std::string& member) {
  CONSUL_CHECK(!nodes_.contains(name));
  Node& node = nodes_[name];
  node.name = name;
  node.member = member.empty() ? name : member;
  node.id = StrCat("id-", name);
  node.address = *Endpoint::Parse(StrCat("10.0.0.", nodes_.size(), ":8301"));
  node.tags = std::move(tags);
  node.keyring = std::move(keyring);
  addresses_[node.address] = name;
  Start(node, /*fresh=*/true);
  return node;
}

TestPool::Node& TestPool::at(std::string_view name) {
  const auto found = nodes_.find(name);
  CONSUL_CHECK(found != nodes_.end());
  return found->second;
}

void TestPool::Start(Node& node, bool fresh) {
  if (fresh) node.restart = {};
  if (fresh) node.rejoin.clear();
  ++node.lives;
  node.leave_done = false;
  node.user_events.clear();
  node.queries.clear();
  node.held.reset();
  ClusterSelf self{node.member, node.id, node.address, node.tags, node.keyring};
  auto cluster = Cluster::Create(options_, PoolIdentity{"dc1", false, "", 1, 1}, std::move(self),
                                 node.restart, random_.Next(), now_);
  CONSUL_CHECK(cluster.ok());
  node.cluster = *std::move(cluster);
  invariants_.Started(node.name, options_.coalesce_period != Duration{0});
  Pump(node);
}

void TestPool::Crash(std::string_view name) {
  Node& node = at(name);
  node.cluster.reset();
  for (auto at = streams_.begin(); at != streams_.end();) {
    const auto [stream, end] = at->second;
    if (at->first.first != node.name) {
      ++at;
      continue;
    }
    at = streams_.erase(at);
    stream->open[end] = false;
    if (stream->names[1].empty()) continue;  // never accepted
    ArriveOnStream(stream, 1 - end, [this, stream = stream, end = end](Cluster& cluster) {
      stream->open[1 - end] = false;
      streams_.erase({stream->names[1 - end], stream->ids[1 - end]});
      cluster.StreamClosed(now_, stream->ids[1 - end], "reset by peer");
    });
  }
}

void TestPool::Restart(std::string_view name, bool fresh, bool new_id) {
  Node& node = at(name);
  CONSUL_CHECK(!node.up());
  if (new_id) node.id += "+";
  Start(node, fresh);
}

void TestPool::Join(std::string_view name, std::string_view to, bool ignore_old_events) {
  Node& node = at(name);
  node.cluster->Join(now_, at(to).address, ignore_old_events);
  Pump(node);
}

void TestPool::Cut(std::string_view a, std::string_view b) { cuts_.insert(Pair(a, b)); }

void TestPool::CutOff(std::string_view name) {
  for (const auto& [other, node] : nodes_) {
    if (other != name) Cut(name, other);
  }
}

bool TestPool::IsCut(std::string_view a, std::string_view b) const {
  return cuts_.contains(Pair(a, b));
}

TestPool::Node* TestPool::NodeAt(const Endpoint& address) {
  const auto found = addresses_.find(address);
  return found == addresses_.end() ? nullptr : &at(found->second);
}

// ---- Time.

void TestPool::At(Time when, std::function<void()> action) {
  happenings_.push({std::max(when, now_), ++order_, std::move(action)});
}

Duration TestPool::Latency() {
  const auto spread = static_cast<uint64_t>((network_.latency_max - network_.latency_min).count());
  return network_.latency_min + Duration(static_cast<int64_t>(random_.Below(spread + 1)));
}

void TestPool::Run(Duration duration) {
  RunUntil([] { return false; }, duration);
}

bool TestPool::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Time end = now_ + limit;
  while (!done()) {
    Time next = happenings_.empty() ? Time::max() : happenings_.top().at;
    Node* due = nullptr;
    for (auto& [name, node] : nodes_) {
      if (!node.up()) continue;
      const Time deadline = node.cluster->NextDeadline();
      if (deadline >= next) continue;
      next = deadline;
      due = &node;
    }
    if (next > end) {
      now_ = end;
      return false;
    }
    now_ = std::max(now_, next);
    if (due != nullptr) {
      due->cluster->Tick(now_);
      Pump(*due);
    } else {
      const auto action = happenings_.top().action;
      happenings_.pop();
      action();
    }
    if (!broken().empty()) return false;
  }
  return true;
}

// ---- What members want.

void TestPool::Pump(Node& node) {
  // One that has ended by what it wanted wants nothing more.
  while (node.cluster != nullptr) {
    ClusterOutput output = node.cluster->TakeOutput();
    invariants_.Check(node.name, *node.cluster, output);
    if (output.empty()) return;
    Record(node, output);
    Act(node, std::move(output));
  }
}

void TestPool::Act(Node& node, ClusterOutput output) {
  for (const Packet& packet : output.packets) SendPacket(node, packet);
  for (const StreamOpen& open : output.stream_opens) OpenStream(node, open);
  for (const StreamSend& send : output.stream_sends) SendOnStream(node, send);
  for (const StreamClose& close : output.stream_closes) CloseStream(node, close.stream);
  for (const QueryReceived& query : output.queries) {
    const auto answer = node.answers.find(query.name);
    if (answer == node.answers.end()) continue;
    const absl::Status status = node.cluster->Respond(now_, query.id, answer->second);
    if (!status.ok()) Trace(node, std::string(status.message()));
  }
  if (output.keyring_store.has_value()) {
    node.held = std::move(output.keyring_store);
    if (!node.hold_stores) StoreKeys(node);
  }
}

void TestPool::StoreKeys(Node& node) {
  if (!node.held.has_value()) return;
  const KeyringStore store = *std::exchange(node.held, std::nullopt);
  if (node.store_status.ok()) {
    node.keyring = store.keyring;
    Trace(node, "keyring " + ToText(store.keyring));
  }
  node.cluster->KeyringStored(now_, store.id, node.store_status);
  Pump(node);
}

void TestPool::Record(Node& node, const ClusterOutput& output) {
  for (const MemberEvent& event : output.member_events) Trace(node, ToText(event));
  for (const UserEvent& event : output.user_events) Trace(node, ToText(event));
  for (const QueryReceived& query : output.queries) Trace(node, ToText(query));
  for (const QueryProgress& progress : output.query_progress) Trace(node, ToText(progress));
  for (const QueryDone& done : output.queries_done) Trace(node, ToText(done));
  for (const KeyResult& result : output.key_results) Trace(node, ToText(result));
  for (const JoinResult& result : output.join_results) Trace(node, ToText(result));
  for (const ClusterFact& fact : output.cluster_facts) Trace(node, ToText(fact));
  if (output.name_lost.has_value()) {
    Trace(node, StrCat("has lost its name to ", output.name_lost->winner_id, " at ",
                       output.name_lost->winner_address.ToString()));
  }
  if (output.leave_done) Trace(node, "leave done");
  node.leave_done = node.leave_done || output.leave_done;
  for (const UserEvent& event : output.user_events) node.user_events.push_back(event);
  for (const QueryReceived& query : output.queries) node.queries.push_back(query);
  for (const KeyResult& result : output.key_results) node.key_results.push_back(result);
  for (const JoinResult& result : output.join_results) node.join_results.push_back(result);
  for (const ClusterRecord& record : output.records) {
    if (const auto* alive = std::get_if<AliveRecord>(&record)) {
      node.rejoin[alive->name] = alive->address;
    } else if (const auto* gone = std::get_if<NotAliveRecord>(&record)) {
      node.rejoin.erase(gone->name);
    } else if (const auto* clocks = std::get_if<ClocksRecord>(&record)) {
      node.restart = {clocks->member_time, clocks->event_time, clocks->query_time};
    }
  }
}

// ---- Packets.

void TestPool::SendPacket(Node& from, const Packet& packet) {
  if (on_packet_) on_packet_(packet);
  const Node* to = NodeAt(packet.to);
  if (to == nullptr || IsCut(from.name, to->name)) return;
  if (random_.Below(100) < static_cast<uint64_t>(network_.loss_percent)) return;
  const bool twice = random_.Below(100) < static_cast<uint64_t>(network_.duplicate_percent);
  for (int i = 0; i < (twice ? 2 : 1); ++i) {
    At(now_ + Latency(), [this, packet, from = from.address, sender = from.name] {
      Node& to = *NodeAt(packet.to);
      if (IsCut(sender, to.name)) return;
      if (to.up()) {
        to.cluster->ReceivePacket(now_, from, packet.bytes);
        return Pump(to);
      }
      Node& back = at(sender);
      if (!back.up()) return;
      back.cluster->PacketUndeliverable(now_, packet.to);
      Pump(back);
    });
  }
}

// ---- Streams.

std::pair<TestPool::StreamPtr, int> TestPool::FindStream(Node& node, StreamId id) {
  const auto found = streams_.find({node.name, id});
  if (found == streams_.end()) return {nullptr, 0};
  return found->second;
}

void TestPool::OpenStream(Node& from, const StreamOpen& open) {
  auto stream = std::make_shared<Stream>();
  stream->names[0] = from.name;
  stream->ids[0] = open.stream;
  stream->lives[0] = from.lives;
  streams_[{from.name, open.stream}] = {stream, 0};
  At(now_ + Latency(), [this, stream, to = open.to] {
    Node* acceptor = NodeAt(to);
    Node& opener = at(stream->names[0]);
    if (!opener.up() || opener.lives != stream->lives[0] || !stream->open[0]) return;
    if (acceptor == nullptr || IsCut(opener.name, acceptor->name) || !acceptor->up()) {
      const bool refused = acceptor != nullptr && !IsCut(opener.name, acceptor->name);
      stream->names[1] = opener.name;  // the network itself answers, if anything does
      stream->arrives[0] = now_ + (refused ? Duration{0} : kConnectTimeout);
      ArriveOnStream(stream, 0, [this, stream, refused](Cluster& cluster) {
        stream->open[0] = false;
        streams_.erase({stream->names[0], stream->ids[0]});
        cluster.StreamClosed(now_, stream->ids[0], refused ? "connection refused" : "timed out");
      });
      return;
    }
    stream->names[1] = acceptor->name;
    stream->ids[1] = StreamId{++last_stream_};
    stream->lives[1] = acceptor->lives;
    stream->open[1] = true;
    streams_[{acceptor->name, stream->ids[1]}] = {stream, 1};
    Endpoint from = opener.address;
    from.port = 40000;
    acceptor->cluster->StreamAccepted(now_, stream->ids[1], from);
    Pump(*acceptor);
    ArriveOnStream(stream, 0, [this, stream](Cluster& cluster) {
      cluster.StreamOpened(now_, stream->ids[0]);
    });
  });
}

void TestPool::ArriveOnStream(const StreamPtr& stream, int end,
                              std::function<void(Cluster&)> what) {
  const Time when = std::max(now_ + Latency(), stream->arrives[end]);
  stream->arrives[end] = when;
  At(when, [this, stream, end, what = std::move(what)] {
    Node& node = at(stream->names[end]);
    if (!node.up() || node.lives != stream->lives[end] || !stream->open[end]) return;
    if (IsCut(stream->names[0], stream->names[1])) return;  // its timeout ends it
    what(*node.cluster);
    Pump(node);
  });
}

void TestPool::SendOnStream(Node& from, const StreamSend& send) {
  const auto [stream, end] = FindStream(from, send.stream);
  if (stream == nullptr) return;
  ArriveOnStream(stream, 1 - end,
                 [this, stream = stream, end = end, message = send.message](Cluster& cluster) {
                   cluster.StreamReceived(now_, stream->ids[1 - end], message);
                 });
}

void TestPool::CloseStream(Node& from, StreamId id) {
  const auto [stream, end] = FindStream(from, id);
  if (stream == nullptr) return;
  streams_.erase({from.name, id});
  stream->open[end] = false;
  if (stream->names[1].empty()) return;  // never accepted
  ArriveOnStream(stream, 1 - end, [this, stream = stream, end = end](Cluster& cluster) {
    stream->open[1 - end] = false;
    streams_.erase({stream->names[1 - end], stream->ids[1 - end]});
    cluster.StreamClosed(now_, stream->ids[1 - end], "closed by peer");
  });
}

// ---- What it looks like.

std::string TestPool::View(std::string_view name) {
  Node& node = at(name);
  if (!node.up()) return "down";
  std::string text;
  for (const ClusterMember& member : node.cluster->Members()) {
    base::StrAppend(&text, text.empty() ? "" : ", ", member.name, " ", ToText(member.status));
  }
  return text;
}

std::string TestPool::TakeTrace() {
  std::string text;
  for (auto& [name, node] : nodes_) {
    for (const std::string& line : std::exchange(node.trace, {})) {
      base::StrAppend(&text, name, ": ", line, "\n");
    }
  }
  return text;
}

}  // namespace consul::gossip
