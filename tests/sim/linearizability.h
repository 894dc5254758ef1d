// tests/sim/linearizability.h
//
// Whether what clients saw of one register can have been one register: is there an order of all
// operations, each at some moment between its call and its return, in which each gives what it
// gave? The search is that of Wing and Gong, with the memory of Lowe's: a set of operations done
// and a value need not be looked at twice. Histories of many keys are checked key by key, which is
// enough (Herlihy and Wing, locality).
//
// An operation whose outcome is unknown may take effect at any moment after its call, or never.
// Such operations are what makes the search long, so it takes one only where another operation
// then sees its effect: one that nobody sees can be left out.
//
// Threads: pure functions.
#ifndef CONSUL_TESTS_SIM_LINEARIZABILITY_H_
#define CONSUL_TESTS_SIM_LINEARIZABILITY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace consul::sim {

// A position in the one order of all calls and returns.
using Moment = int64_t;

// 0 stands for an absent value: a write of 0 is a delete.
struct RegisterOperation {
  enum class Kind : uint8_t { kRead, kWrite, kCompareAndSet };
  Kind kind = Kind::kRead;
  uint64_t value = 0;     // what a read gave, what the others put
  uint64_t expected = 0;  // of a compare-and-set
  bool swapped = true;    // whether it found that; of no meaning while the outcome is unknown
  Moment called = 0;
  std::optional<Moment> returned;  // absent: the outcome is unknown
  std::string text;                // for whoever reads a violation

  static RegisterOperation Read(uint64_t value, Moment called, Moment returned);
  static RegisterOperation Write(uint64_t value, Moment called, std::optional<Moment> returned);
  static RegisterOperation CompareAndSet(uint64_t expected, uint64_t value, Moment called,
                                         std::optional<Moment> returned, bool swapped = true);
};

enum class Verdict : uint8_t {
  kLinearizable,
  kViolated,
  kUndecided,  // more than `states_max` had to be looked at
};

struct Linearizability {
  Verdict verdict = Verdict::kLinearizable;
  size_t states = 0;  // looked at
  // Of a violation: the value that the longest order ends with, and the operations around the one
  // that finds no place behind it.
  std::string why;
};

inline constexpr size_t kLinearizabilityStatesMax = 1'000'000;

// Checks the history of a register that begins with `initial`. Reads of unknown outcome say nothing
// and are passed over.
Linearizability CheckRegister(std::vector<RegisterOperation> history, uint64_t initial = 0,
                              size_t states_max = kLinearizabilityStatesMax);

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_LINEARIZABILITY_H_
