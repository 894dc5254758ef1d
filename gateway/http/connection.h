// gateway/http/connection.h
//
// One HTTP connection: takes requests off its socket, makes calls of them, writes the replies in
// their order. Several requests that arrive together and are answered at once leave in one write.
//
// Life: made by its Loop; deletes itself through Loop::Remove once the socket is closed, no
// operation is pending and no call is under way. One that begins with the preface of HTTP/2 gives
// its socket and its place to a Splice. Threads: its loop's.
#ifndef CONSUL_GATEWAY_HTTP_CONNECTION_H_
#define CONSUL_GATEWAY_HTTP_CONNECTION_H_

#include <google/protobuf/arena.h>

#include <boost/asio/error.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/http/client_counts.h"
#include "gateway/http/loop.h"
#include "gateway/http/parser.h"
#include "gateway/http/served.h"
#include "gateway/transcode/json_slices.h"
#include "services/rpc/call.h"

namespace consul::gateway::http {

class Connection;

class HttpCall final : public rpc::Call {
 public:
  HttpCall(Connection* connection, const rpc::Method& method, rpc::Executor* executor,
           const google::protobuf::Message* request, google::protobuf::Message* response)
      : Call(method, executor, request, response), connection_(connection) {}
  bool Next() override;
  void Done() override;

 private:
  Connection* const connection_;
};

// What one call needs, reused for the next. The messages lie in the block as a rule, so that a call
// that is answered at once allocates next to nothing.
struct CallContext {
  static constexpr size_t kBlock = 1024;

  CallContext();
  void Clear();

  alignas(8) char block[kBlock];
  google::protobuf::Arena arena;
  std::optional<HttpCall> call;
  const RoutePlan* route = nullptr;
  google::protobuf::Message* request = nullptr;
  bool pretty = false;
  std::string token;
  // While a large reply is being written: what is not encoded yet, and what it refers to.
  std::unique_ptr<JsonSlices> rest;
  rpc::Rows rows;
};

class Connection final : public Served {
 public:
  Connection(Loop* loop, Socket socket, const ClientKey& client);
  ~Connection() override;

  void Start();
  // Instead of Start: answers with an error, without a request, and ends. May delete the
  // connection.
  void Refuse(int status, std::string_view detail);
  // An idle connection ends; a call that waits is cancelled and answered.
  void Shutdown() override;
  void Abort() override;
  void CheckDeadline(Loop::Clock::time_point now) override;
  // The call under way is over.
  void OnDone();
  // The call under way, of a streaming method, has a part of its reply. Returns false, and takes
  // nothing, while the client has not taken enough of those before. May end the call, and delete
  // the connection.
  bool OnNext();
  // Reads on, where there is something to read or to wait for.
  void ArmRead();

 private:
  enum class State {
    kHeader,    // between requests, or in the middle of a header
    kBody,      // a header was taken, its body was not yet
    kCall,      // a call is under way
    kReply,     // a large reply is encoded slice by slice, as the client takes it
    kDraining,  // nothing more is written; what still comes is thrown away until the peer closes
    kSpliced,   // the socket goes to a Splice once the turn is over
    kClosed,
  };

  struct OnRead;
  struct OnReadable;
  struct OnWritable;
  struct OnSlice;

  // Reading.
  void GiveBuffer();
  void HandleRead(const boost::system::error_code& ec, size_t size);
  void HandleReadable(const boost::system::error_code& ec);
  void Feed(std::string_view bytes);
  void Discard(size_t size);

  // A turn takes as many requests as it can off `data` (which may be stash_ itself), writes what
  // they bring, and arms what comes next. May delete the connection.
  void Turn(std::string_view data);
  bool Process(std::string_view data);
  bool CanTake() const;
  size_t TakeHeader(std::string_view data);
  size_t TakeBody(std::string_view data);
  void Settle();
  // HTTP/2 begins here.
  void TakePreface();
  // Gives the socket, the place and the stash to a Splice. Deletes the connection.
  void HandOver();

  // A request, from its header on: in connection_request.cc.
  bool IsAcceptable();
  void BeginRequest();
  void BeginCall(const Outcome& outcome);
  void ExpectBody();
  void RefuseBody();
  void EndRequest();
  void StartCall();
  void AnswerCall();
  void EncodeAnswer(EncodedReply* encoded);
  void AppendSlice();
  void AppendPart();
  void EndStream();
  void AnswerFixed(const Outcome& outcome);
  void Fail(int status, std::string_view detail);
  void Append(Reply reply);

  // Writing.
  void Flush();
  void HandleWritable(const boost::system::error_code& ec);
  void HandleSlice();

  // Closes the socket and cancels the call under way. Deletes nothing.
  void Close();
  void DeleteIfOver();
  void ReleaseContext();
  void SetDeadline(std::chrono::seconds from_now) { deadline_ = loop_->now() + from_now; }

  Loop* const loop_;
  Socket socket_;
  State state_ = State::kHeader;
  bool reading_ = false;           // a read into buffer_ is pending
  bool waiting_readable_ = false;
  bool waiting_writable_ = false;
  bool streamed_ = false;          // a part of the reply is written, and the reply is not over
  bool slice_posted_ = false;      // the next slice comes after what else the loop has to do
  bool in_turn_ = false;           // somebody further out settles and deletes
  bool calling_ = false;           // the backend has the call in context_
  bool call_seen_ = false;         // by a tick
  bool header_began_ = false;      // the deadline is that of a header
  bool keep_alive_ = true;         // of the request in hand
  bool close_after_ = false;       // once everything is written
  bool http10_ = false;
  bool at_start_ = true;           // nothing was taken off the connection yet
  bool stalled_pipeline_ = false;  // as much was sent ahead as is taken while a call is under way
  Loop::Clock::time_point deadline_;
  std::unique_ptr<char[]> buffer_;
  std::string stash_;              // bytes that are not taken yet
  size_t scanned_ = 0;             // of stash_: here no header ends
  std::string out_;                // replies not yet written
  size_t written_ = 0;             // of out_
  std::string body_;
  size_t drained_ = 0;
  std::optional<Parser> parser_;
  std::unique_ptr<CallContext> context_;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_CONNECTION_H_
