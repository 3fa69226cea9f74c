"""Conditions: what makes an alarm. A judge says what one reading means; a `Condition` holds it steady with delays.

While a condition is steady it also says which readings cannot change it (`Quiet`), so that those never reach Python one by one.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from trunkline.model.expressions import Expression
from trunkline.model.reading import Value

#: No moment is later: nothing is due.
NEVER_DUE: Final = 2**62


class Sample(NamedTuple):
    """What a judge sees.

    Attributes:
        value: of the reading.
        rate: change per second since the last reading that counted; None without one.
        values: last value of every tag that the condition speaks of, by path; the reading's own included.
    """

    value: Value
    rate: float | None
    values: dict[str, Value]


class Quiet(NamedTuple):
    """Ranges, ends included, within which readings change nothing. An empty range (low above high) lets nothing be quiet."""

    low: float = -math.inf
    high: float = math.inf

    def meet(self, other: "Quiet") -> "Quiet":
        """Return what is quiet for both."""
        return Quiet(max(self.low, other.low), min(self.high, other.high))


EVERYTHING: Final = Quiet()
NOTHING: Final = Quiet(math.inf, -math.inf)


class Judge(Protocol):
    """Says whether the condition is wanted on."""

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:
        """Return what a reading asks for, with hysteresis against the present state; None when it cannot say."""
        ...


def number(value: Value) -> float | None:
    """Return a value as a number; None for text and absent values."""
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class Bounds:
    """On above `high` or below `low`; off again only `deadband` behind the bound that was crossed."""

    low: float = -math.inf
    high: float = math.inf
    deadband: float = 0.0

    def asks(self, x: float, *, on: bool) -> bool:
        """Return whether `x` asks for the condition."""
        back = self.deadband if on else 0.0
        return x > self.high - back or x < self.low + back

    def quiet(self, x: float | None, *, on: bool, wanted: bool) -> Quiet:
        """Return a range around `x` that asks for the same."""
        back = self.deadband if on else 0.0
        high, low = self.high - back, self.low + back
        if not wanted:
            return Quiet(low, high)
        if x is None:
            return NOTHING
        return Quiet(math.nextafter(high, math.inf), math.inf) if x > high else Quiet(-math.inf, math.nextafter(low, -math.inf))


@dataclass(frozen=True, slots=True)
class Limit:
    """The value against limits."""

    bounds: Bounds

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:
        """See `Judge`."""
        x = number(sample.value)
        return None if x is None else self.bounds.asks(x, on=on)


@dataclass(frozen=True, slots=True)
class Rate:
    """The change per second against limits."""

    bounds: Bounds

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:
        """See `Judge`."""
        return None if sample.rate is None else self.bounds.asks(sample.rate, on=on)


@dataclass(frozen=True, slots=True)
class Deviation:
    """The distance from a setpoint, fixed or another tag's value, against limits."""

    bounds: Bounds
    tag: str
    setpoint: float | None
    setpoint_tag: str | None

    def distance(self, values: dict[str, Value]) -> float | None:
        """Return value less setpoint; None while either is unknown."""
        x = number(values.get(self.tag))
        aim = self.setpoint if self.setpoint_tag is None else number(values.get(self.setpoint_tag))
        return None if x is None or aim is None else x - aim

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:
        """See `Judge`."""
        distance = self.distance(sample.values)
        return None if distance is None else self.bounds.asks(distance, on=on)


@dataclass(frozen=True, slots=True)
class Equals:
    """The value is this one."""

    value: Value

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:  # noqa: ARG002 - of the protocol
        """See `Judge`."""
        if sample.value is None:
            return None
        if isinstance(sample.value, str) or isinstance(self.value, str):
            return str(sample.value) == str(self.value)
        return sample.value == self.value


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is heard: a reading always says that it is over."""

    after: int

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:  # noqa: ARG002 - of the protocol
        """See `Judge`."""
        return False


@dataclass(frozen=True, slots=True)
class Fault:
    """The device says that its value is worthless: the quality tells, not the value."""

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:  # noqa: ARG002 - of the protocol
        """See `Judge`."""
        return None


@dataclass(frozen=True, slots=True)
class Truth:
    """An expression over tags is true."""

    expression: Expression

    def wanted(self, sample: Sample, *, on: bool) -> bool | None:  # noqa: ARG002 - of the protocol
        """See `Judge`."""
        found = self.expression.value(sample.values)
        return None if found is None else bool(found)


class Change(NamedTuple):
    """A condition came or went.

    Attributes:
        time: when, µs UTC: of the reading, or the end of the delay.
        place: of the condition in the plan.
        on: whether it came.
        value: of the reading that began it.
        reason: why, where the readings do not say.
    """

    time: int
    place: int
    on: bool
    value: Value
    reason: str = ""


class Condition:
    """One condition with its delays.

    Attributes:
        place: in the plan.
        judge: what one reading means.
        on: whether it is on, delays observed.
        since: when readings began to ask for the other state, µs; None while they do not.
    """

    __slots__ = ("_delay_off", "_delay_on", "_value", "judge", "on", "place", "since")

    def __init__(self, place: int, judge: Judge, delay_on: int = 0, delay_off: int = 0) -> None:
        self.place = place
        self.judge = judge
        self.on = False
        self.since: int | None = None
        self._value: Value = None
        self._delay_on = delay_on
        self._delay_off = delay_off

    @property
    def due(self) -> int:
        """When the delay under way ends; NEVER_DUE without one."""
        return NEVER_DUE if self.since is None else self.since + (self._delay_off if self.on else self._delay_on)

    @property
    def wanted(self) -> bool:
        """What the last reading asked for."""
        return self.on if self.since is None else not self.on

    def end_delay(self, moment: int, *, at: bool = True) -> Change | None:
        """Turn over if the delay ended before `moment`, or with `at` just then."""
        due = self.due
        if due > moment or (due == moment and not at):
            return None
        self.on, self.since = not self.on, None
        return Change(due, self.place, self.on, self._value)

    def see(self, time: int, sample: Sample) -> list[Change]:
        """Take a reading and return what came of it, in order of time."""
        ended = self.end_delay(time, at=False)
        wanted = self.judge.wanted(sample, on=self.on)
        asked = None if wanted is None else self._ask(time, wanted, sample.value)
        return [change for change in (ended, asked) if change]

    def ask(self, time: int, *, wanted: bool) -> list[Change]:
        """Take what is known without a value: silence, a fault, a value that does not count."""
        return [change for change in (self.end_delay(time, at=False), self._ask(time, wanted, None)) if change]

    def _ask(self, time: int, wanted: bool, value: Value) -> Change | None:
        if wanted == self.on:
            self.since = None
            return None
        if self.since is None:
            self.since, self._value = time, value
        return self.end_delay(time)

    def drop(self, time: int) -> list[Change]:
        """Forget everything, as at the end of a stretch of history."""
        was, self.on, self.since = self.on, False, None
        return [Change(time, self.place, False, None, "the stretch of history ends")] if was else []

    def state(self) -> tuple[bool, int | None, Value] | None:
        """Return what must outlive a restart; None at rest."""
        return (self.on, self.since, self._value) if self.on or self.since is not None else None

    def set_state(self, state: tuple[bool, int | None, Value] | None) -> None:
        """Take what `state` returned."""
        self.on, self.since, self._value = state or (False, None, None)
