// Goal: who is asked is who says that it is a server of this datacenter, and nobody else.
#include "services/agent/known_servers.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace consul::agent {
namespace {

using Tags = std::vector<std::pair<std::string, std::string>>;

class KnownServersTest : public testing::Test {
 protected:
  v1::Member* Add(const std::string& name, const Tags& tags) {
    v1::Member* const member = members_.add_members();
    member->set_name(name);
    member->set_addr("10.0.0.1");
    member->set_status(v1::MEMBER_STATUS_ALIVE);
    for (const auto& [key, value] : tags) {
      auto* const tag = member->add_tags();
      tag->set_key(key);
      tag->set_value(value);
    }
    return member;
  }
  rpc::ServerList List() const { return KnownServers(members_, "dc1"); }

  static inline const Tags kServer = {
      {"role", "consul"}, {"dc", "dc1"}, {"id", "id-a"}, {"port", "8300"}};
  v1::ListMembersResponse members_;
};

TEST_F(KnownServersTest, AServerIsKnownByItsTags) {
  Add("a", kServer);
  const rpc::ServerList list = List();
  ASSERT_EQ(list.servers.size(), 1);
  EXPECT_EQ(list.servers[0],
            (rpc::KnownServer{.id = "id-a", .name = "a", .address = "10.0.0.1:8300"}));
}

TEST_F(KnownServersTest, AnIpV6AddressHasItsBrackets) {
  Add("a", kServer)->set_addr("fe80::1");
  EXPECT_EQ(List().servers[0].address, "[fe80::1]:8300");
}

// Who goes by itself still answers what it was asked.
TEST_F(KnownServersTest, WhoIsNotAliveHasFailedOrGoes) {
  using rpc::ServerStanding;
  for (const auto& [status, standing] : std::vector<std::pair<v1::MemberStatus, ServerStanding>>{
           {v1::MEMBER_STATUS_NONE, ServerStanding::kLeft},
           {v1::MEMBER_STATUS_ALIVE, ServerStanding::kAlive},
           {v1::MEMBER_STATUS_LEAVING, ServerStanding::kLeft},
           {v1::MEMBER_STATUS_LEFT, ServerStanding::kLeft},
           {v1::MEMBER_STATUS_FAILED, ServerStanding::kFailed}}) {
    members_.Clear();
    Add("a", kServer)->set_status(status);
    ASSERT_EQ(List().servers.size(), 1);
    EXPECT_EQ(List().servers[0].standing, standing) << status;
  }
}

TEST_F(KnownServersTest, ClientsAndServersOfOtherDatacentersAreMembersAlone) {
  Add("client", {{"role", "node"}, {"dc", "dc1"}, {"id", "id-c"}});
  Add("far", {{"role", "consul"}, {"dc", "dc2"}, {"id", "id-f"}, {"port", "8300"}});
  EXPECT_TRUE(List().servers.empty());
  EXPECT_EQ(List().members, 2);
}

TEST_F(KnownServersTest, ABadTagMakesNoServer) {
  for (const char* port : {"", "0", "-1", "65536", "99999999999999999999", "8300x", "x"}) {
    members_.Clear();
    Add("a", {{"role", "consul"}, {"dc", "dc1"}, {"id", "id-a"}, {"port", port}});
    EXPECT_TRUE(List().servers.empty()) << port;
  }
  members_.Clear();
  Add("a", {{"role", "consul"}, {"dc", "dc1"}, {"port", "8300"}});
  EXPECT_TRUE(List().servers.empty());
}

}  // namespace
}  // namespace consul::agent
