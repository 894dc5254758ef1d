// cli/client.h
//
// How commands talk to an agent: methods of its API by name. The real one is gRPC (client.cc is the
// only file of the command line that knows it); tests give replies of their own.
//
// Threads: one.
#ifndef CONSUL_CLI_CLIENT_H_
#define CONSUL_CLI_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cli/agent_address.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace consul::cli {

// A `kv get -recurse` of a large store is one message; gRPC's default of 4 MB would break it.
inline constexpr int kMessageBytesMax = 512 << 20;

struct ClientOptions {
  AgentAddress address;
  // Sent with each call; empty for none.
  std::string token;
};

class Client {
 public:
  virtual ~Client() = default;

  // Calls "consul.kv.v1.KvService/Get" and waits for the answer. An agent's error comes back as it
  // was sent, with its code; when none could be reached it is UNAVAILABLE and IsConnectFailure.
  virtual absl::Status Call(std::string_view method, const google::protobuf::Message& request,
                            google::protobuf::Message* response) = 0;

  // Calls a method that answers with a stream: each message is put into `response` and
  // `on_message` called, until the stream ends or `stop` (asked a few times a second) says true;
  // both are OK.
  virtual absl::Status Stream(std::string_view method, const google::protobuf::Message& request,
                              google::protobuf::Message* response,
                              const std::function<void()>& on_message,
                              const std::function<bool()>& stop) = 0;
};

// Never fails: the connection is made by the first call.
std::unique_ptr<Client> Connect(const ClientOptions& options);

// "dial tcp 127.0.0.1:8400: connection refused" as a status that IsConnectFailure knows again.
absl::Status ConnectFailure(const AgentAddress& address, std::string_view cause);
bool IsConnectFailure(const absl::Status& status);
// The name of the face that could not be reached. REQUIRES: IsConnectFailure(status).
std::string ConnectFailureFace(const absl::Status& status);

}  // namespace consul::cli

#endif  // CONSUL_CLI_CLIENT_H_
