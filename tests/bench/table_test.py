"""Goal: a load that failed never becomes a figure, and a missed target never reads as met.
Method: the generators' output as text, and tables of made-up figures.
"""

import os
import types
import unittest

from tests.bench import cluster, pool, report, tools

DNSPERF = """
  Queries sent:         {sent}
  Queries completed:    1000 (100.00%)
  Queries lost:         {lost} (0.00%)

  Response codes:       {codes}
  Queries per second:   48000.5
"""


def dnsperf(sent=10000, lost=0, codes="NOERROR 1000 (100.00%)"):
    return tools.parse_dnsperf(DNSPERF.format(sent=sent, lost=lost, codes=codes))


class PoolTest(unittest.TestCase):
    def test_what_a_process_takes(self):
        this = types.SimpleNamespace(pid=os.getpid())
        self.assertGreater(pool.resident_bytes(this), 1 << 20)
        before = pool.cpu_seconds(this)
        while pool.cpu_seconds(this) < before + 0.02:
            pass

    def test_every_agent_has_an_address_of_its_own(self):
        addresses = {pool.address(number) for number in range(pool.CLIENTS + 1)}
        self.assertEqual(len(addresses), pool.CLIENTS + 1)


class ClusterTest(unittest.TestCase):
    def test_the_gap_is_the_longest_that_ends_after_the_kill(self):
        self.assertAlmostEqual(cluster.longest_gap([1, 5, 10.1, 10.5, 10.6, 13], 10), 5.1)
        self.assertAlmostEqual(cluster.longest_gap([13, 10.6, 10.5, 10.1, 9.9], 10), 2.4)

    def test_no_write_after_the_kill_is_no_figure(self):
        for moments in ([], [1, 2, 3], [9, 10.5, 11]):
            with self.assertRaises(tools.LoadError):
                cluster.longest_gap(moments, 10)


class ToolsTest(unittest.TestCase):
    def wrk(self, requests=100, errors=0):
        return tools.parse_wrk(
            f'Running\nsummary {{"requests": {requests}, "microseconds": 2000000, '
            f'"errors": {errors}, "p50_us": 1, "p99_us": 2}}\n'
        )

    def test_wrk(self):
        self.assertEqual(self.wrk(), 50)
        with self.assertRaises(tools.LoadError):
            self.wrk(errors=1)
        with self.assertRaises(tools.LoadError):
            self.wrk(requests=0)
        with self.assertRaises(tools.LoadError):
            tools.parse_wrk("Requests/sec: 5")

    def test_dnsperf(self):
        self.assertEqual(dnsperf(), 48000.5)
        self.assertEqual(dnsperf(lost=10), 48000.5)

    def test_dnsperf_with_wrong_or_lost_answers_is_no_figure(self):
        for change in (
            {"codes": "SERVFAIL 1000 (100.00%)"},
            {"codes": "NOERROR 999 (99.90%), NXDOMAIN 1 (0.10%)"},
            {"lost": 11},
        ):
            with self.assertRaises(tools.LoadError, msg=change):
                dnsperf(**change)

    def test_a_generator_that_fails_or_hangs_is_no_figure(self):
        with self.assertRaisesRegex(tools.LoadError, "exit 3"):
            tools._run(["sh", "-c", "exit 3"], 5)
        with self.assertRaisesRegex(tools.LoadError, "did not end"):
            tools._run(["sleep", "5"], 0.1)


class ReportTest(unittest.TestCase):
    def met(self, name, reference, ours, ours_get=None):
        return report.judge(name, reference, ours, ours_get)[1]

    def test_ratios(self):
        self.assertTrue(self.met("get_default", 100, 300))
        self.assertFalse(self.met("get_default", 100, 299))
        self.assertTrue(self.met("blocked_1000", 100, 30))
        self.assertFalse(self.met("blocked_1000", 100, 31))

    def test_limits_look_at_ours_alone(self):
        self.assertTrue(self.met("memory_fresh", None, 38))
        self.assertFalse(self.met("memory_fresh", 1000, 39))

    def test_grpc_is_measured_by_our_own_http(self):
        self.assertTrue(self.met("grpc_get", None, 50, ours_get=100))
        self.assertFalse(self.met("grpc_get", None, 49, ours_get=100))
        self.assertIsNone(self.met("grpc_get", None, 49))

    def test_nothing_measured_is_nothing_met(self):
        self.assertIsNone(self.met("get_default", 100, None))
        self.assertIsNone(self.met("get_default", None, 100))
        self.assertEqual(report.rows({}), [])

    def test_every_kind_of_target_has_a_text_and_a_verdict(self):
        for name, target in report.TARGETS.items():
            self.assertTrue(report.target_text(target))
            self.assertIsNotNone(self.met(name, 100, 100, ours_get=100), name)

    def test_the_median_of_the_rounds_counts(self):
        results = {("put_1", "reference"): [100, 1000, 110], ("put_1", "ours"): [253, 1, 999]}
        (row,) = report.rows(results)
        self.assertEqual((row["reference"], row["ours"]), (110, 253))
        self.assertTrue(row["met"])

    def test_the_table(self):
        results = {
            ("get_default", "reference"): [52000], ("get_default", "ours"): [104000],
            ("start", "ours"): [0.25],
        }
        self.assertEqual(
            report.table(report.rows(results)).split("\n"),
            [
                "load                          reference        ours  ratio  target",
                "GET of a key, 32 connections  52,000 /s  104,000 /s   2.00  >= 3 x  MISSED",
                "start to first answered read          -      0.25 s      -  <= 1 s  met",
            ],
        )
