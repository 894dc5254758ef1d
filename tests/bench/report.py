"""What is measured, what is aimed at, and the table of both."""

import collections
import statistics

# kind: what a good ratio of ours to the reference is. "limit": ours alone, against a number.
Target = collections.namedtuple("Target", "title unit kind bound")

TARGETS = {
    "get_default": Target("GET of a key, 32 connections", "/s", "at_least", 3.0),
    "get_consistent": Target("the same, ?consistent", "/s", "at_least", 3.0),
    "catalog_nodes": Target("GET /v1/catalog/nodes, 32 connections", "/s", "at_least", 3.0),
    "put_1": Target("PUT, 1 connection", "/s", "at_least", 2.3),
    "put_64": Target("PUT, 64 connections", "/s", "at_least", 4.0),
    "dns_node": Target("DNS A of a node over UDP", "/s", "at_least", 5.0),
    "blocked_1000": Target("1,000 blocked queries, last answer", "ms", "at_most", 0.3),
    "blocked_10000": Target("10,000 blocked queries, last answer", "ms", "at_most", 0.15),
    "memory_after_blocked": Target("memory after 10,000 blocked queries", "MB", "limit", 120),
    "grpc_get": Target("gRPC Get, against HTTP GET of ours", "/s", "of_get", 0.5),
    "start": Target("start to first answered read", "s", "limit", 1.0),
    "memory_fresh": Target("memory of a fresh server", "MB", "limit", 38),
    "three_put_1": Target("three servers: PUT, leader, 1 connection", "/s", "at_least", 2.5),
    "three_put_64": Target("three servers: PUT, leader, 64", "/s", "at_least", 3.0),
    "three_put_follower": Target("three servers: PUT, follower, 64", "/s", "at_least", 3.0),
    "three_get": Target("three servers: GET, leader", "/s", "at_least", 2.5),
    "three_get_consistent": Target("three servers: the same, ?consistent", "/s", "at_least", 3.0),
    "three_get_follower": Target("three servers: GET, follower", "/s", "at_least", 3.0),
    "three_get_stale": Target("three servers: GET, follower, ?stale", "/s", "at_least", 3.0),
    "leader_gap": Target("three servers: no write after kill -9 of the leader", "s", "limit", 0.5),
    "catch_up": Target("three servers: an empty one has a million keys", "s", "at_most", 1.0),
    "client_memory": Target("memory of a client agent, of 50 at rest", "MB", "limit", 28),
    "client_cpu": Target("CPU of a client agent, of 50 at rest", "%", "limit", 0.5),
}


def median(values):
    """The middle of the values, or None if there are none."""
    return statistics.median(values) if values else None


def judge(name, reference, ours, ours_get=None):
    """Returns (ratio or None, met or None) for medians of which any may be None."""
    target = TARGETS[name]
    if ours is None:
        return None, None
    if target.kind == "limit":
        return (ours / reference if reference else None), ours <= target.bound
    base = ours_get if target.kind == "of_get" else reference
    if not base:
        return None, None
    ratio = ours / base
    return ratio, ratio <= target.bound if target.kind == "at_most" else ratio >= target.bound


def rows(results):
    """results: {(name, "reference" or "ours"): [value, ...]}; returns a list of dicts."""
    listed = []
    ours_get = median(results.get(("get_default", "ours"), []))
    for name, target in TARGETS.items():
        reference = median(results.get((name, "reference"), []))
        ours = median(results.get((name, "ours"), []))
        if reference is None and ours is None:
            continue
        ratio, met = judge(name, reference, ours, ours_get)
        listed.append({
            "name": name, "title": target.title, "unit": target.unit, "reference": reference,
            "ours": ours, "ratio": ratio, "target": target_text(target), "met": met,
        })
    return listed


def target_text(target):
    return {
        "at_least": f">= {target.bound:g} x",
        "at_most": f"<= {target.bound:g} x",
        "of_get": f">= {target.bound:g} x",
        "limit": f"<= {target.bound:g} {target.unit}",
    }[target.kind]


def number(value, unit):
    if value is None:
        return "-"
    if unit == "/s":
        return f"{value:,.0f} /s"
    return f"{value:,.2f} {unit}" if value < 10 else f"{value:,.0f} {unit}"


def table(listed):
    """The rows as lines of text."""
    lines = [["load", "reference", "ours", "ratio", "target", ""]]
    for row in listed:
        lines.append([
            row["title"], number(row["reference"], row["unit"]), number(row["ours"], row["unit"]),
            f"{row['ratio']:.2f}" if row["ratio"] is not None else "-", row["target"],
            {True: "met", False: "MISSED", None: ""}[row["met"]],
        ])
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )
