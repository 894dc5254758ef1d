// services/server/absences.h
//
// How long nodes of the catalog have been missing from the pool. A leader that has just started
// does not know all members yet, so that a node is not forgotten because nobody has spoken of it so
// far, but because nobody has for a good while.
//
// Threads: a value of the leader's thread.
#ifndef CONSUL_SERVICES_SERVER_ABSENCES_H_
#define CONSUL_SERVICES_SERVER_ABSENCES_H_

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace consul::server {

class Absences {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Absences(std::chrono::nanoseconds grace) : grace_(grace) {}

  // `absent` are those that are missing at `now`; returns those that have been in every call for
  // the whole grace, in their order.
  std::vector<std::string> Due(Time now, const std::vector<std::string>& absent);
  // Another lead begins: what was seen in the last one does not count.
  void Clear() { since_.clear(); }

 private:
  const std::chrono::nanoseconds grace_;
  std::map<std::string, Time> since_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_ABSENCES_H_
