#include "gateway/http/name_lookup.h"

#include <ares.h>
#include <netinet/in.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstring>
#include <map>
#include <utility>

namespace consul::gateway::http {
namespace {

using Executor = boost::asio::io_context::executor_type;
using Clock = std::chrono::steady_clock;

// Of each server, the first included.
constexpr int kTries = 2;

boost::asio::ip::address AddressOf(const ares_addrinfo_node& node) {
  if (node.ai_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, node.ai_addr, sizeof(v4));
    return boost::asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, node.ai_addr, sizeof(v6));
  boost::asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return boost::asio::ip::address_v6(bytes, v6.sin6_scope_id);
}

}  // namespace

// What handlers of the loop hold on to: it outlives the lookup until the last of them has run.
class NameLookup::Query final : public std::enable_shared_from_this<NameLookup::Query> {
 public:
  using Done = std::function<void(const absl::StatusOr<Addresses>&)>;

  Query(boost::asio::io_context* io, Done done)
      : io_(*io), timer_(io->get_executor()), done_(std::move(done)) {}

  void Start(const std::string& name, const Options& options) {
    if (const int status = Open(options); status != ARES_SUCCESS) {
      Finish(absl::UnavailableError(ares_strerror(status)));
      return;
    }
    ares_addrinfo_hints hints = {};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, &Query::OnAddresses, this);
    ArmTimer();
  }

  void GiveUp() {
    done_ = nullptr;
    timer_.cancel();
    if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
    watches_.clear();
  }

 private:
  // A socket of c-ares, which opens and closes it.
  struct Watch {
    Watch(const Executor& executor, ares_socket_t fd) : descriptor(executor, fd) {}
    ~Watch() { descriptor.release(); }

    boost::asio::posix::basic_stream_descriptor<Executor> descriptor;
    bool wants_read = false;
    bool wants_write = false;
    bool waits_read = false;
    bool waits_write = false;
  };

  // ARES_SUCCESS: there is a channel.
  int Open(const Options& options) {
    ares_options settings = {};
    settings.timeout = static_cast<int>(options.timeout.count());
    settings.tries = kTries;
    settings.sock_state_cb = &Query::OnSocketState;
    settings.sock_state_cb_data = this;
    int status = ares_init_options(&channel_, &settings,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
      channel_ = nullptr;
    } else if (!options.servers.empty()) {
      status = ares_set_servers_ports_csv(channel_, options.servers.c_str());
    }
    return status;
  }

  static void OnSocketState(void* data, ares_socket_t fd, int readable, int writable) {
    static_cast<Query*>(data)->SetInterest(fd, readable != 0, writable != 0);
  }
  static void OnAddresses(void* data, int status, int, ares_addrinfo* result) {
    static_cast<Query*>(data)->TakeResult(status, result);
  }

  void SetInterest(ares_socket_t fd, bool readable, bool writable) {
    if (!readable && !writable) {
      watches_.erase(fd);
      return;
    }
    std::unique_ptr<Watch>& watch = watches_[fd];
    if (watch == nullptr) watch = std::make_unique<Watch>(io_.get_executor(), fd);
    watch->wants_read = readable;
    watch->wants_write = writable;
    Arm(fd, watch.get());
  }

  void Arm(ares_socket_t fd, Watch* watch) {
    using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;
    if (watch->wants_read && !watch->waits_read) {
      watch->waits_read = true;
      watch->descriptor.async_wait(Descriptor::wait_read,
                                   [self = shared_from_this(), fd](const auto& ec) {
                                     if (!ec) self->Process(fd, ARES_SOCKET_BAD);
                                   });
    }
    if (watch->wants_write && !watch->waits_write) {
      watch->waits_write = true;
      watch->descriptor.async_wait(Descriptor::wait_write,
                                   [self = shared_from_this(), fd](const auto& ec) {
                                     if (!ec) self->Process(ARES_SOCKET_BAD, fd);
                                   });
    }
  }

  // One of the two is ready, or the time of a question is over. A socket that was closed in the
  // meantime is none of c-ares's any more, and passed over by it.
  void Process(ares_socket_t readable, ares_socket_t writable) {
    if (channel_ == nullptr) return;
    if (const auto found = watches_.find(readable); found != watches_.end()) {
      found->second->waits_read = false;
    }
    if (const auto found = watches_.find(writable); found != watches_.end()) {
      found->second->waits_write = false;
    }
    ares_process_fd(channel_, readable, writable);
    const ares_socket_t fd = readable != ARES_SOCKET_BAD ? readable : writable;
    if (const auto found = watches_.find(fd); found != watches_.end()) {
      Arm(fd, found->second.get());
    }
    ArmTimer();
  }

  void ArmTimer() {
    timeval wait;
    if (ares_timeout(channel_, nullptr, &wait) == nullptr) return;
    timer_.expires_after(std::chrono::seconds(wait.tv_sec) +
                         std::chrono::microseconds(wait.tv_usec));
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
      if (!ec) self->Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    });
  }

  void TakeResult(int status, ares_addrinfo* result) {
    if (status == ARES_EDESTRUCTION) return;  // given up
    if (status != ARES_SUCCESS) {
      Finish(absl::UnavailableError(ares_strerror(status)));
      return;
    }
    Addresses addresses;
    for (const ares_addrinfo_node* node = result->nodes; node != nullptr; node = node->ai_next) {
      if (addresses.size() < kAddressesMax) addresses.push_back(AddressOf(*node));
    }
    ares_freeaddrinfo(result);
    if (addresses.empty()) {
      Finish(absl::UnavailableError(ares_strerror(ARES_ENODATA)));
    } else {
      Finish(std::move(addresses));
    }
  }

  // Never from within Start, and never from within c-ares, which done_ may destroy.
  void Finish(absl::StatusOr<Addresses> result) {
    boost::asio::post(io_, [self = shared_from_this(), result = std::move(result)] {
      if (self->done_ != nullptr) std::exchange(self->done_, nullptr)(result);
    });
  }

  boost::asio::io_context& io_;
  boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor> timer_;
  Done done_;
  ares_channel channel_ = nullptr;
  std::map<ares_socket_t, std::unique_ptr<Watch>> watches_;
};

NameLookup::NameLookup(boost::asio::io_context* io, const std::string& name,
                       const Options& options,
                       std::function<void(const absl::StatusOr<Addresses>&)> done)
    : query_(std::make_shared<Query>(io, std::move(done))) {
  query_->Start(name, options);
}

NameLookup::~NameLookup() { query_->GiveUp(); }

}  // namespace consul::gateway::http
