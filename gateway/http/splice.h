// gateway/http/splice.h
//
// A client of RPC on the HTTP port. A connection that begins with the preface of HTTP/2 is joined
// to one that is made to the RPC service, and bytes are copied both ways until both have ended; an
// end of one side is passed on to the other. Nothing of HTTP/2 is understood here.
//
// Bounds: what one read brings (Loop::kLargeBuffer) is held for each direction, and only while its
// receiver does not take it; meanwhile its sender is not read. A receiver that takes nothing for
// stall_timeout is cut off. The RPC service pings each of its clients once a minute and closes on
// those that do not answer: where nothing comes through for idle_timeout, it is the service itself
// that is dead, and the splice ends.
//
// Life: takes the place of its Connection in the Loop; deletes itself through the Loop once it is
// closed and no operation is pending. Threads: its loop's.
#ifndef CONSUL_GATEWAY_HTTP_SPLICE_H_
#define CONSUL_GATEWAY_HTTP_SPLICE_H_

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/http/loop.h"
#include "gateway/http/name_lookup.h"
#include "gateway/http/served.h"

namespace consul::gateway::http {

class Splice final : public Served {
 public:
  // `sent` is what the client has sent so far, the preface first.
  // REQUIRES: loop->rpc() is there; the connection counts as spliced, which ends with the Splice.
  Splice(Loop* loop, Socket client_socket, const ClientKey& client, std::string sent);
  ~Splice() override;

  // Connects to the RPC service. When that fails the place goes to a Connection again, which
  // answers 502 with the reason.
  void Start();

  void Shutdown() override;
  void Abort() override;
  void CheckDeadline(Loop::Clock::time_point now) override;

 private:
  enum class State {
    kLookingUp,
    kConnecting,
    kTimedOut,  // the connecting is being cancelled
    kJoined,
    kClosed,
  };

  // One direction.
  struct Flow {
    Socket* from;
    Socket* to;
    std::string held;    // read and not taken yet
    bool ended = false;  // and the receiver was told
    Loop::Clock::time_point stalled_at = Loop::Clock::time_point::max();
  };

  void HandleFound(const absl::StatusOr<NameLookup::Addresses>& found);
  void Connect(const std::vector<boost::asio::ip::tcp::endpoint>& endpoints);
  void HandleConnected(const boost::system::error_code& ec);
  // REQUIRES: no operation is pending.
  void Refuse(std::string_view why);
  void RefuseForTime();

  void WaitReadable(Flow* flow);
  void HandleReadable(Flow* flow, const boost::system::error_code& ec);
  void WaitWritable(Flow* flow);
  void HandleWritable(Flow* flow, const boost::system::error_code& ec);
  // Writes `bytes`, holds what is not taken, and waits for what comes next. May close.
  void Push(Flow* flow, std::string_view bytes);
  void End(Flow* flow);

  void NoteProgress();
  void Close();
  void DeleteIfOver();

  Loop* const loop_;
  Socket client_socket_;
  Socket rpc_socket_;
  State state_ = State::kLookingUp;
  int pending_ = 0;  // operations on the sockets
  std::unique_ptr<NameLookup> lookup_;
  Flow up_;    // from the client to the service
  Flow down_;  // and back
  Loop::Clock::time_point deadline_;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_SPLICE_H_
