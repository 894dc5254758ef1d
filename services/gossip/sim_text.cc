#include "services/gossip/sim_text.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>
#include <variant>

#include "services/base/check.h"
#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/gossip/wire.h"

namespace consul::gossip {
namespace {

using base::StrAppend;
using base::StrCat;

// The seed of all text tests: what they show depends on it, not what they mean.
constexpr uint64_t kSeed = 1;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::string Join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) StrAppend(&text, text.empty() ? "" : ", ", part);
  return text;
}

Duration ToDuration(const std::string& text) {
  const auto duration = base::ParseDuration(text);
  CONSUL_CHECK(duration.ok());
  return *duration;
}

// Seconds with three digits: "1.502".
std::string Seconds(Time time) {
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  std::string rest = std::to_string(millis % 1000);
  rest.insert(0, 3 - rest.size(), '0');
  return StrCat(millis / 1000, ".", rest);
}

// "key=value" among the words; empty when it is not there.
std::string Value(const std::vector<std::string>& words, std::string_view key) {
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos && word.substr(0, equals) == key) {
      return word.substr(equals + 1);
    }
  }
  return "";
}

bool Has(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string DescribeEntry(const Entry& entry) {
  return StrCat(entry.member->info.name, " ", ToText(entry.state), " ", entry.incarnation.value);
}

const char* KindText(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kJoined:
      return "joined";
    case ChangeKind::kUpdated:
      return "is updated";
    case ChangeKind::kFailed:
      return "failed";
    case ChangeKind::kLeft:
      return "left";
    case ChangeKind::kBack:
      return "is back";
  }
  return "";
}

}  // namespace

// ---- Words.

std::string DescribePacket(std::string_view bytes) {
  const auto parts = DecodePacket(bytes);
  if (!parts.has_value()) return "malformed";
  std::vector<std::string> words;
  for (const AliveClaim& claim : parts->alives) {
    words.push_back(StrCat("alive ", claim.member->info.name, " ", claim.incarnation.value));
  }
  for (const SuspectClaim& claim : parts->suspects) {
    words.push_back(
        StrCat("suspect ", claim.name, " ", claim.incarnation.value, " by ", claim.accuser));
  }
  for (const DeadClaim& claim : parts->deads) {
    words.push_back(StrCat(claim.left ? "left " : "dead ", claim.name, " ",
                           claim.incarnation.value, " by ", claim.accuser));
  }
  for (const std::string& custom : parts->customs) words.push_back(StrCat("custom ", custom));
  if (parts->ping.has_value()) words.push_back(StrCat("ping ", parts->ping->target));
  if (parts->indirect_ping.has_value()) {
    words.push_back(StrCat("ask for ", parts->indirect_ping->target));
  }
  if (parts->ack.has_value()) words.push_back(StrCat("ack of ", parts->ack->name));
  if (parts->nack.has_value()) words.push_back(StrCat("nack of ", parts->nack->source));
  return Join(words);
}

namespace {

struct StreamWords {
  std::string operator()(const HelloMessage& hello) const {
    return StrCat("Hello ", hello.self.member->info.name, hello.join ? " joins" : "", ", ",
                  hello.living_count, " living",
                  hello.about_receiver.has_value()
                      ? StrCat(", you are ", DescribeEntry(*hello.about_receiver))
                      : "",
                  hello.note.empty() ? "" : StrCat(", note ", hello.note));
  }
  std::string operator()(const DigestsMessage& digests) const {
    return StrCat("Digests of ", digests.digests.size(), " in ", digests.buckets.size(),
                  " buckets", digests.last ? ", last" : "");
  }
  std::string operator()(const EntriesMessage& entries) const {
    std::vector<std::string> names;
    for (const Entry& entry : entries.entries) names.push_back(DescribeEntry(entry));
    std::sort(names.begin(), names.end());
    return StrCat("Entries", names.empty() ? "" : " ", Join(names), ", wants ",
                  entries.wanted.size(), entries.last ? ", last" : "");
  }
  std::string operator()(const GoodbyeMessage& goodbye) const {
    return StrCat("Goodbye: ", goodbye.reason);
  }
  std::string operator()(const PingMessage& ping) const { return StrCat("ping ", ping.target); }
  std::string operator()(const AckMessage& ack) const { return StrCat("ack of ", ack.name); }
};

}  // namespace

