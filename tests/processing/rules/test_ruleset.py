"""Rules over batches: the same verdicts however readings are cut, whatever was saved and restored, and as an independent loop says."""

import math
import random
from collections.abc import Sequence
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.config.definitions import Definitions
from trunkline.config.rules import AnyRule
from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.model import times
from trunkline.model.quality import Quality, Severity, severity
from trunkline.processing.history import Row, batches
from trunkline.processing.rules import RuleSet
from trunkline.processing.rules.ruleset import reasons
from trunkline.processing.validate.memory import TagMemory
from trunkline.processing.validate.rules import judge

START = times.from_iso("2026-03-01T00:00:00Z")
S = times.SECOND
TAGS = {f"P.U{n}.FLOW": TagConfig(path=f"P.U{n}.FLOW") for n in range(3)} | {"P.U0.LEVEL": TagConfig(path="P.U0.LEVEL")}


def rules(*given: dict[str, object]) -> tuple[AnyRule, ...]:
    return Definitions.model_validate({"rules": given}).rules


ALL = rules(
    {"id": "still", "kind": "frozen", "tags": ["**.FLOW"], "seconds": 3, "tolerance": 0.25},
    {"id": "same", "kind": "frozen", "tags": ["**"], "readings": 3},
    {"id": "spike", "kind": "spike", "tags": ["**.FLOW"], "window": 5, "threshold": 3, "forget_after": 20},
    {"id": "least", "kind": "spike", "tags": ["P.U0.*"], "window": 6, "threshold": 2, "least": 1},
    {"id": "fast", "kind": "rate", "tags": ["P.*.FLOW"], "max_rate": 1.5},
    {"id": "above", "kind": "expression", "tags": ["**.FLOW"], "expression": "FLOW > P.U0.LEVEL"},
    {"id": "level", "kind": "status", "tags": ["P.U1.*", "P.U0.*"], "status": "P.U0.LEVEL", "values": [10, 11]},
    {"id": "again", "kind": "duplicate", "tags": ["**"]},
)

moves = st.tuples(
    st.sampled_from(sorted(TAGS)),
    st.sampled_from([0, 1, 1, 1, 2, -3, 30]),
    st.sampled_from([0, 0, 0.125, 0.25, 0.5, -0.25, 1, 8, -8]),
    st.sampled_from([0, 0, 0, 0, Quality.UNCERTAIN_SENSOR, Quality.BAD_SENSOR_FAULT]),
    st.booleans(),
)


def readings(steps: Sequence[tuple[str, int, float, int, bool]]) -> list[Row]:
    """Each tag wanders from 10; a reading goes forwards or backwards in time and may lack its value."""
    time = dict.fromkeys(TAGS, START)
    value = dict.fromkeys(TAGS, 10.0)
    rows = []
    for tag, seconds, change, quality, whole in steps:
        at = time[tag] + seconds * S
        time[tag] = max(at, time[tag])
        value[tag] += change
        rows.append(Row(at, at, tag, None if quality == Quality.BAD_SENSOR_FAULT and not whole else value[tag], int(quality)))
    return rows


