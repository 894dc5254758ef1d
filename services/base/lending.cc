#include "services/base/lending.h"

#include <utility>

#include "services/base/check.h"

namespace consul::base {
namespace {

thread_local Borrower* current = nullptr;

constexpr int kPasses = 4;

// How much less often a loop looks after what is in use.
constexpr int kInUse = 4;

}  // namespace

Loan::End Loan::Lend(std::chrono::nanoseconds unused_max) {
  MutexLock lock(&mutex_);
  if (std::exchange(recalled_, false)) return End::kGivenBack;
  state_ = State::kLent;
  std::chrono::nanoseconds wait = unused_max;
  while (state_ != State::kOwned) {
    const uint64_t before = returned_count_;
    // One that is borrowed right now is in use, however late it is.
    if (given_back_.WaitFor(&mutex_, wait) || state_ != State::kLent) continue;
    if (returned_count_ == before) {
      state_ = State::kOwned;
      return End::kUnused;
    }
    wait = kInUse * unused_max;
  }
  return End::kGivenBack;
}

void Loan::Recall() {
  MutexLock lock(&mutex_);
  recalled_ = true;
  if (state_ == State::kLent) GiveBackLocked();
}

bool Loan::recalled() {
  MutexLock lock(&mutex_);
  return recalled_;
}

bool Loan::Borrow() {
  MutexLock lock(&mutex_);
  if (state_ != State::kLent) return false;
  state_ = State::kBorrowed;
  return true;
}

void Loan::Return(bool lend_on) {
  MutexLock lock(&mutex_);
  CONSUL_CHECK(state_ == State::kBorrowed);
  ++returned_count_;
  state_ = State::kLent;
  if (!lend_on || recalled_) GiveBackLocked();
}

// Under the lock: the loop may be gone as soon as its thread is awake.
void Loan::GiveBackLocked() {
  state_ = State::kOwned;
  recalled_ = false;
  given_back_.Signal();
}

Borrower::Borrower(std::chrono::nanoseconds time_max)
    : time_max_(time_max), before_(std::exchange(current, this)) {}

Borrower::~Borrower() {
  Run();
  current = before_;
}

Borrower* Borrower::Current() { return current == nullptr || current->spent_ ? nullptr : current; }

bool Borrower::Run() {
  using Clock = std::chrono::steady_clock;
  if (lenders_.empty()) return false;
  if (!until_.has_value()) until_ = Clock::now() + time_max_;
  current = nullptr;
  bool more = true;
  for (int i = 0; more && i < kPasses; ++i) {
    more = false;
    for (Lender* const lender : lenders_) more = lender->RunBorrowed(*until_) || more;
  }
  for (Lender* const lender : std::exchange(lenders_, {})) lender->ReturnBorrowed();
  current = this;
  spent_ = Clock::now() >= *until_;
  return true;
}

}  // namespace consul::base
