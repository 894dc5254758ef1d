// tests/sim/cluster/history.h
//
// What clients asked and were told, key by key, as the checker of linearizability wants it.
//
// Threads: none; a run owns it.
// Background: tests/sim/linearizability.h.
#ifndef CONSUL_TESTS_SIM_CLUSTER_HISTORY_H_
#define CONSUL_TESTS_SIM_CLUSTER_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/cluster/reference_kv.h"
#include "tests/sim/linearizability.h"

namespace consul::sim {

// Every write puts another number first, so that a value tells whose it is.
uint64_t NumberOf(std::string_view value);

class History {
 public:
  explicit History(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  const std::vector<std::string>& keys() const { return keys_; }

  // A moment of its own, after all earlier ones.
  Moment Now() { return ++moment_; }

  // A write was called now. Ends with one of the three, or is of unknown outcome.
  struct Open {
    std::string key;
    size_t position = 0;
  };
  Open Write(const std::string& key, uint64_t value, std::string text);
  Open CompareAndSet(const std::string& key, uint64_t expected, uint64_t value, std::string text);
  void Done(const Open& open, bool swapped);
  void Refused(const Open& open);

  // A read that was called at `called` has now given `rows` for `key`, or all keys under it.
  void ReadKey(const std::string& key, const KvRows& rows, Moment called, std::string text);
  void ReadUnder(std::string_view prefix, const KvRows& rows, Moment called,
                 const std::string& text);

  size_t operations() const;
  size_t unknown() const;
  // Empty, or which key's history is none of a register, and why.
  std::string Check() const;

 private:
  struct Record {
    RegisterOperation operation;
    bool refused = false;
  };

  const std::vector<std::string> keys_;
  Moment moment_ = 0;
  std::map<std::string, std::vector<Record>> records_;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_HISTORY_H_