def verdicts(rows: Sequence[Row], sizes: Sequence[int], *, saved: bool = False, by: tuple[AnyRule, ...] = ALL) -> set[tuple[int, str]]:
    """Return (number of the reading, rule) of every hit; with `saved` the rules are thrown away and restored between batches."""
    memory, at, found = TagMemory(TAGS), 0, set()
    ruleset = RuleSet(by, TAGS)
    kept: dict[str, bytes] = {}
    for number in range(len(rows)):
        if at >= len(rows):
            break
        size = sizes[number % len(sizes)]
        (columns,) = batches(rows[at : at + size], size)
        hits = judge(columns, memory, ValidationConfig(max_age_days=10_000), rules=ruleset).hits
        found |= {(at + position, rule.id) for position, broken in reasons(hits).items() for rule, _ in broken}
        at += size
        if saved:
            kept |= ruleset.entries()
            ruleset = RuleSet(by, TAGS)
            ruleset.restore(kept)
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(moves, max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_verdicts_do_not_depend_on_batches_or_restarts(steps: list[tuple[str, int, float, int, bool]], sizes: list[int]) -> None:
    """The memory of windows is a function of the readings, and its entries hold all of it."""
    rows = readings(steps)
    whole = verdicts(rows, [10_000])
    assert verdicts(rows, sizes) == whole
    assert verdicts(rows, sizes, saved=True) == whole


def plainly(rows: Sequence[Row]) -> set[tuple[int, str]]:
    """The rules `still` and `spike`, reading by reading, as their definitions say."""
    newest: dict[str, int] = {}
    anchors: dict[str, tuple[float, int]] = {}
    windows: dict[str, list[float]] = {}
    last: dict[str, int] = {}
    seen: set[Row] = set()
    found = set()
    for number, row in enumerate(rows):
        if row in seen:
            continue
        seen.add(row)
        advances = row.time > newest.get(row.tag, -1)
        newest[row.tag] = max(row.time, newest.get(row.tag, -1))
        value = row.value
        if not advances or not isinstance(value, float) or severity(row.quality) is Severity.BAD or not row.tag.endswith("FLOW"):
            continue
        anchor, since = anchors.get(row.tag, (math.inf, 0))
        if abs(value - anchor) > 0.25:
            anchors[row.tag] = value, row.time
        elif row.time - since >= 3 * S:
            found.add((number, "still"))
        if row.time - last.get(row.tag, row.time) > 20 * S:
            windows.pop(row.tag, None)
        last[row.tag] = row.time
        window = windows.setdefault(row.tag, [])
        if len(window) >= 5:
            middle = median(window[-5:])
            sigma = 1.4826 * median(abs(one - middle) for one in window[-5:])
            if sigma > 0 and abs(value - middle) > 3 * sigma:
                found.add((number, "spike"))
        if row.quality == 0:
            window.append(value)
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(moves, max_size=80))
def test_frozen_and_spike_are_what_a_plain_loop_says(steps: list[tuple[str, int, float, int, bool]]) -> None:
    rows = readings(steps)
    assert {hit for hit in verdicts(rows, [25]) if hit[1] in {"still", "spike"}} == plainly(rows)


def test_the_plain_loop_finds_something() -> None:
    """Random walks that never broke a rule would compare nothing with nothing."""
    chance = random.Random(5)
    rows = readings([("P.U1.FLOW", 1, chance.choice([0, 0, 0, 0.125, 0.5, 9, -9]), 0, True) for _ in range(400)])
    assert {rule for _, rule in plainly(rows)} == {"still", "spike"}
    assert {hit for hit in verdicts(rows, [33]) if hit[1] in {"still", "spike"}} == plainly(rows)


def test_a_rule_of_another_kind_takes_nothing_from_a_saved_one() -> None:
    """Whoever changes a rule's kind and keeps its id starts anew."""
    one = rules({"id": "a", "kind": "frozen", "tags": ["**"], "readings": 3})
    other = rules({"id": "a", "kind": "spike", "tags": ["**"], "window": 5})
    rows = readings([("P.U0.FLOW", 1, 0, 0, True)] * 4)
    ruleset = RuleSet(one, TAGS)
    (columns,) = batches(rows, 10)
    judge(columns, TagMemory(TAGS), ValidationConfig(), rules=ruleset)
    changed = RuleSet(other, TAGS)
    changed.restore(ruleset.entries())
    judge(columns, TagMemory(TAGS), ValidationConfig(), rules=changed)
    assert changed.entries().keys() == {"P.U0.FLOW"}


def test_a_window_that_grew_keeps_what_it_had() -> None:
    rows = readings([("P.U0.FLOW", 1, (-1) ** n, 0, True) for n in range(8)])
    small, large = (rules({"id": "a", "kind": "spike", "tags": ["**"], "window": n}) for n in (5, 7))
    ruleset = RuleSet(small, TAGS)
    (columns,) = batches(rows, 10)
    judge(columns, TagMemory(TAGS), ValidationConfig(), rules=ruleset)
    grown = RuleSet(large, TAGS)
    grown.restore(ruleset.entries())
    (seen,) = batches(rows[:1], 1)  # an old reading changes nothing, but now the tag is seen
    judge(seen, TagMemory(TAGS), ValidationConfig(), rules=grown)
    again = RuleSet(small, TAGS)
    again.restore(grown.entries())
    judge(seen, TagMemory(TAGS), ValidationConfig(), rules=again)
    assert again.entries() == ruleset.entries()


@pytest.mark.parametrize("tag", ["P.U9.FLOW"])
def test_what_is_remembered_of_tags_that_are_gone_is_left(tag: str) -> None:
    ruleset = RuleSet(ALL, TAGS)
    ruleset.restore({tag: b"\x00"})
    assert ruleset.entries() == {}
