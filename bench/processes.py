"""What processes cost: memory and processor time, read from /proc."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import psutil

MEGABYTE: Final = 1_000_000
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Cost of some processes at one moment.

    Attributes:
        rss: resident bytes, shared pages included.
        own: resident bytes that no file and no shared memory backs: heaps and stacks.
        peak: highest resident bytes so far.
        cpu_s: seconds of processor time so far, user and system.
    """

    rss: int = 0
    own: int = 0
    peak: int = 0
    cpu_s: float = 0.0


def cost_of(pid: int) -> Cost:
    """Return the cost of one process; nothing when it is gone."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return Cost()
    if "VmRSS" not in status:  # it has ended and waits for its parent
        return Cost()
    kilobytes = {key: int(status[key].split()[0]) for key in ("VmRSS", "RssAnon", "VmHWM")}
    return Cost(
        kilobytes["VmRSS"] * 1024, kilobytes["RssAnon"] * 1024, kilobytes["VmHWM"] * 1024, (int(times[11]) + int(times[12])) / _TICKS
    )


def tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def total(pids: Iterable[int]) -> Cost:
    """Return the summed cost of some processes."""
    costs = [cost_of(pid) for pid in pids]
    return Cost(*(sum(column) for column in zip(*costs, strict=True))) if costs else Cost()


def mapped(pid: int) -> set[str]:
    """Return the names of the files that a process has mapped, without their folders."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {fields[5].rpartition("/")[2] for line in maps if len(fields := line.split(maxsplit=5)) == 6}
