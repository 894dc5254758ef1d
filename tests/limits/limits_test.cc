// The greatest values that the settings allow against the limits of the parts that carry them.
#include <cstdint>
#include <limits>
#include <string>

#include "consul/internal/raft/v1/command.pb.h"
#include "gateway/http/http_server.h"
#include "gtest/gtest.h"
#include "services/agent/config/config.h"
#include "services/api/kv_handlers.h"
#include "services/raft/node.h"
#include "services/rpc/grpc_server.h"
#include "services/state/command.h"

namespace consul::agent::config {
namespace {

// What Node::Propose compares with its limit, for a write with all its fields at their greatest.
uint64_t ProposalBytes(size_t value_bytes) {
  internal::raft::v1::Command command;
  auto* const put = command.mutable_kv_put();
  put->set_key(std::string(api::kKeyBytesMax, 'k'));
  put->set_value(std::string(value_bytes, 'v'));
  put->set_flags(std::numeric_limits<uint64_t>::max());
  put->set_cas(std::numeric_limits<uint64_t>::max());
  return state::Seal(&command).bytes.size();
}

TEST(LimitsTest, TheGreatestValueFitsInAnEntryWithTheGreatestKey) {
  EXPECT_LE(ProposalBytes(kKvValueBytesMax), raft::NodeOptions().proposal_bytes_max);
}

TEST(LimitsTest, NothingMuchGreaterWouldFit) {
  EXPECT_GT(ProposalBytes(kKvValueBytesMax + 4 * 1024), raft::NodeOptions().proposal_bytes_max);
}

TEST(LimitsTest, TheDefaultIsAllowed) {
  EXPECT_LE(Limits().kv_max_value_size, kKvValueBytesMax);
}

// Percent-encoded as a whole, with a path before it and parameters behind it; and the rest of a
// header beside that.
TEST(LimitsTest, TheGreatestKeyFitsInAUrlAndTheUrlInAHeader) {
  const gateway::HttpLimits http;
  EXPECT_GE(http.url_bytes_max, 3 * api::kKeyBytesMax + 16 * 1024);
  EXPECT_GE(http.header_bytes_max, http.url_bytes_max + 64 * 1024);
}

// A connection of RPC through HTTP whose ends live carries something more often than HTTP asks.
TEST(LimitsTest, RpcPingsMoreOftenThanHttpTakesAConnectionForDead) {
  const rpc::GrpcServer::Limits rpc;
  EXPECT_LT(rpc.ping_interval + rpc.ping_timeout, gateway::HttpLimits().idle_timeout);
}

}  // namespace
}  // namespace consul::agent::config
