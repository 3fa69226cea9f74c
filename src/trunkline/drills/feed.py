"""Readings that their position in the edge journal alone decides, so that whoever knows how many there are knows every one of them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trunkline.drills.clocks import Turn, ahead
from trunkline.log.codec.slots import Slots, TagSlot
from trunkline.log.codec.writer import Rows
from trunkline.model.reading import Kind, Value

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

#: Readings that are handed to the edge at once, about.
CHUNK: Final = 5_000
_DECIMALS: Final = 3
#: Of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT: Final = np.uint64(31)


class Feed:
    """Every tag once a period. Position n is step n // tags of tag n % tags.

    Args:
        slots: the tags.
        seed: of the values.
        period: µs between two steps.
        start: time of the first step, µs UTC.
        steps: that are history; what follows is live, and starts at `live`.
        live: time of the first live step, µs UTC; None while it is not known.
        chunk: readings of history that are handed to the edge at once, about.

    Attributes:
        turns: how the devices' clock was set, if it was not right all the time.
    """

    def __init__(
        self, slots: Sequence[TagSlot], seed: int, period: int, start: int, steps: int, live: int | None = None, chunk: int = CHUNK
    ) -> None:
        self.slots = list(slots)
        self.steps = steps
        self.live = live
        self.turns: Sequence[Turn] = ()
        self._seed = np.uint64(seed)
        self._period = period
        self._start = start
        self._kinds = [slot.kind for slot in self.slots]
        self._at_once = max(1, chunk // len(self.slots))
        self._many = Slots(self.slots * self._at_once)
        self._one = Slots(self.slots)

    @property
    def readings(self) -> int:
        """How many readings are history."""
        return self.steps * len(self.slots)

    @property
    def at_once(self) -> int:
        """Steps of one chunk of history."""
        return self._at_once

    def time(self, step: I64) -> I64:
        """Return the times of steps by the devices' clock, µs UTC. Raises ValueError as `moments`."""
        moments = self.moments(step)
        return moments + ahead(self.turns, moments) if self.turns else moments

    def moments(self, step: I64) -> I64:
        """Return when steps are due, µs UTC. Raises ValueError for a live step while it is not known when those begin."""
        if self.live is None:
            if len(step) and int(step[-1]) >= self.steps:
                raise ValueError("nobody has said yet when the live readings begin")
            return self._start + step * self._period
        return np.where(step < self.steps, self._start + step * self._period, self.live + (step - self.steps) * self._period)

    def moment(self, step: int) -> int:
        """Return when one step is due, µs UTC. Raises ValueError as `moments`."""
        return int(self.moments(np.array([step]))[0])

    def number(self, tag: int, step: I64) -> F64:
        """Return a double tag's values: a wave of its own with noise, of three decimals."""
        wave = 40.0 * np.sin(step * (0.001 * (1 + tag % 17)) + tag)
        noise = self._noise(tag, step).astype(np.float64) * 2.0**-64
        return np.asarray(np.round(50.0 + wave + noise, _DECIMALS))

    def integer(self, tag: int, step: I64) -> I64:
        """Return an integer tag's values, 0 to 999, or a boolean tag's, 0 or 1."""
        return (self._noise(tag, step) % np.uint64(2 if self._kinds[tag] is Kind.BOOLEAN else 1000)).astype(np.int64)

    def text(self, tag: int, step: I64) -> list[str]:
        """Return a text tag's values."""
        return [f"state {number}" for number in self.integer(tag, step).tolist()]

    def values(self, tag: int, step: I64) -> Sequence[Value]:
        """Return a tag's values as a source hands them over."""
        kind = self._kinds[tag]
        if kind is Kind.TEXT:
            return self.text(tag, step)
        if kind is Kind.DOUBLE:
            numbers: list[float] = self.number(tag, step).tolist()
            return numbers
        whole: list[int] = self.integer(tag, step).tolist()
        return [bool(value) for value in whole] if kind is Kind.BOOLEAN else whole

    def rows(self, first: int, steps: int, gateway_time: int | None = None) -> Rows:
        """Return a run of steps as the edge takes them.

        Args:
            first: the first step.
            steps: how many: 1 or `at_once`.
            gateway_time: when they were read, µs UTC; None as soon as they were measured.
        """
        step = np.arange(first, first + steps)
        time = self.time(step).repeat(len(self.slots))
        read = time if gateway_time is None else np.full(len(time), gateway_time)
        numbers: list[F64] = []
        integers: list[I64] = []
        texts: list[list[str]] = []
        for tag, kind in enumerate(self._kinds):
            if kind is Kind.TEXT:
                texts.append(self.text(tag, step))
            elif kind is Kind.DOUBLE:
                numbers.append(self.number(tag, step))
            else:
                integers.append(self.integer(tag, step))
        doubles = np.stack(numbers, axis=1).ravel() if numbers else np.empty(0, np.float64)
        longs = np.stack(integers, axis=1).ravel() if integers else np.empty(0, np.int64)
        in_order = [text for of_step in zip(*texts, strict=True) for text in of_step]
        return Rows(self._one if steps == 1 else self._many, time, read, None, doubles, longs, in_order, None)

    def _noise(self, tag: int, step: I64) -> U64:
        """Return 64 random bits for each step."""
        with np.errstate(over="ignore"):
            bits = (step.astype(np.uint64) + np.uint64(tag) * np.uint64(1 << 40) + self._seed) * _GOLDEN
            for shift, factor in _MIX:
                bits = (bits ^ (bits >> shift)) * factor
            return bits ^ (bits >> _LAST_SHIFT)
