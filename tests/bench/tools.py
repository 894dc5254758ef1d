"""The load generators: how each is called, and what its output says."""

import json
import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


class LoadError(Exception):
    """A load that did not run as it should: a figure of it would mean nothing."""


def _run(command, timeout_s, env=None):
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout_s, env={**os.environ, **(env or {})}, check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]} did not end within {timeout_s} s") from error
    if done.returncode != 0:
        raise LoadError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def wrk(url, connections, seconds, put_prefix=None, put_anew=False):
    """Returns requests a second. With `put_anew` each of them makes a key."""
    command = ["wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s"]
    command += ["--timeout", "30s", "-s", os.path.join(HERE, "wrk.lua"), url]
    env = {"BENCH_PUT": put_prefix} if put_prefix else {}
    if put_anew:
        env["BENCH_PUT_ANEW"] = "1"
    return parse_wrk(_run(command, seconds + 60, env))


def parse_wrk(output):
    match = re.search(r"^summary (\{.*\})$", output, re.MULTILINE)
    if not match:
        raise LoadError(f"wrk gave no summary: {output[-2000:]}")
    summary = json.loads(match[1])
    if summary["errors"] or not summary["requests"]:
        raise LoadError(f"wrk: {summary['errors']} errors in {summary['requests']} requests")
    return summary["requests"] / (summary["microseconds"] / 1e6)


def dnsperf(port, queries_path, clients, seconds):
    """Returns queries a second."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", queries_path]
    command += ["-c", str(clients), "-q", "100", "-l", str(seconds)]
    return parse_dnsperf(_run(command, seconds + 60))


def parse_dnsperf(output):
    rate = re.search(r"Queries per second:\s+([\d.]+)", output)
    sent = re.search(r"Queries sent:\s+(\d+)", output)
    lost = re.search(r"Queries lost:\s+(\d+)", output)
    codes = re.search(r"Response codes:\s+(.*)", output)
    if not (rate and sent and lost and codes):
        raise LoadError(f"dnsperf gave no figures: {output[-2000:]}")
    # A few queries may be lost on the way into a full socket; wrong answers may not be at all.
    if int(lost[1]) > int(sent[1]) / 1000:
        raise LoadError(f"dnsperf: {lost[1]} of {sent[1]} queries lost")
    if not re.fullmatch(r"NOERROR \d+ \(100\.00%\)", codes[1].strip()):
        raise LoadError(f"dnsperf: response codes {codes[1]}")
    return float(rate[1])


def blocked_queries(binary, port, count, rounds):
    """Returns the milliseconds of each round."""
    output = _run([binary, str(port), str(count), str(rounds)], 120 + 30 * rounds)
    return json.loads(output)["rounds_ms"]


def grpc_get(binary, address, key, in_flight, connections, seconds):
    """Returns calls a second."""
    command = [binary, address, key, str(in_flight), str(connections), str(seconds)]
    result = json.loads(_run(command, seconds + 60))
    return result["requests"] / result["seconds"]
