#include "services/gossip/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/select.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <chrono>
#include <map>
#include <utility>

#include "services/base/strings.h"

namespace consul::gossip {
namespace {

using boost::asio::posix::stream_descriptor;

// A name server has so long, and is asked so often, before a name counts as not to be had: joining
// is tried again anyway.
constexpr int kTimeoutMilliseconds = 2000;
constexpr int kTries = 2;

// The library's process-wide state; made once, never given back.
int LibraryStatus() {
  static const int status = ares_library_init(ARES_LIB_INIT_ALL);
  return status;
}

absl::Status LookupError(std::string_view host, int status) {
  const std::string text = base::StrCat("lookup ", host, ": ", ares_strerror(status));
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
      return absl::NotFoundError(text);
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
      return absl::CancelledError(text);
    case ARES_EBADNAME:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

absl::Status BadTarget(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(base::StrCat("address ", text, ": ", why));
}

std::vector<Endpoint> EndpointsOf(const ares_addrinfo& info, uint16_t port) {
  std::vector<Endpoint> endpoints;
  for (const ares_addrinfo_node* node = info.nodes; node != nullptr; node = node->ai_next) {
    std::string ip;
    if (node->ai_family == AF_INET) {
      const auto* const v4 = reinterpret_cast<const sockaddr_in*>(node->ai_addr);
      ip.assign(reinterpret_cast<const char*>(&v4->sin_addr), sizeof v4->sin_addr);
    } else if (node->ai_family == AF_INET6) {
      const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(node->ai_addr);
      ip.assign(reinterpret_cast<const char*>(&v6->sin6_addr), sizeof v6->sin6_addr);
    }
    if (const auto endpoint = Endpoint::FromBytes(ip, port)) endpoints.push_back(*endpoint);
  }
  return endpoints;
}

}  // namespace

absl::StatusOr<JoinTarget> ParseJoinTarget(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("address is empty");
  if (text.size() > Resolver::kTargetBytesMax) {
    return absl::InvalidArgumentError(base::StrCat("address is ", text.size(),
                                                   " bytes long, the limit is ",
                                                   Resolver::kTargetBytesMax));
  }
  JoinTarget target;
  std::string_view port;
  bool has_port = false;
  if (text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return BadTarget(text, "missing ']' in address");
    target.host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    has_port = !rest.empty();
    if (has_port && rest.front() != ':') return BadTarget(text, "unexpected text behind ']'");
    if (has_port) port = rest.substr(1);
  } else {
    const size_t colon = text.find(':');
    // More than one colon without brackets is an IPv6 address.
    has_port = colon != std::string_view::npos &&
               text.find(':', colon + 1) == std::string_view::npos;
    target.host = has_port ? text.substr(0, colon) : text;
    if (has_port) port = text.substr(colon + 1);
  }
  if (target.host.empty()) return BadTarget(text, "missing host in address");
  for (const char c : target.host) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '/' || c == 0x7f) {
      return BadTarget(text, "a host has no spaces, slashes or control characters");
    }
  }
  if (!has_port) return target;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) {
    return BadTarget(text, base::StrCat("invalid port \"", port, "\", it is 1 to 65535"));
  }
  target.port = static_cast<uint16_t>(number);
  return target;
}

class Resolver::Impl {
 public:
  explicit Impl(boost::asio::io_context* io) : io_(io), timer_(*io) {}

  ~Impl() {
    // Ends what is under way, each with its callback; those may not start anything new.
    if (channel_ != nullptr) ares_destroy(channel_);
  }

  void Lookup(const std::string& host, uint16_t port, Done done) {
    if (const int status = Open(); status != ARES_SUCCESS) {
      return done(LookupError(host, status));
    }
    auto* const lookup = new OneLookup{host, port, std::move(done)};
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, &Impl::OnAddresses, lookup);
    ArmTimer();
  }

  void Stop() {
    if (channel_ != nullptr) ares_cancel(channel_);
  }

  absl::Status AskForTest(const Endpoint& name_server) {
    int status = Open();
    if (status == ARES_SUCCESS) {
      status = ares_set_servers_ports_csv(channel_, name_server.ToString().c_str());
    }
    return status == ARES_SUCCESS ? absl::OkStatus() : absl::InternalError(ares_strerror(status));
  }

 private:
  struct OneLookup {
    std::string host;
    uint16_t port;
    Done done;
  };
  struct Watched {
    explicit Watched(boost::asio::io_context* io) : descriptor(*io) {}
    stream_descriptor descriptor;
    bool reads = false;
    bool writes = false;
    bool waiting_read = false;
    bool waiting_write = false;
  };

  static void OnAddresses(void* context, int status, int, ares_addrinfo* info) {
    const std::unique_ptr<OneLookup> lookup(static_cast<OneLookup*>(context));
    std::vector<Endpoint> endpoints;
    if (info != nullptr) {
      if (status == ARES_SUCCESS) endpoints = EndpointsOf(*info, lookup->port);
      ares_freeaddrinfo(info);
    }
    if (status != ARES_SUCCESS || endpoints.empty()) {
      lookup->done(LookupError(lookup->host, status == ARES_SUCCESS ? ARES_ENODATA : status));
    } else {
      lookup->done(std::move(endpoints));
    }
  }

  static void OnSocketState(void* context, ares_socket_t socket, int readable, int writable) {
    static_cast<Impl*>(context)->Watch(socket, readable != 0, writable != 0);
  }

  // The system's configuration is read with the first name, not at the start: most pools are joined
  // by address.
  int Open() {
    if (channel_ != nullptr) return ARES_SUCCESS;
    if (const int status = LibraryStatus(); status != ARES_SUCCESS) return status;
    ares_options options{};
    options.timeout = kTimeoutMilliseconds;
    options.tries = kTries;
    options.sock_state_cb = &Impl::OnSocketState;
    options.sock_state_cb_data = this;
    return ares_init_options(&channel_, &options,
                             ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  }

  void Watch(ares_socket_t socket, bool readable, bool writable) {
    if (!readable && !writable) {
      const auto found = watched_.find(socket);
      if (found == watched_.end()) return;
      // The socket is c-ares' own to close.
      found->second->descriptor.release();
      watched_.erase(found);
      return;
    }
    std::shared_ptr<Watched>& watched = watched_[socket];
    if (watched == nullptr) {
      watched = std::make_shared<Watched>(io_);
      watched->descriptor.assign(socket);
    }
    watched->reads = readable;
    watched->writes = writable;
    Arm(socket, watched);
  }

  void Arm(ares_socket_t socket, const std::shared_ptr<Watched>& watched) {
    if (watched->reads && !watched->waiting_read) {
      watched->waiting_read = true;
      watched->descriptor.async_wait(stream_descriptor::wait_read,
                                     [this, socket, watched](const auto& ec) {
                                       watched->waiting_read = false;
                                       if (!ec) Ready(socket, ARES_SOCKET_BAD, socket, watched);
                                     });
    }
    if (watched->writes && !watched->waiting_write) {
      watched->waiting_write = true;
      watched->descriptor.async_wait(stream_descriptor::wait_write,
                                     [this, socket, watched](const auto& ec) {
                                       watched->waiting_write = false;
                                       if (!ec) Ready(ARES_SOCKET_BAD, socket, socket, watched);
                                     });
    }
  }

  void Ready(ares_socket_t readable, ares_socket_t writable, ares_socket_t socket,
             const std::shared_ptr<Watched>& watched) {
    ares_process_fd(channel_, readable, writable);
    const auto found = watched_.find(socket);
    if (found != watched_.end() && found->second == watched) Arm(socket, watched);
    ArmTimer();
  }

  void ArmTimer() {
    timeval wait{};
    if (ares_timeout(channel_, nullptr, &wait) == nullptr) return;
    timer_.expires_after(std::chrono::seconds(wait.tv_sec) +
                         std::chrono::microseconds(wait.tv_usec));
    timer_.async_wait([this](const boost::system::error_code& ec) {
      if (ec) return;
      ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      ArmTimer();
    });
  }

  boost::asio::io_context* const io_;
  boost::asio::steady_timer timer_;
  ares_channel channel_ = nullptr;
  std::map<ares_socket_t, std::shared_ptr<Watched>> watched_;
};

Resolver::Resolver(boost::asio::io_context* io) : impl_(std::make_unique<Impl>(io)) {}
Resolver::~Resolver() = default;

void Resolver::Resolve(std::string_view target, uint16_t port_default, Done done) {
  absl::StatusOr<JoinTarget> parsed = ParseJoinTarget(target);
  if (!parsed.ok()) return done(parsed.status());
  const uint16_t port = parsed->port == 0 ? port_default : parsed->port;
  if (const auto endpoint = Endpoint::ParseIp(parsed->host, port)) {
    return done(std::vector<Endpoint>{*endpoint});
  }
  impl_->Lookup(parsed->host, port, std::move(done));
}

void Resolver::Stop() { impl_->Stop(); }

absl::Status Resolver::AskForTest(const Endpoint& name_server) {
  return impl_->AskForTest(name_server);
}

}  // namespace consul::gossip
