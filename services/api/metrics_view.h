// services/api/metrics_view.h
//
// A report of metrics as the message that /v1/agent/metrics is made of.
//
// Threads: pure.
#ifndef CONSUL_SERVICES_API_METRICS_VIEW_H_
#define CONSUL_SERVICES_API_METRICS_VIEW_H_

#include "services/base/metrics.h"

namespace consul::agent::v1 {
class Metrics;
}  // namespace consul::agent::v1

namespace consul::api {

void DescribeMetrics(const base::Metrics::Report& report, const base::Metrics::Names& names,
                     agent::v1::Metrics* metrics);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_METRICS_VIEW_H_
