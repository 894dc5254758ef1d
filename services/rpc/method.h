// services/rpc/method.h
//
// What is known of a method from its descriptor: its name, where it runs, which HTTP requests reach
// it. A method has one `Method` in a process, so that faces and handlers refer to it by pointer.
//
// Threads: immutable once made.
#ifndef CONSUL_SERVICES_RPC_METHOD_H_
#define CONSUL_SERVICES_RPC_METHOD_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consul/options/v1/options.pb.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
class MethodDescriptor;
class ServiceDescriptor;
}  // namespace google::protobuf

namespace consul::rpc {

struct Method {
  const google::protobuf::MethodDescriptor* descriptor = nullptr;
  // "/consul.kv.v1.KvService/Get", as gRPC has it on the wire.
  std::string path;
  options::v1::Kind kind = options::v1::KIND_UNSPECIFIED;
  // Dense over the tables of a process, in the order of the services and their methods.
  size_t id = 0;
  bool server_streaming = false;
  // The response has a repeated field somewhere: how much work it is has no bound.
  bool reply_is_list = false;
  const google::protobuf::Message* request_prototype = nullptr;
  const google::protobuf::Message* response_prototype = nullptr;
  // The request's QueryOptions and the response's QueryMeta; null where the method has none.
  const google::protobuf::FieldDescriptor* options_field = nullptr;
  const google::protobuf::FieldDescriptor* meta_field = nullptr;
  // The request's datacenter: inside QueryOptions or WriteOptions, or a field of the request; null
  // where the method has none.
  const google::protobuf::FieldDescriptor* datacenter_field = nullptr;
};

// The methods of a set of services.
class MethodTable {
 public:
  // Ids count from `first_id`. REQUIRES: every method has a kind; full names are unique.
  explicit MethodTable(std::span<const google::protobuf::ServiceDescriptor* const> services,
                       size_t first_id = 0);
  ~MethodTable();
  MethodTable(const MethodTable&) = delete;
  MethodTable& operator=(const MethodTable&) = delete;

  // The method of a gRPC path, or null.
  const Method* Find(std::string_view path) const;
  // By service descriptor and name: CHECK-fails where there is none. For start-up.
  const Method& Get(std::string_view path) const;
  std::span<const Method> methods() const { return methods_; }
  std::span<const google::protobuf::ServiceDescriptor* const> services() const { return services_; }

 private:
  struct Index;
  std::vector<const google::protobuf::ServiceDescriptor*> services_;
  std::vector<Method> methods_;
  std::unique_ptr<Index> index_;
};

// The table of the whole public API, for servers and clients alike. `services/rpc/public_api.cc`
// lists the services.
const MethodTable& PublicApi();
// What agents ask of servers besides, on the server port alone. Ids follow those of the public API.
// `services/rpc/internal_api.cc` lists the services.
const MethodTable& InternalApi();

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_METHOD_H_