std::string DescribeStreamMessage(std::string_view bytes) {
  const auto message = DecodeStreamMessage(bytes, Time{});
  return message.has_value() ? std::visit(StreamWords(), *message) : "malformed";
}

std::string Describe(const Change& change) {
  const MemberInfo& info = change.entry.member->info;
  return StrCat(info.name, " ", KindText(change.kind), ", incarnation ",
                change.entry.incarnation.value, " at ", info.address.ToString(),
                info.meta.empty() ? "" : StrCat(" with ", info.meta));
}

std::string Describe(const Fact& fact) {
  const std::string at = fact.address.port == 0 ? "" : fact.address.ToString();
  switch (fact.kind) {
    case FactKind::kSuspected:
      return StrCat("suspects ", fact.name, ", says ", fact.text);
    case FactKind::kRefuted:
      return StrCat("refutes ", fact.text, ", now incarnation ", fact.number);
    case FactKind::kProbeFailed:
      return StrCat("no answer from ", fact.name);
    case FactKind::kTcpOnly:
      return StrCat(fact.name, " answers on a stream only");
    case FactKind::kWrongName:
      return StrCat("wrong name: ", fact.name, " was meant, ", fact.text, " is there, ", at);
    case FactKind::kSlowSelf:
      return StrCat("was asleep for ", fact.number, "ms");
    case FactKind::kMergeRefused:
      return StrCat("merge refused, ", at, ": ", fact.text);
    case FactKind::kNameHeld:
      return StrCat("name ", fact.name, " held, ", at, ": ", fact.text);
    case FactKind::kNameConflict:
      return StrCat("name conflict over ", fact.name, ", ", at, ": ", fact.text);
    case FactKind::kTableFull:
      return StrCat("no room for ", fact.name, ": ", fact.number, " members");
    case FactKind::kBroadcastDropped:
      return StrCat("a broadcast was dropped: ", fact.number, " are waiting");
    case FactKind::kExchangeFailed:
      return StrCat("exchange failed, ", fact.name.empty() ? at : fact.name, ": ", fact.text);
    case FactKind::kMalformed:
      return StrCat("malformed: ", fact.number);
    case FactKind::kStreamsFull:
      return StrCat("too many streams: ", fact.number);
  }
  return "";
}

// ---- Running.

SimText::SimText() = default;

std::string SimText::Run(const std::string& script) {
  std::string all;
  for (std::string line : Split(script, '\n')) {
    out_.clear();
    const bool shown = line.rfind("- ", 0) != 0;
    if (!shown) line = line.substr(2);
    const std::string problem = RunLine(line);
    if (shown) StrAppend(&all, "> ", line, "\n", out_);
    if (!problem.empty()) StrAppend(&all, problem, "\n");
  }
  if (pool_ != nullptr && !pool_->invariants().broken().empty()) {
    StrAppend(&all, "BROKEN: ", pool_->invariants().broken(), "\n");
  }
  return all;
}

std::string SimText::RunLine(const std::string& line) {
  const Words words = Split(line, ' ');
  if (words.front() == "options") {
    SetOptions(words);
    return "";
  }
  if (pool_ == nullptr) {
    pool_ = std::make_unique<SimPool>(options_, kSeed);
    pool_->WatchInvariants();
    pool_->SetListener([this](HostId host, const Output& output) { Heard(host, output); });
  }
  const bool known =
      RunPoolCommand(words) || RunFault(words) || RunMemberCommand(words) || RunQuestion(words);
  return known ? "" : StrCat("unknown command ", words.front());
}

