// Goal: JSON is read as Go's encoding/json reads it, and what is wrong with it is said in its
// words.
#include "gateway/transcode/json_decode.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/coordinate/v1/coordinate.pb.h"
#include "consul/event/v1/event.pb.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "consul/operators/v1/keyring.pb.h"
#include "services/base/strings.h"

namespace consul::gateway {
namespace {

// The message as text, or the error.
template <typename Message>
std::string Decoded(std::string_view json) {
  JsonPlans plans;
  Message message;
  const absl::Status status =
      DecodeJson(json, *plans.Of(Message::descriptor()), &message);
  return status.ok() ? message.ShortDebugString() : std::string(base::ToStd(status.message()));
}
std::string Update(std::string_view json) {
  return Decoded<coordinate::v1::UpdateRequest>(json);
}
std::string Install(std::string_view json) {
  return Decoded<operators::v1::InstallKeyRequest>(json);
}
std::string Event(std::string_view json) { return Decoded<event::v1::Event>(json); }

TEST(JsonDecodeTest, AMessageWithWhatIsInIt) {
  EXPECT_EQ(Update(R"({"Node":"n","Coord":{"Vec":[0.5,-1,2e3],"Error":1.5,"Height":1}})"),
            "node: \"n\" coord { vec: 0.5 vec: -1 vec: 2000 error: 1.5 height: 1 }");
  EXPECT_EQ(Event(R"( {"LTime": 18446744073709551615, "Version": 4294967295} )"),
            "version: 4294967295 l_time: 18446744073709551615");
}

TEST(JsonDecodeTest, NamesMatchInAnyCaseAndTheLastOneCounts) {
  EXPECT_EQ(Update(R"({"nOdE":"a"})"), "node: \"a\"");
  EXPECT_EQ(Update(R"({"Node":"a","node":"b"})"), "node: \"b\"");
  EXPECT_EQ(Update(R"({"Coord":{"Vec":[1]},"Coord":{"Vec":[2]}})"), "coord { vec: 2 }");
  EXPECT_EQ(Update(R"({"Coord":{"Error":1},"Coord":{"Height":2}})"), "coord { height: 2 }");
}

TEST(JsonDecodeTest, NullIsAsIfItWereNotThere) {
  EXPECT_EQ(Update(R"({"Node":null,"Coord":null})"), "");
  EXPECT_EQ(Update("null"), "");
  EXPECT_EQ(Update(R"({"Node":"a","Node":null})"), "");
  EXPECT_EQ(Update(R"({"Coord":{"Vec":[null,1]}})"), "coord { vec: 0 vec: 1 }");
}

TEST(JsonDecodeTest, BytesAreBase64) {
  EXPECT_EQ(Install(R"({"Key":"AAE="})"), "key: \"\\000\\001\"");
  EXPECT_EQ(Install(R"({"Key":"abc"})"), "illegal base64 data at input byte 3");
}

TEST(JsonDecodeTest, DurationsAreTextOrNanoseconds) {
  const auto threshold = [](std::string_view json) {
    return Decoded<operators::v1::AutopilotConfiguration>(
        base::StrCat(R"({"LastContactThreshold":)", json, "}"));
  };
  EXPECT_EQ(threshold(R"("1m0.5s")"), "last_contact_threshold { seconds: 60 nanos: 500000000 }");
  EXPECT_EQ(threshold(R"("-5ms")"), "last_contact_threshold { nanos: -5000000 }");
  EXPECT_EQ(threshold("1500000000"), "last_contact_threshold { seconds: 1 nanos: 500000000 }");
  EXPECT_EQ(threshold("null"), "");
  EXPECT_EQ(threshold(R"("xx")"), "time: invalid duration \"xx\"");
  EXPECT_EQ(threshold("true"),
            "json: cannot unmarshal bool into field LastContactThreshold of type duration");
  EXPECT_EQ(threshold("1.5"),
            "json: cannot unmarshal number into field LastContactThreshold of type duration");
}

TEST(JsonDecodeTest, BytesThatAreNoUtf8AreReplaced) {
  EXPECT_EQ(Update(R"({"Node":"\ud800"})"), "invalid JSON at byte 15: syntax error");
  EXPECT_EQ(Update("{\"Node\":\"a\xff\"}"), "node: \"a\\357\\277\\275\"");
}

TEST(JsonDecodeTest, WhatIsNoJson) {
  EXPECT_EQ(Update(""), "EOF");
  EXPECT_EQ(Update(" \n"), "EOF");
  EXPECT_EQ(Update("{"), "unexpected EOF");
  EXPECT_EQ(Update(R"({"Node":"a)"), "unexpected EOF");
  EXPECT_EQ(Update("{} x"), "invalid JSON at byte 3: extra data");
  EXPECT_EQ(Update("{x"), "invalid JSON at byte 1: syntax error");
}

TEST(JsonDecodeTest, NestingHasALimit) {
  const std::string deep(kJsonDepthMax + 1, '[');
  EXPECT_EQ(Update("{\"Node\":" + deep), "JSON is nested deeper than 32 levels");
}

TEST(JsonDecodeTest, NamesThatAreNotThereAndHiddenOnes) {
  EXPECT_EQ(Install(R"({"Foo":1})"), R"(json: unknown field "Foo")");
  EXPECT_EQ(Update(R"({"Options":{}})"), R"(json: unknown field "Options")");
  EXPECT_EQ(Update(R"({"Coord":{"X\u003c":1}})"), R"(json: unknown field "X\u003c")");
}

TEST(JsonDecodeTest, WrongTypesAreNamedWithTheirPlace) {
  EXPECT_EQ(Update("[]"), "json: cannot unmarshal array into an object");
  EXPECT_EQ(Install(R"({"Key":1})"),
            "json: cannot unmarshal number into field Key of type string");
  EXPECT_EQ(Update(R"({"Coord":{"Error":"x"}})"),
            "json: cannot unmarshal string into field Coord.Error of type float64");
  EXPECT_EQ(Update(R"({"Coord":{"Error":1e999}})"),
            "json: cannot unmarshal number into field Coord.Error of type float64");
  EXPECT_EQ(Update(R"({"Coord":{"Vec":1}})"),
            "json: cannot unmarshal number into field Coord.Vec of type list");
  EXPECT_EQ(Update(R"({"Coord":[]})"),
            "json: cannot unmarshal array into field Coord of type object");
  EXPECT_EQ(Event(R"({"LTime":-1})"),
            "json: cannot unmarshal number -1 into field LTime of type uint64");
  EXPECT_EQ(Event(R"({"Version":4294967296})"),
            "json: cannot unmarshal number 4294967296 into field Version of type uint32");
  EXPECT_EQ(Event(R"({"Version":1.5})"),
            "json: cannot unmarshal number 1.5E0 into field Version of type uint32");
}

TEST(JsonDecodeTest, TypesThatCannotBeReadAreTold) {
  JsonPlans plans;
  EXPECT_TRUE(IsDecodable(*plans.Of(coordinate::v1::UpdateRequest::descriptor())));
  EXPECT_FALSE(IsDecodable(*plans.Of(agent::v1::GetSelfResponse::descriptor())));
  EXPECT_FALSE(IsDecodable(*plans.Of(catalog::v1::Node::descriptor())));
}

}  // namespace
}  // namespace consul::gateway
