"""Values, events and alarms of the simulated plant, cycle by cycle, all from one seed.

Each variable is a Gaussian walk pulled back to its setpoint: `x += PULL * (setpoint - x) + step * z` with the step chosen so that the
stationary standard deviation is the variable's noise. Each unit has a numpy Generator of its own, seeded by (seed, unit, first cycle):
what a unit does depends neither on how many units there are nor on the clock, and a plant restarted at a later cycle does something new.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.lab.vocabulary import ALARMS, EDGE, EVENTS, FLOW, MODES, VARIABLES, VIBRATION, AlarmSpec, EventSpec, Unit
from trunkline.model.events import AlarmSeverity
from trunkline.model.quality import Quality
from trunkline.model.reading import Value

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Qualities = NDArray[np.uint16]

#: Share of the distance to the setpoint that the walk goes back in each cycle.
PULL = 0.1
#: Cycles whose random numbers a unit draws at once.
BLOCK = 64
#: Shortest and longest disturbance, in cycles.
DISTURBANCE_CYCLES = (3, 8)
#: Counters of every fourth unit start beyond 2^53, where a float64 can no longer count by one.
BIG_TOTAL = 2**53
#: Greatest flow that a counter ever adds, in litres a second; what a restart must skip (see `trunkline.lab.state`).
MAX_LITRES_PER_SECOND = VARIABLES[FLOW].high / 3.6

_SETPOINTS = np.array([v.setpoint for v in VARIABLES])
_LOW = np.array([v.low for v in VARIABLES])
_HIGH = np.array([v.high for v in VARIABLES])
_SPAN = _HIGH - _LOW
_NOISE = np.array([v.noise for v in VARIABLES])
_STEP = _NOISE * np.sqrt(1 - (1 - PULL) ** 2)
_EVENT_CHANCES = np.array([event.chance for event in EVENTS])
_ALARM_CHANCES = np.array([alarm.chance for alarm in ALARMS])

# Random numbers of a unit and cycle: one normal a variable; uniform ones for the draws, and more that decide the details.
_DRAWS = len(EVENTS) + len(ALARMS)
_DETAILS = 4
_MODE_DETAIL, _SETPOINT_DETAIL, _LEVEL_DETAIL, _LENGTH_DETAIL = range(_DETAILS)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event or a raw alarm of a unit.

    Attributes:
        unit: index of the unit in the plant.
        type: SCREAMING_SNAKE.
        text: a sentence for people.
        tag: tag name it speaks of; may be empty.
        before, after: for changes of state.
        actor: who did it.
        severity: for alarms; None makes it an event.
        active: for alarms: whether the condition came or went.
        value, threshold, engineering_unit: for alarms with a limit.
        attributes: further facts.
    """

    unit: int
    type: str
    text: str
    tag: str = ""
    before: Value = None
    after: Value = None
    actor: str = ""
    severity: AlarmSeverity | None = None
    active: bool = True
    value: float | None = None
    threshold: float | None = None
    engineering_unit: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Snapshot:
    """The whole plant in one cycle; row i is unit i. Arrays belong to the receiver.

    Attributes:
        cycle: number of the cycle; never repeats, not even over restarts.
        values: float64 (units, variables).
        running: bool (units,).
        total: int64 (units,), litres.
        mode: int64 (units,), index into `MODES`.
        happenings: events and alarms of this cycle.
    """

    cycle: int
    values: Floats
    running: Booleans
    total: Integers
    mode: Integers
    happenings: list[Happening]


def qualities(values: Floats) -> Qualities:
    """Return the quality of each value (P-39): UNCERTAIN near an end of the range, out of range beyond the physical limits.

    Args:
        values: float64 (units, variables).

    Returns:
        uint16 of the same shape, codes of `trunkline.model.quality`.
    """
    edge = EDGE * _SPAN
    quality = np.zeros(values.shape, np.uint16)
    quality[(values <= _LOW + edge) | (values >= _HIGH - edge)] = Quality.UNCERTAIN
    quality[(values < _LOW) | (values > _HIGH)] = Quality.BAD_OUT_OF_RANGE
    return quality


