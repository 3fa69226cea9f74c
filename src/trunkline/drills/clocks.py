"""Clocks that step: the gateway's and its devices'. Each shows the machine's clock, which nobody touches, plus an offset.

All is UTC, so a change of daylight saving time is no step: what looks like one is a clock that somebody set by hand.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

_FILE: Final = "clocks.json"
_LOOK_SECONDS: Final = 0.05


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """A clock that is set: from `moment` of the machine's clock on, µs UTC, it shows `offset` µs more than that."""

    moment: int
    offset: int


class Clocks(msgspec.Struct, frozen=True):
    """How the clocks of a drill were set.

    Attributes:
        gateway: the gateway's, in order of time.
        devices: that of all devices.
        misread: planted defect: readings are stamped with the gateway's clock in the place of their device's.
    """

    gateway: tuple[Turn, ...] = ()
    devices: tuple[Turn, ...] = ()
    misread: bool = False


def write_clocks(folder: Path, clocks: Clocks) -> None:
    """Say how clocks are set; before the moment comes, so that who reads it in time knows."""
    fresh = folder / f"{_FILE}.fresh"
    fresh.write_bytes(msgspec.json.encode(clocks))
    fresh.replace(folder / _FILE)


def read_clocks(folder: Path) -> Clocks:
    """Return how the clocks are set."""
    return msgspec.json.decode((folder / _FILE).read_bytes(), type=Clocks)


def ahead(turns: Sequence[Turn], moment: I64) -> I64:
    """Return by how many µs a clock is ahead of the machine's at each moment, µs UTC."""
    offsets = np.array([0, *(turn.offset for turn in turns)], np.int64)
    return offsets[np.searchsorted(np.array([turn.moment for turn in turns], np.int64), moment, side="right")]


class SteppedClock:
    """The wall clock of this process, off by what the drill's file says; `put_on` puts it in the place of Python's own.

    Monotonic clocks go on as they were, as they do where a time service sets the wall clock.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._machine_ns = time.time_ns
        self._turns = read_clocks(folder).gateway
        self._look_at = 0.0

    def put_on(self) -> None:
        """Let `time.time_ns` and `time.time` show this clock: whatever in this process asks for the time gets it."""
        vars(time).update(time_ns=self.time_ns, time=self.time)

    def machine(self) -> int:
        """Return the machine's time, µs UTC."""
        return self._machine_ns() // 1000

    def time_ns(self) -> int:
        """Return this clock's time, ns since 1970."""
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._turns = read_clocks(self._folder).gateway
        true = self._machine_ns()
        return true + 1000 * next((turn.offset for turn in reversed(self._turns) if turn.moment * 1000 <= true), 0)

    def time(self) -> float:
        """Return the same in seconds."""
        return self.time_ns() / 1e9
