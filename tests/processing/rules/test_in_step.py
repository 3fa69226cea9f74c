"""Quality rules inside the validation step: what becomes of a reading, and what is remembered over a restart."""

import json
from typing import Any

import pytest

from trunkline.config.definitions import Definitions
from trunkline.config.rules import AnyRule
from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec import columns as codec
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Kind, Reading, Value
from trunkline.processing.port import Outputs
from trunkline.processing.validate import ValidateStep

NOW = times.from_iso("2026-03-01T12:00:00Z")
S = times.SECOND
LAYOUT = Layout("gateway", 1)
RAW, CLEAN, DEAD = (LAYOUT.topic(Category.TELEMETRY, stage) for stage in ("raw", "clean", "dead"))
EVENTS = LAYOUT.topic(Category.EVENT, "clean")
FLOW = "P.A.U.FLOW"
TAGS = {FLOW: TagConfig(path=FLOW, min=0, max=500)}


def rules(*given: dict[str, object]) -> tuple[AnyRule, ...]:
    return Definitions.model_validate({"rules": given}).rules


class Feed:
    """Blocks as a gateway would write them."""

    def __init__(self) -> None:
        self.seq = self.offset = 0
        self.covered: dict[int, int] = {}

    def block(self, *readings: tuple[Value, float], tag: str = FLOW, kind: Kind = Kind.DOUBLE, quality: int = 0) -> StoredRecord:
        """Readings are (value, seconds after noon)."""
        slot = TagSlot.of(tag, "plc", kind, 1)
        items = [(slot, Reading(tag, value, quality, NOW + int(at * S), NOW + int(at * S))) for value, at in readings]
        (record,), self.seq = write_blocks("gw", self.seq, self.covered, items)
        self.covered[0] = self.seq
        self.offset += 1
        return StoredRecord(RAW, 0, self.offset, NOW, record.key, record.value, record.headers)


def step(*given: dict[str, object], bad: Any = "dead_letter", clock: int = NOW) -> ValidateStep:
    return ValidateStep(LAYOUT, TAGS, ValidationConfig(bad=bad), clock=lambda: clock, rules=rules(*given))


def stored(out: Outputs, topic: str = CLEAN) -> list[StoredRecord]:
    return [StoredRecord(topic, 0, number, NOW, one.key, one.value, one.headers) for number, one in enumerate(out.get(topic, []))]


def clean(out: Outputs) -> list[tuple[Value, int]]:
    columns = codec.decode(stored(out))
    return [(columns.value(place), int(columns.quality[place])) for place in range(len(columns))]


def letters(out: Outputs) -> list[dict[str, Any]]:
    return [json.loads(one.value) for one in out.get(DEAD, [])]


RANGE = {"id": "usual", "kind": "range", "tags": ["**.FLOW"], "max": 100}
FAST = {"id": "fast", "kind": "rate", "tags": ["**.FLOW"], "max_rate": 10}


def test_a_doubt_is_forwarded_with_its_reason() -> None:
    """W-123, W-127: SUSPECT keeps its way with a flag."""
    out = step(FAST).process([Feed().block((10.0, 0), (40.0, 1), (45.0, 2))])
    assert clean(out) == [(10.0, 0), (40.0, Quality.UNCERTAIN_SUSPECT_RATE), (45.0, 0)]
    assert DEAD not in out


def test_a_refused_reading_carries_every_reason() -> None:
    """W-124, W-67: reasons stack in the dead letter, also those that alone would only doubt."""
    out = step(RANGE, FAST).process([Feed().block((10.0, 0), (140.0, 1))])
    assert clean(out) == [(10.0, 0)]
    assert [one["reason"] for one in letters(out)] == [
        "range: 140 is above 100 (rule usual); rate: 130 a second; 10 is believable (rule fast)"
    ]


