// services/gossip/words.h
//
// What the cores say happened, as lines of the log: the reference's words where it has any.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_GOSSIP_WORDS_H_
#define CONSUL_SERVICES_GOSSIP_WORDS_H_

#include <string>

#include "services/base/log.h"
#include "services/gossip/cluster_output.h"

namespace consul::gossip {

struct LogLine {
  base::LogLevel level = base::LogLevel::kInfo;
  const char* component = "memberlist";
  std::string text;
};

LogLine Word(const Fact& fact);
LogLine Word(const ClusterFact& fact);

// "EventMemberJoin", as log lines carry it.
const char* EventName(MemberEventKind kind);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_WORDS_H_