void SimText::SetOptions(const Words& words) {
  SwimOptions& options = pool_ == nullptr ? options_ : pool_->options();
  const std::map<std::string, Duration*> durations = {
      {"probe_interval", &options.probe_interval},
      {"probe_timeout", &options.probe_timeout},
      {"gossip_interval", &options.gossip_interval},
      {"push_pull_interval", &options.push_pull_interval},
      {"dead_node_reclaim", &options.dead_node_reclaim},
      {"gossip_to_the_dead", &options.gossip_to_the_dead},
      {"remember_dead", &options.remember_dead},
      {"remember_evicted", &options.remember_evicted},
      {"leave_timeout", &options.leave_timeout},
  };
  const std::map<std::string, size_t*> sizes = {
      {"members_max", &options.members_max},   {"streams_max", &options.streams_max},
      {"relays_max", &options.relays_max},     {"broadcasts_max", &options.broadcasts_max},
      {"custom_bytes_max", &options.custom_bytes_max},
      {"successions_max", &options.successions_max},
      {"held_messages_max", &options.held_messages_max},
  };
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string key = words[i].substr(0, words[i].find('='));
    const std::string value = Value(words, key);
    if (const auto found = durations.find(key); found != durations.end()) {
      *found->second = ToDuration(value);
    } else if (const auto size = sizes.find(key); size != sizes.end()) {
      *size->second = std::stoul(value);
    } else if (key == "suspicion_mult") {
      options.suspicion_mult = std::stoi(value);
    } else if (key == "lifeguard") {
      options.lifeguard = value == "true";
    } else if (key == "tcp_probes") {
      options.tcp_probes = value == "true";
    } else {
      CONSUL_CHECK(!"an option that is known");
    }
  }
}

void SimText::SetIdentity(const Words& words) {
  PoolIdentity& identity = pool_->identity();
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string key = words[i].substr(0, words[i].find('='));
    const std::string value = Value(words, key);
    if (key == "datacenter") identity.datacenter = value;
    if (key == "cluster") identity.cluster_id = value;
    if (key == "wan") identity.wan = value == "true";
    if (key == "protocol_min") identity.protocol_min = static_cast<uint32_t>(std::stoul(value));
    if (key == "protocol_max") identity.protocol_max = static_cast<uint32_t>(std::stoul(value));
  }
}

// ---- Commands.

bool SimText::RunPoolCommand(const Words& words) {
  const std::string& verb = words.front();
  if (verb == "pool") {
    for (size_t i = 1; i < words.size(); ++i) pool_->Start(pool_->AddHost(words[i]));
    pool_->Preload();
  } else if (verb == "host") {
    const HostId host = pool_->AddHost(words[1]);
    if (const std::string name = Value(words, "name"); !name.empty()) {
      pool_->SetMemberName(host, name);
    }
    if (const std::string id = Value(words, "id"); !id.empty()) pool_->SetId(host, id);
    if (const std::string meta = Value(words, "meta"); !meta.empty()) pool_->SetMeta(host, meta);
    pool_->Start(host);
  } else if (verb == "identity") {
    SetIdentity(words);
  } else if (verb == "join") {
    pool_->Join(pool_->host(words[1]), pool_->host(words[2]));
  } else if (verb == "run") {
    pool_->network().RunFor(ToDuration(words[1]));
  } else if (verb == "trace") {
    trace_packets_ = Has(words, "packets");
    trace_streams_ = Has(words, "streams");
  } else {
    return false;
  }
  return true;
}

bool SimText::RunFault(const Words& words) {
  SimNetwork& network = pool_->network();
  const std::string& verb = words.front();
  const auto host = [&](size_t word) { return pool_->host(words.at(word)); };
  if (verb == "cut") {
    network.Cut(host(1), host(2));
    if (!Has(words, "one-way")) network.Cut(host(2), host(1));
  } else if (verb == "isolate") {
    for (uint32_t other = 0; other < pool_->size(); ++other) {
      network.Cut(host(1), HostId{other});
      network.Cut(HostId{other}, host(1));
    }
  } else if (verb == "heal") {
    network.HealAll();
  } else if (verb == "loss") {
    network.weather().loss = std::stod(words.at(1));
  } else if (verb == "delay") {
    network.weather().delay_min = ToDuration(words.at(1));
    network.weather().delay_max = ToDuration(words.at(1));
  } else if (verb == "kill") {
    pool_->Kill(host(1));
    network.SetRefuses(host(1), Has(words, "refuses"));
  } else if (verb == "start") {
    pool_->Start(host(1));
  } else if (verb == "pause") {
    network.Pause(host(1), ToDuration(words.at(2)));
  } else if (verb == "move") {
    pool_->MoveTo(host(1), *Endpoint::Parse(words.at(2)));
  } else if (verb == "also-at") {
    network.AddAddress(host(1), *Endpoint::Parse(words.at(2)));
  } else if (verb == "renew-id") {
    pool_->RenewId(host(1));
  } else if (verb == "set-meta") {
    pool_->SetMeta(host(1), words.at(2));
  } else {
    return false;
  }
  return true;
}

