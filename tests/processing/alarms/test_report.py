"""Reports over transitions that the book made: figures counted by hand (G-43, GD-16, GD-19)."""

import io
import json

import msgspec
import pytest
from rich.console import Console
from tests.processing.alarms.feed import T0, S, settings

from trunkline.config.tags import TagConfig
from trunkline.model.alarms import Action, ActionKind
from trunkline.model.events import Alarm
from trunkline.model.reading import Kind
from trunkline.processing.alarms import AlarmBook
from trunkline.processing.alarms.report import AlarmReport, floods, positions, rate, report
from trunkline.processing.alarms.report_text import render
from trunkline.processing.history import Row, columns_of

MINUTE, HOUR, DAY = 60, 3600, 86_400
UNITS = [f"PLANT01.AREA0{1 + unit % 2}.UNIT_{unit:02}.TEMP" for unit in range(14)]
SETTINGS = settings("""
positions:
  - {id: desk-north, tags: ["PLANT01.AREA01.**"]}
  - {id: desk-south, tags: ["PLANT01.AREA02.**"]}
definitions:
  - {id: hot, tags: ["**.TEMP"], kind: high, limit: 100, priority: LOW}
  - {id: hotter, tag: PLANT01.AREA01.UNIT_00.TEMP, kind: high-high, limit: 120, priority: CRITICAL}
""")


class Course:
    """A book that is shown readings one by one, and everything that came of them."""

    def __init__(self) -> None:
        self.book = AlarmBook(SETTINGS, {path: TagConfig(path=path) for path in UNITS})
        self.alarms: list[Alarm] = []

    def show(self, second: float, unit: int, value: float) -> None:
        time = T0 + round(second * S)
        rows = columns_of([Row(time, time, UNITS[unit], value, 0)], {UNITS[unit]: Kind.DOUBLE})
        self.alarms += [event for event in self.book.evaluate(rows, time) if isinstance(event, Alarm)]

    def acknowledge(self, second: float, unit: int) -> None:
        action = Action(kind=ActionKind.ACKNOWLEDGE, key=f"hot:{UNITS[unit]}", actor="ada")
        self.alarms += [event for event in self.book.act(action, T0 + round(second * S)).transitions if isinstance(event, Alarm)]

    def report(self, begin: float, end: float) -> AlarmReport:
        return report(reversed(self.alarms), T0 + round(begin * S), T0 + round(end * S), positions(SETTINGS))


def test_rates_and_priorities() -> None:
    course = Course()
    for minute in range(30):
        course.show(minute * MINUTE, 0, 101)
        course.show(minute * MINUTE + 30, 0, 99)
    course.show(5, 1, 130)
    course.show(1790, 0, 121)
    found = course.report(0, 1800)
    north, south = found.rates
    assert (north.position, north.annunciations, north.average, north.most, north.band) == (
        "desk-north",
        32,
        pytest.approx(32 / 3),
        12,
        "very likely unacceptable",
    )
    assert north.share_over == pytest.approx(1 / 3)
    assert (south.position, south.annunciations, south.band) == ("desk-south", 1, "very likely acceptable")
    assert [(one.priority, one.count) for one in found.priorities] == [("LOW", 32), ("MEDIUM", 0), ("HIGH", 1)]
    assert [(one.key, one.count) for one in found.bad_actors][:1] == [(f"hot:{UNITS[0]}", 31)]
    assert found.fleeting[0].count == 30
    assert found.chattering == []


@pytest.mark.parametrize(
    ("average", "band"),
    [(1, "very likely acceptable"), (2, "manageable"), (5, "likely to be over-demanding"), (6, "very likely unacceptable")],
)
def test_bands_of_eemua_191(average: int, band: str) -> None:
    moments = [minute * MINUTE * S * 10 // average for minute in range(6 * average)]
    assert rate("desk", moments, 0, HOUR * S).band == band


def test_a_flood_begins_above_10_and_ends_below_5() -> None:
    ten = [second * 30 * S for second in range(10)]
    assert floods("desk", ten, DAY * S) == []
    (flood,) = floods("desk", [*ten, 300 * S], DAY * S)
    assert (flood.begin, flood.annunciations, flood.peak) == (0, 11, 11)
    # the window of 10 minutes holds 4 when the 7th of them leaves it
    assert flood.end == 180 * S + 600 * S
    (lasts,) = floods("desk", [*ten, 300 * S], 310 * S)
    assert lasts.end is None


def test_chattering_standing_stale_and_first_out() -> None:
    """SOE order is by source time to the microsecond (GD-16)."""
    course = Course()
    course.show(0, 3, 150)
    course.acknowledge(45, 3)
    course.show(0, 5, 150)
    course.show(20, 5, 90)
    for second in (1000, 1020, 1040):
        course.show(second, 2, 101)
        course.show(second + 5, 2, 99)
    course.show(2000.000001, 0, 110)
    course.show(2000.000002, 0, 121)
    course.show(3000, 0, 90)
    found = course.report(0, 2 * DAY)
    assert [(one.key, one.count) for one in found.chattering] == [(f"hot:{UNITS[2]}", 3)]
    assert [(one.key, one.seconds) for one in found.standing] == [(f"hot:{UNITS[3]}", 2 * DAY)]
    assert {one.key for one in found.stale} == {f"hot:{UNITS[unit]}" for unit in (0, 2, 3, 5)} | {f"hotter:{UNITS[0]}"}
    assert [(one.group, one.first, one.followers) for one in found.first_out] == [
        ("PLANT01.AREA01.UNIT_00", f"hot:{UNITS[0]}", (f"hotter:{UNITS[0]}",))
    ]
    assert (found.acknowledgement.acknowledged, found.acknowledgement.median, found.acknowledgement.waiting) == (1, 45, 4)
    assert course.report(0, DAY // 2).standing == []


def test_history_is_counted_apart() -> None:
    course = Course()
    course.show(100, 0, 50)
    course.show(50, 0, 150)
    found = course.report(0, HOUR)
    assert (found.annunciations, found.historic) == (0, 2)


def test_both_forms() -> None:
    course = Course()
    for unit in range(0, 14, 2):
        for second in (1, 20, 40):
            course.show(second, unit, 150)
            course.show(second + 5, unit, 50)
    found = course.report(0, DAY)
    assert json.loads(json.dumps(msgspec.to_builtins(found)))["floods"][0]["position"] == "desk-north"
    screen = io.StringIO()
    Console(file=screen, width=140).print(render(found))
    text = screen.getvalue()
    for words in ("24 annunciations", "Floods", "Bad actors", "Chattering", "Fleeting", "desk-north", "very likely acceptable"):
        assert words in text
    empty = io.StringIO()
    Console(file=empty).print(render(Course().report(0, DAY)))
    assert "0 annunciations" in empty.getvalue()
