#include "tests/sim/cluster/sim_world.h"

#include <algorithm>
#include <utility>

#include "services/base/strings.h"

namespace consul::sim {
namespace {

constexpr size_t kTraceLinesMax = 600;
constexpr int64_t kMillion = 1'000'000;

}  // namespace

void SimWorld::After(Duration delay, std::function<void()> event) {
  events_.push_back({now_ + std::max(delay, Duration{0}), ++numbers_, std::move(event)});
  std::push_heap(events_.begin(), events_.end(), &Later);
}

bool SimWorld::Step() {
  if (events_.empty()) return false;
  std::pop_heap(events_.begin(), events_.end(), &Later);
  Event event = std::move(events_.back());
  events_.pop_back();
  now_ = event.at;
  ++steps_;
  event.happen();
  return true;
}

void SimWorld::RunUntil(TrueTime time, const std::function<bool()>& go_on) {
  while (!events_.empty() && events_.front().at <= time && go_on()) Step();
  if (go_on()) now_ = std::max(now_, time);
}

void SimWorld::Trace(std::string line) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now_.since_start);
  std::string text = std::to_string(micros.count());
  text.insert(0, text.size() < 9 ? 9 - text.size() : 0, ' ');
  trace_.push_back(base::StrCat(text, " ", line, "\n"));
  if (trace_.size() > kTraceLinesMax) trace_.pop_front();
}

std::string SimWorld::TraceText() const {
  std::string text;
  for (const std::string& line : trace_) text += line;
  return text;
}

raft::Time SimClock::Local(TrueTime time) const {
  const int64_t passed = (time - from_).count();
  return shown_ + Duration(passed + passed / kMillion * ppm_ + passed % kMillion * ppm_ / kMillion);
}

TrueTime SimClock::When(raft::Time local) const {
  const int64_t wanted = (local - shown_).count();
  const int64_t rate = kMillion + ppm_;
  TrueTime when = from_ + Duration(wanted / rate * kMillion + wanted % rate * kMillion / rate);
  while (Local(when) < local) when = when + Duration(1);
  return when;
}

void SimClock::SetDrift(TrueTime now, int64_t ppm) {
  shown_ = Local(now);
  from_ = now;
  ppm_ = ppm;
}

}  // namespace consul::sim
