#include "services/rpc/parked_reads.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <optional>
#include <utility>

#include "services/base/check.h"
#include "services/rpc/long_reads.h"
#include "services/rpc/waiting_call.h"
#include "services/state/version_source.h"

namespace consul::rpc {
namespace {

using google::protobuf::Message;
using google::protobuf::io::CodedOutputStream;
using query::v1::QueryOptions;
using Clock = std::chrono::steady_clock;

// What reads of one group have in common, as bytes. Valid until the thread's next call.
std::string_view KeyOf(const Read& read) {
  thread_local std::string key;
  thread_local std::string request;
  thread_local QueryOptions common;
  const Call& call = *read.call;
  key.clear();
  const auto add = [](const auto& value) {
    key.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  add(call.executor());
  add(read.handler);
  add(read.stale);
  add(call.token.size());
  key.append(call.token);
  common.CopyFrom(*read.options);
  common.clear_index();
  common.clear_wait();
  add(common.ByteSizeLong());
  common.AppendToString(&key);
  // The options are the request's first field, as of every read: what comes behind their tag, their
  // length and themselves is the rest of it.
  CONSUL_CHECK(call.method().options_field->number() == 1);
  request.clear();
  call.request().AppendToString(&request);
  const size_t options_bytes = read.options->ByteSizeLong();
  const size_t rest = 1 + CodedOutputStream::VarintSize64(options_bytes) + options_bytes;
  key.append(request, rest);
  return key;
}

namespace intrusive = boost::intrusive;

using InOrder = intrusive::list_base_hook<intrusive::link_mode<intrusive::auto_unlink>>;
using ByDeadline = intrusive::set_base_hook<intrusive::link_mode<intrusive::normal_link>,
                                            intrusive::optimize_size<true>>;

}  // namespace

// One read that waits.
class ParkedReads::Member final : public Call::Waiting, public InOrder, public ByDeadline {
 public:
  Member(ParkedReads* reads, Group* group, const Read& read, Clock::time_point deadline)
      : read(read), deadline(deadline), group(group), reads_(reads) {
    reads_->count_.fetch_add(1, std::memory_order_relaxed);
  }
  ~Member() override { reads_->count_.fetch_sub(1, std::memory_order_relaxed); }

  void Cancel() override;

  bool operator<(const Member& other) const { return deadline < other.deadline; }

  const Read read;
  const Clock::time_point deadline;
  Group* group;  // null: it is due, and about to be answered
  // It came while the group was looked up elsewhere, and may have seen more than that has.
  bool late = false;

 private:
  ParkedReads* const reads_;
};

// Those who wait for the same. In the table, and watching or woken, as long as it has members.
class ParkedReads::Group final : public Waking, public state::Waiter, private base::Timer {
 public:
  Group(ParkedReads* reads, const Read& first)
      : Waking(first.call->executor()), reads_(reads), handler_(first.handler) {}

  // Waits for what the evaluation read. Returns false where that has changed since.
  bool Watch(const Evaluated& evaluated) {
    index_ = evaluated.index;
    const auto self = std::static_pointer_cast<Group>(shared_from_this());
    return handler_->source->Park(self, *evaluated.watched, evaluated.index);
  }

  // Where the group entered itself into the table.
  void set_key(const std::string* key) { key_ = key; }

  // The result has not moved beyond `given`, as far as any write goes that was acknowledged: a
  // group is told of a write before that.
  bool IsUnmoved(uint64_t given) const {
    return !woken() && long_read_ == nullptr && given >= index_;
  }

  void Add(const Read& read) {
    auto member = std::make_shared<Member>(reads_, this, read, reads_->DeadlineOf(read));
    member->late = long_read_ != nullptr;
    in_order_.push_back(*member);
    by_deadline_.insert(*member);
    read.call->waiting = std::move(member);
    Arm();
  }

  // Takes a member out that its caller ends.
  void Remove(Member* member) {
    by_deadline_.erase(by_deadline_.iterator_to(*member));
    member->InOrder::unlink();
    if (in_order_.empty()) Close();
  }

  void Fire() override {
    fired_.store(true, std::memory_order_relaxed);
    Wake();
  }

 private:
  using Members = intrusive::list<Member, intrusive::base_hook<InOrder>,
                                  intrusive::constant_time_size<false>>;
  using Deadlines = intrusive::multiset<Member, intrusive::base_hook<ByDeadline>,
                                        intrusive::constant_time_size<false>>;

  void Due() override { Wake(); }

  void OnWake() override {
    if (in_order_.empty()) return;
    if (long_read_ != nullptr) return TakeLong();
    const bool fired = fired_.exchange(false, std::memory_order_relaxed);
    if (!fired && by_deadline_.begin()->deadline > Clock::now()) return Rearm();
    handler_->source->registry().Cancel(this);
    const Read& any = in_order_.front().read;
    const auto answer = std::make_shared<Answer>(*any.method->response_prototype);
    Evaluated evaluated;
    const absl::Status status = Evaluate(any, *reads_->consensus_, answer->response, &evaluated);
    if (evaluated.cut) {
      // Full or not: its members have their places.
      long_read_ = reads_->long_reads_->Start(any, shared_from_this());
      return;
    }
    answer->rows = *evaluated.rows;
    Settle(answer, status, evaluated);
  }

  // Until the long read is there, members come, go and grow old; nobody is told of a write. Who
  // came meanwhile is not answered by it, for indexes would fall: Watch finds what was written.
  void TakeLong() {
    const std::shared_ptr<LongAnswer> answer = long_read_->Take();
    if (answer == nullptr) return;
    long_read_.reset();
    Settle(answer, answer->status, answer->evaluated);
  }

