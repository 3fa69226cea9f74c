"""A command from its start to its end, with what it cost."""

import os
import subprocess
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.processes import cost_of

_LOOK_SECONDS: Final = 0.01


class Spent(NamedTuple):
    """Seconds from start to end, processor seconds, peak resident megabytes."""

    seconds: float
    cpu_s: float
    rss_mb: float


def timed(command: Sequence[str]) -> Spent:
    """Run a command. Raises CalledProcessError when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    peak = 0
    # the peak that wait4 tells includes the bench's own memory before exec
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak = max(peak, cost_of(process.pid).peak)
        time.sleep(_LOOK_SECONDS)
    seconds = time.monotonic() - started
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Spent(seconds, used.ru_utime + used.ru_stime, peak / 2**20)
