// services/transport/narrow_link.h
//
// For tests: a way to a server on which each connection carries so many bytes and then stands
// still.
//
// Threads: one of its own; the rest is the test's.
#ifndef CONSUL_SERVICES_TRANSPORT_NARROW_LINK_H_
#define CONSUL_SERVICES_TRANSPORT_NARROW_LINK_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "services/base/strings.h"

namespace consul::transport {

class NarrowLink {
 public:
  // To 127.0.0.1:`port`; each connection carries `bytes_max` towards it until Widen.
  NarrowLink(int port, size_t bytes_max) : target_(Loopback(port)), bytes_max_(bytes_max) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~NarrowLink() {
    stop_ = true;
    thread_.join();
    for (const Pipe& pipe : pipes_) Close(pipe);
    close(listener_);
  }
  NarrowLink(const NarrowLink&) = delete;
  NarrowLink& operator=(const NarrowLink&) = delete;

  std::string address() const { return base::StrCat("127.0.0.1:", port_); }
  void Widen() { wide_ = true; }

 private:
  struct Pipe {
    int from;
    int to;
    size_t carried = 0;
  };
  static constexpr int kLookAgainMs = 5;  // for Widen and the end

  static sockaddr_in Loopback(int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static void Close(const Pipe& pipe) {
    close(pipe.from);
    close(pipe.to);
  }

  void Run() {
    while (!stop_) {
      std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
      for (const Pipe& pipe : pipes_) {
        const bool stands = !wide_ && pipe.carried >= bytes_max_;
        polled.push_back({stands ? -1 : pipe.from, POLLIN, 0});
        polled.push_back({pipe.to, POLLIN, 0});
      }
      poll(polled.data(), polled.size(), kLookAgainMs);
      std::vector<Pipe> left;
      for (size_t i = 0; i < pipes_.size(); ++i) {
        const bool forth = polled[1 + 2 * i].revents == 0 || Carry(&pipes_[i]);
        const bool back = polled[2 + 2 * i].revents == 0 ||
                          Copy(pipes_[i].to, pipes_[i].from) > 0;
        if (forth && back) left.push_back(pipes_[i]);
        else Close(pipes_[i]);
      }
      pipes_ = left;
      if (polled[0].revents != 0) Accept();
    }
  }
  bool Carry(Pipe* pipe) {
    const ssize_t copied = Copy(pipe->from, pipe->to);
    if (copied > 0) pipe->carried += static_cast<size_t>(copied);
    return copied > 0;
  }
  static ssize_t Copy(int from, int to) {
    char buffer[16 << 10];
    const ssize_t got = recv(from, buffer, sizeof(buffer), 0);
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t more = send(to, buffer + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
      if (more <= 0) return more;
      sent += more;
    }
    return got;
  }
  void Accept() {
    const int from = accept(listener_, nullptr, nullptr);
    const int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(to, reinterpret_cast<const sockaddr*>(&target_), sizeof(target_)), 0);
    pipes_.push_back({from, to});
  }

  const sockaddr_in target_;
  const size_t bytes_max_;
  int listener_;
  int port_ = 0;
  std::vector<Pipe> pipes_;  // the thread's
  std::atomic<bool> wide_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_NARROW_LINK_H_
