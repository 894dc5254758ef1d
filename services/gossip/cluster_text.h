// services/gossip/cluster_text.h
//
// One line of text for each thing that a Cluster tells, for text tests and for traces of failing
// seeds.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_TEXT_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/cluster_output.h"

namespace consul::gossip {

std::string_view ToText(MemberStatus status);
std::string ToText(const MemberEvent& event);
std::string ToText(const UserEvent& event);
std::string ToText(const QueryReceived& query);
std::string ToText(const QueryProgress& progress);
std::string ToText(const QueryDone& done);
std::string ToText(const KeyResult& result);
std::string ToText(const Keyring& keyring);  // by KeyName, the primary first: "B A"
std::string ToText(const ClusterFact& fact);
std::string ToText(const ClusterRecord& record);
std::string ToText(const JoinResult& result);

// Tests' keys are 16 times one letter, which names them.
Key KeyOf(char name);
std::string KeyName(const Key& key);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_TEXT_H_
