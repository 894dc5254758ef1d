// services/base/lending.h
//
// An event loop that has nothing to do but wait for what another thread brings soon lends its work
// to that thread: whoever brings the answer goes on with the loop by itself, and the loop's own
// thread sleeps on. Neither wakes the other, which takes longer than most of what they do, and what
// the loop asks for next shares its way with what else the bringer has to send.
//
// Threads: as each says.
#ifndef CONSUL_SERVICES_BASE_LENDING_H_
#define CONSUL_SERVICES_BASE_LENDING_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "services/base/mutex.h"

namespace consul::base {

// Who may run a loop: its own thread, nobody, or a borrower.
class Loan {
 public:
  enum class End : uint8_t {
    kGivenBack,  // or recalled
    kUnused,     // nobody has borrowed it for as long as that may last
  };

  Loan() = default;
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  // Of the loop's thread, which must not touch what it runs until this returns. At once when it
  // was recalled since the last one. Once it was borrowed it may lie unused for four times as long.
  End Lend(std::chrono::nanoseconds unused_max);
  // Of any thread: there is something that no borrower brings.
  void Recall();
  bool recalled();
  // Of any thread. True: it is lent, and the caller's until it returns it.
  bool Borrow();
  // Of the borrower's: to lie there for the next one, unless it was recalled, or given back.
  void Return(bool lend_on);

 private:
  enum class State : uint8_t { kOwned, kLent, kBorrowed };

  void GiveBackLocked() REQUIRES_LOCK(mutex_);

  Mutex mutex_;
  CondVar given_back_;
  State state_ GUARDED_BY(mutex_) = State::kOwned;
  bool recalled_ GUARDED_BY(mutex_) = false;
  uint64_t returned_count_ GUARDED_BY(mutex_) = 0;
};

// What is borrowed.
class Lender {
 public:
  // Both on the thread that borrowed it. Does what is due, and ends soon after `until`. Tells
  // whether more is to be expected for having done it.
  virtual bool RunBorrowed(std::chrono::steady_clock::time_point until) = 0;
  // Gives the loan back.
  virtual void ReturnBorrowed() = 0;

 protected:
  ~Lender() = default;
};

// Lives on the stack of a thread while that brings answers: what is given to a lent loop meanwhile
// is run by Run, or at the end of its life.
class Borrower {
 public:
  // `time_max`: for all that it runs, from the first time on. The thread has other things to do.
  explicit Borrower(std::chrono::nanoseconds time_max);
  ~Borrower();
  Borrower(const Borrower&) = delete;
  Borrower& operator=(const Borrower&) = delete;

  // The calling thread's newest. Null: it has none, or runs what it has borrowed, or has no time.
  static Borrower* Current();

  // REQUIRES: the calling thread has borrowed the loan of `lender`.
  void Add(Lender* lender) { lenders_.push_back(lender); }
  // All in turn, some times over: while one is run, what was done for another may be answered.
  // Returns whether there was anything to run.
  bool Run();

 private:
  const std::chrono::nanoseconds time_max_;
  Borrower* const before_;
  std::optional<std::chrono::steady_clock::time_point> until_;  // once it has run
  bool spent_ = false;
  std::vector<Lender*> lenders_;
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_LENDING_H_
