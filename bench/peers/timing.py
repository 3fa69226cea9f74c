"""A command from its start to its end, with what it cost."""

import os
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple


class Spent(NamedTuple):
    """Seconds from start to end, processor seconds, peak resident megabytes."""

    seconds: float
    cpu_s: float
    rss_mb: float


def timed(command: Sequence[str]) -> Spent:
    """Run a command. Raises CalledProcessError when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Spent(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
