#include "tests/sim/linearizability.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "services/base/strings.h"

namespace consul::sim {
namespace {

using Kind = RegisterOperation::Kind;

// A set of small numbers, as the memory compares and keeps them.
class Bits {
 public:
  explicit Bits(size_t count) : words_((count + 63) / 64) {}
  bool Has(size_t i) const { return (words_[i / 64] >> (i % 64) & 1) != 0; }
  void Add(size_t i) { words_[i / 64] |= uint64_t{1} << (i % 64); }
  bool Within(const Bits& other) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      if ((words_[i] & ~other.words_[i]) != 0) return false;
    }
    return true;
  }
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(words_.data()), words_.size() * sizeof(uint64_t)};
  }

 private:
  std::vector<uint64_t> words_;
};

class Search {
 public:
  Search(std::vector<RegisterOperation> known, std::vector<RegisterOperation> unknown,
         size_t states_max)
      : known_(std::move(known)), unknown_(std::move(unknown)), states_max_(states_max) {}

  Linearizability Run(uint64_t initial) {
    std::vector<Frame> stack;
    Visit(State{Bits(known_.size()), Bits(unknown_.size()), 0, 0, initial}, false, &stack);
    while (!stack.empty() && !found_ && result_.states <= states_max_) {
      Frame& frame = stack.back();
      if (frame.next == frame.choices.size()) {
        stack.pop_back();
        continue;
      }
      const Choice choice = frame.choices[frame.next++];
      State state = frame.state;
      const RegisterOperation& operation =
          choice.known ? known_[choice.position] : unknown_[choice.position];
      state.value = operation.value;
      if (choice.known) {
        Take(choice.position, &state);
      } else {
        state.used.Add(choice.position);
      }
      Visit(std::move(state), !choice.known, &stack);
    }
    if (found_) return std::move(result_);
    result_.verdict = result_.states > states_max_ ? Verdict::kUndecided : Verdict::kViolated;
    result_.why = Explain();
    return std::move(result_);
  }

 private:
  // What was put in order so far, and the value that this leaves.
  struct State {
    Bits done;        // of known_
    Bits used;        // of unknown_
    size_t count;     // in `done`
    size_t first;     // not in `done`
    uint64_t value;
  };
  struct Choice {
    bool known;
    size_t position;
  };
  struct Frame {
    State state;
    std::vector<Choice> choices;
    size_t next = 0;
  };

  void Take(size_t position, State* state) const {
    state->done.Add(position);
    ++state->count;
    while (state->first < known_.size() && state->done.Has(state->first)) ++state->first;
  }

  // The first return of what is not in order yet: what was called later comes later.
  Moment Horizon(const State& state) const {
    Moment horizon = INT64_MAX;
    for (size_t i = state.first; i < known_.size() && known_[i].called < horizon; ++i) {
      if (!state.done.Has(i)) horizon = std::min(horizon, *known_[i].returned);
    }
    return horizon;
  }

  // Changes nothing, and so never stands in another's way once it may stand here.
  static bool OnlyLooks(const RegisterOperation& operation, uint64_t value) {
    if (operation.kind == Kind::kRead) return operation.value == value;
    return operation.kind == Kind::kCompareAndSet && !operation.swapped &&
           operation.expected != value;
  }

  // Takes all that only look. Returns whether there were any.
  bool TakeLooks(State* state) const {
    bool any = false;
    for (bool more = true; more;) {
      more = false;
      const Moment horizon = Horizon(*state);
      for (size_t i = state->first; i < known_.size() && known_[i].called <= horizon; ++i) {
        if (state->done.Has(i) || !OnlyLooks(known_[i], state->value)) continue;
        Take(i, state);
        any = more = true;
      }
    }
    return any;
  }

  void Visit(State state, bool by_unknown, std::vector<Frame>* stack) {
    const bool seen = TakeLooks(&state);
    if (state.count == known_.size()) {
      found_ = true;
      return;
    }
    if (state.count >= best_.count) best_ = {state.count, state.value, state.first};
    // What an unknown write left, and nobody has seen yet, must be seen by the next.
    const bool must_see = by_unknown && !seen;
    if (!Remember(state, must_see)) return;
    ++result_.states;
    std::vector<Choice> choices;
    const Moment horizon = Horizon(state);
    for (size_t i = state.first; i < known_.size() && known_[i].called <= horizon; ++i) {
      if (!state.done.Has(i) && Changes(known_[i], state.value, must_see)) {
        choices.push_back({true, i});
      }
    }
    std::sort(choices.begin(), choices.end(), [this](const Choice& a, const Choice& b) {
      return *known_[a.position].returned < *known_[b.position].returned;
    });
    for (size_t i = 0; i < unknown_.size() && unknown_[i].called <= horizon; ++i) {
      if (!state.used.Has(i) && Changes(unknown_[i], state.value, must_see)) {
        choices.push_back({false, i});
      }
    }
    stack->push_back(Frame{std::move(state), std::move(choices)});
  }

