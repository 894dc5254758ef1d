// Text tests of Swim: each case of testdata/swim_*.txt is a pool of its own in virtual time,
// commands, and everything that its members said and did, line by line. services/gossip/swim.md
// has the commands.
#include <string>

#include "gtest/gtest.h"
#include "services/base/text_test.h"
#include "services/gossip/sim_text.h"

namespace consul::gossip {
namespace {

const bool kRegistered = base::RegisterTextTests(
    "SwimTextTest",
    {"services/gossip/testdata/swim_probe.txt", "services/gossip/testdata/swim_suspicion.txt",
     "services/gossip/testdata/swim_claims.txt", "services/gossip/testdata/swim_gossip.txt",
     "services/gossip/testdata/swim_exchange.txt", "services/gossip/testdata/swim_names.txt",
     "services/gossip/testdata/swim_successors.txt", "services/gossip/testdata/swim_leave.txt",
     "services/gossip/testdata/swim_limits.txt"},
    [](const std::string& input) { return SimText().Run(input); });

}  // namespace
}  // namespace consul::gossip
