#include "services/api/metrics_view.h"

#include <ctime>
#include <string>

#include "consul/agent/v1/agent.pb.h"
#include "services/base/strings.h"

namespace consul::api {
namespace {

// As Go prints a time: "2026-11-28 10:01:50 +0000 UTC".
std::string TimeText(std::chrono::system_clock::time_point at) {
  const time_t seconds = std::chrono::system_clock::to_time_t(at);
  tm parts;
  ::gmtime_r(&seconds, &parts);
  char text[40];
  const size_t size = std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S +0000 UTC", &parts);
  return std::string(text, size);
}

template <typename Described>
void AddLabels(const base::MetricLabels& labels, Described* described) {
  for (const auto& [name, value] : labels) {
    auto* const label = described->add_labels();
    label->set_key(name);
    label->set_value(value);
  }
}

void Describe(const base::Metrics::Figure& figure, const std::string& prefix,
              agent::v1::Sample* sample) {
  sample->set_name(base::StrCat(prefix, ".", figure.name));
  sample->set_count(figure.sum.count);
  sample->set_rate(figure.sum.sum / static_cast<double>(base::Metrics::kWindow.count()));
  sample->set_sum(figure.sum.sum);
  sample->set_min(figure.sum.min);
  sample->set_max(figure.sum.max);
  sample->set_mean(figure.sum.mean());
  sample->set_stddev(figure.sum.stddev());
  AddLabels(figure.labels, sample);
}

}  // namespace

void DescribeMetrics(const base::Metrics::Report& report, const base::Metrics::Names& names,
                     agent::v1::Metrics* metrics) {
  metrics->set_timestamp(TimeText(report.begin));
  const std::string host = names.host.empty() ? std::string() : names.host + ".";
  for (const base::Metrics::Figure& figure : report.gauges) {
    agent::v1::Gauge* const gauge = metrics->add_gauges();
    gauge->set_name(base::StrCat(names.prefix, ".", host, figure.name));
    gauge->set_value(figure.sum.sum);
    AddLabels(figure.labels, gauge);
  }
  for (const base::Metrics::Figure& figure : report.counters) {
    Describe(figure, names.prefix, metrics->add_counters());
  }
  for (const base::Metrics::Figure& figure : report.samples) {
    Describe(figure, names.prefix, metrics->add_samples());
  }
}

}  // namespace consul::api
