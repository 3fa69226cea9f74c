"""What the validation step remembers beside windows: silences told, counts of broken rules, what people said of qualities."""

from pathlib import Path
from typing import Any

import pytest
from tests.processing.rules.test_in_step import CLEAN, DEAD, EVENTS, FLOW, LAYOUT, NOW, RAW, TAGS, Feed, S, clean, rules

from trunkline.config.site import ValidationConfig
from trunkline.log.codec.events import decode_event, encode_event
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, StoredRecord, TopicPartition
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.model.reading import Category
from trunkline.processing import memory
from trunkline.processing.port import Outputs, Remembering
from trunkline.processing.rules.overrides import Said, override_event
from trunkline.processing.validate import ValidateStep

GAP = {"id": "silent", "kind": "gap", "tags": ["**"], "expected_seconds": 2}
FAST = {"id": "fast", "kind": "rate", "tags": ["**.FLOW"], "max_rate": 10}
RANGE = {"id": "usual", "kind": "range", "tags": ["**.FLOW"], "max": 100, "action": "uncertain"}


class Clock:
    def __init__(self, seconds: float = 0) -> None:
        self.now = NOW + int(seconds * S)

    def __call__(self) -> int:
        return self.now

    def at(self, seconds: float) -> None:
        self.now = NOW + int(seconds * S)


def step(clock: Clock, *given: dict[str, Any]) -> ValidateStep:
    return ValidateStep(LAYOUT, TAGS, ValidationConfig(), clock=clock, rules=rules(*given))


def events(out: Outputs) -> list[Event]:
    return [decode_event(one.value) for one in out.get(EVENTS, [])]


def kept(one: ValidateStep) -> dict[str, bytes]:
    return {name: entry for name, entry in one.changed().items() if entry is not None}


def test_the_step_is_one_that_remembers() -> None:
    assert isinstance(step(Clock()), Remembering)


def test_a_timer_finds_a_silence_once_and_tells_its_end() -> None:
    """W-66, W-129, D-34: a dead sensor never sends the next reading."""
    clock, feed = Clock(1), Feed()
    one = step(clock, GAP)
    one.process([feed.block((1.0, 0), (1.0, 1))])
    clock.at(5)
    assert events(one.tick()) == []
    clock.at(5.5)
    (begun,) = events(one.tick())
    assert (begun.type, begun.asset, begun.tag, begun.time) == ("GAP", "P.A.U", "FLOW", NOW + 5 * S)
    assert begun.attributes == {
        "rule": "silent",
        "ongoing": True,
        "expected_interval_ms": 2000,
        "actual_gap_ms": 4500,
        "missing_samples": 1,
    }
    clock.at(60)
    assert events(one.tick()) == []
    (ended,) = events(one.process([feed.block((1.0, 60))]))
    assert ended.attributes["ongoing"] is False
    assert (ended.attributes["actual_gap_ms"], ended.attributes["missing_samples"]) == (59_000, 29)
    assert ended.correlation_id == begun.correlation_id == begun.id != ended.id


def test_what_came_late_was_no_gap() -> None:
    """A link that was away: the backlog shows that nothing is missing."""
    clock, feed = Clock(1), Feed()
    one = step(clock, GAP)
    one.process([feed.block((1.0, 0), (1.0, 1))])
    clock.at(100)
    assert len(events(one.tick())) == 1
    (ended,) = events(one.process([feed.block(*[(1.0, at) for at in range(3, 100, 2)])]))
    assert (ended.attributes["actual_gap_ms"], ended.attributes["missing_samples"]) == (2000, 0)


def test_words_of_the_gateway_are_no_readings_of_the_device() -> None:
    """A gateway says that a tag is stale: the tag is silent all the same."""
    clock, feed = Clock(1), Feed()
    one = step(clock, GAP)
    one.process([feed.block((1.0, 0))])
    clock.at(8)
    one.process([feed.block((1.0, 3), quality=Quality.UNCERTAIN_STALE), feed.block((None, 8), quality=Quality.BAD_COMMS_LOST)])
    clock.at(9)
    (begun,) = events(one.tick())
    assert begun.time == NOW + 4 * S