class Simulation:
    """The plant's process. `step` is the only thing it does.

    Args:
        units: the units, in order of their index.
        seed: decides everything.
        first_cycle: number of the first cycle.
        first_litres: what earlier runs may have counted; counters start above it.
        period_ms: length of a cycle, for the counters.
    """

    def __init__(self, units: Sequence[Unit], seed: int, *, first_cycle: int = 0, first_litres: int = 0, period_ms: int = 1000) -> None:
        count = len(units)
        self._units = units
        self._generators = [np.random.default_rng([seed, unit.index, first_cycle]) for unit in units]
        self._cycle = first_cycle
        self._begin = first_cycle
        self._seconds = period_ms / 1000
        self._setpoints: Floats = np.tile(_SETPOINTS, (count, 1))
        self._walk: Floats = self._setpoints.copy()
        self._running: Booleans = np.ones(count, np.bool_)
        self._mode: Integers = np.zeros(count, np.int64)
        self._maintenance: Booleans = np.zeros(count, np.bool_)
        self._litres: Floats = np.zeros(count)
        self._total_base: Integers = np.array([first_litres + (BIG_TOTAL + 1 if unit.index % 4 == 3 else 0) for unit in units], np.int64)
        self._until: Integers = np.full((count, len(ALARMS)), first_cycle - 1, np.int64)
        self._level: Floats = np.zeros((count, len(ALARMS)))
        self._failed: Integers = np.zeros(count, np.int64)
        self._normals: Floats = np.empty((count, BLOCK, len(VARIABLES)))
        self._uniforms: Floats = np.empty((count, BLOCK, _DRAWS + _DETAILS))

    def step(self) -> Snapshot:
        """Go one cycle on and return the plant as it then is."""
        at = (self._cycle - self._begin) % BLOCK
        if at == 0:
            self._draw_block()
        normal, uniform = self._normals[:, at], self._uniforms[:, at]
        happenings: list[Happening] = []
        self._operate(uniform, happenings)
        self._walk += PULL * (self._setpoints - self._walk) + _STEP * normal
        self._litres += np.clip(self._walk[:, FLOW], 0.0, _HIGH[FLOW]) / 3.6 * self._seconds
        values = self._walk.copy()
        self._disturb(values, normal, uniform, happenings)
        snapshot = Snapshot(
            cycle=self._cycle,
            values=values,
            running=self._running.copy(),
            total=self._total_base + self._litres.astype(np.int64),
            mode=self._mode.copy(),
            happenings=happenings,
        )
        self._cycle += 1
        return snapshot

    def _draw_block(self) -> None:
        for row, generator in enumerate(self._generators):
            generator.standard_normal(out=self._normals[row])
            generator.random(out=self._uniforms[row])

    def _operate(self, uniform: Floats, happenings: list[Happening]) -> None:
        """Draw the operational events and change the state they change."""
        hits = uniform[:, : len(EVENTS)] < _EVENT_CHANCES
        for row, column in np.argwhere(hits).tolist():
            happenings.append(self._operational_event(EVENTS[column], row, uniform[row, _DRAWS:]))

    def _operational_event(self, event: EventSpec, row: int, details: Floats) -> Happening:
        index = self._units[row].index
        match event.type:
            case "MODE_CHANGE":
                before = int(self._mode[row])
                after = (before + 1 + int(details[_MODE_DETAIL] * (len(MODES) - 1))) % len(MODES)
                self._mode[row] = after
                return Happening(index, event.type, event.text, tag="MODE", before=MODES[before], after=MODES[after])
            case "SETPOINT_CHANGE":
                return self._adjust(event, row, float(details[_SETPOINT_DETAIL]))
            case "MAINTENANCE":
                left = bool(self._maintenance[row])
                self._maintenance[row] = not left
                text = "maintenance window left" if left else "maintenance window entered"
                return Happening(index, event.type, text, before=left, after=not left)
            case _:
                running = bool(self._running[row])
                self._running[row] = event.type == "UNIT_START"
                return Happening(index, event.type, event.text, tag="RUNNING", before=running, after=bool(self._running[row]))

    def _adjust(self, event: EventSpec, row: int, detail: float) -> Happening:
        """Move one setpoint by at most half the noise from its nominal value: an operator trims, the plant stays where it is."""
        scaled = detail * len(VARIABLES)
        column = int(scaled)
        variable = VARIABLES[column]
        before = float(self._setpoints[row, column])
        after = round(variable.setpoint + (scaled - column - 0.5) * variable.noise, 3)
        self._setpoints[row, column] = after
        return Happening(
            self._units[row].index,
            event.type,
            event.text,
            tag=variable.name,
            before=before,
            after=after,
            actor="operator",
            attributes={"unit": variable.unit},
        )

    def _disturb(self, values: Floats, normal: Floats, uniform: Floats, happenings: list[Happening]) -> None:
        """Let disturbances begin, act on `values`, and end."""
        ended = self._until == self._cycle
        begun = uniform[:, len(EVENTS) : _DRAWS] < _ALARM_CHANCES
        for row, column in np.argwhere(begun | ended).tolist():
            alarm = ALARMS[column]
            if begun[row, column]:
                self._begin_disturbance(row, column, uniform[row, _DRAWS:])
            happenings.append(self._alarm(alarm, row, column, active=bool(begun[row, column])))
        acting = self._until > self._cycle
        if not acting.any():
            return
        for row, column in np.argwhere(acting).tolist():
            variable = ALARMS[column].variable
            jitter = 0.05 * abs(float(normal[row, VIBRATION if variable is None else variable]))
            if variable is None:
                failed = int(self._failed[row])
                values[row, failed] = self._level[row, column]
            else:
                away = jitter * _NOISE[variable] * (1.0 if ALARMS[column].margin[0] > 0 else -1.0)
                values[row, variable] = self._level[row, column] + away

    def _begin_disturbance(self, row: int, column: int, details: Floats) -> None:
        alarm = ALARMS[column]
        shortest, longest = DISTURBANCE_CYCLES
        self._until[row, column] = self._cycle + shortest + int(details[_LENGTH_DETAIL] * (longest - shortest + 1))
        share = float(details[_LEVEL_DETAIL])
        if alarm.variable is None or alarm.limit is None:
            # A broken 4-20 mA loop: the transmitter reads a tenth of the span below or above what is physically possible.
            self._failed[row] = failed = int(share * VIBRATION)
            upwards = details[_MODE_DETAIL] < 0.5
            self._level[row, column] = _HIGH[failed] + 0.1 * _SPAN[failed] if upwards else _LOW[failed] - 0.1 * _SPAN[failed]
        else:
            near, far = alarm.margin
            self._level[row, column] = alarm.limit + near + share * (far - near)

    def _alarm(self, alarm: AlarmSpec, row: int, column: int, *, active: bool) -> Happening:
        common: dict[str, Any] = {"severity": alarm.severity, "active": active}
        state = "raised" if active else "cleared"
        if alarm.variable is None:
            tag = VARIABLES[int(self._failed[row])].name
            text = f"instrument fault {state}: {tag}"
            return Happening(self._units[row].index, alarm.type, text, tag=tag, attributes={"condition": "fault"}, **common)
        variable = VARIABLES[alarm.variable]
        value = float(self._level[row, column]) if active else float(self._walk[row, alarm.variable])
        return Happening(
            self._units[row].index,
            alarm.type,
            f"{alarm.type} {state}: {variable.name} {value:.1f} {variable.unit}, limit {alarm.limit:g} {variable.unit}",
            tag=variable.name,
            value=round(value, 3),
            threshold=alarm.limit,
            engineering_unit=variable.unit,
            **common,
        )
