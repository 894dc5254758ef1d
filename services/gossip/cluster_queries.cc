#include "services/gossip/cluster_queries.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "services/base/strings.h"
#include "services/gossip/cluster_message.h"
#include "services/gossip/tags.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

}  // namespace

ClusterQueries::ClusterQueries(ClusterContext* context, ClusterKeys* keys, LamportTime min)
    : context_(context), keys_(keys), min_(min), seen_(context->options.queries_per_time_max) {}

// ---- Asking.

Duration ClusterQueries::DefaultTimeout() const {
  const auto members = static_cast<double>(context_->swim.counts().living());
  const auto factor = static_cast<int64_t>(std::ceil(std::log10(members + 1)));
  return context_->options.swim.gossip_interval * context_->options.query_timeout_mult *
         std::max<int64_t>(factor, 1);
}

absl::StatusOr<QueryId> ClusterQueries::Ask(pb::Query query, Duration timeout,
                                            std::optional<KeyResult> result) {
  using std::chrono::milliseconds;
  const ClusterOptions& options = context_->options;
  if (timeout == Duration{0}) timeout = DefaultTimeout();
  if (timeout < milliseconds(1) || timeout > kQueryTimeoutMax) {
    return absl::InvalidArgumentError("the timeout of a query is 1 ms to 1 h");
  }
  if (query.relay_factor() > kRelayFactorMax) {
    return absl::InvalidArgumentError(
        base::StrCat("the relay factor of a query is at most ", kRelayFactorMax));
  }
  if (asked_.size() >= options.queries_max) {
    return absl::ResourceExhaustedError(
        base::StrCat(options.queries_max, " queries are under way already"));
  }
  const MemberInfo& self = context_->swim.self();
  query.set_time(context_->query_clock.next().value);
  query.set_id(static_cast<uint32_t>(context_->random.Next()));
  query.set_source(self.name);
  query.set_ip(self.address.IpBytes());
  query.set_port(self.address.port);
  query.set_timeout_ms(static_cast<uint32_t>(timeout / milliseconds(1)));
  if (query.ByteSizeLong() > options.query_bytes_max) {
    return absl::ResourceExhaustedError(
        base::StrCat("query exceeds limit of ", options.query_bytes_max, " bytes"));
  }
  context_->query_clock.Take();
  Asked asked;
  asked.id = QueryId{++last_id_};
  asked.deadline = context_->now + timeout;
  asked.keys = std::move(result);
  if (asked.keys.has_value()) asked.keys->id = asked.id;
  const QueryId id = asked.id;
  asked_.emplace(WireId{LamportTime{query.time()}, query.id()}, std::move(asked));
  Received(query);
  return id;
}

void ClusterQueries::Received(const pb::QueryReply& reply) {
  const auto found = asked_.find(WireId{LamportTime{reply.time()}, reply.id()});
  // A user's answer to a question about keys, or the reverse, answers neither.
  const bool fits = found != asked_.end() &&
                    (reply.has_ack() || reply.has_keys() == found->second.keys.has_value());
  if (!fits) {
    context_->Say({ClusterFactKind::kReplyUnknown, reply.from(), {}, reply.time(), ""});
    return;
  }
  Asked& asked = found->second;
  std::set<std::string>& told = reply.has_ack() ? asked.acked : asked.answered;
  if (told.size() >= context_->options.query_replies_max) return;
  if (!told.insert(reply.from()).second) {
    context_->Say({ClusterFactKind::kReplyRepeated, reply.from(), {}, reply.time(), ""});
    return;
  }
  Progress(&asked, reply);
  if (asked.keys.has_value() && asked.keys->answered >= asked.keys->nodes) End(found);
}

void ClusterQueries::Progress(Asked* asked, const pb::QueryReply& reply) {
  if (asked->keys.has_value()) {
    if (reply.has_keys()) AddKeyAnswer(reply.from(), reply.keys(), &*asked->keys);
    return;
  }
  std::optional<std::string> payload;
  if (reply.has_payload()) payload = reply.payload();
  context_->output.query_progress.push_back({asked->id, reply.from(), std::move(payload)});
}

void ClusterQueries::End(std::map<WireId, Asked>::iterator asked) {
  Asked& ended = asked->second;
  if (ended.keys.has_value()) {
    FinishKeyResult(&*ended.keys);
    context_->output.key_results.push_back(std::move(*ended.keys));
  } else {
    context_->output.queries_done.push_back(
        {ended.id, ended.acked.size(), ended.answered.size()});
  }
  asked_.erase(asked);
}

// ---- Answering.