def test_a_silence_is_told_once_whatever_restarts_in_it() -> None:
    """D-31: what was told is remembered with the output that tells it."""
    clock, feed = Clock(1), Feed()
    one = step(clock, GAP)
    record = feed.block((1.0, 0))
    one.process([record])
    clock.at(10)
    assert len(events(one.tick())) == 1
    again = step(clock, GAP)
    again.restore(kept(one))
    again.warm([record])
    for later in (20, 30):
        clock.at(later)
        assert events(again.tick()) == []
    (ended,) = events(again.process([feed.block((1.0, 30))]))
    assert ended.attributes["ongoing"] is False
    third = step(clock, GAP)
    third.restore(kept(one) | kept(again))
    third.warm([record])
    third.tick()
    clock.at(40)
    assert [one.attributes["ongoing"] for one in events(third.tick())] == [True]


def test_after_a_start_time_is_counted_anew() -> None:
    """The platform was away for an hour: that says nothing of the devices."""
    clock = Clock(0)
    record = Feed().block((1.0, 0))
    again = step(clock, GAP)
    again.warm([record])
    clock.at(3600)
    assert events(again.tick()) == []
    clock.at(3604.5)
    assert len(events(again.tick())) == 1


def test_tags_of_other_members_are_left_alone() -> None:
    """The state topic is shared: what was remembered of a tag is taken up by whoever reads it, and written by nobody else."""
    clock = Clock(0)
    one = step(clock, GAP)
    one.process([Feed().block((1.0, 0))])
    other = step(clock, GAP)
    other.restore(one.entries())
    assert other.entries() == {}
    clock.at(100)
    other.tick()
    clock.at(200)
    assert events(other.tick()) == []


def test_every_reason_is_counted_by_tag_rule_and_hour() -> None:
    """Quality shows the worst reason; the others are told at the end of the hour."""
    clock, feed = Clock(0), Feed()
    one = step(clock, RANGE, FAST)
    one.tick()
    one.process([feed.block((10.0, 0), (200.0, 1), (200.0, 2), (90.0, 3)), feed.block((300.0, 3601))])
    one.process([feed.block((200.0, 30))])
    assert events(one.tick()) == []
    again = step(clock, RANGE, FAST)
    again.restore(kept(one))
    clock.at(3600)
    told = events(again.tick())
    assert sorted((each.attributes["rule"], each.attributes["readings"], each.time) for each in told) == [
        ("fast", 2, NOW + S),
        ("usual", 1, NOW + 3601 * S),
        ("usual", 3, NOW + S),
    ]
    assert {(each.type, each.asset, each.tag) for each in told} == {("QUALITY", "P.A.U", "FLOW")}
    assert set(again.changed().values()) == {None}
    assert events(again.tick()) == []


def said(what: Said, begin: float, end: float, at: int = NOW, actor: str = "a.lind") -> StoredRecord:
    event = override_event(FLOW, NOW + int(begin * S), NOW + int(end * S), what, actor, "calibrated by hand", at)
    return StoredRecord(LAYOUT.topic(Category.EVENT, "raw"), 0, 0, at, event.asset.encode(), encode_event(event), ())


