// gateway/transcode/response_plan.h
//
// How a method's response becomes the headers and the body of an HTTP reply on one route.
//
// Threads: immutable once made.
#ifndef CONSUL_GATEWAY_TRANSCODE_RESPONSE_PLAN_H_
#define CONSUL_GATEWAY_TRANSCODE_RESPONSE_PLAN_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "consul/options/v1/options.pb.h"
#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/json_slices.h"
#include "services/rpc/method.h"

namespace consul::gateway {

class ResponsePlan {
 public:
  // `plans` outlives the plan.
  // REQUIRES: every field that the route names exists and has a fitting type.
  ResponsePlan(const rpc::Method& method, const options::v1::Route& route, JsonPlans* plans);

  // What became of a response.
  enum class Result { kJson, kRaw, kEmpty, kNotFound };

  // Appends the body to `out`; nothing with kEmpty and kNotFound. Of JSON only the first `bytes` or
  // so: what comes then is in `rest`, which refers to `response`, and else stays null.
  Result AppendBody(const google::protobuf::Message& request,
                    const google::protobuf::Message& response, bool pretty, size_t bytes,
                    std::string* out, std::unique_ptr<JsonSlices>* rest) const;

  // Of what is raw and the agent's own; empty: it is a user's.
  const std::string& content_type() const { return content_type_; }

  // Of a reply with a body.
  int Status(const google::protobuf::Message& response) const;

  // Appends the header lines of a read, sorted by name; nothing where the method has no QueryMeta.
  void AppendMeta(const google::protobuf::Message& response, std::string* out) const;
  // The same for a read that failed, where the route wants that.
  void AppendErrorMeta(std::string* out) const { out->append(error_meta_); }

 private:
  struct Header {
    std::string name;  // with colon and space
    JsonField field;
  };
  void AddHeaders(const rpc::Method& method, const options::v1::Route& route, JsonPlans* plans);
  bool IsAbsent(const google::protobuf::Message& response) const;

  options::v1::Form form_;
  std::string content_type_;
  bool not_found_when_absent_;
  const google::protobuf::FieldDescriptor* zero_while_empty_ = nullptr;
  const google::protobuf::FieldDescriptor* good_ = nullptr;  // a bool; null: all are
  int status_unless_good_ = 200;
  bool has_field_ = false;
  JsonField field_;       // the response field, where the route names one
  JsonType whole_;        // else the message without its QueryMeta
  bool raw_is_inside_ = false;  // FORM_RAW: the bytes are a field of the response field
  JsonField raw_;               // FORM_RAW: the bytes
  const google::protobuf::FieldDescriptor* meta_ = nullptr;
  std::vector<Header> headers_;
  std::string error_meta_;
};

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_RESPONSE_PLAN_H_
