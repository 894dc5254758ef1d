// services/state/refusal.h
//
// Why the state machine does not do what a command says. A refusal is a result, the same on every
// server, and changes nothing.
//
// Threads: plain values.
#ifndef CONSUL_SERVICES_STATE_REFUSAL_H_
#define CONSUL_SERVICES_STATE_REFUSAL_H_

#include <string>

#include "consul/errors/v1/errors.pb.h"

namespace consul::state {

struct Refusal {
  errors::v1::Reason reason = errors::v1::REASON_UNSPECIFIED;  // unspecified: not refused
  std::string text;
  std::string subject;
  bool refused() const { return reason != errors::v1::REASON_UNSPECIFIED; }
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_REFUSAL_H_
