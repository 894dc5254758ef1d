#include "gateway/dns/answerer.h"

#include <utility>

#include "services/base/check.h"

namespace consul::gateway::dns {
namespace {

// Queries with one key are answered by one lookup.
std::string LookupKey(const Query& query) {
  const std::span<const uint8_t> name = query.name_lower.wire();
  std::string key(reinterpret_cast<const char*>(name.data()), name.size());
  const uint16_t type = static_cast<uint16_t>(query.question.type);
  key.push_back(static_cast<char>(type >> 8));
  key.push_back(static_cast<char>(type));
  return key;
}

}  // namespace

// A lookup with the queries that wait for it.
class Answerer::Pending : public Lookup {
 public:
  Pending(Answerer* owner, std::string key, Time deadline)
      : owner(owner), responder(owner->responder_), key(std::move(key)), deadline(deadline) {}

  void Done() override {
    done = true;
    // Inside Start the caller takes over.
    if (!starting) owner->FinishLate(this);
  }

  Answerer* const owner;
  const std::shared_ptr<const Responder> responder;  // which made the plan
  const std::string key;
  const Time deadline;
  std::list<std::unique_ptr<Pending>>::iterator place;
  std::vector<Waiter> waiters;
  bool starting = true;
  bool done = false;
  bool abandoned = false;  // its Done is awaited, its queries are not
};

Answerer::Answerer(std::shared_ptr<const Responder> responder, Resolver* resolver,
                   rpc::Executor* executor, Sink* sink, LoopCounters* counters)
    : responder_(std::move(responder)),
      resolver_(resolver),
      executor_(executor),
      sink_(sink),
      counters_(counters) {}

Answerer::~Answerer() { CONSUL_CHECK(idle()); }

void Answerer::SetResponder(std::shared_ptr<const Responder> responder) {
  responder_ = std::move(responder);
  kept_.Clear();
  by_key_.clear();
}

Answerer::Outcome Answerer::Answer(std::span<const uint8_t> message, const Client& client,
                                   uint32_t unix_s, Time now, std::span<uint8_t> out) {
  const QueryStatus status = DecodeQuery(message, &query_);
  if (status == QueryStatus::kOk) {
    out = out.first(ResponseBytesMax(query_, client.transport));
    if (const size_t bytes = kept_.Find(query_, client.transport, unix_s, out); bytes != 0) {
      counters_->kept_answers.Add();
      return {.bytes = bytes};
    }
  } else {
    out = out.first(kUdpBytesPlain);
  }
  Plan plan = responder_->MakePlan(status, query_);
  if (plan.kind == PlanKind::kDrop) {
    counters_->dropped.Add();
    return {};
  }
  unix_s_ = unix_s;
  if (plan.needs_lookup()) {
    return StartLookup(query_, std::move(plan), client, now, out);
  }
  return {.bytes = responder_->Respond(query_, plan, Found(), unix_s, out).bytes};
}

Answerer::Outcome Answerer::StartLookup(const Query& query, Plan plan, const Client& client,
                                        Time now, std::span<uint8_t> out) {
  std::string key = LookupKey(query);
  if (waiting_ >= kWaitingQueriesMax) {
    counters_->lookups_refused.Add();
    return {.bytes = responder_->Respond(query, plan, Found(), unix_s_, out).bytes};
  }
  if (const auto it = by_key_.find(key); it != by_key_.end()) {
    ++waiting_;
    it->second->waiters.push_back({query, client});
    counters_->lookups_joined.Add();
    return {.later = true};
  }
  counters_->lookups.Add();
  auto owned = std::make_unique<Pending>(this, std::move(key), now + kLookupTimeout);
  Pending* const pending = owned.get();
  pending->plan = std::move(plan);
  pending->executor = executor_;
  resolver_->Start(pending);
  pending->starting = false;
  if (pending->done) {
    const Response response =
        responder_->Respond(query, pending->plan, pending->found, unix_s_, out);
    if (pending->found.status != Found::Status::kFailed) {
      kept_.Keep(query, client.transport, response, out.first(response.bytes),
                 std::move(pending->validity));
    }
    return {.bytes = response.bytes};
  }
  ++waiting_;
  pending->waiters.push_back({query, client});
  pending->place = pending_.insert(pending_.end(), std::move(owned));
  by_key_.emplace(pending->key, pending);
  return {.later = true};
}

void Answerer::AnswerWaiters(Pending* pending) {
  late_.resize(kTcpBytesMax);
  for (const Waiter& waiter : pending->waiters) {
    const std::span<uint8_t> out =
        std::span(late_).first(ResponseBytesMax(waiter.query, waiter.client.transport));
    const Response response =
        pending->responder->Respond(waiter.query, pending->plan, pending->found, unix_s_, out);
    const std::span<const uint8_t> bytes = out.first(response.bytes);
    if (pending->responder == responder_ && pending->found.status != Found::Status::kFailed) {
      kept_.Keep(waiter.query, waiter.client.transport, response, bytes, pending->validity);
    }
    sink_->SendLate(waiter.client, bytes);
  }
}

void Answerer::Abandon(Pending* pending) {
  pending->abandoned = true;
  Unlist(pending);
  waiting_ -= pending->waiters.size();
  pending->waiters.clear();
  resolver_->Cancel(pending);
}

void Answerer::Unlist(const Pending* pending) {
  const auto it = by_key_.find(pending->key);
  if (it != by_key_.end() && it->second == pending) by_key_.erase(it);
}

void Answerer::FinishLate(Pending* pending) {
  // Keeps it alive to the end of this function.
  const std::unique_ptr<Pending> owned = std::move(*pending->place);
  pending_.erase(pending->place);
  if (pending->abandoned) return;
  Unlist(pending);
  waiting_ -= pending->waiters.size();
  AnswerWaiters(pending);
}

void Answerer::Tick(Time now) {
  for (auto it = pending_.begin(); it != pending_.end() && (*it)->deadline <= now;) {
    Pending* const pending = (it++)->get();
    if (pending->abandoned) continue;
    counters_->lookups_timed_out.Add(pending->waiters.size());
    AnswerWaiters(pending);  // nothing was found yet: SERVFAIL
    Abandon(pending);
  }
}

void Answerer::CancelAll() {
  for (auto it = pending_.begin(); it != pending_.end();) {
    Pending* const pending = (it++)->get();
    if (!pending->abandoned) Abandon(pending);
  }
}

}  // namespace consul::gateway::dns
