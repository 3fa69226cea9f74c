"""How far the machine's clock is off, as its time service says (W-105): chrony, ntpd or systemd-timesyncd, whichever answers."""

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Final, NamedTuple

_SECONDS: Final = 5.0
_UNITS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_OFFSET: Final = re.compile(r"([+-]?\d+(?:\.\d+)?)(us|µs|ms|s|min|h)\b")


class Offset(NamedTuple):
    """What a time service says.

    Attributes:
        service: its name.
        seconds: estimated distance of this clock from true time, as a positive number; None: it is not synchronised.
    """

    service: str
    seconds: float | None


def offset() -> Offset | None:
    """Return what the first time service that answers says; None when there is none. Takes up to a few seconds: call it in a thread."""
    for command, judge in _SERVICES:
        if shutil.which(command[0]) is None:
            continue
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
            return judge(said)
        except (OSError, subprocess.SubprocessError, ValueError, LookupError):
            continue  # installed, and not the one that runs
    return None


def _chrony(said: str) -> Offset:
    """Read `chronyc -c tracking`: fields 4, system time in seconds, and 13, leap status (chronyc(1))."""
    fields = said.strip().split(",")
    return Offset("chrony", None if fields[13] == "Not synchronised" else abs(float(fields[4])))


def _ntpd(said: str) -> Offset:
    """Read `ntpq -c 'rv 0 leap,offset'`: offset in ms; leap 3 (or '11') means not synchronised (ntpq(8))."""
    words = dict(part.strip().split("=", 1) for part in said.replace("\n", ",").split(",") if "=" in part)
    return Offset("ntpd", None if words["leap"] in ("3", "11") else abs(float(words["offset"])) / 1000)


def _timesyncd(said: str) -> Offset:
    """Read `timedatectl timesync-status`: a line 'Offset: +1min 2.5s', which is missing until the first answer of a server."""
    line = next((line for line in said.splitlines() if line.strip().startswith("Offset:")), None)
    if line is None:
        return Offset("systemd-timesyncd", None)
    parts = _OFFSET.findall(line.partition(":")[2])
    if not parts:
        raise ValueError(f"no offset in {line!r}")
    return Offset("systemd-timesyncd", abs(sum(abs(float(number)) * _UNITS[unit] for number, unit in parts)))


_SERVICES: Final[tuple[tuple[list[str], Callable[[str], Offset]], ...]] = (
    (["chronyc", "-n", "-c", "tracking"], _chrony),
    (["ntpq", "-n", "-c", "rv 0 leap,offset"], _ntpd),
    (["timedatectl", "timesync-status"], _timesyncd),
)
