#include "gateway/http/listener.h"

#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "services/base/log.h"
#include "services/base/strings.h"

namespace consul::gateway::http {
namespace {

using boost::asio::ip::tcp;

constexpr int kBacklog = 4096;
// Out of descriptors or memory: others have to end first.
constexpr std::chrono::milliseconds kRetry{100};

ClientKey KeyOf(const boost::asio::ip::address& address) {
  return address.is_v4()
             ? boost::asio::ip::make_address_v6(boost::asio::ip::v4_mapped, address.to_v4())
                   .to_bytes()
             : address.to_v6().to_bytes();
}

std::string Named(const HttpAddress& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return base::StrCat(v6 ? "[" : "", address.host, v6 ? "]" : "", ":", address.port);
}

}  // namespace

Listener::Listener(std::span<const std::unique_ptr<Loop>> loops, ClientCounts* counts,
                   base::Logger* log)
    : loops_(loops),
      counts_(counts),
      log_(log),
      acceptor_(loops[0]->io().get_executor()),
      retry_(loops[0]->io().get_executor()) {}

absl::Status Listener::Open(const HttpAddress& address, bool dual_stack) {
  boost::system::error_code ec;
  const auto ip = boost::asio::ip::make_address(address.host, ec);
  if (ec) {
    return absl::InvalidArgumentError(
        base::StrCat("HTTP address \"", address.host, "\" is not an IP address"));
  }
  const tcp::endpoint endpoint(ip, address.port);
  const char* step = "open";
  acceptor_.open(endpoint.protocol(), ec);
  if (!ec && ip.is_v6()) acceptor_.set_option(boost::asio::ip::v6_only(!dual_stack), ec);
  if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) {
    step = "bind";
    acceptor_.bind(endpoint, ec);
  }
  if (!ec) {
    step = "listen";
    acceptor_.listen(kBacklog, ec);
  }
  if (!ec) port_ = acceptor_.local_endpoint(ec).port();
  if (ec) {
    return absl::UnavailableError(
        base::StrCat("HTTP server on ", Named(address), ": ", step, ": ", ec.message()));
  }
  return absl::OkStatus();
}

void Listener::Close() {
  boost::system::error_code ec;
  acceptor_.close(ec);
  retry_.cancel();
}

Loop* Listener::LeastLoaded() const {
  Loop* least = loops_[0].get();
  for (const auto& loop : loops_) {
    if (loop->load() < least->load()) least = loop.get();
  }
  return least;
}

void Listener::Accept() {
  if (!acceptor_.is_open()) return;
  next_ = LeastLoaded();
  peer_.emplace(next_->io().get_executor());
  acceptor_.async_accept(*peer_, client_,
                         [this](const boost::system::error_code& ec) { HandleAccept(ec); });
}

void Listener::HandleAccept(const boost::system::error_code& ec) {
  if (!acceptor_.is_open()) return;
  if (ec) {
    AcceptLater(ec);
    return;
  }
  const ClientKey client = KeyOf(client_.address());
  const ClientCounts::Result result = counts_->Take(client);
  if (result == ClientCounts::Result::kTaken) {
    next_->Add(std::move(*peer_), client);
  } else {
    Refuse(std::move(*peer_), result);
  }
  Accept();
}

// One reply into an empty socket buffer, which always has room for it.
void Listener::Refuse(Socket socket, ClientCounts::Result result) {
  Reply reply;
  std::string text;
  if (result == ClientCounts::Result::kClientFull) {
    reply.status = 429;
    text = base::StrCat("Too many connections from this address: ",
                        "limits.http_max_conns_per_client is ",
                        counts_->per_client_max(), "\n");
  } else {
    reply.status = 503;
    text = base::StrCat("Too many connections: connections_max is ",
                        loops_[0]->limits().connections_max, "\n");
  }
  reply.headers = kTextPlain;
  reply.body = text;
  reply.after = After::kClose;
  std::string out;
  AppendReply(reply, loops_[0]->DateLine(), &out);
  boost::system::error_code ec;
  socket.non_blocking(true, ec);
  socket.write_some(boost::asio::buffer(out), ec);
  socket.shutdown(Socket::shutdown_send, ec);
}

void Listener::AcceptLater(const boost::system::error_code& ec) {
  if (ec == boost::asio::error::connection_aborted) {
    Accept();
    return;
  }
  if (log_ != nullptr) {
    log_->Warn("http", base::StrCat("accept failed, next try soon: port=", port_,
                                    " error=", ec.message()));
  }
  retry_.expires_after(kRetry);
  retry_.async_wait([this](const boost::system::error_code& timer_ec) {
    if (!timer_ec) Accept();
  });
}

}  // namespace consul::gateway::http
