// services/state/held.h
//
// Held<T>: a counted pointer to an entry of a persistent map. The count is inside the entry and is
// a plain integer, because one thread owns every count: readers hold a version, never an entry.
// Plain counts are what makes copying a node cheap; docs/decisions/0001-persistent-map.md has the
// figures beside atomic ones.
//
// Threads: the owner of the tables (the apply thread) alone makes, copies and drops these.
#ifndef CONSUL_SERVICES_STATE_HELD_H_
#define CONSUL_SERVICES_STATE_HELD_H_

#include <cstdint>
#include <utility>

namespace consul::state {

// What an entry inherits to be counted. Copies of an entry start with a count of their own.
class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) {}
  Counted& operator=(const Counted&) { return *this; }

 protected:
  ~Counted() = default;

 private:
  template <typename T>
  friend class Held;
  mutable uint32_t refs_ = 0;
};

template <typename T>
class Held {
 public:
  Held() = default;
  explicit Held(T* entry) : entry_(entry) { Ref(entry_); }
  Held(const Held& other) : entry_(other.entry_) { Ref(entry_); }
  Held(Held&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
  Held& operator=(Held other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Held() { Unref(entry_); }

  T* get() const { return entry_; }
  T& operator*() const { return *entry_; }
  T* operator->() const { return entry_; }
  explicit operator bool() const { return entry_ != nullptr; }

  // For containers that keep the bare pointer: Adopt takes over one count, Disown gives it away.
  static Held Adopt(T* entry) {
    Held held;
    held.entry_ = entry;
    return held;
  }
  T* Disown() { return std::exchange(entry_, nullptr); }
  static void Ref(T* entry) {
    if (entry != nullptr) ++entry->refs_;
  }
  // The entry type may say how it is freed by a static Delete(T*).
  static void Unref(T* entry) {
    if (entry == nullptr || --entry->refs_ != 0) return;
    if constexpr (requires { std::remove_const_t<T>::Delete(entry); }) {
      std::remove_const_t<T>::Delete(entry);
    } else {
      delete entry;
    }
  }

 private:
  T* entry_ = nullptr;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_HELD_H_