  static bool Changes(const RegisterOperation& operation, uint64_t value, bool must_see) {
    if (operation.kind == Kind::kWrite) return !must_see;
    return operation.kind == Kind::kCompareAndSet &&
           (operation.swapped || !operation.returned.has_value()) && operation.expected == value;
  }

  // False when a state that can do all that this one can was looked at before: the same done and
  // value, and no unknown operation used that is not used here.
  bool Remember(const State& state, bool must_see) {
    std::string key(state.done.bytes());
    key.append(reinterpret_cast<const char*>(&state.value), sizeof(state.value));
    key.push_back(must_see ? 1 : 0);
    std::vector<Bits>& seen = seen_[std::move(key)];
    for (const Bits& used : seen) {
      if (used.Within(state.used)) return false;
    }
    seen.push_back(state.used);
    return true;
  }

  std::string Explain() const {
    std::string text =
        base::StrCat("of ", known_.size(), " operations ", best_.count,
                     " find an order, which ends with the value ", best_.value, "; then:\n");
    const size_t begin = best_.first < 6 ? 0 : best_.first - 6;
    const size_t end = std::min(known_.size(), best_.first + 6);
    for (size_t i = begin; i < end; ++i) {
      base::StrAppend(&text, i == best_.first ? "> " : "  ", Describe(known_[i]), "\n");
    }
    for (const RegisterOperation& operation : unknown_) {
      if (operation.called > *known_[best_.first].returned) break;
      base::StrAppend(&text, "  ", Describe(operation), "\n");
    }
    return text;
  }

  static std::string Describe(const RegisterOperation& operation) {
    std::string text = base::StrCat("[", operation.called, ", ");
    base::StrAppend(&text, operation.returned.has_value() ? base::StrCat(*operation.returned)
                                                          : std::string("?"), "] ");
    switch (operation.kind) {
      case Kind::kRead:
        base::StrAppend(&text, "read -> ", operation.value);
        break;
      case Kind::kWrite:
        base::StrAppend(&text, "write ", operation.value);
        break;
      case Kind::kCompareAndSet:
        base::StrAppend(&text, "cas ", operation.expected, " to ", operation.value);
        if (operation.returned.has_value()) {
          base::StrAppend(&text, operation.swapped ? " -> done" : " -> not so");
        }
        break;
    }
    if (!operation.text.empty()) base::StrAppend(&text, "  ", operation.text);
    return text;
  }

  const std::vector<RegisterOperation> known_;    // by called
  const std::vector<RegisterOperation> unknown_;  // by called
  const size_t states_max_;
  std::unordered_map<std::string, std::vector<Bits>> seen_;
  struct {
    size_t count = 0;
    uint64_t value = 0;
    size_t first = 0;
  } best_;
  bool found_ = false;
  Linearizability result_;
};

}  // namespace

RegisterOperation RegisterOperation::Read(uint64_t value, Moment called, Moment returned) {
  RegisterOperation operation;
  operation.value = value;
  operation.called = called;
  operation.returned = returned;
  return operation;
}

RegisterOperation RegisterOperation::Write(uint64_t value, Moment called,
                                           std::optional<Moment> returned) {
  RegisterOperation operation;
  operation.kind = Kind::kWrite;
  operation.value = value;
  operation.called = called;
  operation.returned = returned;
  return operation;
}

RegisterOperation RegisterOperation::CompareAndSet(uint64_t expected, uint64_t value,
                                                   Moment called, std::optional<Moment> returned,
                                                   bool swapped) {
  RegisterOperation operation = Write(value, called, returned);
  operation.kind = Kind::kCompareAndSet;
  operation.expected = expected;
  operation.swapped = swapped;
  return operation;
}

Linearizability CheckRegister(std::vector<RegisterOperation> history, uint64_t initial,
                              size_t states_max) {
  std::stable_sort(history.begin(), history.end(),
                   [](const RegisterOperation& a, const RegisterOperation& b) {
                     return a.called < b.called;
                   });
  std::vector<RegisterOperation> known;
  std::vector<RegisterOperation> unknown;
  for (RegisterOperation& operation : history) {
    if (operation.returned.has_value()) {
      known.push_back(std::move(operation));
    } else if (operation.kind != Kind::kRead) {
      unknown.push_back(std::move(operation));
    }
  }
  return Search(std::move(known), std::move(unknown), states_max).Run(initial);
}

}  // namespace consul::sim