  // Answers those who are due by an evaluation, and waits on for the others.
  void Settle(const std::shared_ptr<Answer>& answer, const absl::Status& status,
              const Evaluated& evaluated) {
    Members due;
    TakeDue(status.ok() && !evaluated.watched->empty() ? evaluated.index : kEndsAll, Clock::now(),
            &due);
    if (in_order_.empty()) {
      Close();
    } else {
      if (!Watch(evaluated)) Fire();
      Rearm();
    }
    if (status.ok()) {
      for (const Member& member : due) GiveValidity(member.read, evaluated);
    }
    Give(answer, status, &due);
  }

  // Whatever index a member gave, it is below.
  static constexpr std::optional<uint64_t> kEndsAll = std::nullopt;

  // Moves those to `due` who gave an index below `index`, or whose time is over; not those who were
  // late, who are not any more.
  void TakeDue(std::optional<uint64_t> index, Clock::time_point now, Members* due) {
    for (auto at = in_order_.begin(); at != in_order_.end();) {
      Member& member = *at;
      ++at;
      if (std::exchange(member.late, false)) continue;
      if (index.has_value() && *index <= member.read.given() && member.deadline > now) continue;
      member.group = nullptr;
      due->splice(due->end(), in_order_, Members::s_iterator_to(member));
    }
    if (in_order_.empty()) return by_deadline_.clear();
    for (Member& member : *due) by_deadline_.erase(by_deadline_.iterator_to(member));
  }

  // Answers `due`. A call that is Done may start or cancel others: the next one is looked up anew.
  void Give(const std::shared_ptr<Answer>& answer, const absl::Status& status, Members* due) {
    if (due->empty()) return;
    const bool lone = &due->front() == &due->back();
    const uint64_t number =
        lone ? 0 : reads_->answers_.fetch_add(1, std::memory_order_relaxed) + 1;
    const Rows rows = Answer::HoldOf(answer);
    while (!due->empty()) {
      Call* const call = due->front().read.call;
      due->pop_front();
      call->waiting.reset();
      call->status = status;
      call->rows = &rows;
      call->ShareAnswer(answer->response, number);
      call->Done();
    }
  }

  // Has the timer tell of the earliest deadline. A member that was cancelled may leave it too
  // early: then it tells nothing new.
  void Arm() {
    const Clock::time_point earliest = by_deadline_.begin()->deadline;
    if (armed_ <= earliest) return;
    Rearm();
  }
  void Rearm() {
    armed_ = by_deadline_.begin()->deadline;
    reads_->timers_->Remove(this);
    reads_->timers_->Add(this, armed_);
  }

  // Ends the group: whoever asks the same from now on makes another one.
  void Close() {
    long_read_.reset();
    handler_->source->registry().Cancel(this);
    reads_->timers_->Remove(this);
    std::shared_ptr<Group> self;  // dropped after the mutex
    base::MutexLock lock(&reads_->mutex_);
    const auto at = reads_->groups_.find(*key_);
    self = std::move(at->second);
    reads_->groups_.erase(at);
  }

  ParkedReads* const reads_;
  const ReadHandler* const handler_;
  const std::string* key_ = nullptr;
  uint64_t index_ = 0;  // of the result, when the group began to watch
  Clock::time_point armed_ = Clock::time_point::max();
  Members in_order_;
  Deadlines by_deadline_;
  std::atomic<bool> fired_{false};  // and not only out of time
  std::unique_ptr<LongRead> long_read_;  // null: none is under way
};

void ParkedReads::Member::Cancel() {
  Call* const call = read.call;
  const auto self = std::move(call->waiting);
  if (group != nullptr) {
    group->Remove(this);
  } else {
    InOrder::unlink();
  }
  call->status = absl::CancelledError("the agent is shutting down");
  call->rows = nullptr;
  call->Done();
}

ParkedReads::ParkedReads(Limits limits, const Consensus* consensus, LongReads* long_reads,
                         base::TimerQueue* timers)
    : limits_(limits), consensus_(consensus), long_reads_(long_reads), timers_(timers) {}

ParkedReads::~ParkedReads() = default;

ParkedReads::Group* ParkedReads::Find(std::string_view key) {
  base::MutexLock lock(&mutex_);
  const auto found = groups_.find(key);
  return found == groups_.end() ? nullptr : found->second.get();
}

bool ParkedReads::Join(const Read& read) {
  if (count_.load(std::memory_order_relaxed) == 0 || full()) return false;
  Group* const group = Find(KeyOf(read));
  if (group == nullptr || !group->IsUnmoved(read.given())) return false;
  group->Add(read);
  return true;
}

ParkedReads::Outcome ParkedReads::Park(const Read& read, const Evaluated& evaluated) {
  if (full()) return Outcome::kFull;
  const std::string_view key = KeyOf(read);
  if (Group* const group = Find(key); group != nullptr) {
    // It has an index that is not above ours and watches, or is woken and about to look: either way
    // it sees what this evaluation did not.
    group->Add(read);
    return Outcome::kParked;
  }
  const auto group = std::make_shared<Group>(this, read);
  if (!group->Watch(evaluated)) return Outcome::kMoved;
  {
    base::MutexLock lock(&mutex_);
    const auto at = groups_.emplace(key, group).first;
    group->set_key(&at->first);
  }
  group->Add(read);
  return Outcome::kParked;
}

std::chrono::steady_clock::time_point ParkedReads::DeadlineOf(const Read& read) const {
  return Clock::now() + WaitOf(*read.options, limits_.wait_default, limits_.wait_max);
}

}  // namespace consul::rpc
