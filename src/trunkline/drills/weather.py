"""Bad weather on the link of a drill: how slow it is, what it loses, and what it did to the calls that went through it."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from trunkline.model.errors import RetryLater

T = TypeVar("T")

_WEATHER: Final = "weather.json"
_TOLLS: Final = "tolls.json"


class Weather(msgspec.Struct, frozen=True):
    """What a link does to calls. Shares are of 1.

    Attributes:
        seed: picks the calls.
        bandwidth: bytes/s of appended records, both lanes and reports together.
        latency: seconds that a call takes on its way, on average; each takes half to one and a half times that.
        loss: share of calls that are lost. Of every other lost append only the answer is, and the log has its records.
        hangs: share of calls that hang before they meet one of these fates.
        hang_seconds: how long.
        twice: planted defect: some records are delivered a second time, as if another gateway had sent them.
    """

    seed: int
    bandwidth: int
    latency: float
    loss: float
    hangs: float
    hang_seconds: float
    twice: bool = False


class Tolls(msgspec.Struct):
    """What happened so far.

    Attributes:
        calls: all that went out.
        lost_calls: that never reached the log.
        lost_answers: appends that the log has, and whose caller heard that it failed.
        hangs: calls that hung.
        arrived: bytes of records whose append was answered.
        wasted: bytes of records whose append was not.
    """

    calls: int = 0
    lost_calls: int = 0
    lost_answers: int = 0
    hangs: int = 0
    arrived: int = 0
    wasted: int = 0


def write_weather(folder: Path, weather: Weather) -> None:
    """Let the weather turn bad."""
    (folder / _WEATHER).write_bytes(msgspec.json.encode(weather))


def read_weather(folder: Path) -> Weather | None:
    """Return the weather, None when it is fair."""
    try:
        return msgspec.json.decode((folder / _WEATHER).read_bytes(), type=Weather)
    except FileNotFoundError:
        return None


def clear_weather(folder: Path) -> None:
    """Let it turn fair."""
    (folder / _WEATHER).unlink(missing_ok=True)


def read_tolls(folder: Path) -> Tolls:
    """Return what the weather has done."""
    try:
        return msgspec.json.decode((folder / _TOLLS).read_bytes(), type=Tolls)
    except FileNotFoundError:
        return Tolls()


class Line:
    """The one line through which all calls of an edge go. Thread-safe.

    Args:
        weather: what it is like until it turns fair.
        folder: of the drill.
    """

    def __init__(self, weather: Weather, folder: Path) -> None:
        self.weather = weather
        self._folder = folder
        self._chance = random.Random(weather.seed)  # noqa: S311 - picks faults, no secret
        self._lock = threading.Lock()
        self._free = 0.0
        self._lost_appends = 0
        self._tolls = Tolls()

    @property
    def fair(self) -> bool:
        """Whether nothing is in the way any more."""
        return not (self._folder / _WEATHER).exists()

    def carry(self, call: Callable[[], T], size: int = 0) -> T:
        """Make a call whose records have so many bytes. Raises what it raises, and RetryLater when it or its answer is lost."""
        if self.fair:
            return call()
        weather = self.weather
        with self._lock:
            late = weather.latency * self._chance.uniform(0.5, 1.5)
            hung, lost = self._chance.random() < weather.hangs, self._chance.random() < weather.loss
            self._lost_appends += lost and size > 0
            only_answer = size > 0 and self._lost_appends % 2 == 1
            self._free = max(time.monotonic(), self._free) + size / weather.bandwidth
            wait = self._free + late - time.monotonic()
        time.sleep(max(0.0, wait) + (weather.hang_seconds if hung else 0.0))
        if lost and not only_answer:
            self._note(hung=hung, lost_calls=1, wasted=size)
            raise RetryLater("the link lost a call")
        answer = call()
        if lost:
            self._note(hung=hung, lost_answers=1, wasted=size)
            raise RetryLater("the link lost an answer")
        self._note(hung=hung, arrived=size)
        return answer

    def _note(self, *, hung: bool, lost_calls: int = 0, lost_answers: int = 0, arrived: int = 0, wasted: int = 0) -> None:
        with self._lock:
            tolls = self._tolls
            tolls.calls += 1
            tolls.hangs += hung
            tolls.lost_calls += lost_calls
            tolls.lost_answers += lost_answers
            tolls.arrived += arrived
            tolls.wasted += wasted
            fresh = self._folder / f"{_TOLLS}.fresh"
            fresh.write_bytes(msgspec.json.encode(tolls))
            fresh.replace(self._folder / _TOLLS)
