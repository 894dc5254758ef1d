#include "gateway/http/splice.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <utility>

#include "gateway/http/connection.h"
#include "services/base/strings.h"

namespace consul::gateway::http {
namespace {

using boost::asio::ip::tcp;

// A server that stops ends a splice that has carried nothing for as long.
constexpr std::chrono::milliseconds kQuietWhenStopping{100};

bool WouldBlock(const boost::system::error_code& ec) {
  return ec == boost::asio::error::would_block || ec == boost::asio::error::try_again;
}

}  // namespace

Splice::Splice(Loop* loop, Socket client_socket, const ClientKey& client, std::string sent)
    : Served(client),
      loop_(loop),
      client_socket_(std::move(client_socket)),
      rpc_socket_(loop->io().get_executor()),
      up_{&client_socket_, &rpc_socket_, std::move(sent)},
      down_{&rpc_socket_, &client_socket_, {}},
      deadline_(loop->now() + loop->limits().rpc_connect_timeout) {}

Splice::~Splice() { loop_->counts()->GiveBackSpliced(); }

void Splice::Start() {
  const HttpAddress& rpc = *loop_->rpc();
  boost::system::error_code ec;
  const auto literal = boost::asio::ip::make_address(rpc.host, ec);
  if (!ec) {
    Connect({tcp::endpoint(literal, rpc.port)});
    return;
  }
  lookup_ = std::make_unique<NameLookup>(
      &loop_->io(), rpc.host, NameLookup::Options(),
      [this](const absl::StatusOr<NameLookup::Addresses>& found) { HandleFound(found); });
}

void Splice::HandleFound(const absl::StatusOr<NameLookup::Addresses>& found) {
  lookup_.reset();
  if (!found.ok()) {
    Refuse(base::ToStd(found.status().message()));
    return;
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& address : *found) endpoints.emplace_back(address, loop_->rpc()->port);
  Connect(endpoints);
}

void Splice::Connect(const std::vector<tcp::endpoint>& endpoints) {
  state_ = State::kConnecting;
  ++pending_;
  boost::asio::async_connect(rpc_socket_, endpoints,
                             [this](const boost::system::error_code& ec, const tcp::endpoint&) {
                               --pending_;
                               HandleConnected(ec);
                             });
}

void Splice::HandleConnected(const boost::system::error_code& ec) {
  if (state_ == State::kClosed) {
    DeleteIfOver();
    return;
  }
  if (state_ == State::kTimedOut) {
    RefuseForTime();
    return;
  }
  if (ec) {
    Refuse(ec.message());
    return;
  }
  state_ = State::kJoined;
  boost::system::error_code option_ec;
  rpc_socket_.non_blocking(true, option_ec);
  rpc_socket_.set_option(tcp::no_delay(true), option_ec);
  NoteProgress();
  WaitReadable(&down_);
  Push(&up_, up_.held);
}

void Splice::Refuse(std::string_view why) {
  const HttpAddress& rpc = *loop_->rpc();
  const bool v6 = rpc.host.find(':') != std::string::npos;
  const std::string detail = base::StrCat("RPC at ", v6 ? "[" : "", rpc.host, v6 ? "]" : "", ":",
                                          rpc.port, " cannot be reached: ", why);
  auto* const connection = new Connection(loop_, std::move(client_socket_), client());
  loop_->Replace(this, connection);
  connection->Refuse(502, detail);
}

void Splice::RefuseForTime() {
  Refuse(base::StrCat("no answer within ", loop_->limits().rpc_connect_timeout.count(), "s"));
}

void Splice::WaitReadable(Flow* flow) {
  ++pending_;
  flow->from->async_wait(Socket::wait_read, [this, flow](const boost::system::error_code& ec) {
    --pending_;
    HandleReadable(flow, ec);
  });
}

void Splice::HandleReadable(Flow* flow, const boost::system::error_code& ec) {
  if (ec || state_ == State::kClosed) {
    Abort();
    return;
  }
  boost::system::error_code read_ec;
  const size_t size = flow->from->read_some(
      boost::asio::buffer(loop_->large_buffer(), Loop::kLargeBuffer), read_ec);
  if (WouldBlock(read_ec)) {
    WaitReadable(flow);
  } else if (read_ec == boost::asio::error::eof) {
    End(flow);
  } else if (read_ec) {
    Abort();
  } else {
    Push(flow, std::string_view(loop_->large_buffer(), size));
  }
}

void Splice::WaitWritable(Flow* flow) {
  ++pending_;
  flow->to->async_wait(Socket::wait_write, [this, flow](const boost::system::error_code& ec) {
    --pending_;
    HandleWritable(flow, ec);
  });
}

void Splice::HandleWritable(Flow* flow, const boost::system::error_code& ec) {
  if (ec || state_ == State::kClosed) {
    Abort();
    return;
  }
  Push(flow, flow->held);
}

void Splice::Push(Flow* flow, std::string_view bytes) {
  boost::system::error_code ec;
  const size_t taken = flow->to->write_some(boost::asio::buffer(bytes.data(), bytes.size()), ec);
  if (ec && !WouldBlock(ec)) {
    Abort();
    return;
  }
  if (taken == bytes.size()) {
    flow->held = std::string();
    flow->stalled_at = Loop::Clock::time_point::max();
    WaitReadable(flow);
  } else {
    if (taken > 0 || flow->held.empty()) {
      flow->stalled_at = loop_->now() + loop_->limits().stall_timeout;
    }
    if (flow->held.empty()) {
      flow->held.assign(bytes.substr(taken));
    } else {
      flow->held.erase(0, taken);
    }
    WaitWritable(flow);
  }
  NoteProgress();
}

// HTTP/2 has no use for half a connection, so that the other side gets no more time to end than a
// receiver that takes nothing.
void Splice::End(Flow* flow) {
  flow->ended = true;
  boost::system::error_code ec;
  flow->to->shutdown(Socket::shutdown_send, ec);
  if (ec || (up_.ended && down_.ended)) {
    Abort();
    return;
  }
  NoteProgress();
}

void Splice::NoteProgress() {
  const HttpLimits& limits = loop_->limits();
  if (!loop_->stopping()) {
    const bool half = up_.ended || down_.ended;
    deadline_ = loop_->now() + (half ? limits.stall_timeout : limits.idle_timeout);
  } else if (up_.held.empty() && down_.held.empty()) {
    deadline_ = loop_->now() + kQuietWhenStopping;
  } else {
    // What is due has until the loop's grace is over.
    deadline_ = Loop::Clock::time_point::max();
  }
}

void Splice::CheckDeadline(Loop::Clock::time_point now) {
  if (now < deadline_ && now < up_.stalled_at && now < down_.stalled_at) return;
  switch (state_) {
    case State::kLookingUp:
      lookup_.reset();
      RefuseForTime();
      return;
    case State::kConnecting: {
      state_ = State::kTimedOut;
      boost::system::error_code ec;
      rpc_socket_.close(ec);
      return;
    }
    case State::kJoined:
      Abort();
      return;
    case State::kTimedOut:
    case State::kClosed:
      return;
  }
}

void Splice::Shutdown() {
  if (state_ == State::kJoined) {
    NoteProgress();
  } else {
    Abort();
  }
}

void Splice::Abort() {
  Close();
  DeleteIfOver();
}

void Splice::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  lookup_.reset();
  boost::system::error_code ec;
  client_socket_.close(ec);
  rpc_socket_.close(ec);
}

void Splice::DeleteIfOver() {
  if (state_ == State::kClosed && pending_ == 0) loop_->Remove(this);
}

}  // namespace consul::gateway::http
