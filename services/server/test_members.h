// services/server/test_members.h
//
// Consensus for tests of those who change who takes part: a configuration that changes at once,
// unless the test says that changes wait or fail. All members but this one, "id-self", are up to
// date and were just heard.
//
// Threads: any.
#ifndef CONSUL_SERVICES_SERVER_TEST_MEMBERS_H_
#define CONSUL_SERVICES_SERVER_TEST_MEMBERS_H_

#include <string>
#include <utility>
#include <vector>

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/server/raft_members.h"

namespace consul::server {

class TestMembers : public RaftMembers {
 public:
  TestMembers() {
    view_.self = raft::ServerId{"id-self"};
    view_.leads = true;
    view_.leader = view_.self;
    view_.term = raft::Term{2};
    view_.last_index = raft::Index{100};
    view_.configuration.index = raft::Index{1};
    view_.configuration.configuration =
        raft::Configuration().With(view_.self, raft::MemberKind::kVoter);
  }

  View view() const override {
    base::MutexLock lock(&mutex_);
    ++views_;
    changed_.SignalAll();
    View view = view_;
    for (const raft::Member& member : view.configuration.configuration.members()) {
      if (member.id == view.self || !view.leads) continue;
      view.progress.push_back({.id = member.id, .match = view.last_index, .heard_at = now_});
    }
    return view;
  }

  void Change(const raft::MembershipChange& change, Done done) override {
    absl::Status status;
    {
      base::MutexLock lock(&mutex_);
      changes_.push_back(Text(change));
      changed_.SignalAll();
      if (held_) {
        waiting_ = std::move(done);
        return;
      }
      status = std::exchange(failure_, absl::OkStatus());
      if (status.ok()) Make(change);
    }
    done(std::move(status));
  }

  void Transfer(const raft::ServerId& target, Done done) override {
    absl::Status status;
    {
      base::MutexLock lock(&mutex_);
      changes_.push_back("transfer " + target.value);
      status = std::exchange(failure_, absl::OkStatus());
      if (status.ok()) view_.leads = false;
    }
    done(std::move(status));
  }

  // How often view() was asked for.
  size_t views() const {
    base::MutexLock lock(&mutex_);
    return views_;
  }
  // Waits until it was so often; false: after ten seconds it was not.
  bool AwaitViews(size_t count) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    base::MutexLock lock(&mutex_);
    while (views_ < count && std::chrono::steady_clock::now() < end) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    }
    return views_ >= count;
  }

  void Take(const std::string& id, raft::MemberKind kind) {
    base::MutexLock lock(&mutex_);
    view_.configuration.configuration =
        view_.configuration.configuration.With(raft::ServerId{id}, kind);
  }
  void SetLeads(bool leads) {
    base::MutexLock lock(&mutex_);
    view_.leads = leads;
    view_.leader = leads ? view_.self : raft::ServerId{};
  }
  void SetTerm(uint64_t term) {
    base::MutexLock lock(&mutex_);
    view_.term = raft::Term{term};
  }
  // Of the clock that heard_at is on.
  void SetNow(raft::Time now) {
    base::MutexLock lock(&mutex_);
    now_ = now;
  }
  void FailNext(absl::Status status) {
    base::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }
  // Changes wait from here on, until Drop answers the one that does.
  void Hold() {
    base::MutexLock lock(&mutex_);
    held_ = true;
  }
  void Drop(const absl::Status& status) {
    Done done;
    {
      base::MutexLock lock(&mutex_);
      held_ = false;
      done = std::move(waiting_);
    }
    if (done != nullptr) done(status);
  }

  // "learner ID", "voter ID", "remove ID", "transfer ID".
  std::vector<std::string> changes() const {
    base::MutexLock lock(&mutex_);
    return changes_;
  }
  // Waits until there are so many; after ten seconds with fewer.
  std::vector<std::string> AwaitChanges(size_t count) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    base::MutexLock lock(&mutex_);
    while (changes_.size() < count && std::chrono::steady_clock::now() < end) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    }
    return changes_;
  }

 private:
  static std::string Text(const raft::MembershipChange& change) {
    switch (change.kind) {
      case raft::MembershipChange::Kind::kAddLearner:
        return "learner " + change.id.value;
      case raft::MembershipChange::Kind::kAddVoter:
        return "voter " + change.id.value;
      case raft::MembershipChange::Kind::kDemote:
        return "demote " + change.id.value;
      case raft::MembershipChange::Kind::kRemove:
        return "remove " + change.id.value;
    }
    return "";
  }

  void Make(const raft::MembershipChange& change) REQUIRES_LOCK(mutex_) {
    raft::Configuration& configuration = view_.configuration.configuration;
    switch (change.kind) {
      case raft::MembershipChange::Kind::kAddVoter:
        configuration = configuration.With(change.id, raft::MemberKind::kVoter);
        break;
      case raft::MembershipChange::Kind::kAddLearner:
      case raft::MembershipChange::Kind::kDemote:
        configuration = configuration.With(change.id, raft::MemberKind::kLearner);
        break;
      case raft::MembershipChange::Kind::kRemove:
        configuration = configuration.Without(change.id);
        break;
    }
  }

  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  View view_ GUARDED_BY(mutex_);
  raft::Time now_ GUARDED_BY(mutex_);
  mutable size_t views_ GUARDED_BY(mutex_) = 0;
  bool held_ GUARDED_BY(mutex_) = false;
  Done waiting_ GUARDED_BY(mutex_);
  absl::Status failure_ GUARDED_BY(mutex_);
  std::vector<std::string> changes_ GUARDED_BY(mutex_);
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_TEST_MEMBERS_H_