bool SimText::RunMemberCommand(const Words& words) {
  const std::string& verb = words.front();
  if (words.size() < 2) return false;
  const auto with = [&](const auto& call) { pool_->With(pool_->host(words[1]), call); };
  if (verb == "inject") {
    Inject(words);
  } else if (verb == "leave") {
    with([](Swim* swim, Time now) { swim->Leave(now); });
  } else if (verb == "meta") {
    with([&](Swim* swim, Time now) { swim->UpdateMeta(now, words.at(2)); });
  } else if (verb == "address") {
    with([&](Swim* swim, Time now) {
      swim->UpdateAddress(now, pool_->network().address(pool_->host(words[1])));
    });
  } else if (verb == "cluster-id") {
    with([&](Swim* swim, Time) { swim->SetClusterId(words.at(2)); });
  } else if (verb == "broadcast") {
    with([&](Swim* swim, Time now) {
      const Priority priority = Has(words, "intent")  ? Priority::kIntent
                                : Has(words, "query") ? Priority::kQuery
                                                      : Priority::kEvent;
      if (!swim->Broadcast(now, words.at(2), words.at(3), priority)) out_ += "refused\n";
    });
  } else if (verb == "custom") {
    with([&](Swim* swim, Time) {
      swim->SendCustom(pool_->network().address(pool_->host(words.at(2))), words.at(3));
    });
  } else if (verb == "note") {
    with([&](Swim* swim, Time) { swim->SetStreamNote(words.at(2)); });
  } else if (verb == "ack-payload") {
    with([&](Swim* swim, Time) { swim->SetAckPayload(words.at(2)); });
  } else if (verb == "intent") {
    with([&](Swim* swim, Time) {
      swim->SetIntent(words.at(2), {LamportTime{std::stoul(words.at(3))}, 1});
    });
  } else if (verb == "evict" || verb == "make-left") {
    with([&](Swim* swim, Time now) {
      const bool done =
          verb == "evict" ? swim->Evict(words.at(2)) : swim->MakeLeft(now, words.at(2));
      out_ += done ? "done\n" : "refused\n";
    });
  } else {
    return false;
  }
  return true;
}

// inject A alive|suspect|dead|left|ask NAME INCARNATION [by=WHO] [id=ID] [meta=META] [at=ENDPOINT]
//        [from=ENDPOINT]
// inject A bytes HEX
void SimText::Inject(const Words& words) {
  const HostId host = pool_->host(words.at(1));
  std::string packet = words.at(2) == "bytes" ? words.at(3) : "";
  if (packet.empty()) {
    const std::string& name = words.at(3);
    const Incarnation incarnation{static_cast<uint32_t>(std::stoul(words.at(4)))};
    const std::string accuser = Value(words, "by").empty() ? "stranger" : Value(words, "by");
    const auto entry = pool_->swim(host).Find(name);
    MemberInfo info;
    if (entry.has_value()) info = entry->member->info;
    info.name = name;
    if (info.address.port == 0) info.address = *Endpoint::Parse("10.9.9.9:7946");
    if (!Value(words, "id").empty() || info.id.empty()) info.id = StrCat("id-", Value(words, "id"));
    if (!Value(words, "meta").empty()) info.meta = Value(words, "meta");
    if (!Value(words, "at").empty()) info.address = *Endpoint::Parse(Value(words, "at"));
    const Member member(info);
    pool_->Forge(info.id, incarnation);
    if (words.at(2) == "ask") {
      packet = EncodeIndirectPing({Sequence{1}, name, member.id_check, info.address, accuser});
    }
    if (words.at(2) == "alive") packet = EncodeAlive(member, incarnation);
    if (words.at(2) == "suspect") {
      packet = EncodeSuspect({name, member.id_check, incarnation, accuser});
    }
    if (words.at(2) == "dead" || words.at(2) == "left") {
      packet = EncodeDead({name, member.id_check, incarnation, accuser, words.at(2) == "left"});
    }
  }
  const std::string from = Value(words, "from");
  const Endpoint sender = *Endpoint::Parse(from.empty() ? "10.99.99.99:9" : from);
  pool_->With(host, [&](Swim* swim, Time now) { swim->ReceivePacket(now, sender, packet); });
}

// ---- Questions.

