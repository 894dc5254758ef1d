#include "services/base/lending.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

namespace consul::base {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kLong{30};

void AwaitBorrow(Loan* loan) {
  while (!loan->Borrow()) std::this_thread::yield();
}

struct TestLender final : Lender {
  explicit TestLender(std::function<bool()> work) : work(std::move(work)) {}
  bool RunBorrowed(std::chrono::steady_clock::time_point /*until*/) override {
    EXPECT_EQ(returns, 0);
    return work();
  }
  void ReturnBorrowed() override { ++returns; }
  std::function<bool()> work;
  int returns = 0;
};

TEST(LoanTest, NobodyBorrowsWhatIsNotLent) {
  Loan loan;
  EXPECT_FALSE(loan.Borrow());
}

TEST(LoanTest, NobodyNeedsIt) {
  Loan loan;
  EXPECT_EQ(loan.Lend(milliseconds(1)), Loan::End::kUnused);
  EXPECT_FALSE(loan.Borrow());
}

TEST(LoanTest, ComesBackFromItsBorrower) {
  Loan loan;
  int runs = 0;
  std::thread borrower([&] {
    AwaitBorrow(&loan);
    ++runs;
    loan.Return(/*lend_on=*/false);
  });
  EXPECT_EQ(loan.Lend(kLong), Loan::End::kGivenBack);
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(loan.Borrow());
  borrower.join();
}

TEST(LoanTest, LiesThereForTheNextBorrower) {
  Loan loan;
  int runs = 0;
  std::thread borrower([&] {
    for (int i = 0; i < 3; ++i) {
      AwaitBorrow(&loan);
      ++runs;
      loan.Return(/*lend_on=*/i < 2);
    }
  });
  EXPECT_EQ(loan.Lend(kLong), Loan::End::kGivenBack);
  EXPECT_EQ(runs, 3);
  borrower.join();
}

TEST(LoanTest, OneAtATime) {
  Loan loan;
  std::thread borrower([&] {
    AwaitBorrow(&loan);
    EXPECT_FALSE(loan.Borrow());
    loan.Return(/*lend_on=*/false);
  });
  loan.Lend(kLong);
  borrower.join();
}

// However long it takes: the loop's thread must not run beside it.
TEST(LoanTest, IsInUseAsLongAsItIsBorrowed) {
  Loan loan;
  std::atomic<bool> borrowed = false;
  std::thread borrower([&] {
    AwaitBorrow(&loan);
    borrowed = true;
    const auto until = std::chrono::steady_clock::now() + milliseconds(30);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    borrowed = false;
    loan.Return(/*lend_on=*/false);
  });
  while (loan.Lend(milliseconds(5)) == Loan::End::kUnused) EXPECT_FALSE(borrowed);
  EXPECT_FALSE(borrowed);
  borrower.join();
}

TEST(LoanTest, RecalledWhileItIsLent) {
  Loan loan;
  std::thread other([&] {
    AwaitBorrow(&loan);
    loan.Return(/*lend_on=*/true);
    loan.Recall();
  });
  EXPECT_EQ(loan.Lend(kLong), Loan::End::kGivenBack);
  EXPECT_FALSE(loan.Borrow());
  other.join();
}

TEST(LoanTest, RecalledBeforeItIsLent) {
  Loan loan;
  loan.Recall();
  EXPECT_EQ(loan.Lend(kLong), Loan::End::kGivenBack);
  // That was for once.
  EXPECT_EQ(loan.Lend(milliseconds(1)), Loan::End::kUnused);
}

TEST(LoanTest, RecalledWhileItIsBorrowed) {
  Loan loan;
  std::thread borrower([&] {
    AwaitBorrow(&loan);
    loan.Recall();
    loan.Return(/*lend_on=*/true);
  });
  EXPECT_EQ(loan.Lend(kLong), Loan::End::kGivenBack);
  EXPECT_FALSE(loan.Borrow());
  borrower.join();
}

TEST(BorrowerTest, OfTheThreadAndAsLongAsItLives) {
  EXPECT_EQ(Borrower::Current(), nullptr);
  {
    Borrower outer(kLong);
    EXPECT_EQ(Borrower::Current(), &outer);
    {
      Borrower inner(kLong);
      EXPECT_EQ(Borrower::Current(), &inner);
    }
    EXPECT_EQ(Borrower::Current(), &outer);
    std::thread([] { EXPECT_EQ(Borrower::Current(), nullptr); }).join();
  }
  EXPECT_EQ(Borrower::Current(), nullptr);
}

TEST(BorrowerTest, RunsWhatItHasBorrowedAndReturnsIt) {
  Borrower borrower(kLong);
  EXPECT_FALSE(borrower.Run());
  int runs = 0;
  TestLender lender([&] {
    ++runs;
    return false;
  });
  borrower.Add(&lender);
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(borrower.Run());
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(lender.returns, 1);
  EXPECT_FALSE(borrower.Run());
  EXPECT_EQ(runs, 1);
}

TEST(BorrowerTest, RunsAllAgainWhileThereIsMore) {
  Borrower borrower(kLong);
  int runs = 0;
  int others = 0;
  TestLender lender([&] { return ++runs < 3; });
  TestLender other([&] {
    ++others;
    return false;
  });
  borrower.Add(&lender);
  borrower.Add(&other);
  borrower.Run();
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(others, 3);
  EXPECT_EQ(lender.returns + other.returns, 2);
}

TEST(BorrowerTest, ReturnsWhatHasMoreForEver) {
  Borrower borrower(kLong);
  TestLender lender([] { return true; });
  borrower.Add(&lender);
  borrower.Run();
  EXPECT_EQ(lender.returns, 1);
}

TEST(BorrowerTest, BorrowsNoMoreWhenItsTimeIsUp) {
  Borrower borrower(std::chrono::nanoseconds(0));
  EXPECT_EQ(Borrower::Current(), &borrower);
  TestLender lender([] { return true; });
  borrower.Add(&lender);
  borrower.Run();
  EXPECT_EQ(lender.returns, 1);
  EXPECT_EQ(Borrower::Current(), nullptr);
}

TEST(BorrowerTest, RunsWhatIsLeftAtItsEnd) {
  TestLender lender([] { return false; });
  {
    Borrower borrower(kLong);
    borrower.Add(&lender);
  }
  EXPECT_EQ(lender.returns, 1);
}

// Or it would run for ever.
TEST(BorrowerTest, BorrowsNothingWhileItRuns) {
  Borrower borrower(kLong);
  TestLender lender([] {
    EXPECT_EQ(Borrower::Current(), nullptr);
    return false;
  });
  borrower.Add(&lender);
  borrower.Run();
  EXPECT_EQ(Borrower::Current(), &borrower);
}

}  // namespace
}  // namespace consul::base
