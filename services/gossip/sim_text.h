// services/gossip/sim_text.h
//
// A small language for simulated pools, and words for what happens in them: what text tests of
// membership are written in. services/gossip/swim.md has the commands.
//
// Threads: none of its own; a test owns it.
// Background: services/gossip/swim.md (Tests).
#ifndef CONSUL_SERVICES_GOSSIP_SIM_TEXT_H_
#define CONSUL_SERVICES_GOSSIP_SIM_TEXT_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/sim_pool.h"
#include "services/gossip/swim_output.h"

namespace consul::gossip {

// "a suspect b incarnation 3 by c, ping b", by the parts' order in the packet's schema.
std::string DescribePacket(std::string_view bytes);
// "Hello a, 3 living", "Entries b, c", by what it is.
std::string DescribeStreamMessage(std::string_view bytes);
std::string Describe(const Fact& fact);
std::string Describe(const Change& change);

class SimText {
 public:
  SimText();

  // Runs a script; each command's line, with "> " before it unless it begins with "- ", and below
  // it what happened and what it answers.
  std::string Run(const std::string& script);

 private:
  using Words = std::vector<std::string>;
  std::string RunLine(const std::string& line);
  bool RunPoolCommand(const Words& words);
  bool RunFault(const Words& words);
  bool RunMemberCommand(const Words& words);
  bool RunQuestion(const Words& words);
  void SetOptions(const Words& words);
  void SetIdentity(const Words& words);
  void Inject(const Words& words);
  void ShowMembers(HostId host);
  void ShowStatus(HostId host);
  void ShowTraffic();
  void Heard(HostId host, const Output& output);
  void Say(HostId host, const std::string& text);

  SwimOptions options_;
  std::unique_ptr<SimPool> pool_;
  bool trace_packets_ = false;
  bool trace_streams_ = false;
  std::string out_;
  std::vector<SimTraffic> traffic_;  // at the last question
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SIM_TEXT_H_
