// services/rpc/handlers.h
//
// The handlers of this process's methods, one a method. A read handler is a pure function of a
// version; a write handler turns a request into a command. What is around them (consistency,
// blocking, holding, headers) is in local_backend.h, once for all.
//
// Threads: filled at the start by one thread, then immutable.
#ifndef CONSUL_SERVICES_RPC_HANDLERS_H_
#define CONSUL_SERVICES_RPC_HANDLERS_H_

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "services/rpc/call.h"
#include "services/rpc/consensus.h"
#include "services/rpc/method.h"
#include "services/state/sealed_command.h"

namespace consul::state {
class Versioned;
class VersionSource;
class WatchSet;
}  // namespace consul::state

namespace consul::rpc {

// Reads `version` (of the source's own type) into the response and notes what it read.
struct ReadHandler {
  state::VersionSource* source = nullptr;
  std::function<absl::Status(const state::Versioned& version,
                             const google::protobuf::Message& request,
                             google::protobuf::Message* response, state::WatchSet* watched)>
      read;
};

// Validates a request and makes the command of it; fills the response of what it did.
struct WriteHandler {
  std::function<absl::Status(const google::protobuf::Message& request,
                             state::SealedCommand* command)>
      prepare;
  std::function<void(const Applied& applied, google::protobuf::Message* response)> finish;
};

// Answers at once from what the agent knows.
struct LocalHandler {
  std::function<absl::Status(const google::protobuf::Message& request,
                             google::protobuf::Message* response)>
      answer;
};

// Takes the call over: it says Next and Done itself, on the call's executor.
struct CallHandler {
  std::function<void(Call* call)> start;
};

using Handler =
    std::variant<std::monostate, ReadHandler, WriteHandler, LocalHandler, CallHandler>;

// Runs a handler that needs no server: a LocalHandler's answer, or a CallHandler, which takes the
// call over. Returns false, and has done nothing, for another one.
bool RunHere(const Handler& handler, Call* call);

class Handlers {
 public:
  explicit Handlers(const MethodTable& methods) : Handlers({&methods}) {}
  // REQUIRES: the ids of the tables do not meet.
  explicit Handlers(std::initializer_list<const MethodTable*> tables);

  // Each CHECK-fails on a path that is in no table, or is set already.

  template <typename Version, typename Request, typename Response>
  void Read(std::string_view path, state::VersionSource* source,
            absl::Status (*read)(const Version&, const Request&, Response*, state::WatchSet*)) {
    Set(path, ReadHandler{source, [read](const state::Versioned& version,
                                         const google::protobuf::Message& request,
                                         google::protobuf::Message* response,
                                         state::WatchSet* watched) {
                            return read(static_cast<const Version&>(version),
                                        static_cast<const Request&>(request),
                                        static_cast<Response*>(response), watched);
                          }});
  }

  template <typename Request, typename Response>
  void Write(std::string_view path,
             std::function<absl::Status(const Request&, state::SealedCommand*)> prepare,
             void (*finish)(const Applied&, Response*)) {
    Set(path, WriteHandler{[prepare = std::move(prepare)](
                               const google::protobuf::Message& request,
                               state::SealedCommand* command) {
                             return prepare(static_cast<const Request&>(request), command);
                           },
                           [finish](const Applied& applied, google::protobuf::Message* response) {
                             finish(applied, static_cast<Response*>(response));
                           }});
  }

  template <typename Request, typename Response>
  void Local(std::string_view path,
             std::function<absl::Status(const Request&, Response*)> answer) {
    Set(path, LocalHandler{[answer = std::move(answer)](const google::protobuf::Message& request,
                                                        google::protobuf::Message* response) {
          return answer(static_cast<const Request&>(request), static_cast<Response*>(response));
        }});
  }

  void Take(std::string_view path, std::function<void(Call*)> start) {
    Set(path, CallHandler{std::move(start)});
  }

  const Handler& Of(const Method& method) const { return handlers_[method.id]; }
  // CHECK-fails unless every method has a handler; with `kinds`, every method of one of them.
  void CheckComplete(std::initializer_list<options::v1::Kind> kinds = {}) const;

 private:
  void Set(std::string_view path, Handler handler);

  const std::vector<const MethodTable*> tables_;
  std::vector<Handler> handlers_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_HANDLERS_H_
