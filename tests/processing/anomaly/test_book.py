"""The core as the runtime drives it: batches of any size, restarts at any point, late data, silence."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from tests.processing.anomaly.support import SCORES, START, TAG, Row, book, columns, judged, rule, scores_of, series

from trunkline.config.anomalies import AnomalyRule
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.processing.anomaly import AnomalyBook, Findings

OTHER: Final = "PLANT01.AREA01.UNIT_1.FLOW"
TAGS: Final = {TAG: "bar", OTHER: "m³/h"}
RULES: Final = (
    AnomalyRule.model_validate({"id": "z", "tags": ["**"], "robust_z": {"readings": 20, "learn": 1200}}),
    AnomalyRule.model_validate({"id": "e", "tags": ["**.FLOW"], "ewma": {"learn": 7200}, "delay": 120}),
    AnomalyRule.model_validate({"id": "c", "tags": ["**.PRESSURE"], "cusum": {"learn": 7200}, "clear_delay": 300}),
    AnomalyRule.model_validate({"id": "s", "tags": ["**"], "seasonal": {"learn": 7200}}),
    AnomalyRule.model_validate(
        {
            "id": "h",
            "tags": ["PLANT01.**"],
            "half_space_trees": {"trees": 3, "height": 4, "window": 20, "learn": 7200, "threshold": 2},
        }
    ),
)


def readings(count: int = 400) -> list[Row]:
    """Two tags with spikes, a shift, a gap, BAD readings, some late by seconds, and equal times."""
    chance = np.random.default_rng(11)
    rows: list[Row] = []
    for number in range(count):
        at = START + number * times.MINUTE + (2 * times.HOUR if number > 260 else 0)
        shift = 6 if 180 < number < 240 or number > 330 else 0
        spike = 40 if number in {150, 151, 300} else 0
        late = 70 * times.SECOND if number % 50 == 49 else 20 * times.SECOND if number % 17 == 0 else 0
        quality = Quality.BAD_SENSOR_FAULT if number % 23 == 5 else Quality.GOOD
        rows.append((TAG, at - late, 50 + shift + spike + float(chance.normal()), int(quality)))
        rows.append((OTHER, at, 20 - 2 * shift + float(chance.normal()), 0))
    return rows


def told(found: Sequence[Findings]) -> tuple[list[tuple[str, int, float]], list[Event]]:
    """Return scores and events, in an order that does not depend on batches."""
    scores = [
        (one.scores.tags[tag], time, value)
        for one in found
        for tag, time, value in zip(one.scores.tag.tolist(), one.scores.time.tolist(), one.scores.value.tolist(), strict=True)
    ]
    return sorted(scores), sorted((event for one in found for event in one.events), key=lambda event: event.id)


def run(the_book: AnomalyBook, rows: Sequence[Row], size: int, first: int = 0) -> list[Findings]:
    return [
        the_book.evaluate(columns(rows[begin : begin + size], first + begin + 1), START + times.DAY) for begin in range(0, len(rows), size)
    ]


def test_batches_do_not_matter() -> None:
    """E-73."""
    whole = told(run(book(*RULES, tags=TAGS), readings(), 10_000))
    assert {event.attributes["rule"] for event in whole[1]} == {"z", "e", "c", "s", "h"}
    for size in (1, 7, 64):
        assert told(run(book(*RULES, tags=TAGS), readings(), size)) == whole


@pytest.mark.parametrize("cut", [1, 250, 301, 399, 475, 701, 790])
def test_a_restart_changes_nothing(cut: int) -> None:
    """E-73, ED-23: state that is kept over a restart is that of an uninterrupted run, whatever is under way."""
    rows = readings()
    before, after = book(*RULES, tags=TAGS), book(*RULES, tags=TAGS)
    found = run(before, rows[:cut], 20)
    after.restore(before.entries())
    found += run(after, rows[cut:], 20, cut)
    assert told(found) == told(run(book(*RULES, tags=TAGS), rows, 10_000))


@pytest.mark.parametrize(("kept", "cut"), [(20, 320), (200, 320), (300, 790)])
def test_what_was_learnt_since_is_learnt_again(kept: int, cut: int) -> None:
    """ED-23: from older entries of what was learnt, episodes of the last commit, and the input again from even before both."""
    rows = readings()
    before, after = book(*RULES, tags=TAGS), book(*RULES, tags=TAGS)
    found = run(before, rows[:kept], 20)
    entries = before.entries()
    before.changed()
    found += run(before, rows[kept:cut], 20, kept)
    for key, data in before.changed().items():
        assert key.startswith("episode|"), "what was learnt is handed out every five minutes"
        entries.pop(key, None)
        if data is not None:
            entries[key] = data
    after.restore(entries)
    again = max(0, kept - 60)
    after.warm(columns(rows[again:cut], again + 1))
    found += run(after, rows[cut:], 20, cut)
    assert told(found) == told(run(book(*RULES, tags=TAGS), rows, 10_000))


def test_changed_entries_add_up_to_all_entries() -> None:
    """ED-23: what was handed out in pieces, deletions applied, is what there is."""
    rows = readings()
    the_book = book(*RULES, tags=TAGS)
    kept: dict[str, bytes] = {}
    for begin in range(0, len(rows), 40):
        the_book.evaluate(columns(rows[begin : begin + 40], begin + 1), rows[min(begin + 40, len(rows)) - 1][1])
        for key, data in the_book.changed().items():
            if data is None:
                kept.pop(key, None)
            else:
                kept[key] = data
    the_book.tick(START + times.DAY)
    for key, data in the_book.changed().items():
        kept.pop(key, None) if data is None else kept.update({key: data})
    assert kept == the_book.entries()
    assert the_book.changed() == {}


def test_entries_of_other_options_are_deleted_and_learnt_anew() -> None:
    """A rule whose options changed, a rule that is gone, and bytes that are no entry do not come back."""
    old = book(*RULES, tags=TAGS)
    run(old, readings(), 100)
    entries = {**old.entries(), f"learnt|z|{OTHER}": b"\xff\x00"}
    changed = AnomalyRule.model_validate({"id": "z", "tags": ["**"], "robust_z": {"readings": 25, "learn": 1200}})
    new = book(changed, tags=TAGS)
    new.restore(entries)
    gone = new.changed()
    assert {key for key, data in gone.items() if data is None} == {key for key in entries if not key.startswith("episode|z|")}
    assert not any(key.startswith("learnt|") for key in new.entries())


def test_an_episode_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    """E-73: one active anomaly per cause, not one per sample; the two events share an identity."""
    chance = np.random.default_rng(7)
    values = 50 + chance.normal(0, 1, 200)
    values[100:120] = 90
    _, events = judged(rule("robust_z: {learn: 1200}"), series(values))
    begin, end = events
    assert (begin.type, end.type) == ("ANOMALY", "ANOMALY_CLEARED")
    assert begin.time == START + 100 * times.MINUTE
    assert end.time == START + 120 * times.MINUTE
    assert begin.correlation_id == end.correlation_id
    assert begin.id != end.id
    assert (begin.asset, begin.tag) == ("PLANT01.AREA01.UNIT_1", "PRESSURE")
    facts = begin.attributes
    assert facts["value"] == 90
    expected, high = float(facts["expected"] or 0), float(facts["high"] or 0)
    assert facts["score"] == pytest.approx((90 - expected) / (high - expected) * 8)
    assert facts["window_from"] == START + 40 * times.MINUTE
    assert facts["tags"] == f"{TAG} 100%"
    assert f"{TAG} is 90 bar, usual are" in begin.text
    assert end.attributes["seconds"] == 1200
    assert "after 1200 s the score is low again" in end.text


def test_the_same_readings_make_the_same_events() -> None:
    """ED-23: identities are made of content, so that a step done twice tells one anomaly."""
    first, second = (run(book(*RULES, tags=TAGS), readings(), 50) for _ in range(2))
    assert [event.id for event in told(first)[1]] == [event.id for event in told(second)[1]]
    assert len({event.id for event in told(first)[1]}) == len(told(first)[1])


def test_deadband_and_delays_hold_an_episode_together() -> None:
    """E-73: threshold with deadband and delay."""
    scores = [0.0] * 5 + [3.0, 0.0] + [3.0] * 4 + [2.6, 2.0, 2.6] + [0.0] * 5
    text = "ewma: {target: 0, sigma: 1, weight: 1, threshold: 2.5}"
    plain = judged(rule(text, clear_delay=0, deadband=0), series(scores))[1]
    assert [(event.type, (event.time - START) // times.MINUTE) for event in plain] == [
        ("ANOMALY", 5), ("ANOMALY_CLEARED", 6), ("ANOMALY", 7), ("ANOMALY_CLEARED", 12), ("ANOMALY", 13), ("ANOMALY_CLEARED", 14),
    ]  # fmt: skip
    delayed = judged(rule(text, clear_delay=0, deadband=0, delay=120), series(scores))[1]
    assert [(event.time - START) // times.MINUTE for event in delayed] == [7, 12]
    banded = judged(rule(text, clear_delay=0, deadband=0.3, delay=120), series(scores))[1]
    assert [(event.time - START) // times.MINUTE for event in banded] == [7, 14]
    cleared = judged(rule(text, clear_delay=180, deadband=0), series(scores))[1]
    assert [(event.time - START) // times.MINUTE for event in cleared] == [5, 14]


def test_silence_ends_an_episode() -> None:
    the_book = book(rule("ewma: {target: 0, sigma: 1}", silence=600))
    now = START + times.HOUR
    (begin,) = the_book.evaluate(columns(series([5.0] * 10)), now).events
    assert begin.type == "ANOMALY"
    assert the_book.tick(now + 599 * times.SECOND) == []
    (end,) = the_book.tick(now + 600 * times.SECOND)
    assert (end.type, end.time, end.correlation_id) == ("ANOMALY_CLEARED", START + 9 * times.MINUTE, begin.correlation_id)
    assert end.attributes["silent"] is True
    assert "no GOOD reading came any more" in end.text
    assert the_book.tick(now + times.DAY) == []


def test_late_readings_are_history() -> None:
    """E-73: grace for late data 60 s."""
    the_book = book(rule("ewma: {target: 0, sigma: 1}"))
    rows: list[Row] = [(TAG, START + second * times.SECOND, 0.0, 0) for second in (100, 40, 39, 101)]
    found = the_book.evaluate(columns(rows), START)
    assert [(time - START) // times.SECOND for time in scores_of(found)] == [100, 40, 101]
    assert the_book.late == 1


def test_readings_that_come_again_are_not_taken_again() -> None:
    """A resend and an overlap of input at a restart are recognised by origin and position; another origin's positions are its own."""
    the_book = book(rule("ewma: {target: 0, sigma: 1}"))
    rows = series([1.0] * 10)
    assert len(the_book.evaluate(columns(rows), START).scores.value) == 10
    assert len(the_book.evaluate(columns(rows), START).scores.value) == 0
    assert len(the_book.evaluate(columns(series([1.0], start=START + times.HOUR), origin="edge-2"), START).scores.value) == 1