@pytest.mark.parametrize(
    ("what", "quality"),
    [("good", Quality.GOOD_OVERRIDE), ("uncertain", Quality.UNCERTAIN_SENSOR), ("bad", Quality.BAD_OUT_OF_SERVICE)],
)
def test_an_override_holds_for_later_readings_in_its_span(what: Said, quality: Quality) -> None:
    """D-17: the one way to a better quality, and it is seen in the reading, told as an event, and counted."""
    clock, feed = Clock(0), Feed()
    one = step(clock, {**RANGE, "action": "bad"})
    out = one.process([said(what, 10, 20)])
    (event,) = events(out)
    assert (event.actor, event.attributes["reason"]) == ("a.lind", "calibrated by hand")
    readings = [(50.0, 9), (50.0, 10), (101.0, 11), (501.0, 12), (float("nan"), 13), (50.0, 20), (101.0, 21)]
    out = one.process([feed.block(*readings)])
    assert clean(out) == [(50.0, 0), (50.0, quality), (101.0, quality), (501.0, quality), (50.0, 0)]
    assert len(out[DEAD]) == 2
    again = step(clock, {**RANGE, "action": "bad"})
    again.restore(kept(one))
    assert clean(again.process([feed.block((102.0, 15))])) == [(102.0, quality)]
    one.tick()
    clock.at(3600)
    assert ("override", 3) in {(each.attributes["rule"], each.attributes["readings"]) for each in events(one.tick())}


def test_the_later_statement_holds_and_rules_can_be_put_in_force_again() -> None:
    feed = Feed()
    one = step(Clock(0))
    one.process([said("bad", 0, 100), said("good", 10, 20, NOW + 1), said("rules", 15, 100, NOW + 2)])
    values = [(1.0, at) for at in (5, 12, 17, 50)]
    assert [quality for _, quality in clean(one.process([feed.block(*values)]))] == [
        Quality.BAD_OUT_OF_SERVICE,
        Quality.GOOD_OVERRIDE,
        Quality.GOOD,
        Quality.GOOD,
    ]


def test_a_reading_without_value_cannot_be_said_to_be_good() -> None:
    """PD-26."""
    one = step(Clock(0))
    one.process([said("good", 0, 100)])
    out = one.process([Feed().block((None, 1), quality=Quality.BAD_SENSOR_FAULT)])
    assert clean(out) == [(None, Quality.BAD_SENSOR_FAULT)]


def test_an_event_of_a_device_is_no_override() -> None:
    """Nobody may improve qualities from a device: an override has an author and no source."""
    one = step(Clock(0), {**RANGE})
    event = decode_event(said("good", 0, 100).value)
    for forged in (Event(**{**_fields(event), "source": "plc"}), Event(**{**_fields(event), "actor": ""})):
        one.process([said("good", 0, 100)._replace(value=encode_event(forged))])
    assert clean(one.process([Feed().block((101.0, 1))])) == [(101.0, Quality.UNCERTAIN_RANGE)]


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Event.__struct_fields__}


def test_statements_are_forgotten_when_their_span_is_long_over() -> None:
    clock = Clock(0)
    one = step(clock)
    one.process([said("bad", 0, 100)])
    assert len(kept(one)) == 1
    clock.now = NOW + 31 * times.DAY
    one.tick()
    assert list(one.changed().values()) == [None]
    assert one.entries() == {}


def test_windows_are_reminded_through_a_real_log(tmp_path: Path) -> None:
    """D-31: a checkpoint in the middle, then input shown again: the next verdict is what it would have been."""
    frozen = {"id": "still", "kind": "frozen", "tags": ["**"], "readings": 5}
    feed, clock = Feed(), Clock(0)
    with Journal(tmp_path / "site.db") as log:
        log.create(LAYOUT.catalogue())
        one = step(clock, frozen)
        blocks = [feed.block((7.0, at)) for at in range(5)]
        log.append(RAW, [Record(block.value, block.key, block.headers, partition=0) for block in blocks])
        one.process(blocks[:2])
        place = blocks[0]._replace(offset=0)
        log.append(one.state, memory.checkpoint(one, {_at(place): 2}))
        one.process(blocks[2:4])
        again = step(clock, frozen)
        memory.remind(log, again, {_at(place): 4})
    out = again.process(blocks[4:])
    assert clean(out) == [(7.0, Quality.UNCERTAIN_FROZEN)]
    assert CLEAN in out


def _at(record: StoredRecord) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