@pytest.mark.parametrize(
    ("rule", "bad", "kept"),
    [
        (RANGE, "dead_letter", False),
        (RANGE, "keep", True),
        ({**RANGE, "bad": "keep"}, "dead_letter", True),
        ({**RANGE, "bad": "dead_letter"}, "keep", False),
    ],
)
def test_bad_readings_go_where_the_site_or_the_rule_says(rule: dict[str, object], bad: str, kept: bool) -> None:
    """W-124 keeps BAD readings out of history, E-72 keeps them visible: a site chooses, and a rule may choose otherwise."""
    out = step(rule, bad=bad).process([Feed().block((140.0, 0))])
    assert clean(out) == ([(140.0, Quality.BAD_OUT_OF_RANGE)] if kept else [])
    assert (DEAD in out) is not kept


def test_a_tags_own_range_follows_the_site() -> None:
    """E-72: a site that keeps BAD readings keeps those beyond a tag's range as well; what is no number is refused all the same."""
    out = step(bad="keep").process([Feed().block((501.0, 0), (float("nan"), 1))])
    assert clean(out) == [(501.0, Quality.BAD_OUT_OF_RANGE)]
    assert [one["reason"] for one in letters(out)] == ["finite: NaN and infinities are no measurements"]


def test_quality_only_gets_worse() -> None:
    """D-17: what the device calls BAD stays what it says; of two verdicts the worse one counts."""
    doubt = {**RANGE, "id": "odd", "action": "uncertain"}
    feed = Feed()
    out = step(doubt, {**FAST, "action": "bad", "bad": "keep"}).process(
        [feed.block((10.0, 0), (140.0, 1)), feed.block((300.0, 2), quality=Quality.BAD_SENSOR_FAULT)]
    )
    assert clean(out) == [(10.0, 0), (140.0, Quality.BAD_SUSPECT_RATE), (300.0, Quality.BAD_SENSOR_FAULT)]


def test_a_dropped_duplicate_is_counted_and_the_ledger_balances() -> None:
    """W-128, D-33."""
    one = step({"id": "twice", "kind": "duplicate", "tags": ["**"], "action": "drop"})
    out = one.process([Feed().block((1.0, 0), (2.0, 0), (3.0, 1))])
    assert [value for value, _ in clean(out)] == [1.0, 3.0]
    assert (one.counts["accepted"], one.counts["deduplicated"]) == (2, 1)
    (head,) = codec.decode(stored(out)).heads
    assert sum(tally.deduplicated for tally in head.tallies) == 1


def test_windows_are_rebuilt_from_own_output() -> None:
    """A restart without a checkpoint: readings that the rule itself marked count as they came."""
    frozen = {"id": "still", "kind": "frozen", "tags": ["**"], "readings": 3}
    feed = Feed()
    out = step(frozen).process([feed.block((1.0, 0), (1.0, 1), (1.0, 2), (1.0, 3))])
    again = step(frozen)
    again.recover(stored(out))
    assert clean(again.process([feed.block((1.0, 4))])) == [(1.0, Quality.UNCERTAIN_FROZEN)]


def test_values_are_compared_with_good_ones_after_a_restart() -> None:
    spike = {"id": "spike", "kind": "spike", "tags": ["**"], "window": 5, "least": 3}
    feed = Feed()
    values = [(10.0 + n % 2, float(n)) for n in range(6)]
    out = step(spike).process([feed.block(*values, (99.0, 6), (98.0, 7), (97.0, 8))])
    assert [quality for _, quality in clean(out)] == [0] * 6 + [Quality.UNCERTAIN_SPIKE] * 3
    again = step(spike)
    again.recover(stored(out))
    # three of the last five are at the new level: it is believed
    assert clean(again.process([feed.block((98.0, 9))])) == [(98.0, 0)]


def untouched(record: StoredRecord, out: dict[str, list[Record]]) -> bool:
    return out[CLEAN][0].value == record.value


def test_blocks_without_a_broken_rule_pass_byte_for_byte() -> None:
    """W-122."""
    record = Feed().block((10.0, 0), (11.0, 1))
    assert untouched(record, step(RANGE, FAST).process([record]))
