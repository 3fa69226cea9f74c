"""Signals: values of step 0, 1, 2… of a tag. The same seed gives the same values."""

import math
import random
from collections.abc import Iterator
from itertools import count
from typing import assert_never

from trunkline.model.reading import INT64_MIN, Value
from trunkline.sources.simulated.config import Counter, Cycle, Ramp, SimulatedTagConfig, Sine, Square, Walk

_TWO_64 = 2**64


def values(tag: SimulatedTagConfig, seed: int, interval: float) -> Iterator[Value]:
    """Return the endless values of a tag; None stands for a fault of the sensor.

    Args:
        tag: what to make.
        seed: with the tag's path it decides every chance, whatever other tags there are.
        interval: seconds from one step to the next.
    """
    shaped = _shape(tag, seed, interval)
    return _with_faults(shaped, tag, seed) if tag.bad else shaped


# A stream of chances takes 2.5 kB, so only those have one that use it.
def _with_faults(shaped: Iterator[Value], tag: SimulatedTagConfig, seed: int) -> Iterator[Value]:
    faults = random.Random(f"{seed}/{tag.path}/faults")  # noqa: S311 - a stream of its own: faults do not shift the signal
    for value in shaped:
        yield None if faults.random() < tag.bad else value


def _shape(tag: SimulatedTagConfig, seed: int, interval: float) -> Iterator[Value]:
    match tag.signal:
        case Sine() as sine:
            return (sine.mean + sine.amplitude * math.sin(math.tau * step * interval / sine.period) for step in count())
        case Ramp() as ramp:
            return (ramp.low + (ramp.high - ramp.low) * ((step * interval / ramp.period) % 1.0) for step in count())
        case Walk() as walk:
            chance = random.Random(f"{seed}/{tag.path}")  # noqa: S311 - repeatable on purpose, nothing secret
            return _walk(walk, tag.min, tag.max, chance)
        case Square() as square:
            return _square(square, tag.kind, interval)
        case Counter() as counter:
            return ((counter.start + step * counter.step - INT64_MIN) % _TWO_64 + INT64_MIN for step in count())
        case Cycle() as cycle:
            return (cycle.texts[step // cycle.every % len(cycle.texts)] for step in count())
        case _ as never:
            assert_never(never)


def _walk(walk: Walk, low: float | None, high: float | None, chance: random.Random) -> Iterator[float]:
    """Mean-reverting walk: the Ornstein-Uhlenbeck process in steps, whose spread settles at `noise`; kept within the tag's range."""
    kick = walk.noise * math.sqrt(1.0 - (1.0 - walk.pull) ** 2)
    value = walk.setpoint
    while True:
        yield value
        value += walk.pull * (walk.setpoint - value) + chance.gauss(0.0, kick)
        value = min(max(value, -math.inf if low is None else low), math.inf if high is None else high)


def _square(square: Square, kind: str, interval: float) -> Iterator[Value]:
    for step in count():
        up = (step * interval / square.period) % 1.0 >= 0.5
        if kind == "boolean":
            yield up
        else:
            level = square.high if up else square.low
            yield round(level) if kind == "integer" else level
