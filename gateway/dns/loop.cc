#include "gateway/dns/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gateway::dns {
namespace {

// What epoll tells: the kind in the upper byte, below it an index or a connection's number.
constexpr uint64_t kKindMask = 0xffULL << 56;
constexpr uint64_t kWakeTag = 0;
constexpr uint64_t kUdpTag = 1ULL << 56;
constexpr uint64_t kListenerTag = 2ULL << 56;
constexpr uint64_t kConnectionTag = 3ULL << 56;

constexpr size_t kEventsMax = 64;
// Full batches of one socket in a row before the others get their turn.
constexpr int kUdpBatchesMax = 8;
// How often timeouts are looked at while there is something that can time out.
constexpr std::chrono::milliseconds kTickInterval{500};

void Watch(int epoll_fd, int fd, uint64_t tag, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = tag}};
  CONSUL_CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

}  // namespace

Loop::Loop(std::shared_ptr<const Responder> responder, Resolver* resolver,
           TcpConnections::Shared* tcp_shared)
    : answerer_(std::move(responder), resolver, this, this, &counters_), tcp_shared_(tcp_shared) {}

Loop::~Loop() { tasks_.RunAll(); }

absl::Status Loop::Open() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  wake_ = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!epoll_.open() || !wake_.open()) {
    return absl::ResourceExhaustedError(
        base::StrCat("dns: event loop: ", std::string_view(std::strerror(errno))));
  }
  Watch(epoll_.get(), wake_.get(), kWakeTag, EPOLLIN);
  tcp_ = std::make_unique<TcpConnections>(epoll_.get(), kConnectionTag, &answerer_, tcp_shared_,
                                          &counters_);
  return absl::OkStatus();
}

void Loop::AddUdp(Fd fd, bool wildcard) {
  Watch(epoll_.get(), fd.get(), kUdpTag | udp_.size(), EPOLLIN);
  udp_.push_back({std::move(fd), wildcard});
}

void Loop::AddListener(int listener_fd) {
  // Exclusive: a connection wakes one loop, not all.
  Watch(epoll_.get(), listener_fd, kListenerTag | listeners_.size(), EPOLLIN | EPOLLEXCLUSIVE);
  listeners_.push_back(listener_fd);
}

void Loop::Run() {
  std::array<epoll_event, kEventsMax> events;
  SetTime();
  ticked_ = now_;
  bool stopping = false;
  while (!stopping || !answerer_.idle()) {
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsMax, SleepMs());
    CONSUL_CHECK(count >= 0 || errno == EINTR);
    SetTime();
    // Before tasks and the stop are looked at: what comes after this wakes anew.
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 != kWakeTag) continue;
      DrainWake();
      TakeResponder();
    }
    tasks_.RunAll();
    if (!stopping && stop_.load(std::memory_order_acquire)) {
      stopping = true;
      answerer_.CancelAll();
    }
    if (stopping) continue;
    for (int i = 0; i < count; ++i) Handle(events[i].data.u64, events[i].events);
    tcp_->Flush(unix_s_, now_);
    if (now_ - ticked_ >= kTickInterval) Tick();
  }
}

void Loop::Stop() {
  stop_.store(true, std::memory_order_release);
  Wake();
}

void Loop::Close() {
  tcp_.reset();
  udp_.clear();
}

void Loop::Post(rpc::Task* task) {
  if (tasks_.Push(task)) Wake();
}

void Loop::SetResponder(std::shared_ptr<const Responder> responder) {
  {
    base::MutexLock lock(&mutex_);
    next_responder_ = std::move(responder);
  }
  Wake();
}

void Loop::TakeResponder() {
  std::shared_ptr<const Responder> responder;
  {
    base::MutexLock lock(&mutex_);
    responder = std::exchange(next_responder_, nullptr);
  }
  if (responder != nullptr) answerer_.SetResponder(std::move(responder));
}

void Loop::Wake() {
  const uint64_t one = 1;
  // A full counter wakes as well.
  const ssize_t written = write(wake_.get(), &one, sizeof(one));
  CONSUL_CHECK(written == sizeof(one) || errno == EAGAIN);
}

void Loop::SetTime() {
  timespec time;
  clock_gettime(CLOCK_REALTIME_COARSE, &time);
  unix_s_ = static_cast<uint32_t>(time.tv_sec);
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  now_ = Answerer::Time(std::chrono::seconds(time.tv_sec) +
                        std::chrono::nanoseconds(time.tv_nsec));
}

void Loop::DrainWake() {
  uint64_t count = 0;
  const ssize_t bytes = read(wake_.get(), &count, sizeof(count));
  CONSUL_CHECK(bytes == sizeof(count) || errno == EAGAIN);
}

int Loop::SleepMs() const {
  const bool idle = tcp_->empty() && answerer_.idle() && resting_listeners_.empty();
  return idle ? -1 : static_cast<int>(kTickInterval.count());
}

void Loop::Handle(uint64_t tag, uint32_t events) {
  const uint64_t number = tag & ~kKindMask;
  switch (tag & kKindMask) {
    case kWakeTag: return;  // done with already
    case kUdpTag: return ServeUdp(number);
    case kListenerTag: return Accept(number);
    default: return tcp_->OnEvents(number, events, unix_s_, now_);
  }
}

void Loop::ServeUdp(size_t index) {
  const UdpSocket& udp = udp_[index];
  for (int batch = 0; batch < kUdpBatchesMax; ++batch) {
    const size_t count = batch_.Receive(udp.fd.get(), index, udp.wildcard);
    counters_.udp_queries.Add(count);
    for (size_t i = 0; i < count; ++i) {
      const std::span<const uint8_t> message = batch_.message(i);
      const Answerer::Outcome outcome =
          answerer_.Answer(message, batch_.client(i), unix_s_, now_, batch_.reply(i));
      if (outcome.bytes != 0) batch_.Reply(i, outcome.bytes);
    }
    counters_.send_failures.Add(batch_.Send(udp.fd.get()));
    if (count < kUdpBatchMax) return;
  }
}

void Loop::Accept(size_t index) {
  if (tcp_->Accept(listeners_[index], now_)) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listeners_[index], nullptr);
  resting_listeners_.push_back(index);
}

void Loop::Tick() {
  ticked_ = now_;
  answerer_.Tick(now_);
  tcp_->Tick(now_);
  tcp_->Flush(unix_s_, now_);
  for (const size_t index : resting_listeners_) {
    Watch(epoll_.get(), listeners_[index], kListenerTag | index, EPOLLIN | EPOLLEXCLUSIVE);
  }
  resting_listeners_.clear();
}

void Loop::SendLate(const Client& client, std::span<const uint8_t> response) {
  if (client.transport == Transport::kTcp) return tcp_->SendLate(client.number, response);
  if (!SendTo(udp_[client.number].fd.get(), client, response)) counters_.send_failures.Add();
}

}  // namespace consul::gateway::dns
