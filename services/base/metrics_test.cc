#include "services/base/metrics.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <string>

namespace consul::base {
namespace {

using std::chrono::seconds;

class MetricsTest : public testing::Test {
 protected:
  std::chrono::system_clock::time_point now_{seconds(1'000'000'003)};
  Metrics metrics_{[this] { return now_; }};
};

TEST_F(MetricsTest, TheFirstWindowIsShownWhileItLasts) {
  metrics_.Counter("raft.apply")->Add(1);
  const auto report = metrics_.Collect();
  EXPECT_EQ(report.begin.time_since_epoch(), seconds(1'000'000'000));
  ASSERT_EQ(report.counters.size(), 1u);
  EXPECT_EQ(report.counters[0].name, "raft.apply");
  EXPECT_EQ(report.counters[0].sum.count, 1u);
}

TEST_F(MetricsTest, LaterTheLastWholeWindowIsShownAndNothingOfTheOneUnderWay) {
  MetricSeries* const series = metrics_.Sample("raft.commitTime");
  series->Add(2);
  series->Add(4, 2);
  now_ += seconds(10);
  series->Add(100);
  const auto report = metrics_.Collect();
  EXPECT_EQ(report.begin.time_since_epoch(), seconds(1'000'000'000));
  ASSERT_EQ(report.samples.size(), 1u);
  const MetricSum& sum = report.samples[0].sum;
  EXPECT_EQ(sum.count, 3u);
  EXPECT_DOUBLE_EQ(sum.sum, 10);
  EXPECT_DOUBLE_EQ(sum.min, 2);
  EXPECT_DOUBLE_EQ(sum.max, 4);
  EXPECT_DOUBLE_EQ(sum.mean(), 10.0 / 3);
  EXPECT_NEAR(sum.stddev(), 1.1547, 1e-4);
}

TEST_F(MetricsTest, WhatWasNotAddedToInAWindowIsNotShown) {
  metrics_.Counter("raft.apply")->Add(1);
  now_ += seconds(20);
  EXPECT_TRUE(metrics_.Collect().counters.empty());
  // Nor is an older window that stood in the same place.
  metrics_.Counter("raft.apply")->Add(1);
  now_ += seconds(40);
  EXPECT_TRUE(metrics_.Collect().counters.empty());
}

TEST_F(MetricsTest, ANameWithOtherLabelsIsAnotherSeries) {
  metrics_.Counter("fsm.kvs", {{"op", "set"}})->Add(1);
  metrics_.Counter("fsm.kvs", {{"op", "cas"}})->Add(2);
  metrics_.Counter("fsm.kvs", {{"op", "set"}})->Add(3);
  const auto report = metrics_.Collect();
  ASSERT_EQ(report.counters.size(), 2u);
  EXPECT_EQ(report.counters[0].labels[0].second, "cas");
  EXPECT_DOUBLE_EQ(report.counters[1].sum.sum, 4);
}

TEST_F(MetricsTest, AGaugeIsShownFromItsFirstValueOn) {
  MetricGauge* const gauge = metrics_.Gauge("raft.commitNumLogs");
  EXPECT_TRUE(metrics_.Collect().gauges.empty());
  gauge->Set(3);
  gauge->Set(0);
  now_ += seconds(60);
  ASSERT_EQ(metrics_.Collect().gauges.size(), 1u);
  EXPECT_DOUBLE_EQ(metrics_.Collect().gauges[0].sum.sum, 0);
}

TEST_F(MetricsTest, AGaugeThatIsAskedForGoesWithItsOwner) {
  int owner = 0;
  double value = 7;
  metrics_.GaugeBy(&owner, "raft.last_index", [&] { return value; });
  ASSERT_EQ(metrics_.Collect().gauges.size(), 1u);
  EXPECT_DOUBLE_EQ(metrics_.Collect().gauges[0].sum.sum, 7);
  value = std::nan("");
  EXPECT_TRUE(metrics_.Collect().gauges.empty());
  value = 8;
  metrics_.Forget(&owner);
  EXPECT_TRUE(metrics_.Collect().gauges.empty());
}

TEST_F(MetricsTest, MoreSeriesThanTheLimitAreNotShown) {
  for (size_t i = 0; i <= Metrics::kSeriesMax; ++i) {
    metrics_.Counter("x" + std::to_string(i))->Add(1);
  }
  EXPECT_EQ(metrics_.Collect().counters.size(), Metrics::kSeriesMax);
  // Those that are there are found.
  metrics_.Counter("x7")->Add(1);
  for (const auto& figure : metrics_.Collect().counters) {
    EXPECT_EQ(figure.sum.count, figure.name == "x7" ? 2u : 1u);
  }
}

TEST_F(MetricsTest, QuantilesAreWithinASixteenth) {
  MetricSizes sizes;
  EXPECT_TRUE(std::isnan(sizes.Quantile(0.5)));
  for (int i = 1; i <= 1000; ++i) sizes.Add(i * 0.01, 1);
  EXPECT_NEAR(sizes.Quantile(0.5), 5, 5.0 / 16);
  EXPECT_NEAR(sizes.Quantile(0.9), 9, 9.0 / 16);
  EXPECT_NEAR(sizes.Quantile(0.99), 9.9, 9.9 / 16);
}

TEST_F(MetricsTest, SizesBeyondTheRangeAreTheOutermost) {
  MetricSizes sizes;
  sizes.Add(0, 1);
  sizes.Add(-5, 1);
  EXPECT_LT(sizes.Quantile(0.5), 2 * MetricSizes::kMin);
  MetricSizes large;
  large.Add(1e30, 1);
  EXPECT_GT(large.Quantile(0.5), 1e8);
}

TEST_F(MetricsTest, TheExpositionIsWhatPrometheusReads) {
  metrics_.Gauge("raft.commitNumLogs")->Set(2);
  metrics_.Counter("raft.apply")->Add(1, 3);
  metrics_.Sample("fsm.kvs", {{"op", "a\"b\\\n"}})->Add(0.5);
  metrics_.Sample("raft.replication.heartbeat.4a71-22")->Add(0.25);
  now_ += seconds(25);
  EXPECT_EQ(metrics_.Exposition({.prefix = "consul", .host = "my.host"}),
            R"(# HELP consul_my_host_raft_commitNumLogs consul_my_host_raft_commitNumLogs
# TYPE consul_my_host_raft_commitNumLogs gauge
consul_my_host_raft_commitNumLogs 2
# HELP consul_raft_apply consul_raft_apply
# TYPE consul_raft_apply counter
consul_raft_apply 3
# HELP consul_fsm_kvs consul_fsm_kvs
# TYPE consul_fsm_kvs summary
consul_fsm_kvs{op="a\"b\\\n",quantile="0.5"} NaN
consul_fsm_kvs{op="a\"b\\\n",quantile="0.9"} NaN
consul_fsm_kvs{op="a\"b\\\n",quantile="0.99"} NaN
consul_fsm_kvs_sum{op="a\"b\\\n"} 0.5
consul_fsm_kvs_count{op="a\"b\\\n"} 1
# HELP consul_raft_replication_heartbeat_4a71_22 consul_raft_replication_heartbeat_4a71_22
# TYPE consul_raft_replication_heartbeat_4a71_22 summary
consul_raft_replication_heartbeat_4a71_22{quantile="0.5"} NaN
consul_raft_replication_heartbeat_4a71_22{quantile="0.9"} NaN
consul_raft_replication_heartbeat_4a71_22{quantile="0.99"} NaN
consul_raft_replication_heartbeat_4a71_22_sum 0.25
consul_raft_replication_heartbeat_4a71_22_count 1
)");
}

}  // namespace
}  // namespace consul::base
