"""However the input is cut, and wherever the book is killed and begun again, the transitions are the same."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.processing.alarms.feed import FLOW, FLOW_SP, MODE, RUNNING, T0, Row, S, book, columns

from trunkline.log.codec.columns import Columns
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.processing.alarms import AlarmBook

EVERY_KIND = f"""
- {{id: hh, tag: {FLOW}, kind: high-high, limit: 98, deadband: 1, latching: true}}
- {{id: h, tags: ['**.FLOW_*'], kind: high, limit: 95, deadband: 2, on_delay: 3, off_delay: 2}}
- {{id: l, tag: {FLOW}, kind: low, limit: 92, quality: GOOD, on_bad: clear}}
- {{id: dev, tag: {FLOW}, kind: deviation, limit: 3, deadband: 1, setpoint: 95, on_delay: 1}}
- {{id: dev2, tag: {FLOW}, kind: deviation, limit: 3, setpoint_tag: {FLOW_SP}, suppressed_while: {{tag: {RUNNING}, equals: false}}}}
- {{id: rate, tag: {FLOW}, kind: rate, limit: 4, deadband: 1}}
- {{id: down, tag: {FLOW_SP}, kind: rate, limit: 2, direction: down, on_delay: 2}}
- {{id: stopped, tag: {RUNNING}, kind: discrete, equals: false, priority: INFO}}
- {{id: manual, tag: {MODE}, kind: discrete, equals: MANUAL, off_delay: 2}}
- {{id: stale, tags: ['**'], kind: stale, silence: 6}}
- {{id: both, tag: {FLOW}, kind: expression, expression: "FLOW_RATE > 94 and (RUNNING == off or MODE == 'MANUAL')", on_delay: 1}}
- {{id: fault, tag: {FLOW}, kind: fault, on_delay: 1}}
"""

QUALITIES = st.sampled_from([0] * 8 + [Quality.UNCERTAIN_RANGE, Quality.BAD_SENSOR_FAULT, Quality.BAD_COMMS_LOST])

#: Without explaining: it traces every line.
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
VALUES = {RUNNING: st.booleans(), MODE: st.sampled_from(["AUTO", "MANUAL"])}


@st.composite
def courses(draw: st.DrawFn) -> list[tuple[Row, int]]:
    """Readings in order of time but for some that are late; the number is 1 for those from a backlog."""
    second, rows = 0.0, [((tag, value, 0.0, 0), 0) for tag, value in ((FLOW, 94.0), (FLOW_SP, 94.0), (RUNNING, True), (MODE, "AUTO"))]
    newest = dict.fromkeys((FLOW, FLOW_SP, RUNNING, MODE), 0.0)
    for _ in range(draw(st.integers(1, 60))):
        second += draw(st.sampled_from([0, 0.5, 1, 1, 2, 5, 8]))
        tag = draw(st.sampled_from([FLOW, FLOW, FLOW, FLOW_SP, RUNNING, MODE]))
        value = draw(VALUES.get(tag, st.sampled_from([88.0, 92.0, 93.5, 95.0, 96.0, 97.5, 99.0])))
        course = draw(st.sampled_from(["live"] * 12 + ["late", "backlog"]))
        at = newest[tag] - 1 if course == "late" else second
        if course == "live":
            newest[tag] = second
        rows.append(((tag, value, at, draw(QUALITIES)), int(course == "backlog")))
    return rows


def pieces(course: list[tuple[Row, int]], cuts: set[int]) -> list[list[tuple[Row, int]]]:
    marks = [0, *sorted(cut for cut in cuts if 0 < cut < len(course)), len(course)]
    return [course[low:high] for low, high in pairwise(marks)]


def batch(piece: list[tuple[Row, int]]) -> tuple[Columns, np.ndarray]:
    """One block for live readings, one for the backlog."""
    made = columns(row for row, _ in piece)
    made.block = np.array([backlog for _, backlog in piece], np.int32)
    made.heads = made.heads * 2
    return made, np.array([False, True])


def by_key(events: list[Event]) -> dict[object, list[Event]]:
    found = defaultdict(list)
    for event in events:
        found[event.attributes["key"], event.attributes["live"]].append(event)
    return found


NOW = T0 + 30 * S


def whole(course: list[tuple[Row, int]], cuts: set[int]) -> tuple[list[Event], AlarmBook]:
    one, events = book(EVERY_KIND), []
    for piece in pieces(course, cuts):
        events += one.evaluate(batch(piece)[0], NOW, batch(piece)[1])
    return events, one


@settings(max_examples=100, deadline=None, derandomize=True, phases=PHASES)
@given(courses(), st.sets(st.integers(1, 60), max_size=8))
def test_batch_boundaries_do_not_matter(course: list[tuple[Row, int]], cuts: set[int]) -> None:
    at_once, first = whole(course, set())
    cut, second = whole(course, cuts)
    assert by_key(cut) == by_key(at_once)
    later = NOW + 1000 * S
    assert by_key(second.tick(later)) == by_key(first.tick(later))


@settings(max_examples=100, deadline=None, derandomize=True, phases=PHASES)
@given(courses(), st.sets(st.integers(1, 60), max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_a_book_begun_again_goes_on_as_if_nothing_had_been(course: list[tuple[Row, int]], cuts: set[int], saved: int, killed: int) -> None:
    """The last checkpoint has every entry; what changed since was kept with each step; readings since then are shown again."""
    events, one = whole(course, cuts)
    expected = events + one.tick(NOW + 1000 * S)
    parts = pieces(course, cuts)
    saved, killed = min(saved, len(parts)), min(max(saved, killed), len(parts))
    one, events = book(EVERY_KIND), []
    kept: dict[str, bytes] = {}
    for number, piece in enumerate(parts[:killed]):
        if number == saved:
            kept = one.entries()
        made, backlog = batch(piece)
        events += one.evaluate(made, NOW, backlog)
        for key, value in one.changed().items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
    if saved == killed:
        kept = one.entries()
    again = book(EVERY_KIND)
    again.restore(kept)
    for piece in parts[saved:killed]:
        again.warm(*batch(piece))
    for piece in parts[killed:]:
        made, backlog = batch(piece)
        events += again.evaluate(made, NOW, backlog)
    events += again.tick(NOW + 1000 * S)
    assert by_key(events) == by_key(expected)


@settings(max_examples=60, deadline=None, derandomize=True, phases=PHASES)
@given(courses(), st.sets(st.integers(1, 60), max_size=8))
def test_entries_changed_add_up_to_all_entries(course: list[tuple[Row, int]], cuts: set[int]) -> None:
    one, kept = book(EVERY_KIND), {}
    for piece in pieces(course, cuts):
        one.evaluate(batch(piece)[0], NOW, batch(piece)[1])
        one.tick(NOW)
        kept |= one.changed()
    everything = one.entries()
    everything.pop("readings")
    assert {key: value for key, value in kept.items() if value is not None} == everything
