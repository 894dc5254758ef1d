// services/base/metrics.h
//
// What a process counts and measures of itself: series by name, each summed up over windows of ten
// seconds and since the start. /v1/agent/metrics shows the last whole window, in the form of the
// reference, and everything since the start in Prometheus' text format.
//
// A Counter adds up amounts of something; a Sample is of values that are looked at as a
// distribution, mostly times in milliseconds. A gauge is one value that stands until the next.
//
// Threads: any. Adding to a series takes its lock, which nothing else holds for long, and reads a
// clock.
#ifndef CONSUL_SERVICES_BASE_METRICS_H_
#define CONSUL_SERVICES_BASE_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/base/mutex.h"

namespace consul::base {

// Of a series: sorted by name.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Values, summed up.
struct MetricSum {
  uint64_t count = 0;
  double sum = 0;
  double sum_of_squares = 0;
  double min = 0;
  double max = 0;

  void Add(double value, uint64_t times);
  double mean() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
  // Of a sample of the values; 0 of fewer than two.
  double stddev() const;
};

// How many values there were of about each size: eight sizes for each doubling, so that a quantile
// is off by a sixteenth at most. Below and above its range the first and the last size are told.
class MetricSizes {
 public:
  static constexpr double kMin = 1.0 / 1024;  // a microsecond, of milliseconds
  static constexpr int kDoublings = 40;

  void Add(double value, uint64_t times);
  // The value that `share` (0 to 1) of all do not exceed; NaN of none.
  double Quantile(double share) const;

 private:
  static constexpr int kSteps = 8;
  static size_t SizeOf(double value);

  std::array<uint32_t, kDoublings * kSteps> counts_{};
};

class MetricSeries {
 public:
  using Clock = std::function<std::chrono::system_clock::time_point()>;

  explicit MetricSeries(const Clock* now) : now_(now) {}

  // `times` values of the same size.
  void Add(double value, uint64_t times = 1);

 private:
  friend class Metrics;
  struct Window {
    int64_t number = -1;
    MetricSum sum;
    MetricSizes sizes;
  };
  // Of that window; nothing when nothing was added in it.
  MetricSum SumOf(int64_t window) const;
  // Since the start; the sizes of the last whole window and the one under way.
  MetricSum Total() const;
  std::array<double, 3> Quantiles(int64_t window) const;

  const Clock* const now_;
  mutable Mutex mutex_;
  std::array<Window, 2> windows_ GUARDED_BY(mutex_);  // by the lowest bit of their number
  MetricSum total_ GUARDED_BY(mutex_);
};

class MetricGauge {
 public:
  void Set(double value) {
    value_.store(value, std::memory_order_relaxed);
    set_.store(true, std::memory_order_release);
  }
  // Not shown until the next Set.
  void Unset() { set_.store(false, std::memory_order_release); }

 private:
  friend class Metrics;
  std::atomic<double> value_{0};
  std::atomic<bool> set_{false};
};

class Metrics {
 public:
  static constexpr std::chrono::seconds kWindow{10};
  // Of a kind. More are not made: who asks for one gets a series that nobody is shown.
  static constexpr size_t kSeriesMax = 10'000;

  // What is shown of one series or gauge.
  struct Figure {
    std::string name;  // without any prefix
    MetricLabels labels;
    MetricSum sum;  // of a gauge: min, max and sum are its value
  };
  struct Report {
    std::chrono::system_clock::time_point begin;  // of the window
    std::vector<Figure> gauges;
    std::vector<Figure> counters;
    std::vector<Figure> samples;
  };
  // How names are written: "consul", and for gauges the host's name behind it unless it is empty.
  struct Names {
    std::string prefix = "consul";
    std::string host;
  };

  explicit Metrics(MetricSeries::Clock now = &std::chrono::system_clock::now);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The one of that name and labels, made where it is missing. Lives as long as this.
  MetricSeries* Counter(std::string_view name, MetricLabels labels = {});
  MetricSeries* Sample(std::string_view name, MetricLabels labels = {});
  // Shown from its first Set on.
  MetricGauge* Gauge(std::string_view name, MetricLabels labels = {});
  // One that is asked for when it is shown; NaN: it is not shown. Until Forget(owner), which
  // returns when none of the owner's is being asked.
  void GaugeBy(const void* owner, std::string_view name, std::function<double()> value);
  void Forget(const void* owner);

  // The last whole window; while there is none, the one under way. Sorted by name.
  Report Collect() const;
  // Everything in the text format of Prometheus, version 0.0.4.
  std::string Exposition(const Names& names) const;

 private:
  using Key = std::pair<std::string, MetricLabels>;
  using SeriesMap = std::map<Key, std::unique_ptr<MetricSeries>>;
  struct Asked {
    const void* owner;
    std::string name;
    std::function<double()> value;
  };

  int64_t WindowAt(std::chrono::system_clock::time_point at) const;
  MetricSeries* Find(SeriesMap* map, std::string_view name, MetricLabels labels)
      REQUIRES_LOCK(mutex_);
  std::vector<Figure> Gauges() const;
  static std::vector<Figure> Of(const SeriesMap& map, int64_t window);

  const MetricSeries::Clock now_;
  const int64_t first_window_;
  MetricSeries unshown_{&now_};
  MetricGauge unshown_gauge_;
  mutable Mutex mutex_;
  SeriesMap counters_ GUARDED_BY(mutex_);
  SeriesMap samples_ GUARDED_BY(mutex_);
  std::map<Key, std::unique_ptr<MetricGauge>> gauges_ GUARDED_BY(mutex_);
  mutable Mutex asked_mutex_;  // held while they are asked
  std::vector<Asked> asked_ GUARDED_BY(asked_mutex_);
};

// The time since it was made, in milliseconds.
class MetricTimer {
 public:
  double ms() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_)
        .count();
  }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_METRICS_H_
