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

query::v1::Consistency EffectiveConsistency(const Question& question) {
  if (question.stale) return query::v1::CONSISTENCY_STALE;
  const bool consistent = question.options != nullptr &&
                          question.options->consistency() == query::v1::CONSISTENCY_CONSISTENT;
  return consistent ? query::v1::CONSISTENCY_CONSISTENT : query::v1::CONSISTENCY_DEFAULT;
}

void WriteMeta(const Question& question, const Consensus& consensus, uint64_t index,
               QueryMeta* meta) {
  const Consensus::View view = consensus.view();
  meta->set_index(index);
  meta->set_known_leader(view.leader_known);
  // What the leader has vouched for is as fresh as his own.
  if (question.stale && view.last_contact.count() != 0) {
    meta->mutable_last_contact()->set_seconds(view.last_contact.count() / 1000);
    meta->mutable_last_contact()->set_nanos(view.last_contact.count() % 1000 * 1'000'000);
  }
  meta->set_effective_consistency(EffectiveConsistency(question));
}

absl::Status Run(const Question& question, const Consensus& consensus, const Rows& rows,
                 state::WatchSet* watched, Message* response, Evaluated* evaluated) {
  CONSUL_CHECK(response->GetArena() != nullptr);
  const state::Versioned& version = *rows;
  evaluated->response = response;
  evaluated->rows = &rows;
  evaluated->watched = watched;
  absl::Status status = question.handler->read(version, *question.request, response, watched);
  evaluated->cut = watched->cut();
  if (!status.ok() || evaluated->cut) return status;
  evaluated->index = version.IndexOf(*watched);
  const auto* const field = question.method->meta_field;
  if (field == nullptr) return status;
  auto* const meta =
      static_cast<QueryMeta*>(response->GetReflection()->MutableMessage(response, field));
  WriteMeta(question, consensus, evaluated->index, meta);
  return status;
}

}  // namespace

Read ReadOf(Call* call, const ReadHandler& handler) {
  return {{&handler, &call->method(), &call->request(), OptionsOf(*call)}, call};
}

Answer::Answer(const Message& prototype)
    : arena([this] {
        google::protobuf::ArenaOptions options;
        options.initial_block = block;
        options.initial_block_size = sizeof(block);
        return options;
      }()),
      response(prototype.New(&arena)) {}

const QueryOptions* OptionsOf(const Method& method, const Message& request) {
  const auto* const field = method.options_field;
  if (field == nullptr) return nullptr;
  const auto* const reflection = request.GetReflection();
  if (!reflection->HasField(request, field)) return nullptr;
  return static_cast<const QueryOptions*>(&reflection->GetMessage(request, field));
}

absl::Status Evaluate(const Question& question, const Consensus& consensus, Message* response,
                      Evaluated* evaluated) {
  Scratch& scratch = ThreadScratch();
  scratch.watched.Clear();
  scratch.watched.LimitRows(kRowsAtOnce);
  return Run(question, consensus, scratch.Newest(question.handler->source), &scratch.watched,
             response, evaluated);
}

absl::Status EvaluateWhole(const Question& question, const Consensus& consensus, Answer* answer,
                           state::WatchSet* watched, Evaluated* evaluated) {
  answer->rows = question.handler->source->Load();
  return Run(question, consensus, answer->rows, watched, answer->response, evaluated);
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