def test_only_good_numbers_are_judged() -> None:
    """E-73: only on GOOD values; NaN, infinities and absent values are none."""
    rows: list[Row] = [
        (TAG, START + number * times.SECOND, value, int(quality))
        for number, (value, quality) in enumerate(
            [
                (1.0, Quality.GOOD),
                (2.0, Quality.UNCERTAIN),
                (2.0, Quality.BAD),
                (float("nan"), Quality.GOOD),
                (float("inf"), Quality.GOOD),
                (None, Quality.GOOD),
                (1.0, Quality.GOOD_OVERRIDE),
            ]
        )
    ]
    scores = scores_of(book(rule("ewma: {target: 0, sigma: 1}")).evaluate(columns(rows), START))
    assert [(time - START) // times.SECOND for time in scores] == [0, 6]


@pytest.mark.parametrize("text", ["robust_z: {learn: 600}", "ewma: {learn: 600}", "cusum: {learn: 600}", "seasonal: {learn: 600}"])
def test_constants_and_huge_values_are_survived(text: str) -> None:
    """A constant has no spread and is not judged by it; the largest numbers there are give numbers, and blind no detector for good."""
    scores, events = judged(rule(text), series([7.0] * 200))
    assert set(scores) == {0.0}
    assert events == []
    values = np.random.default_rng(7).normal(50, 1, 2000)
    values[[3, 300, 301]] = [1e308, 1.7e308, -1.7e308]
    values[1900:] += 30
    with np.errstate(all="raise", under="ignore"):
        scores, events = judged(rule(text, clear_delay=300), series(values))
    assert np.isfinite(scores).all()
    assert any(event.type == "ANOMALY" and event.time >= START + 1900 * times.MINUTE for event in events)


def test_scores_are_a_series_beside_the_tag() -> None:
    found = book(*RULES, tags=TAGS).evaluate(columns(readings()), START)
    asset = "PLANT01.AREA01.UNIT_1"
    names = {found.scores.tags[tag] for tag in np.unique(found.scores.tag).tolist()}
    assert names == {f"{asset}.{name}" for name in (
        "PRESSURE_ANOMALY_Z", "FLOW_ANOMALY_Z", "FLOW_ANOMALY_E", "PRESSURE_ANOMALY_C", "PRESSURE_ANOMALY_S", "FLOW_ANOMALY_S", "ANOMALY_H",
    )}  # fmt: skip
    silent = book(rule("robust_z: {learn: 60}", scores=False)).evaluate(columns(readings()), START)
    assert len(silent.scores.value) == 0
    assert silent.events


def test_nothing_is_watched_without_a_rule_that_is_enabled() -> None:
    for rules in ((), (rule("cusum: {target: 0, sigma: 1}", enabled=False),)):
        found = book(*rules).evaluate(columns(series([1e9] * 100)), START)
        assert found.events == []
        assert len(found.scores.value) == 0


def test_a_learning_detector_is_silent() -> None:
    """Nothing is reported in the time of learning."""
    values = np.random.default_rng(7).normal(50, 1, 200)
    values[90:100] = 80
    for text in ("robust_z: {learn: 7200}", "ewma: {learn: 7200}", "cusum: {learn: 7200}", "seasonal: {learn: 7200}"):
        found = book(rule(text)).evaluate(columns(series(values)), START)
        assert min(scores_of(found, SCORES)) >= START + 2 * times.HOUR
        assert found.events == []
