"""The process: determinism, statistics, quality, events, alarms, counters."""

from collections import Counter

import numpy as np
import pytest

from trunkline.lab.simulation import BIG_TOTAL, BLOCK, DISTURBANCE_CYCLES, PULL, Happening, Simulation, Snapshot, qualities
from trunkline.lab.vocabulary import (
    ALARMS,
    EVENTS,
    FLOW,
    MODES,
    PRESSURE,
    PROTOCOLS,
    TEMPERATURE,
    VARIABLES,
    VIBRATION,
    AlarmSpec,
    plant_units,
)
from trunkline.model.events import AlarmSeverity
from trunkline.model.quality import Quality
from trunkline.model.tags import TagPath


def run(cycles: int, *, units: int = 6, seed: int = 7, first_cycle: int = 0, first_litres: int = 0) -> list[Snapshot]:
    simulation = Simulation(plant_units(units), seed, first_cycle=first_cycle, first_litres=first_litres)
    return [simulation.step() for _ in range(cycles)]


def same(one: Snapshot, other: Snapshot, units: int) -> bool:
    return (
        np.array_equal(one.values[:units], other.values[:units])
        and np.array_equal(one.total[:units], other.total[:units])
        and np.array_equal(one.mode[:units], other.mode[:units])
        and np.array_equal(one.running[:units], other.running[:units])
        and [h for h in one.happenings if h.unit < units] == [h for h in other.happenings if h.unit < units]
    )


def test_same_seed_same_plant() -> None:
    """P-123: everything comes from one seed; a unit does not notice how many others there are."""
    short, long = run(3 * BLOCK, units=4), run(3 * BLOCK, units=9)
    assert all(same(one, other, 4) for one, other in zip(short, long, strict=True))
    other_seed = run(3, seed=8)
    assert not np.array_equal(short[0].values, other_seed[0].values[:4])


def test_a_later_start_does_something_new() -> None:
    """A restarted plant must not show the values of its first run again."""
    first, later = run(200), run(200, first_cycle=1000)
    assert [snapshot.cycle for snapshot in later] == list(range(1000, 1200))
    assert not {tuple(s.values.ravel()) for s in first} & {tuple(s.values.ravel()) for s in later}


@pytest.fixture(scope="module")
def long_run() -> list[Snapshot]:
    return run(4000, units=50)


@pytest.mark.parametrize("column", [FLOW, PRESSURE, TEMPERATURE, VIBRATION])
def test_walk_returns_to_its_setpoint(long_run: list[Snapshot], column: int) -> None:
    """P-36, P-37, P-38, P-123: a Gaussian walk around the setpoint with the noise given, pulled back step by step."""
    variable = VARIABLES[column]
    series = np.array([snapshot.values[:, column] for snapshot in long_run])
    inner = np.abs(series - variable.setpoint) < 6 * variable.noise  # disturbances are outside
    assert inner.mean() > 0.9
    calm = series[inner]
    assert calm.mean() == pytest.approx(variable.setpoint, abs=0.1 * variable.noise)
    assert calm.std() == pytest.approx(variable.noise, rel=0.1)
    pairs = inner[1:] & inner[:-1]
    centred = series - variable.setpoint
    correlation = np.corrcoef(centred[:-1][pairs], centred[1:][pairs])[0, 1]
    assert correlation == pytest.approx(1 - PULL, abs=0.02)


def count(long_run: list[Snapshot], type_: str, *, active: bool = True) -> int:
    return sum(h.type == type_ and h.active is active for snapshot in long_run for h in snapshot.happenings)


def expect_rate(hits: int, chance: float, trials: int) -> None:
    assert abs(hits - chance * trials) < 4 * (chance * trials) ** 0.5


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_event_rates(long_run: list[Snapshot], event: object) -> None:
    """P-40, P-123: each event has its own chance in each cycle."""
    spec = next(e for e in EVENTS if e is event)
    expect_rate(count(long_run, spec.type), spec.chance, 4000 * 50)


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.type)
def test_alarm_rates(long_run: list[Snapshot], alarm: AlarmSpec) -> None:
    """P-42 to P-47, P-123: each alarm has its own chance, severity and limit."""
    raised = [h for s in long_run for h in s.happenings if h.type == alarm.type and h.active]
    expect_rate(len(raised), alarm.chance, 4000 * 50)
    assert {h.severity for h in raised} == {alarm.severity}
    assert {h.threshold for h in raised} == {alarm.limit}


def test_figures_of_the_requirements() -> None:
    """P-36 to P-47: names and figures carried over exactly."""
    assert [(v.name, v.unit, v.setpoint, v.low, v.high, v.noise) for v in VARIABLES[:3]] == [
        ("FLOW_RATE", "m³/h", 50, 0, 120, 5),
        ("PRESSURE", "bar", 12, 0, 30, 1.5),
        ("TEMPERATURE", "°C", 180, -20, 400, 8),
    ]
    assert {e.type: e.chance for e in EVENTS} == {
        "UNIT_START": 0.005,
        "UNIT_STOP": 0.005,
        "MODE_CHANGE": 0.02,
        "SETPOINT_CHANGE": 0.05,
        "MAINTENANCE": 0.002,
    }
    severity = AlarmSeverity
    assert [(a.type, a.severity, a.chance, a.limit) for a in ALARMS] == [
        ("HIGH_FLOW", severity.MEDIUM, 0.008, 95),
        ("LOW_PRESSURE", severity.HIGH, 0.005, 2),
        ("HIGH_TEMP", severity.HIGH, 0.004, 320),
        ("CRITICAL_TEMP", severity.CRITICAL, 0.001, 380),
        ("VIBRATION_HIGH", severity.MEDIUM, 0.006, 7.1),
        ("INSTRUMENT_FAULT", severity.LOW, 0.003, None),
    ]


