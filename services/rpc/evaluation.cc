#include "services/rpc/evaluation.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/state/version_source.h"

namespace consul::rpc {
namespace {

using google::protobuf::Message;
using query::v1::QueryMeta;
using query::v1::QueryOptions;

// What one thread keeps between calls.
struct Scratch {
  state::WatchSet watched;
  std::mt19937_64 random{std::random_device{}()};
  // One cache a source; a process has few sources.
  std::vector<std::pair<state::VersionSource*, state::VersionCache>> versions;

  const Rows& Newest(state::VersionSource* source) {
    for (auto& [known, cache] : versions) {
      if (known == source) return cache.Get();
    }
    return versions.emplace_back(source, state::VersionCache(source)).second.Get();
  }
};

Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// A validity that the watch of a reply clears. Whoever holds it keeps the watch; with the last hold
// the watch goes.
class WatchedValidity : public state::Waiter {
 public:
  void Fire() override { validity.Clear(); }
  Validity validity;
};

class ValidityHold {
 public:
  ValidityHold(state::VersionSource* source, std::shared_ptr<WatchedValidity> waiter)
      : source_(source), waiter_(std::move(waiter)) {}
  ~ValidityHold() { source_->registry().Cancel(waiter_.get()); }
  ValidityHold(const ValidityHold&) = delete;
  ValidityHold& operator=(const ValidityHold&) = delete;

 private:
  state::VersionSource* const source_;
  const std::shared_ptr<WatchedValidity> waiter_;
};

query::v1::Consistency EffectiveConsistency(const Read& read) {
  if (read.stale) return query::v1::CONSISTENCY_STALE;
  const bool consistent = read.options != nullptr &&
                          read.options->consistency() == query::v1::CONSISTENCY_CONSISTENT;
  return consistent ? query::v1::CONSISTENCY_CONSISTENT : query::v1::CONSISTENCY_DEFAULT;
}

}  // namespace

const QueryOptions* OptionsOf(const Call& call) {
  const auto* const field = call.method().options_field;
  if (field == nullptr) return nullptr;
  const Message& request = call.request();
  const auto* const reflection = request.GetReflection();
  if (!reflection->HasField(request, field)) return nullptr;
  return static_cast<const QueryOptions*>(&reflection->GetMessage(request, field));
}

absl::Status Evaluate(const Read& read, const Consensus& consensus, Message* response,
                      Evaluated* evaluated) {
  CONSUL_CHECK(response->GetArena() != nullptr);
  Scratch& scratch = ThreadScratch();
  const Rows& newest = scratch.Newest(read.handler->source);
  const state::Versioned& version = *newest;
  scratch.watched.Clear();
  evaluated->rows = &newest;
  evaluated->watched = &scratch.watched;
  absl::Status status =
      read.handler->read(version, read.call->request(), response, &scratch.watched);
  if (!status.ok()) return status;
  evaluated->index = version.IndexOf(scratch.watched);
  const auto* const field = read.call->method().meta_field;
  if (field == nullptr) return status;
  auto* const meta =
      static_cast<QueryMeta*>(response->GetReflection()->MutableMessage(response, field));
  const Consensus::View view = consensus.view();
  meta->set_index(evaluated->index);
  meta->set_known_leader(view.leader_known);
  // What the leader has vouched for is as fresh as his own.
  if (read.stale && view.last_contact.count() != 0) {
    meta->mutable_last_contact()->set_seconds(view.last_contact.count() / 1000);
    meta->mutable_last_contact()->set_nanos(view.last_contact.count() % 1000 * 1'000'000);
  }
  meta->set_effective_consistency(EffectiveConsistency(read));
  return status;
}

void GiveValidity(const Read& read, const Evaluated& evaluated) {
  if (!read.call->want_validity || evaluated.watched->empty()) return;
  auto waiter = std::make_shared<WatchedValidity>();
  state::VersionSource* const source = read.handler->source;
  if (!source->Park(waiter, *evaluated.watched, evaluated.index)) return;
  const Validity* const validity = &waiter->validity;
  auto hold = std::make_shared<ValidityHold>(source, std::move(waiter));
  read.call->validity = std::shared_ptr<const Validity>(std::move(hold), validity);
}

std::chrono::nanoseconds WaitOf(const QueryOptions& options, std::chrono::nanoseconds wait_default,
                                std::chrono::nanoseconds wait_max) {
  // A Duration holds more than can be counted in nanoseconds.
  const int64_t seconds = std::clamp<int64_t>(options.wait().seconds(), 0, 1'000'000);
  std::chrono::nanoseconds wait =
      std::chrono::seconds(seconds) + std::chrono::nanoseconds(options.wait().nanos());
  if (wait <= std::chrono::nanoseconds(0)) wait = wait_default;
  wait = std::min(wait, wait_max);
  std::uniform_int_distribution<int64_t> extra(0, wait.count() / 16);
  return std::min(wait + std::chrono::nanoseconds(extra(ThreadRandom())), wait_max);
}

void DropVersions() {
  for (auto& [source, cache] : ThreadScratch().versions) cache.Drop();
}

std::mt19937_64& ThreadRandom() { return ThreadScratch().random; }

}  // namespace consul::rpc
