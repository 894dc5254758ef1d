// How long it takes to wake everybody who waits for one key.
//
// Opens COUNT connections, each with a blocking query on the key, writes the key, and takes the
// time from before the write until the last query is answered, each answer checked. Then all wait
// again. Prints one JSON object: the milliseconds of each round.
//
// usage: blocked_queries PORT COUNT ROUNDS     (the server is on 127.0.0.1)
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr char kPath[] = "/v1/kv/bench/blocked";
// A round that takes longer has failed; no wait of a query is shorter.
constexpr int kRoundTimeoutMs = 60'000;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "blocked_queries: %s\n", what.c_str());
  std::exit(1);
}

[[noreturn]] void FailErrno(const std::string& what) { Fail(what + ": " + std::strerror(errno)); }

int Connect(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) FailErrno("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    FailErrno("connect");
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void SendAll(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t sent = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0) FailErrno("send");
    data.remove_prefix(static_cast<size_t>(sent));
  }
}

// One reply as it comes in. Complete() once the body is there by its Content-Length.
class Reply {
 public:
  void Clear() { data_.clear(); }

  // Reads what the socket has; false when the server closed it.
  bool Read(int fd, int flags) {
    char buffer[4096];
    ssize_t size = recv(fd, buffer, sizeof buffer, flags);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (size < 0) FailErrno("recv");
    data_.append(buffer, static_cast<size_t>(size));
    return size > 0;
  }

  bool Complete() const {
    size_t head = data_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    return data_.size() >= head + 4 + static_cast<size_t>(Number("\r\nContent-Length: "));
  }

  // REQUIRES: Complete().
  void CheckOk() const {
    if (data_.rfind("HTTP/1.1 200 ", 0) != 0) Fail("not a 200: " + data_.substr(0, 300));
  }

  uint64_t Index() const { return Number("\r\nX-Consul-Index: "); }

 private:
  uint64_t Number(std::string_view name) const {
    size_t at = data_.find(name);
    if (at == std::string::npos) {
      Fail("no header" + std::string(name.substr(1)) + " in " + data_.substr(0, 300));
    }
    return std::strtoull(data_.c_str() + at + name.size(), nullptr, 10);
  }

  std::string data_;
};

// Sends a request on a connection of its own kind and waits for the whole reply.
Reply Ask(int fd, const std::string& request) {
  SendAll(fd, request);
  Reply reply;
  while (!reply.Complete()) {
    if (!reply.Read(fd, 0)) Fail("closed in the middle of a reply");
  }
  reply.CheckOk();
  return reply;
}

std::string Get(const std::string& query) {
  return "GET " + std::string(kPath) + query + " HTTP/1.1\r\nHost: bench\r\n\r\n";
}

std::string Put(const std::string& value) {
  return "PUT " + std::string(kPath) + " HTTP/1.1\r\nHost: bench\r\nContent-Length: " +
         std::to_string(value.size()) + "\r\n\r\n" + value;
}

class Crowd {
 public:
  Crowd(int port, int count) : epoll_(epoll_create1(EPOLL_CLOEXEC)), replies_(count) {
    for (int i = 0; i < count; ++i) {
      sockets_.push_back(Connect(port));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u32 = static_cast<uint32_t>(i);
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, sockets_.back(), &event) != 0) FailErrno("epoll_ctl");
    }
  }

  ~Crowd() {
    for (int fd : sockets_) close(fd);
    close(epoll_);
  }

  // Has everybody wait for an index above `index`.
  void Wait(uint64_t index) {
    std::string request = Get("?index=" + std::to_string(index) + "&wait=10m");
    for (size_t i = 0; i < sockets_.size(); ++i) {
      replies_[i].Clear();
      SendAll(sockets_[i], request);
    }
    // Until the server has read and parked them all; nobody may be answered in this time.
    auto settle = std::chrono::milliseconds(1000 + sockets_.size() / 5);
    epoll_event event;
    if (epoll_wait(epoll_, &event, 1, static_cast<int>(settle.count())) != 0) {
      Fail("a query was answered before the write");
    }
  }

  // Returns once everybody is answered with an index above `index`.
  void Collect(uint64_t index) {
    size_t open = sockets_.size();
    std::vector<epoll_event> events(1024);
    while (open > 0) {
      int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                             kRoundTimeoutMs);
      if (ready <= 0) Fail(std::to_string(open) + " queries are not answered");
      for (int i = 0; i < ready; ++i) {
        uint32_t who = events[static_cast<size_t>(i)].data.u32;
        Reply& reply = replies_[who];
        if (!reply.Read(sockets_[who], MSG_DONTWAIT)) Fail("closed while it waited");
        if (!reply.Complete()) continue;
        reply.CheckOk();
        if (reply.Index() <= index) Fail("answered without a change");
        --open;
      }
    }
  }

 private:
  int epoll_;
  std::vector<int> sockets_;
  std::vector<Reply> replies_;
};

void RaiseFileLimit(int count) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < static_cast<rlim_t>(count) + 16) {
    Fail("the limit of open files is " + std::to_string(limit.rlim_cur));
  }
}

void Run(int port, int count, int rounds) {
  RaiseFileLimit(count);
  int control = Connect(port);
  Ask(control, Put("start"));
  Crowd crowd(port, count);
  std::printf("{\"count\": %d, \"rounds_ms\": [", count);
  for (int round = 0; round < rounds; ++round) {
    uint64_t index = Ask(control, Get("")).Index();
    crowd.Wait(index);
    Clock::time_point start = Clock::now();
    SendAll(control, Put("round " + std::to_string(round)));
    crowd.Collect(index);
    std::chrono::duration<double, std::milli> took = Clock::now() - start;
    Reply reply;
    while (!reply.Complete()) {
      if (!reply.Read(control, 0)) Fail("the write was not answered");
    }
    reply.CheckOk();
    std::printf("%s%.3f", round == 0 ? "" : ", ", took.count());
  }
  std::printf("]}\n");
  close(control);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) Fail("usage: blocked_queries PORT COUNT ROUNDS");
  Run(std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3]));
}
