// Goal: whatever bytes a message holds, its JSON is well-formed UTF-8 and parses, compact and
// indented alike; indentation changes nothing but white space.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/json_text.h"
#include "services/base/utf8.h"

namespace {

using consul::gateway::JsonPlans;

void Require(bool fact) {
  if (!fact) std::abort();
}

void CheckJson(const google::protobuf::Message& message) {
  static JsonPlans* const plans = new JsonPlans;
  std::string json;
  consul::gateway::AppendJson(*plans->Of(message.GetDescriptor()), message, &json);
  Require(consul::base::IsUtf8(json));
  boost::json::error_code ec;
  const boost::json::value value = boost::json::parse(json, ec);
  Require(!ec);
  std::string indented;
  consul::gateway::AppendIndented(json, &indented);
  const boost::json::value again = boost::json::parse(indented, ec);
  Require(!ec && value == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  consul::kv::v1::KeyValue entry;
  entry.set_key(bytes);
  entry.set_value(bytes);
  entry.set_session(bytes);
  CheckJson(entry);
  consul::kv::v1::ListResponse list;
  if (list.ParseFromString(bytes)) CheckJson(list);
  consul::catalog::v1::GetNodeResponse node;
  if (node.ParseFromString(bytes)) CheckJson(node);
  consul::agent::v1::GetSelfResponse self;
  if (self.ParseFromString(bytes)) CheckJson(self);
  return 0;
}
