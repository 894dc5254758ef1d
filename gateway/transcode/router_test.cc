#include "gateway/transcode/router.h"

#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include "services/rpc/errors.h"

namespace consul::gateway {
namespace {

class RouterTest : public testing::Test {
 protected:
  // "METHOD field: value ..." that a request reaches, or why it reaches none.
  std::string Route(std::string_view verb, std::string_view path,
                    std::string_view query_text = "") {
    const Match match = router_.Find(path);
    if (match.endpoint == nullptr) return match.needs_slash ? "add a slash" : "nothing";
    Query query;
    EXPECT_TRUE(query.Parse(query_text).ok());
    const RoutePlan* const plan = match.endpoint->Select(verb, query);
    if (plan == nullptr) return "not allowed: " + match.endpoint->allow();
    const std::unique_ptr<google::protobuf::Message> request(
        plan->method->request_prototype->New());
    const absl::Status status = plan->request.Fill(match.captured(), query, request.get());
    if (!status.ok()) {
      return std::to_string(rpc::HttpStatus(status)) + " " + std::string(status.message());
    }
    const std::string& name = plan->method->path;
    const std::string fields = request->ShortDebugString();
    return name.substr(name.rfind('/') + 1) + (fields.empty() ? "" : " " + fields);
  }

  const Router router_{rpc::PublicApi()};
};

TEST_F(RouterTest, FixedPaths) {
  EXPECT_EQ(Route("GET", "/v1/status/leader"), "GetLeader");
  EXPECT_EQ(Route("GET", "/v1/agent/self"), "GetSelf");
  EXPECT_EQ(Route("PUT", "/v1/agent/leave"), "Leave");
}
TEST_F(RouterTest, PathsThatLeadNowhere) {
  for (const char* path : {"/", "/v1", "/v1/", "/v1/nope", "/v1/status/leader/", "/v1/status",
                           "/v1/kvs/x", "/V1/kv/x", "/v1/agent/self/x"}) {
    EXPECT_EQ(Route("GET", path), "nothing") << path;
  }
}
TEST_F(RouterTest, RestOfThePath) {
  EXPECT_EQ(Route("GET", "/v1/kv/a/b/c"), "Get key: \"a/b/c\"");
  EXPECT_EQ(Route("GET", "/v1/kv/a/"), "Get key: \"a/\"");
  EXPECT_EQ(Route("GET", "/v1/catalog/node/n/more"), "GetNode node: \"n/more\"");
}
TEST_F(RouterTest, AMissingSlash) { EXPECT_EQ(Route("GET", "/v1/kv"), "add a slash"); }
TEST_F(RouterTest, Verbs) {
  EXPECT_EQ(Route("PUT", "/v1/kv/a"), "Put key: \"a\"");
  EXPECT_EQ(Route("DELETE", "/v1/kv/a"), "Delete key: \"a\"");
  EXPECT_EQ(Route("POST", "/v1/kv/a"), "not allowed: OPTIONS,GET,PUT,DELETE");
  EXPECT_EQ(Route("get", "/v1/status/peers"), "not allowed: OPTIONS,GET");
}
TEST_F(RouterTest, AValueChoosesTheRoute) {
  EXPECT_EQ(Route("GET", "/v1/agent/metrics"), "GetMetrics");
  EXPECT_EQ(Route("GET", "/v1/agent/metrics", "format=prometheus"), "GetMetrics exposition: true");
  const Match match = router_.Find("/v1/agent/metrics");
  Query query;
  ASSERT_TRUE(query.Parse("format=prometheus").ok());
  const RoutePlan* const text = match.endpoint->Select("GET", query);
  EXPECT_EQ(text->response.content_type(), "text/plain; version=0.0.4; charset=utf-8");
  ASSERT_TRUE(query.Parse("format=json").ok());
  EXPECT_NE(match.endpoint->Select("GET", query), text);
  ASSERT_TRUE(query.Parse("").ok());
  EXPECT_NE(match.endpoint->Select("GET", query), text);
}
TEST_F(RouterTest, FlagsChooseTheRoute) {
  EXPECT_EQ(Route("GET", "/v1/kv/a", "raw"), "Get key: \"a\"");
  EXPECT_EQ(Route("GET", "/v1/kv/a", "recurse=false"), "List prefix: \"a\"");
  EXPECT_EQ(Route("GET", "/v1/kv/a", "keys&recurse&raw"), "ListKeys prefix: \"a\"");
  EXPECT_EQ(Route("GET", "/v1/kv/a", "raw&recurse"), "List prefix: \"a\"");
  EXPECT_EQ(Route("DELETE", "/v1/kv/a", "recurse"), "DeleteTree prefix: \"a\"");
}
TEST_F(RouterTest, RequiredFields) {
  EXPECT_EQ(Route("GET", "/v1/kv/"), "400 Missing key name");
  EXPECT_EQ(Route("GET", "/v1/kv/", "recurse"), "List");
  EXPECT_EQ(Route("GET", "/v1/catalog/node/"), "400 Missing node name");
}
TEST_F(RouterTest, NestedOptions) {
  EXPECT_EQ(Route("GET", "/v1/kv/a", "dc=d&index=7&wait=1m1.5s&stale&max_stale=2s"),
            "Get options { datacenter: \"d\" consistency: CONSISTENCY_STALE index: 7 "
            "wait { seconds: 61 nanos: 500000000 } max_stale { seconds: 2 } } key: \"a\"");
}
TEST_F(RouterTest, ZeroIsNotAbsent) {
  EXPECT_EQ(Route("PUT", "/v1/kv/a", "cas=0"), "Put key: \"a\" cas: 0");
}
TEST_F(RouterTest, TheFirstOfSeveralValuesCounts) {
  EXPECT_EQ(Route("PUT", "/v1/kv/a", "flags=4&flags=5"), "Put key: \"a\" flags: 4");
}
TEST_F(RouterTest, ListsTakeAllValues) {
  EXPECT_EQ(Route("GET", "/v1/catalog/nodes", "node-meta=a:1&node-meta=b:2"),
            "ListNodes node_meta: \"a:1\" node_meta: \"b:2\"");
}
TEST_F(RouterTest, NumbersAreCheckedAsGoDoes) {
  EXPECT_EQ(Route("PUT", "/v1/kv/a", "flags=18446744073709551615"),
            "Put key: \"a\" flags: 18446744073709551615");
  for (const char* text : {"x", "-1", "1.5", "0x10", "", "1 ", "+1"}) {
    const std::string query = "cas=" + (text == std::string("+1") ? "%2B1" : std::string(text));
    EXPECT_EQ(Route("PUT", "/v1/kv/a", query), "400 strconv.ParseUint: parsing \"" +
                                                   std::string(text) + "\": invalid syntax");
  }
  EXPECT_EQ(Route("PUT", "/v1/kv/a", "cas=18446744073709551616"),
            "400 strconv.ParseUint: parsing \"18446744073709551616\": value out of range");
}
TEST_F(RouterTest, MalformedOptionsHaveTheirOwnTexts) {
  EXPECT_EQ(Route("GET", "/v1/kv/a", "index=-1"), "400 Invalid index");
  EXPECT_EQ(Route("GET", "/v1/kv/a", "wait=10"), "400 Invalid wait time");
  EXPECT_EQ(Route("GET", "/v1/kv/a", "index=x&wait=x"), "400 Invalid wait time");
  EXPECT_EQ(Route("GET", "/v1/kv/a", "max_stale=\"x"), "400 Invalid max_stale value \"\\\"x\"");
}
TEST_F(RouterTest, EmptyOptionsMeanNothing) {
  EXPECT_EQ(Route("GET", "/v1/kv/a", "index=&wait="), "Get options { } key: \"a\"");
}
TEST_F(RouterTest, ModesExcludeEachOther) {
  EXPECT_EQ(Route("GET", "/v1/kv/a", "consistent&stale"),
            "400 Cannot specify ?stale with ?consistent, conflicting semantics.");
}
TEST_F(RouterTest, FlagsExcludeEachOther) {
  EXPECT_EQ(Route("DELETE", "/v1/kv/a", "recurse&cas=1"), "400 Conflicting flags: cas=1&recurse=");
  EXPECT_EQ(Route("PUT", "/v1/kv/a", "cas=1&acquire=x"),
            "400 Conflicting flags: acquire=x&cas=1");
}
TEST_F(RouterTest, RefusedParametersAreNamed) {
  EXPECT_EQ(Route("PUT", "/v1/kv/a", "acquire=x"),
            "501 Query parameter \"acquire\" is not supported");
}
TEST(RouterLimitTest, TheLimitOfBodiesIsTheRoutesUntilItIsSet) {
  Router router(rpc::PublicApi());
  const RequestPlan& put =
      router.Find("/v1/kv/a").endpoint->Select("PUT", Query())->request;
  EXPECT_EQ(put.body_max(), 512u * 1024);
  router.SetBodyMax(rpc::PublicApi().Get("/consul.kv.v1.KvService/Put"), 7);
  EXPECT_EQ(put.body_max(), 7u);
  EXPECT_EQ(put.BodyTooLarge(8).message().find("Request body(8 bytes) too large, max size: 7"), 0u);
}
TEST_F(RouterTest, UnknownParametersAreIgnored) {
  EXPECT_EQ(Route("GET", "/v1/kv/a", "zz=1"), "Get key: \"a\"");
}
TEST_F(RouterTest, KeysAreBytesAndTextsAreUtf8) {
  EXPECT_EQ(Route("GET", "/v1/kv/\xff"), "Get key: \"\\377\"");
  EXPECT_EQ(Route("GET", "/v1/catalog/node/\xff"), "400 Invalid UTF-8 in node of the path");
  EXPECT_EQ(Route("GET", "/v1/kv/a", "dc=%FF"), "400 Invalid UTF-8 in parameter \"dc\"");
}
TEST_F(RouterTest, FlagsThatNeedAValue) {
  EXPECT_EQ(Route("GET", "/v1/agent/members", "wan"), "ListMembers");
  EXPECT_EQ(Route("GET", "/v1/agent/members", "wan=1"), "ListMembers wan: true");
}

}  // namespace
}  // namespace consul::gateway
