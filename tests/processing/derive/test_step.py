"""The derive step: the same input gives the same readings, a stop at any place changes nothing, memory is bounded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processing.derive.support import LAYOUT, RAW, START, Given, at, columns, definitions, step, stored, told

from trunkline.ledger.status import decode_status
from trunkline.log.codec import columns as codec
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.model import times
from trunkline.processing.author import Emitted
from trunkline.processing.derive import DeriveStep
from trunkline.processing.derive.memory import KEPT

RULES = """
- {path: TOTAL, calc: A + B, settle: 0}
- {path: BOTH, calc: A * B, trigger: all}
- {path: TENTH, calc: A - B, trigger: every, every: 2, settle: 0}
- {path: SHARE, calc: A / TOTAL, settle: 0}
- {path: LONG, calc: C + SHARE, settle: 0}
- {path: HELD, calc: A + C, settle: 3}
"""


def only_readings(emitted: Sequence[Emitted]) -> list[tuple[str, int | None, bytes]]:
    return [(one.topic, one.record.partition, one.record.value) for one in emitted if one.topic == RAW]


def test_the_same_input_gives_the_same_bytes() -> None:
    batches = [columns([Given("A", n, n * 1.0), Given("B", n, 2.0)]) for n in range(5)]
    runs = []
    for _ in range(2):
        one = step(definitions(RULES))
        runs.append([only_readings(one.evaluate(batch, at(n))) for n, batch in enumerate(batches)])
    assert runs[0] == runs[1]
    assert sum(map(len, runs[0])) > 0


def test_numbers_follow_each_other_and_blocks_meet() -> None:
    """What coverage needs to see a hole: each block of a partition begins where the one before it ended."""
    one = step(definitions("[{path: TOTAL, calc: A + B}, {path: TWICE, calc: A * 2}, {path: HALF, calc: B / 2}]"))
    ends: dict[int, int] = {}
    seen: list[int] = []
    for n in range(5):
        for topic, record in one.evaluate(columns([Given("A", n, 1.0), Given("B", n, 2.0)]), at(n)):
            if topic == RAW:
                head = decode_head(dict(record.headers)[HEADER])
                assert record.partition is not None
                assert head.lo == ends.get(record.partition, 0)
                ends[record.partition] = head.hi
                seen += codec.decode([stored(record)]).seq.tolist()
    assert sorted(seen) == list(range(15))
    assert len(ends) == 2


def test_reports_tell_what_was_emitted() -> None:
    """The ledger's 'read' of derived readings: counted when they are emitted, told every two seconds, also when nothing happens."""
    one = step(definitions("[{path: TOTAL, calc: A + B}]"))
    one.evaluate(columns([Given("A", 0, 1.0), Given("B", 0, 2.0)]), at(0))
    one.evaluate(columns([Given("A", 1, 1.0), Given("B", 1, 2.0)]), at(1))
    assert one.tick(at(1.5)) == []
    (told_again,) = one.tick(at(2))
    assert told_again.topic == LAYOUT.gateway_status
    report = decode_status(told_again.record.value)
    assert (report.gateway, report.origin, report.counted_us) == ("derived", "origin-1", at(2))
    assert [(one.source, one.hour, one.read, one.forwarded) for one in report.counts] == [("derived", times.hour_of(START), 2, 2)]
    assert decode_status(one.tick(at(4))[0].record.value).counts == []


# ---------------------------------------------------------------- stops


class Run:
    """A step and what the log keeps of it."""

    def __init__(self) -> None:
        self.step = step(definitions(RULES))
        self.entries: dict[str, bytes] = {}
        self.since: list[codec.Columns] = []
        self.out: list[tuple[str, float, Any, int]] = []

    def turn(self, batch: codec.Columns | None, now: float) -> None:
        emitted = self.step.tick(at(now)) if batch is None else self.step.evaluate(batch, at(now))
        if batch is not None:
            self.since.append(batch)
        self.out += told(emitted)
        for key, entry in self.step.changed().items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry

    def checkpoint(self) -> None:
        self.entries = self.step.entries()
        self.since = []

    def killed(self) -> None:
        """Start anew from what was committed."""
        self.step = step(definitions(RULES), origin="never to be used")
        self.step.restore(self.entries)
        for batch in self.since:
            self.step.warm(batch)


_reading = st.tuples(st.sampled_from("ABC"), st.integers(0, 12), st.integers(-5, 5)).map(lambda one: Given(one[0], one[1], float(one[2])))
_turn = st.one_of(st.none(), st.lists(_reading, min_size=1, max_size=6))


@settings(max_examples=150, deadline=None)
@given(turns=st.lists(_turn, max_size=10), kills=st.sets(st.integers(0, 10)), checkpoints=st.sets(st.integers(0, 10)))
def test_a_stop_at_any_place_changes_nothing(turns: list[list[Given] | None], kills: set[int], checkpoints: set[int]) -> None:
    """Readings in any order of time, stops and checkpoints at any turn: the same readings with the same numbers come out.

    Of the rule that waits, which depends on the clock, it is the same when it never has to: the turns are far apart.
    """
    plain, tried = Run(), Run()
    for number, turn in enumerate(turns):
        batch = None if turn is None else columns(turn)
        for run in (plain, tried):
            run.turn(batch, number * 10.0)
            run.turn(None, number * 10.0 + 5)
        if number in checkpoints:
            tried.checkpoint()
        if number in kills:
            tried.killed()
    assert tried.out == plain.out


