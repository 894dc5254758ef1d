#include "gateway/transcode/json_plan.h"

#include <gtest/gtest.h>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/health/v1/health.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "consul/operators/v1/autopilot.pb.h"

namespace consul::gateway {
namespace {

std::string Json(const google::protobuf::Message& message) {
  JsonPlans plans;
  std::string out;
  AppendJson(*plans.Of(message.GetDescriptor()), message, &out);
  return out;
}

TEST(JsonPlan, AKeyHasItsFieldsInOrder) {
  kv::v1::KeyValue entry;
  entry.set_key("a\xff");
  entry.set_flags(18446744073709551615u);
  entry.set_value("bar");
  entry.set_session("s");
  EXPECT_EQ(Json(entry),
            R"({"LockIndex":0,"Key":"a\ufffd","Flags":18446744073709551615,"Value":"YmFy",)"
            R"("Session":"s","CreateIndex":0,"ModifyIndex":0})");
}
TEST(JsonPlan, EmptyValuesAreNullAndEmptySessionsLeftOut) {
  EXPECT_EQ(Json(kv::v1::KeyValue()),
            R"({"LockIndex":0,"Key":"","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0})");
}
TEST(JsonPlan, MapsAreSortedByKey) {
  catalog::v1::ListServicesResponse response;
  for (const char* name : {"b", "a", "c"}) {
    auto* const service = response.add_services();
    service->set_key(name);
    service->add_value(std::string("tag-") + name);
  }
  JsonPlans plans;
  const JsonField field =
      plans.Field(catalog::v1::ListServicesResponse::descriptor()->FindFieldByName("services"));
  std::string out;
  AppendJson(field, response, &out);
  EXPECT_EQ(out, R"({"a":["tag-a"],"b":["tag-b"],"c":["tag-c"]})");
}
TEST(JsonPlan, HiddenFieldsAndAbsentMessages) {
  catalog::v1::Service service;
  service.set_node("hidden");
  EXPECT_EQ(Json(service),
            R"({"ID":"","Service":"","Tags":[],"Address":"","Meta":{},"Port":0,)"
            R"("Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,)"
            R"("CreateIndex":0,"ModifyIndex":0})");
  service.mutable_weights()->set_passing(3);
  EXPECT_NE(Json(service).find(R"("Weights":{"Passing":3,"Warning":0})"), std::string::npos);
}
TEST(JsonPlan, EnumsAreTextsOrNumbers) {
  health::v1::HealthCheck check;
  check.set_status(health::v1::CHECK_STATUS_CRITICAL);
  EXPECT_NE(Json(check).find(R"("Status":"critical")"), std::string::npos);
  EXPECT_NE(Json(check).find(R"("Definition":{})"), std::string::npos);
  agent::v1::Member member;
  member.set_status(agent::v1::MEMBER_STATUS_FAILED);
  EXPECT_NE(Json(member).find(R"("Status":4)"), std::string::npos);
}
TEST(JsonPlan, AnEnumNumberOfALaterVersionIsEmptyText) {
  health::v1::HealthCheck check;
  check.set_status(static_cast<health::v1::CheckStatus>(77));
  EXPECT_NE(Json(check).find(R"("Status":"")"), std::string::npos);
}
TEST(JsonPlan, StructsAreSortedAndNested) {
  agent::v1::GetSelfResponse self;
  auto& fields = *self.mutable_debug_config()->mutable_fields();
  fields["z"].set_null_value(google::protobuf::NULL_VALUE);
  fields["a"].mutable_list_value()->add_values()->set_number_value(2);
  fields["m"].set_string_value("<");
  EXPECT_NE(Json(self).find(R"("DebugConfig":{"a":[2],"m":"\u003c","z":null})"),
            std::string::npos);
}
TEST(JsonPlan, TimesAreAsGoWritesThem) {
  operators::v1::ServerHealth health;
  EXPECT_NE(Json(health).find(R"("StableSince":"0001-01-01T00:00:00Z")"), std::string::npos);
  health.mutable_stable_since()->set_seconds(1795884220);
  EXPECT_NE(Json(health).find(R"("StableSince":"2026-11-28T16:43:40Z")"), std::string::npos);
  health.mutable_stable_since()->set_nanos(120000000);
  EXPECT_NE(Json(health).find(R"("StableSince":"2026-11-28T16:43:40.12Z")"), std::string::npos);
}
TEST(JsonPlan, BytesThatAreText) {
  health::v1::HealthCheck check;
  check.set_output("ok\xfe");
  EXPECT_NE(Json(check).find(R"("Output":"ok\ufffd")"), std::string::npos);
}

}  // namespace
}  // namespace consul::gateway