void ClusterQueries::Received(const pb::Query& query) {
  const LamportTime time{query.time()};
  context_->query_clock.Witness(time);
  switch (seen_.Insert(time, context_->query_clock.next(), query.id())) {
    case Novelty::kNew:
      break;
    case Novelty::kKnown:
      return;
    case Novelty::kTooOld:
    case Novelty::kFull:
      context_->Say({ClusterFactKind::kQueryTooOld, query.source(), {}, query.time(), ""});
      return;
  }
  pb::ClusterMessage passed_on;
  *passed_on.mutable_query() = query;
  context_->Broadcast(base::StrCat("query/", query.time(), "/", query.id()), passed_on,
                      Priority::kQuery);
  if (time < min_ || !IsMeant(query)) return;
  Answerable answerable{{time, query.id()},
                        query.source(),
                        *Endpoint::FromBytes(query.ip(), query.port()),
                        query.relay_factor(),
                        context_->now + std::chrono::milliseconds(query.timeout_ms())};
  if (query.want_ack()) {
    pb::QueryReply ack = ReplyTo(answerable);
    ack.set_ack(true);
    SendReply(answerable, std::move(ack));
  }
  if (answerable_.size() >= context_->options.queries_received_max) {
    answerable_.erase(answerable_.begin());
  }
  const ReceivedQueryId id{++last_received_id_};
  const Time deadline = answerable.deadline;
  answerable_.emplace(id, std::move(answerable));
  if (query.has_keys()) {
    keys_->Asked(id, query.source(), query.keys());
  } else {
    context_->output.queries.push_back({id, time, query.source(), query.user().name(),
                                        query.user().payload(), deadline});
  }
}

bool ClusterQueries::IsMeant(const pb::Query& query) const {
  const auto& nodes = query.nodes();
  if (!nodes.empty() &&
      std::find(nodes.begin(), nodes.end(), context_->self_name()) == nodes.end()) {
    return false;
  }
  if (query.tags().empty()) return true;
  const absl::StatusOr<MemberMeta> meta = DecodeMeta(context_->swim.self().meta);
  if (!meta.ok()) return false;
  return std::all_of(query.tags().begin(), query.tags().end(), [&](const pb::Tag& wanted) {
    return std::any_of(meta->tags.begin(), meta->tags.end(), [&](const auto& tag) {
      return tag.first == wanted.key() && tag.second == wanted.value();
    });
  });
}

absl::Status ClusterQueries::Respond(ReceivedQueryId id, std::string_view payload) {
  const auto found = answerable_.find(id);
  if (found == answerable_.end() || found->second.deadline < context_->now) {
    return absl::DeadlineExceededError("response is past the deadline");
  }
  if (found->second.answered) return absl::AlreadyExistsError("response already sent");
  pb::QueryReply reply = ReplyTo(found->second);
  reply.set_payload(std::string(payload));
  if (reply.ByteSizeLong() > context_->options.response_bytes_max) {
    return absl::ResourceExhaustedError(base::StrCat(
        "response exceeds limit of ", context_->options.response_bytes_max, " bytes"));
  }
  found->second.answered = true;
  SendReply(found->second, std::move(reply));
  return absl::OkStatus();
}

void ClusterQueries::AnswerKeys() {
  for (ClusterKeys::Answer& answer : keys_->TakeAnswers()) {
    const auto found = answerable_.find(answer.query);
    if (found == answerable_.end() || found->second.deadline < context_->now) continue;
    pb::QueryReply reply = ReplyTo(found->second);
    *reply.mutable_keys() = std::move(answer.answer);
    SendReply(found->second, std::move(reply));
    answerable_.erase(found);
  }
}

pb::QueryReply ClusterQueries::ReplyTo(const Answerable& query) const {
  pb::QueryReply reply;
  reply.set_time(query.wire_id.first.value);
  reply.set_id(query.wire_id.second);
  reply.set_from(context_->self_name());
  return reply;
}

void ClusterQueries::SendReply(const Answerable& query, pb::QueryReply reply) {
  if (context_->IsSelf(query.source)) return Received(reply);
  Relay(query, reply);
  pb::ClusterMessage message;
  *message.mutable_reply() = std::move(reply);
  context_->Send(query.address, message);
}

void ClusterQueries::Relay(const Answerable& query, const pb::QueryReply& reply) {
  if (query.relay_factor == 0) return;
  std::vector<Endpoint> others;
  context_->swim.ForEachMember([&](const Entry& entry) {
    const MemberInfo& info = entry.member->info;
    if (entry.state != LifeState::kAlive || context_->IsSelf(info.name)) return;
    if (info.name != query.source) others.push_back(info.address);
  });
  // ForEachMember promises no order, and equal seeds must give equal choices.
  std::sort(others.begin(), others.end());
  pb::ClusterMessage message;
  message.mutable_relay()->set_to(query.source);
  *message.mutable_relay()->mutable_reply() = reply;
  for (uint32_t i = 0; i < query.relay_factor && i < others.size(); ++i) {
    std::swap(others[i], others[i + context_->random.Below(others.size() - i)]);
    context_->Send(others[i], message);
  }
}

void ClusterQueries::Received(const pb::Relay& relay) {
  if (context_->IsSelf(relay.to())) return Received(relay.reply());
  const std::optional<Entry> entry = context_->swim.Find(relay.to());
  if (!entry.has_value() || !IsLiving(entry->state)) return;
  pb::ClusterMessage message;
  *message.mutable_reply() = relay.reply();
  context_->Send(entry->member->info.address, message);
}

// ---- Time.

void ClusterQueries::Tick() {
  for (auto asked = asked_.begin(); asked != asked_.end();) {
    const auto next = std::next(asked);
    if (asked->second.deadline <= context_->now) End(asked);
    asked = next;
  }
  std::erase_if(answerable_, [this](const auto& entry) {
    return entry.second.deadline < context_->now;
  });
}

Time ClusterQueries::NextDeadline() const {
  Time next = Time::max();
  for (const auto& [wire_id, asked] : asked_) next = std::min(next, asked.deadline);
  return next;
}

}  // namespace consul::gossip
