#include "services/rpc/shared_barriers.h"

#include <vector>

namespace consul::rpc {

// Of one executor and mode. Posted to ask, and to tell: again where there is no time for all.
class SharedBarriers::Group final : public Task, public std::enable_shared_from_this<Group> {
 public:
  Group(SharedBarriers* barriers, const Key& key) : barriers_(barriers), key_(key) {}

  // REQUIRES: it has not been asked. On the executor's thread.
  void Add(std::shared_ptr<Read> read) { reads_.push_back(std::move(read)); }

  void Ask() {
    asked_ = true;
    key_.first->Expect(1);
    barriers_->consensus_->ReadBarrier(key_.second,
                                       [self = shared_from_this()](absl::Status status) {
                                         self->status_ = std::move(status);
                                         self->Post();
                                       });
  }

  void Post() {
    posted_self_ = shared_from_this();
    key_.first->Post(this);
  }

 private:
  void Run() override {
    const std::shared_ptr<Group> self = std::move(posted_self_);
    if (asked_) return Tell();
    {
      base::MutexLock lock(&barriers_->mutex_);
      barriers_->gathering_.erase(key_);
    }
    Ask();
  }

  void Tell() {
    if (told_count_ == 0) key_.first->Expect(-1);
    while (told_count_ < reads_.size()) {
      reads_[told_count_++]->Answered(status_);
      if (told_count_ < reads_.size() && key_.first->time_is_up()) return Post();
    }
  }

  SharedBarriers* const barriers_;
  const Key key_;
  std::vector<std::shared_ptr<Read>> reads_;
  size_t told_count_ = 0;
  bool asked_ = false;
  absl::Status status_;
  std::shared_ptr<Group> posted_self_;  // while it is in the executor's queue
};

void SharedBarriers::Await(Executor* executor, ReadMode mode, std::shared_ptr<Read> read) {
  const Key key(executor, mode);
  if (!executor->gathers()) {
    const auto alone = std::make_shared<Group>(this, key);
    alone->Add(std::move(read));
    return alone->Ask();
  }
  std::shared_ptr<Group> begun;
  {
    base::MutexLock lock(&mutex_);
    std::shared_ptr<Group>& group = gathering_[key];
    if (group == nullptr) group = begun = std::make_shared<Group>(this, key);
    group->Add(std::move(read));
  }
  if (begun != nullptr) begun->Post();
}

}  // namespace consul::rpc
