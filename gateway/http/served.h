// gateway/http/served.h
//
// What a Loop serves: the connection of one client, whatever is spoken on it. It counts in
// ClientCounts and has a place among the loop's for as long as it lives.
//
// Threads: its loop's.
#ifndef CONSUL_GATEWAY_HTTP_SERVED_H_
#define CONSUL_GATEWAY_HTTP_SERVED_H_

#include <chrono>
#include <cstddef>

#include "gateway/http/client_counts.h"

namespace consul::gateway::http {

class Served {
 public:
  explicit Served(const ClientKey& client) : client_(client) {}
  virtual ~Served() = default;
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  // The server stops: what is idle ends, what is due is sent. May delete the object.
  virtual void Shutdown() = 0;
  // Ends at once. May delete the object.
  virtual void Abort() = 0;
  // Asked a few times a second. May delete the object.
  virtual void CheckDeadline(std::chrono::steady_clock::time_point now) = 0;

  const ClientKey& client() const { return client_; }
  size_t place() const { return place_; }
  void set_place(size_t place) { place_ = place; }

 private:
  const ClientKey client_;
  size_t place_ = 0;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_SERVED_H_