bool SimText::RunQuestion(const Words& words) {
  const std::string& verb = words.front();
  if (verb == "members") {
    ShowMembers(pool_->host(words.at(1)));
  } else if (verb == "status") {
    ShowStatus(pool_->host(words.at(1)));
  } else if (verb == "traffic") {
    ShowTraffic();
  } else if (verb == "converged") {
    const std::string why = pool_->WhyNotConverged();
    out_ += why.empty() ? "yes\n" : why;
  } else {
    return false;
  }
  return true;
}

void SimText::ShowMembers(HostId host) {
  std::map<std::string, std::string> lines;
  pool_->swim(host).ForEachMember([&](const Entry& entry) {
    const MemberInfo& info = entry.member->info;
    std::string& line = lines[info.name];
    line = StrCat(DescribeEntry(entry), " ", info.address.ToString(),
                  info.meta.empty() ? "" : StrCat(" ", info.meta));
    if (entry.intent.time.value > 0) StrAppend(&line, " intent ", entry.intent.time.value);
  });
  for (const auto& [name, line] : lines) StrAppend(&out_, line, "\n");
}

void SimText::ShowStatus(HostId host) {
  const Swim& swim = pool_->swim(host);
  const QueueLengths queued = swim.queue_lengths();
  StrAppend(&out_, "incarnation ", swim.incarnation().value, ", health ", swim.health_score(),
            ", queued ", queued.membership, "+", queued.intents, "+", queued.queries, "+",
            queued.events, ", malformed ", swim.malformed_count(),
            swim.leaving() ? ", leaving" : "", "\n");
}

void SimText::ShowTraffic() {
  traffic_.resize(pool_->size());
  for (uint32_t i = 0; i < pool_->size(); ++i) {
    const SimTraffic& now = pool_->network().traffic(HostId{i});
    const SimTraffic before = std::exchange(traffic_[i], now);
    StrAppend(&out_, pool_->name(HostId{i}), ": ", now.packets - before.packets, " packets, ",
              now.packet_bytes - before.packet_bytes, " bytes; ", now.streams - before.streams,
              " streams\n");
  }
}

// ---- What is heard.

void SimText::Say(HostId host, const std::string& text) {
  StrAppend(&out_, Seconds(pool_->network().now()), " ", pool_->name(host), ": ", text, "\n");
}

void SimText::Heard(HostId host, const Output& output) {
  const auto name_at = [this](const Endpoint& address) {
    for (uint32_t i = 0; i < pool_->size(); ++i) {
      if (pool_->network().address(HostId{i}) == address) return pool_->name(HostId{i});
    }
    return address.ToString();
  };
  for (const Fact& fact : output.facts) Say(host, Describe(fact));
  for (const Change& change : output.changes) Say(host, Describe(change));
  for (const CustomReceived& custom : output.customs) {
    Say(host, StrCat("hears ", custom.message));
  }
  for (const NoteReceived& note : output.notes) {
    if (note.note.empty()) continue;
    Say(host, StrCat("note of ", note.member, note.join ? " at a join: " : ": ", note.note));
  }
  for (const RttSample& rtt : output.rtts) {
    if (rtt.payload.empty()) continue;
    Say(host, StrCat("round trip to ", rtt.member->info.name, " took ",
                     base::FormatDuration(rtt.rtt), ", payload ", rtt.payload));
  }
  for (const IntentReceived& intent : output.intents) {
    Say(host, StrCat("intent of ", intent.name, ": ", intent.intent.time.value));
  }
  for (const JoinResult& result : output.join_results) {
    Say(host, result.joined
                  ? StrCat("has joined ", name_at(result.to), ": ", result.living_count, " living")
                  : StrCat("cannot join ", name_at(result.to), ": ", result.error));
  }
  if (output.name_lost_to != nullptr) Say(host, "has lost its name");
  if (!output.copy_of.empty()) Say(host, "ends as a copy");
  if (output.left_done) Say(host, "is done leaving");
  if (trace_packets_) {
    for (const Packet& packet : output.packets) {
      Say(host, StrCat("> ", name_at(packet.to), " ", DescribePacket(packet.bytes)));
    }
  }
  if (!trace_streams_) return;
  for (const StreamOpen& open : output.stream_opens) {
    Say(host, StrCat("opens a stream to ", name_at(open.to)));
  }
  for (const StreamSend& send : output.stream_sends) {
    Say(host, StrCat("says ", DescribeStreamMessage(send.message)));
  }
  for (size_t i = 0; i < output.stream_closes.size(); ++i) Say(host, "closes a stream");
}

}  // namespace consul::gossip