def test_a_moment_that_waited_at_the_stop_is_told_once() -> None:
    run = Run()
    run.turn(columns([Given("A", 1, 1.0), Given("C", 0, 5.0)]), 1)
    before = [one for one in run.out if one[0] == "HELD"]
    for checkpoint in (False, True):
        if checkpoint:
            run.checkpoint()
        run.killed()
        run.turn(None, 2)
    run.turn(None, 10)
    run.turn(None, 20)
    after = [one for one in run.out if one[0] == "HELD"]
    assert before == []
    assert after == [("HELD", 1.0, 6.0, 0)]


def test_entries_of_a_tag_that_is_not_derived_any_more_are_removed() -> None:
    run = Run()
    run.turn(columns([Given("A", 1, 1.0), Given("B", 1, 5.0)]), 1)
    run.checkpoint()
    fewer = step(definitions("[{path: TOTAL, calc: A + B}]"))
    fewer.restore(run.entries)
    removed = [key for key, entry in fewer.changed().items() if entry is None]
    assert "mark P.A.U.BOTH" in removed
    assert "mark P.A.U.TOTAL" not in removed
    assert told(fewer.evaluate(columns([Given("A", 2, 1.0), Given("B", 2, 5.0)]), at(2))) == [("TOTAL", 2.0, 6.0, 0)]


def test_a_step_without_entries_has_an_origin_of_its_own() -> None:
    """Numbers begin at 0 again: under the old origin they would be taken for repeats."""
    one = step(definitions(RULES), origin="new")
    assert "sequence" in one.changed()
    again = step(definitions(RULES), origin="other")
    again.restore({**one.entries()})
    assert again.entries()["sequence"] == one.entries()["sequence"]


# ---------------------------------------------------------------- memory


def test_a_long_backlog_in_one_batch_is_reckoned_with_what_held_at_each_moment() -> None:
    """The inputs of ten hours come one after the other, many times what is remembered of each."""
    count = KEPT * 20
    one = step(definitions("[{path: TOTAL, calc: A + B}]"))
    a = [Given("A", n, float(n)) for n in range(count)]
    b = [Given("B", n, 1000.0 * n) for n in range(count)]
    found = told([*one.evaluate(columns([*a, *b]), at(count)), *one.tick(at(count + 10))])
    assert found == [("TOTAL", float(n), 1001.0 * n, 0) for n in range(count)]
    assert one.forgotten == 0


def test_a_fast_input_does_not_wait_for_ever_for_a_silent_one() -> None:
    """Moments are reckoned before they would be forgotten, even without a look at the clock."""
    one = step(definitions("[{path: TOTAL, calc: A + B, settle: 3600}]"))
    found = told(one.evaluate(columns([Given("B", 0, 1.0), *(Given("A", n, float(n)) for n in range(KEPT * 3))]), at(0)))
    assert [row[1] for row in found[:3]] == [0.0, 1.0, 2.0]
    assert len(found) >= KEPT * 2
    assert one.forgotten == 0


def test_a_late_moment_whose_inputs_are_forgotten_is_counted_and_not_told() -> None:
    one = step(definitions("[{path: TOTAL, calc: A + B, settle: 0}]"))
    one.evaluate(columns([Given("B", 0, 1.0), *(Given("A", n, float(n)) for n in range(KEPT * 2))]), at(0))
    assert told(one.evaluate(columns([Given("B", 1, 2.0)]), at(1))) == []
    assert (one.late, one.forgotten) == (1, 1)
    (late,) = told(one.evaluate(columns([Given("B", KEPT * 1.5, 2.0)]), at(2)))
    assert late == ("TOTAL", KEPT * 1.5, KEPT * 1.5 + 2.0, 0)
    assert (one.late, one.forgotten) == (2, 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-9, 9)), min_size=1, max_size=120), st.integers(1, 40))
def test_what_held_at_a_moment(readings: list[tuple[int, int]], batch: int) -> None:
    """The memory against a plain list: the newest reading not after a moment, of equal times the one that came last."""
    one = step(definitions("[{path: TOTAL, calc: A + 0}]"))
    memory = one._memory
    for start in range(0, len(readings), batch):
        arrived = memory.arrived(
            columns(Given("A", second, float(number)) for second, number in readings[start : start + batch]), frozenset()
        )
        for portion in memory.portions(arrived):
            memory.add(portion)
    remembered = sorted(enumerate(readings), key=lambda each: (each[1][0], each[0]))
    held = memory.held(np.array([0]), np.array([at(second) for second in range(31)]))
    for second in range(31):
        if not held.known[0, second]:
            continue
        expected = [number for _, (when, number) in remembered if when <= second]
        assert held.number[0, second] == expected[-1]


@pytest.mark.parametrize("tag", ["OTHER", "TOTAL"])
def test_tags_that_are_no_inputs_are_passed_over(tag: str) -> None:
    one: DeriveStep = step(definitions("[{path: TOTAL, calc: A + B}]"))
    assert told(one.evaluate(columns([Given(tag, 1, 1.0)]), at(1))) == []
    assert one.evaluate(codec.decode([]), at(1.5)) == []
