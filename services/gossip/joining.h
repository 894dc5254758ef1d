// services/gossip/joining.h
//
// From what a user says (whom to join) to Cluster's joins and back to one outcome: names are looked
// up, each target's addresses are tried in turn, and the members that were known before a restart
// are looked for until one of them answers.
//
// Threads: the pool's.
#ifndef CONSUL_SERVICES_GOSSIP_JOINING_H_
#define CONSUL_SERVICES_GOSSIP_JOINING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/gossip/swim_output.h"
#include "services/gossip/types.h"

namespace consul::base {
class Logger;
}  // namespace consul::base

namespace consul::gossip {

class Resolver;

// What a join came to.
struct JoinOutcome {
  size_t joined = 0;                // targets that were
  std::vector<std::string> errors;  // one for each that was not: "Failed to join 10.0.0.1: ..."
};
// "2 errors occurred:\n\t* A\n\t* B\n\n", as the reference lists them; empty for none.
std::string ListErrors(const std::vector<std::string>& errors);

class Joining {
 public:
  using Done = std::function<void(JoinOutcome)>;
  // Begins one join; its result comes by OnResult, later or inside.
  using Start = std::function<JoinId(const Endpoint& to)>;

  // Targets of one Join. Each is a name to look up and streams to open.
  static constexpr size_t kTargetsMax = 256;

  // `resolver` and `logger` outlive it. Targets without a port have `port_default`.
  Joining(Resolver* resolver, Start start, uint16_t port_default, base::Logger* logger);

  // Joins each of the targets (Resolver::Resolve says what they may be). All addresses of a name
  // are one member's or several members': the first that answers will do.
  void Join(const std::vector<std::string>& targets, Done done);

  // Joins one of these, the last first, and forgets the others when it answers.
  void Rejoin(std::vector<Endpoint> known);

  void OnResult(const JoinResult& result);

  // Ends what is under way, inside, and each join that comes later, with an error.
  void Stop();

 private:
  struct Try {
    Done done;
    JoinOutcome outcome;
    size_t targets_left = 0;
  };
  struct UnderWay {
    Endpoint to;
    std::function<void(const JoinResult&)> done;
  };

  void ResolveTarget(const std::shared_ptr<Try>& joining, const std::string& target);
  void JoinNext(const std::shared_ptr<Try>& joining, std::vector<Endpoint> endpoints, size_t next,
                const std::string& error);
  void TargetDone(const std::shared_ptr<Try>& joining, const std::string& error);
  void RejoinNext();
  void Begin(const Endpoint& to, std::function<void(const JoinResult&)> done);

  Resolver* const resolver_;
  const Start start_;
  const uint16_t port_default_;
  base::Logger* const logger_;
  std::vector<Endpoint> known_;
  std::unordered_map<uint64_t, UnderWay> under_way_;
  bool stopped_ = false;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_JOINING_H_
