// gateway/transcode/request_plan.h
//
// How an HTTP request of one route becomes the method's request: captured path, query parameters,
// body. Worked out once from the .proto options.
//
// Threads: immutable once made, but for the limit of bodies, which any may set.
#ifndef CONSUL_GATEWAY_TRANSCODE_REQUEST_PLAN_H_
#define CONSUL_GATEWAY_TRANSCODE_REQUEST_PLAN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "consul/options/v1/options.pb.h"
#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/url.h"
#include "services/rpc/method.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
class Reflection;
}  // namespace google::protobuf

namespace consul::gateway {

class RequestPlan {
 public:
  // `captures` are the names of the fields in the path, in order. `json_plans` outlives this.
  // REQUIRES: every field that the route names exists and has a fitting type.
  RequestPlan(const rpc::Method& method, const options::v1::Route& route,
              std::span<const std::string> captures, JsonPlans* json_plans);

  // Fills `request` from the decoded captures and the query. INVALID_ARGUMENT with the reference's
  // text for malformed, conflicting and missing values; UNIMPLEMENTED for refused parameters.
  // REQUIRES: `request` is of the method's type, and empty.
  absl::Status Fill(std::span<const std::string_view> captures, const Query& query,
                    google::protobuf::Message* request) const;

  // Of a request whose header names a namespace: INVALID_ARGUMENT where these are rejected.
  absl::Status CheckNamespace() const;

  bool takes_body() const { return body_ != nullptr || json_ != nullptr; }
  uint64_t body_max() const { return body_max_.load(std::memory_order_relaxed); }
  // Instead of the route's own. REQUIRES: takes_body.
  void SetBodyMax(uint64_t bytes);
  // Fills `request` further. INVALID_ARGUMENT: the body is to be JSON, and is not, or another one.
  // REQUIRES: takes_body.
  absl::Status SetBody(std::string body, google::protobuf::Message* request) const;
  // Of a body with `size` bytes, which are too many.
  absl::Status BodyTooLarge(uint64_t size) const;

 private:
  // Of QueryOptions by itself.
  explicit RequestPlan(const options::v1::Route& route);

  // A query parameter and the field it fills.
  struct Parameter {
    std::string name;
    std::string alias;  // empty: none
    std::string invalid;
    bool needs_value = false;
    bool is_bool = false;
    const google::protobuf::FieldDescriptor* field = nullptr;
    const google::protobuf::FieldDescriptor* parent = nullptr;  // null: the request itself
  };
  // Flags that select a value of an enum.
  struct Flags {
    struct Flag {
      std::string name;
      int number = 0;
      std::vector<std::string> excludes;
      std::string duration;  // the parameter that does the same while above 0; empty: none
    };
    std::vector<Flag> flags;
    const google::protobuf::FieldDescriptor* field = nullptr;
    const google::protobuf::FieldDescriptor* parent = nullptr;
  };
  struct RequiredField {
    const google::protobuf::FieldDescriptor* field = nullptr;
    std::string text;
  };

  void AddFields(const google::protobuf::Descriptor* type,
                 const google::protobuf::FieldDescriptor* parent,
                 const options::v1::Route& route);
  absl::Status FillQuery(const Query& query, google::protobuf::Message* request) const;
  absl::Status SetFlags(const Flags& flags, const Query& query,
                        google::protobuf::Message* request) const;
  absl::Status SetParameter(const Parameter& parameter, std::string_view value,
                            google::protobuf::Message* message) const;
  absl::Status CheckQuery(const Query& query) const;
  absl::Status CheckRejected(const Query& query) const;
  google::protobuf::Message* Owner(const google::protobuf::FieldDescriptor* parent,
                                   google::protobuf::Message* request) const;

  const google::protobuf::Reflection* reflection_;
  std::vector<const google::protobuf::FieldDescriptor*> captures_;
  std::vector<Parameter> parameters_;
  std::vector<Flags> flags_;
  // What the parameters of a read have to fit while the request does not hold them; null: nothing.
  std::unique_ptr<const RequestPlan> checked_;
  std::vector<RequiredField> required_;
  std::vector<std::string> refused_;
  std::vector<options::v1::Rejected> rejected_;
  std::string namespace_rejected_;  // empty: it is passed over
  std::vector<std::vector<std::string>> exclusive_;
  // What becomes of the body: one field as it is, or with `json_` the request, or the message in
  // that field.
  const google::protobuf::FieldDescriptor* body_ = nullptr;
  const JsonType* json_ = nullptr;
  std::string body_invalid_;
  std::atomic<uint64_t> body_max_{0};
  std::string body_max_see_;
};

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_REQUEST_PLAN_H_
