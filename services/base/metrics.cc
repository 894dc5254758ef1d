#include "services/base/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <tuple>

#include "services/base/strings.h"

namespace consul::base {
namespace {

constexpr std::array<double, 3> kQuantiles = {0.5, 0.9, 0.99};
constexpr std::array<std::string_view, 3> kQuantileTexts = {"0.5", "0.9", "0.99"};

int64_t WindowOf(std::chrono::system_clock::time_point at) {
  return std::chrono::floor<std::chrono::seconds>(at.time_since_epoch()) / Metrics::kWindow;
}

// As Prometheus reads it.
void AppendNumber(double value, std::string* out) {
  if (std::isnan(value)) {
    *out += "NaN";
    return;
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  out->append(text, end);
}

// Letters, digits and colons stay; everything else is an underscore.
std::string ExposedName(std::string_view prefix, std::string_view host, std::string_view name) {
  std::string exposed(prefix);
  if (!host.empty()) StrAppend(&exposed, "_", host);
  StrAppend(&exposed, "_", name);
  for (char& c : exposed) {
    const bool stays = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       (c >= '0' && c <= '9') || c == ':';
    if (!stays) c = '_';
  }
  return exposed;
}

// `{name="value",more}`; nothing without any.
std::string ExposedLabels(const MetricLabels& labels, std::string_view more) {
  std::string exposed;
  for (const auto& [name, value] : labels) {
    StrAppend(&exposed, exposed.empty() ? "" : ",", name, "=\"");
    for (const char c : value) {
      if (c == '\\' || c == '"') exposed += '\\';
      if (c == '\n') {
        exposed += "\\n";
      } else {
        exposed += c;
      }
    }
    exposed += '"';
  }
  if (!more.empty()) StrAppend(&exposed, exposed.empty() ? "" : ",", more);
  return exposed.empty() ? exposed : StrCat("{", exposed, "}");
}

void AppendLine(std::string_view name, std::string_view labels, double value, std::string* out) {
  StrAppend(out, name, labels, " ");
  AppendNumber(value, out);
  *out += '\n';
}

// Once for all series of a name, which stand behind each other.
void AppendHead(const std::string& name, std::string_view type, std::string* last,
                std::string* out) {
  if (*last == name) return;
  *last = name;
  StrAppend(out, "# HELP ", name, " ", name, "\n# TYPE ", name, " ", type, "\n");
}

}  // namespace

void MetricSum::Add(double value, uint64_t times) {
  min = count == 0 ? value : std::min(min, value);
  max = count == 0 ? value : std::max(max, value);
  count += times;
  sum += value * static_cast<double>(times);
  sum_of_squares += value * value * static_cast<double>(times);
}

double MetricSum::stddev() const {
  if (count < 2) return 0;
  const double n = static_cast<double>(count);
  // Where all are alike, what the two differ by is rounding.
  return std::sqrt(std::max(0.0, n * sum_of_squares - sum * sum) / (n * (n - 1)));
}

size_t MetricSizes::SizeOf(double value) {
  if (!(value > kMin)) return 0;
  int exponent = 0;
  const double part = std::frexp(value / kMin, &exponent);  // in [0.5, 1)
  const int step = static_cast<int>((part - 0.5) * 2 * kSteps);
  const int size = (exponent - 1) * kSteps + step;
  return static_cast<size_t>(std::min(size, kDoublings * kSteps - 1));
}

void MetricSizes::Add(double value, uint64_t times) {
  uint32_t& count = counts_[SizeOf(value)];
  const uint64_t room = std::numeric_limits<uint32_t>::max() - count;
  count += static_cast<uint32_t>(std::min(times, room));
}

double MetricSizes::Quantile(double share) const {
  uint64_t all = 0;
  for (const uint32_t count : counts_) all += count;
  if (all == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(all)));
  uint64_t seen = 0;
  size_t size = 0;
  while (size + 1 < counts_.size() && (seen += counts_[size]) < std::max<uint64_t>(wanted, 1)) {
    ++size;
  }
  const double doubling = kMin * std::exp2(static_cast<double>(size / kSteps));
  const double step = doubling / kSteps;
  return doubling + step * (static_cast<double>(size % kSteps) + 0.5);
}

void MetricSeries::Add(double value, uint64_t times) {
  if (times == 0 || std::isnan(value)) return;
  const int64_t number = WindowOf((*now_)());
  MutexLock lock(&mutex_);
  Window& window = windows_[static_cast<uint64_t>(number) & 1];
  if (window.number != number) window = Window{.number = number, .sum = {}, .sizes = {}};
  window.sum.Add(value, times);
  window.sizes.Add(value, times);
  total_.Add(value, times);
}

MetricSum MetricSeries::SumOf(int64_t number) const {
  MutexLock lock(&mutex_);
  const Window& window = windows_[static_cast<uint64_t>(number) & 1];
  return window.number == number ? window.sum : MetricSum{};
}

MetricSum MetricSeries::Total() const {
  MutexLock lock(&mutex_);
  return total_;
}

std::array<double, 3> MetricSeries::Quantiles(int64_t number) const {
  std::array<double, 3> quantiles;
  quantiles.fill(std::numeric_limits<double>::quiet_NaN());
  MutexLock lock(&mutex_);
  const Window& window = windows_[static_cast<uint64_t>(number) & 1];
  if (window.number != number) return quantiles;
  for (size_t i = 0; i < quantiles.size(); ++i) {
    // No value is told that was not there.
    quantiles[i] = std::clamp(window.sizes.Quantile(kQuantiles[i]), window.sum.min, window.sum.max);
  }
  return quantiles;
}

Metrics::Metrics(MetricSeries::Clock now) : now_(std::move(now)), first_window_(WindowOf(now_())) {}

MetricSeries* Metrics::Find(SeriesMap* map, std::string_view name, MetricLabels labels) {
  Key key{std::string(name), std::move(labels)};
  const auto found = map->find(key);
  if (found != map->end()) return found->second.get();
  if (map->size() >= kSeriesMax) return &unshown_;
  return map->emplace(std::move(key), std::make_unique<MetricSeries>(&now_)).first->second.get();
}

MetricSeries* Metrics::Counter(std::string_view name, MetricLabels labels) {
  MutexLock lock(&mutex_);
  return Find(&counters_, name, std::move(labels));
}

MetricSeries* Metrics::Sample(std::string_view name, MetricLabels labels) {
  MutexLock lock(&mutex_);
  return Find(&samples_, name, std::move(labels));
}

MetricGauge* Metrics::Gauge(std::string_view name, MetricLabels labels) {
  MutexLock lock(&mutex_);
  Key key{std::string(name), std::move(labels)};
  const auto found = gauges_.find(key);
  if (found != gauges_.end()) return found->second.get();
  if (gauges_.size() >= kSeriesMax) return &unshown_gauge_;
  return gauges_.emplace(std::move(key), std::make_unique<MetricGauge>()).first->second.get();
}

void Metrics::GaugeBy(const void* owner, std::string_view name, std::function<double()> value) {
  MutexLock lock(&asked_mutex_);
  asked_.push_back({owner, std::string(name), std::move(value)});
}

void Metrics::Forget(const void* owner) {
  MutexLock lock(&asked_mutex_);
  std::erase_if(asked_, [owner](const Asked& asked) { return asked.owner == owner; });
}

int64_t Metrics::WindowAt(std::chrono::system_clock::time_point at) const {
  const int64_t now = WindowOf(at);
  return now > first_window_ ? now - 1 : now;
}

std::vector<Metrics::Figure> Metrics::Gauges() const {
  std::vector<Figure> figures;
  const auto add = [&figures](const std::string& name, const MetricLabels& labels, double value) {
    if (std::isnan(value)) return;
    Figure figure{name, labels, {}};
    figure.sum.Add(value, 1);
    figures.push_back(std::move(figure));
  };
  {
    MutexLock lock(&mutex_);
    for (const auto& [key, gauge] : gauges_) {
      if (!gauge->set_.load(std::memory_order_acquire)) continue;
      add(key.first, key.second, gauge->value_.load(std::memory_order_relaxed));
    }
  }
  MutexLock lock(&asked_mutex_);
  for (const Asked& asked : asked_) add(asked.name, {}, asked.value());
  std::sort(figures.begin(), figures.end(), [](const Figure& a, const Figure& b) {
    return std::tie(a.name, a.labels) < std::tie(b.name, b.labels);
  });
  return figures;
}

std::vector<Metrics::Figure> Metrics::Of(const SeriesMap& map, int64_t window) {
  std::vector<Figure> figures;
  for (const auto& [key, series] : map) {
    const MetricSum sum = series->SumOf(window);
    if (sum.count > 0) figures.push_back({key.first, key.second, sum});
  }
  return figures;
}

Metrics::Report Metrics::Collect() const {
  const int64_t window = WindowAt(now_());
  Report report{.begin = std::chrono::system_clock::time_point(window * kWindow),
                .gauges = Gauges(),
                .counters = {},
                .samples = {}};
  MutexLock lock(&mutex_);
  report.counters = Of(counters_, window);
  report.samples = Of(samples_, window);
  return report;
}

std::string Metrics::Exposition(const Names& names) const {
  std::string out;
  std::string last;
  for (const Figure& figure : Gauges()) {
    const std::string name = ExposedName(names.prefix, names.host, figure.name);
    AppendHead(name, "gauge", &last, &out);
    AppendLine(name, ExposedLabels(figure.labels, ""), figure.sum.sum, &out);
  }
  const int64_t window = WindowAt(now_());
  MutexLock lock(&mutex_);
  for (const auto& [key, series] : counters_) {
    const std::string name = ExposedName(names.prefix, "", key.first);
    AppendHead(name, "counter", &last, &out);
    AppendLine(name, ExposedLabels(key.second, ""), series->Total().sum, &out);
  }
  for (const auto& [key, series] : samples_) {
    const std::string name = ExposedName(names.prefix, "", key.first);
    AppendHead(name, "summary", &last, &out);
    const auto quantiles = series->Quantiles(window);
    for (size_t i = 0; i < quantiles.size(); ++i) {
      const std::string quantile = StrCat("quantile=\"", kQuantileTexts[i], "\"");
      AppendLine(name, ExposedLabels(key.second, quantile), quantiles[i], &out);
    }
    const MetricSum total = series->Total();
    const std::string labels = ExposedLabels(key.second, "");
    AppendLine(StrCat(name, "_sum"), labels, total.sum, &out);
    AppendLine(StrCat(name, "_count"), labels, static_cast<double>(total.count), &out);
  }
  return out;
}

}  // namespace consul::base
