"""Labelled series of a process plant from a seed: what anomaly detectors are judged by.

The kinds of faults are those that public collections label (the Numenta Anomaly Benchmark, Yahoo's S5), on series as a plant's historian
has them; none of their data is used. Every series is a level, plus noise of two parts (white noise of the sensor, and a first-order
autoregressive part of the process with a time constant of five minutes), one reading a minute. The deviation of that noise is the unit in
which faults are made. Daily series have a season of 24 hours as well, four to six deviations high, with a second harmonic.

| fault | what is done |
| --- | --- |
| spike | one to three readings eight to fifteen deviations off, either way |
| shift | the level is 2.5 to 4 deviations off for four hours |
| drift | a ramp over twelve hours up to five to seven deviations, which ends at once |
| stuck | the value at the beginning is repeated for four hours |
| noisy | the noise is three to four times as large for four hours |
| mistimed | for four hours the values are those of nine hours earlier (daily series only): usual, at the wrong time |
| mixed | of an asset's three tags, the first shows another mode than the others for four hours |

Assets for detectors of several tags have flow, current and pressure of a pump that is off, at low or at high speed in turn: three modes.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trunkline.log.codec.columns import F64, I64
from trunkline.model import times

MINUTES: Final = 14 * 24 * 60
START: Final = times.from_iso("2026-01-05T00:00:00Z")
#: Minutes from which faults come: the detectors' learning is over.
FIRST: Final = 5 * 24 * 60
SINGLE: Final = ("spike", "shift", "drift", "stuck", "noisy")
KINDS: Final = (*SINGLE, "mistimed")
_LASTS: Final = {"spike": 0, "shift": 240, "drift": 720, "stuck": 240, "noisy": 240, "mistimed": 240, "mixed": 240}
_FAULTS: Final = 3
#: Flow, current and pressure of an asset in its three modes, in deviations of the noise.
_LEVELS: Final = ((0.0, 20.0, 40.0), (2.0, 30.0, 45.0), (10.0, 25.0, 50.0))


class Fault(NamedTuple):
    """A labelled fault: kind, first and last minute."""

    kind: str
    first: int
    last: int


class Labelled(NamedTuple):
    """Series with their faults.

    Attributes:
        tags: path of each series.
        values: (minutes, series).
        faults: of each series.
        group: of each series, 'steady', 'daily' or 'asset'.
    """

    tags: list[str]
    values: F64
    faults: list[list[Fault]]
    group: list[str]


def singles(seed: int, of_each: int) -> Labelled:
    """Return `of_each` series of each group and kind, with three faults each, and as many without any."""
    chance = np.random.default_rng(seed)
    tags, values, faults, groups = [], [], [], []
    for group in ("steady", "daily"):
        for kind in (*SINGLE, *(("mistimed",) if group == "daily" else ()), "none"):
            for number in range(of_each):
                clean, noise, deviation = _series(chance, daily=group == "daily")
                found = [] if kind == "none" else _places(chance, kind)
                tags.append(f"P.{group.upper()}.{kind.upper()}_{number}.VALUE")
                values.append(_faulty(chance, clean, noise, deviation, found))
                faults.append(found)
                groups.append(group)
    return Labelled(tags, np.array(values).T.copy(), faults, groups)


def assets(seed: int, count: int) -> Labelled:
    """Return assets of three tags and three modes; in half of them tags contradict each other three times, in half never."""
    chance = np.random.default_rng(seed)
    tags, values, faults = [], [], []
    for number in range(count):
        mode = _modes(chance)
        found = _places(chance, "mixed") if number % 2 else []
        for place, levels in enumerate(_LEVELS):
            shown = mode.copy()
            for fault in found if place == 0 else ():
                shown[fault.first : fault.last] = (mode[fault.first : fault.last] + 1) % len(levels)
            tags.append(f"P.ASSET.U{number}.T{place}")
            values.append(np.array(levels)[shown] + _autoregressive(chance, 5.0, 0.8) + chance.normal(0, 0.6, MINUTES))
            faults.append(found)
    return Labelled(tags, np.array(values).T.copy(), faults, ["asset"] * len(tags))


def _modes(chance: np.random.Generator) -> I64:
    """Return the mode of each minute; one lasts four hours on average."""
    found = np.zeros(MINUTES, np.int64)
    minute = mode = 0
    while minute < MINUTES:
        lasts = int(chance.exponential(240)) + 30
        found[minute : minute + lasts] = mode
        minute, mode = minute + lasts, (mode + int(chance.integers(1, 3))) % 3
    return found


def _autoregressive(chance: np.random.Generator, minutes: float, deviation: float) -> F64:
    keep = float(np.exp(-1 / minutes))
    steps = chance.normal(0, deviation * (1 - keep**2) ** 0.5, MINUTES)
    found = np.empty(MINUTES)
    last = chance.normal(0, deviation)
    for minute, step in enumerate(steps.tolist()):
        last = keep * last + step
        found[minute] = last
    return found


def _series(chance: np.random.Generator, *, daily: bool) -> tuple[F64, F64, float]:
    """Return a series without its noise, its noise, and the noise's deviation."""
    deviation = float(10 ** chance.uniform(-1, 1))
    noise = _autoregressive(chance, 5.0, 0.8 * deviation) + chance.normal(0, 0.6 * deviation, MINUTES)
    clean = np.full(MINUTES, float(chance.uniform(20, 200)))
    if daily:
        hour = np.arange(MINUTES) / 60 + chance.uniform(0, 24)
        clean += chance.uniform(2, 3) * deviation * (np.sin(hour / 12 * np.pi) + 0.3 * np.sin(hour / 6 * np.pi))
    return clean, noise, deviation


def _places(chance: np.random.Generator, kind: str) -> list[Fault]:
    room = (MINUTES - FIRST) // _FAULTS
    found = []
    for number in range(_FAULTS):
        first = FIRST + number * room + int(chance.integers(0, room - 1440))
        lasts = int(chance.integers(1, 4)) if kind == "spike" else _LASTS[kind]
        found.append(Fault(kind, first, first + lasts))
    return found


def _faulty(chance: np.random.Generator, clean: F64, noise: F64, deviation: float, faults: list[Fault]) -> F64:
    value: F64 = clean + noise
    for kind, first, last in faults:
        here = slice(first, last)
        sign = float(chance.choice((-1, 1))) * deviation
        if kind == "spike":
            value[here] += sign * chance.uniform(8, 15)
        elif kind == "shift":
            value[here] += sign * chance.uniform(2.5, 4)
        elif kind == "drift":
            value[here] += sign * chance.uniform(5, 7) * np.linspace(0, 1, last - first)
        elif kind == "stuck":
            value[here] = value[first]
        elif kind == "noisy":
            value[here] = clean[here] + chance.uniform(3, 4) * noise[here]
        elif kind == "mistimed":
            value[here] = clean[first - 540 : last - 540] + noise[here]
    return value


def stamps() -> I64:
    """Return the time of each minute, µs UTC."""
    found: npt.NDArray[np.int64] = START + np.arange(MINUTES, dtype=np.int64) * times.MINUTE
    return found
