"""Queries over DNS as a person asks them: /usr/bin/dig, and what of its output can be compared."""

import re
import subprocess
import time

# Of dig itself, of its clock, and empty ones.
LINES_LEFT_OUT = re.compile(
    r"; <<>> |; \(1 server found\)|;; (global options|Got answer|Query time|WHEN|XFR size)|\s*$"
)
SERIAL = re.compile(r"(\bSOA\s+\S+ \S+ )(\d+)")
# Our SOA's serial is the time of day, so it may be read on either side of a second.
SERIAL_TOLERANCE_S = 2


def run(host, port, args):
    """What dig prints for the arguments. It asks once and waits 5 s at most."""
    command = ["dig", f"@{host}", "-p", str(port), "+tries=1", "+time=5", *args]
    return subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout


def shown(output, now_s=None):
    """The output with <id> for the message's id and <serial> for a serial that is the time of day;
    without the lines of dig itself, with what is left of them in order."""
    now_s = time.time() if now_s is None else now_s

    def serial(match):
        is_now = abs(int(match[2]) - now_s) <= SERIAL_TOLERANCE_S
        return match[1] + ("<serial>" if is_now else match[2])

    lines = [line for line in output.split("\n") if not LINES_LEFT_OUT.match(line)]
    text = re.sub(r"\bid: \d+$", "id: <id>", "\n".join(lines), flags=re.MULTILINE)
    return SERIAL.sub(serial, text)
