#include "gateway/transcode/json_slices.h"

#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "gateway/transcode/json_value.h"

namespace consul::gateway {
namespace {

using google::protobuf::Message;

constexpr size_t kBudgets[] = {1, 2, 7, 64, 1000, 1'000'000};

std::string Whole(JsonSlices slices, size_t bytes, int* count) {
  std::string out;
  *count = 1;
  while (!slices.Append(bytes, &out)) ++*count;
  return out;
}

// However it is sliced, the text is that of AppendJson.
void ExpectSame(const Message& message) {
  JsonPlans plans;
  const JsonType& type = *plans.Of(message.GetDescriptor());
  std::string plain;
  AppendJson(type, message, &plain);
  std::string indented;
  AppendIndented(plain, &indented);
  indented += '\n';
  for (const size_t bytes : kBudgets) {
    int count = 0;
    EXPECT_EQ(Whole(JsonSlices(type, message), bytes, &count), plain) << bytes;
    JsonSlices pretty(type, message);
    pretty.Indent();
    EXPECT_EQ(Whole(pretty, bytes, &count), indented) << bytes;
  }
}

void ExpectFieldSame(const Message& message, const std::string& name) {
  JsonPlans plans;
  const JsonField field = plans.Field(message.GetDescriptor()->FindFieldByName(name));
  std::string plain;
  AppendJson(field, message, &plain);
  for (const size_t bytes : kBudgets) {
    int count = 0;
    EXPECT_EQ(Whole(JsonSlices(field, message), bytes, &count), plain) << bytes;
  }
}

kv::v1::ListResponse Keys(int count) {
  kv::v1::ListResponse response;
  for (int i = 0; i < count; ++i) {
    auto* const entry = response.add_entries();
    entry->set_key("a\"{[,:]}\\" + std::to_string(i));
    if (i % 2 == 0) entry->set_value("value");
  }
  return response;
}

catalog::v1::GetNodeResponse NodeWithServices() {
  catalog::v1::GetNodeResponse response;
  response.mutable_entry()->mutable_node()->set_node("n");
  for (const char* id : {"web", "api", "db"}) {
    auto* const service = response.mutable_entry()->add_services();
    service->set_key(id);
    service->mutable_value()->set_id(id);
  }
  return response;
}

TEST(JsonSlices, AnObjectWithAList) { ExpectSame(Keys(50)); }
TEST(JsonSlices, AnObjectWithAnEmptyList) { ExpectSame(Keys(0)); }
TEST(JsonSlices, AnObjectWithStructs) {
  agent::v1::GetSelfResponse self;
  (*self.mutable_debug_config()->mutable_fields())["z"].mutable_struct_value();
  self.add_stats()->set_key("raft");
  ExpectSame(self);
}
TEST(JsonSlices, AList) { ExpectFieldSame(Keys(50), "entries"); }
TEST(JsonSlices, AnEmptyList) { ExpectFieldSame(Keys(0), "entries"); }
TEST(JsonSlices, AMessageWithAnUnsortedMap) { ExpectFieldSame(NodeWithServices(), "entry"); }
TEST(JsonSlices, AnAbsentMessage) {
  ExpectFieldSame(catalog::v1::GetNodeResponse(), "entry");
}
TEST(JsonSlices, AnUnsortedMap) {
  catalog::v1::ListServicesResponse response;
  for (const char* name : {"b", "a", "c"}) response.add_services()->set_key(name);
  ExpectFieldSame(response, "services");
}
// The order of more is up to who made the list, for it would take too long at once.
TEST(JsonSlices, AnUnsortedMapIsSortedUpToALimit) {
  catalog::v1::ListServicesResponse response;
  for (int i = 0; i < kOrderedEntriesMax; ++i) {
    response.add_services()->set_key(std::to_string(200'000 - i));
  }
  JsonPlans plans;
  const JsonField field = plans.Field(response.GetDescriptor()->FindFieldByName("services"));
  int count = 0;
  const std::string first = "{\"" + std::to_string(200'000 - kOrderedEntriesMax + 1) + "\":";
  EXPECT_TRUE(Whole(JsonSlices(field, response), 1000, &count).starts_with(first));
  response.add_services()->set_key("1");
  EXPECT_TRUE(Whole(JsonSlices(field, response), 1000, &count).starts_with("{\"200000\":"));
  ExpectFieldSame(response, "services");
}
TEST(JsonSlices, AListAroundAMessage) {
  JsonPlans plans;
  const auto* const type = catalog::v1::GetNodeResponse::descriptor();
  const JsonField field = plans.Field(type->FindFieldByName("entry"));
  const catalog::v1::GetNodeResponse absent;
  const catalog::v1::GetNodeResponse present = NodeWithServices();
  std::string plain;
  AppendJson(field, present, &plain);
  for (const size_t bytes : kBudgets) {
    int count = 0;
    JsonSlices none(field, absent);
    none.WrapInList();
    EXPECT_EQ(Whole(none, bytes, &count), "[]");
    JsonSlices one(field, present);
    one.WrapInList();
    EXPECT_EQ(Whole(one, bytes, &count), "[" + plain + "]");
  }
}

// Goal: the work of a slice has a bound. Method: each element that is visited writes at least its
// comma, so that the bytes of a slice bound its elements; the bytes are looked at, for a list, for
// a map inside an object, and indented.
void ExpectBoundedSlices(JsonSlices slices, size_t bytes_max) {
  constexpr size_t kBytes = 4096;
  size_t slices_count = 0;
  for (bool complete = false; !complete; ++slices_count) {
    std::string slice;
    complete = slices.Append(kBytes, &slice);
    EXPECT_LT(slice.size(), bytes_max);
    EXPECT_TRUE(complete || slice.size() >= kBytes);
  }
  EXPECT_GT(slices_count, 10u);
}
TEST(JsonSlices, ASliceEndsWithTheElementThatFillsIt) {
  const kv::v1::ListResponse keys = Keys(1000);
  JsonPlans plans;
  const JsonField list = plans.Field(keys.GetDescriptor()->FindFieldByName("entries"));
  ExpectBoundedSlices(JsonSlices(list, keys), 4096 + 200);
  JsonSlices indented(list, keys);
  indented.Indent();
  ExpectBoundedSlices(indented, 3 * 4096);
  catalog::v1::GetNodeResponse node = NodeWithServices();
  for (int i = 0; i < 1000; ++i) {
    auto* const service = node.mutable_entry()->add_services();
    service->set_key("web" + std::to_string(1000 + i));
    service->mutable_value()->set_id(service->key());
  }
  const JsonField entry = plans.Field(node.GetDescriptor()->FindFieldByName("entry"));
  ExpectBoundedSlices(JsonSlices(entry, node), 4096 + 400);
}

}  // namespace
}  // namespace consul::gateway