@pytest.mark.parametrize("alarm", [a for a in ALARMS if a.limit is not None], ids=lambda alarm: alarm.type)
def test_readings_show_what_the_alarm_says(long_run: list[Snapshot], alarm: AlarmSpec) -> None:
    """PD-28: the disturbance carries the reading beyond the limit in the very cycle of the alarm, and for some cycles more."""
    assert alarm.limit is not None
    assert alarm.variable is not None
    above = alarm.margin[0] > 0
    seen = 0
    for at, snapshot in enumerate(long_run[: -DISTURBANCE_CYCLES[0]]):
        broken = {h.unit for later in long_run[max(0, at - 20) : at + 3] for h in later.happenings if h.type == "INSTRUMENT_FAULT"}
        for happening in snapshot.happenings:
            if happening.type == alarm.type and happening.active and happening.unit not in broken:
                values = [float(s.values[happening.unit, alarm.variable]) for s in long_run[at : at + DISTURBANCE_CYCLES[0]]]
                assert all((value > alarm.limit) is above for value in values)
                seen += 1
    assert seen > 50


def test_an_alarm_that_came_goes(long_run: list[Snapshot]) -> None:
    """P-42: every condition clears after the longest disturbance unless it came again."""
    last: dict[tuple[int, str], tuple[int, bool]] = {}
    for snapshot in long_run:
        for h in snapshot.happenings:
            if h.severity is not None:
                was = last.get((h.unit, h.type))
                assert h.active or (was is not None and was[1] and snapshot.cycle - was[0] <= DISTURBANCE_CYCLES[1])
                last[h.unit, h.type] = (snapshot.cycle, h.active)
    open_alarms = [cycle for cycle, active in last.values() if active]
    assert all(4000 - cycle <= DISTURBANCE_CYCLES[1] for cycle in open_alarms)


def test_instrument_fault_reads_beyond_the_physical_limits(long_run: list[Snapshot]) -> None:
    """P-39, P-47: a broken instrument reads what cannot be."""
    for snapshot in long_run:
        for h in snapshot.happenings:
            if h.type == "INSTRUMENT_FAULT" and h.active:
                column = next(i for i, v in enumerate(VARIABLES) if v.name == h.tag)
                assert qualities(snapshot.values)[h.unit, column] == Quality.BAD_OUT_OF_RANGE
                assert (h.value, h.threshold, h.attributes) == (None, None, {"condition": "fault"})


@pytest.mark.parametrize(
    ("temperature", "quality"),
    [
        (180.0, Quality.GOOD),
        (378.9, Quality.GOOD),
        (379.0, Quality.UNCERTAIN),
        (400.0, Quality.UNCERTAIN),
        (400.1, Quality.BAD_OUT_OF_RANGE),
        (1.1, Quality.GOOD),
        (1.0, Quality.UNCERTAIN),
        (-20.0, Quality.UNCERTAIN),
        (-20.1, Quality.BAD_OUT_OF_RANGE),
    ],
)
def test_quality_bands(temperature: float, quality: Quality) -> None:
    """P-39, PD-28: UNCERTAIN within 5 % of a range end, out of range beyond the physical limits."""
    values = np.array([[50.0, 12.0, temperature, 2.5]])
    assert qualities(values).tolist() == [[0, 0, quality, 0]]


def events_of(long_run: list[Snapshot], type_: str) -> list[Happening]:
    return [h for s in long_run for h in s.happenings if h.type == type_]


def test_events_change_what_they_say(long_run: list[Snapshot]) -> None:
    """P-41, PD-25: mode among AUTO, MANUAL and CASCADE; start, stop and maintenance tell before and after."""
    modes = events_of(long_run, "MODE_CHANGE")
    assert Counter(h.before == h.after for h in modes)[True] == 0
    assert {h.after for h in modes} == set(MODES)
    for snapshot in long_run:
        for h in snapshot.happenings:
            if h.type == "MODE_CHANGE":
                assert MODES[int(snapshot.mode[h.unit])] == h.after
    entered = [h.after for h in events_of(long_run, "MAINTENANCE") if h.unit == 0]
    assert entered == [n % 2 == 0 for n in range(len(entered))]
    for h in events_of(long_run, "SETPOINT_CHANGE"):
        variable = next(v for v in VARIABLES if v.name == h.tag)
        assert isinstance(h.after, float)
        assert abs(h.after - variable.setpoint) <= variable.noise / 2 + 0.001
        assert h.actor == "operator"


def test_counters_never_go_back_and_count_beyond_2_53() -> None:
    """TOTAL is a 64-bit counter; every fourth unit counts where a float64 would lose the last digit."""
    totals = np.array([snapshot.total for snapshot in run(500, units=8)])
    assert totals.dtype == np.int64
    assert (np.diff(totals, axis=0) >= 0).all()
    assert (totals[:, 3] > BIG_TOTAL).all()
    assert (totals[:, 0] < 100_000).all()
    assert (totals[:, 3] % 2 == 1).any()
    restarted = run(1, units=8, first_cycle=500, first_litres=500 * 34)[0]
    assert (restarted.total > totals[-1]).all()


def test_units_are_dealt_to_protocols_and_areas() -> None:
    """P-20: ten units an area, valid paths, a third of the units for each protocol."""
    units = plant_units(100)
    assert units[0].path == "PLANT01.AREA01.UNIT_01"
    assert units[14].path == "PLANT01.AREA02.UNIT_05"
    assert units[99].path == "PLANT01.AREA10.UNIT_10"
    assert all(str(TagPath.parse(f"{unit.path}.FLOW_RATE")) for unit in units)
    assert Counter(unit.protocol for unit in units) == dict(zip(PROTOCOLS, (34, 33, 33), strict=True))
