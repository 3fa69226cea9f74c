"""How good history is, and trials over it, from a real database."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.support import trunkline
from tests.historian.support import PLACE, START, Edge, flush_of, ramp, reading

from trunkline.config.loading import load
from trunkline.historian import quality
from trunkline.historian.flush import EventRecord, Flush
from trunkline.historian.reader import Reader
from trunkline.historian.whole import pages
from trunkline.historian.writer import Writer
from trunkline.log.codec.columns import decode
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.opening import layout_of, open_site_log
from trunkline.log.port import TopicPartition
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality, Severity, severity
from trunkline.model.reading import Category, Kind, Reading
from trunkline.processing.rules.counts import Cell

S = times.SECOND
FLOW, LEVEL, NEVER = "P.A.U1.FLOW", "P.A.U1.LEVEL", "P.B.U2.FLOW"
SITE = """\
site: test
timezone: Europe/Oslo
log: {partitions: 1}
historian: {dsn: DSN}
gateways:
  - id: gw1
    sources:
      - id: plc
        type: simulated
        stale_after: 10
        tags:
          - {path: P.A.U1.FLOW, signal: {shape: walk}}
          - {path: P.A.U1.LEVEL, signal: {shape: walk}, deadband: {absolute: 1}}
          - {path: P.B.U2.FLOW, signal: {shape: walk}}
"""
RULES = """\
rules:
  - {id: jumps, kind: rate, tags: ['**'], max_rate: 5}
  - {id: late, kind: clock_skew, tags: ['**'], behind_seconds: 30}
"""


@pytest.fixture
def file(tmp_path: Path, conninfo: str) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.replace("DSN", json.dumps(conninfo)))
    return path


def store(conninfo: str, readings: list[Reading]) -> None:
    with Writer(conninfo) as writer:
        writer.take_over([PLACE])
        writer.write(flush_of([Edge().block(readings)]))


def iso(seconds: float) -> str:
    return times.to_iso(START + int(seconds * S))


moments = st.lists(
    st.tuples(st.integers(-50, 150), st.sampled_from([0, Quality.UNCERTAIN_STALE, Quality.BAD, Quality.BAD_SENSOR_FAULT])), max_size=20
)


@settings(max_examples=200, deadline=None)
@given(moments, st.integers(1, 60))
def test_shares_are_those_of_every_second_by_itself(given: list[tuple[int, int]], hold: int) -> None:
    """E-72 and OPC UA Part 13: percent of time, held until the next reading, at most as long as the tag may be silent."""
    readings = sorted(given, key=lambda one: one[0])
    found = quality.share(
        np.array([START + at * S for at, _ in readings], np.int64), [code for _, code in readings], START, START + 100 * S, hold * S
    )
    seconds = dict.fromkeys([*Severity, None], 0)
    for second in range(100):
        before = [(at, code) for at, code in readings if at <= second]
        holds = bool(before) and second - before[-1][0] < hold
        seconds[severity(before[-1][1]) if holds else None] += 1
    assert (found.good, found.uncertain, found.bad, found.nothing) == (
        seconds[Severity.GOOD] * S,
        seconds[Severity.UNCERTAIN] * S,
        seconds[Severity.BAD] * S,
        seconds[None] * S,
    )
    assert sum(found.reasons.values()) == found.uncertain + found.bad


def test_days_are_those_of_the_site_also_when_clocks_change() -> None:
    """The day on which summer time begins in Oslo has 23 hours."""
    begin = times.from_datetime(datetime(2026, 3, 28, 12, tzinfo=UTC))
    spans = quality.days(begin, begin + 2 * times.DAY, "Europe/Oslo")
    assert [(name, (last - first) // times.HOUR) for name, first, last in spans] == [
        ("2026-03-28", 11),
        ("2026-03-29", 23),
        ("2026-03-30", 14),
    ]


def test_pages_leave_nothing_out_and_double_nothing(conninfo: str) -> None:
    """Several readings of one time stay together, whatever the size of the page."""
    readings = [reading("A", START + (number // 3) * S, float(number)) for number in range(100)]
    store(conninfo, readings)
    with Reader(conninfo) as reader:
        for page in (4, 7, 1000):
            found = [value for raw in pages(reader, "A", START, START + times.HOUR, page) for value in raw.number.tolist()]
            assert sorted(found) == [float(number) for number in range(100)]


def test_the_report_tells_by_tag_day_and_asset(file: Path, conninfo: str) -> None:
    """Issue 6, item 2: percent good by time, the worst tags, the reasons."""
    flow = ramp(FLOW, 60)  # a minute of good readings
    flow += [reading(FLOW, START + (60 + n) * S, 0.0, Quality.UNCERTAIN_FROZEN) for n in range(30)]
    flow += [reading(FLOW, START + 90 * S, None, Quality.BAD_SENSOR_FAULT)]  # holds ten seconds, then there is nothing
    level = [reading(LEVEL, START - 50 * S, 1.0)]  # reported by exception: holds until the next report
    store(conninfo, [*flow, *level])
    said = trunkline("quality", "report", file, "--from", iso(0), "--to", iso(120), "--json")
    assert said.code == 0
    *rows, total = said.documents
    by_tag = {row["tag"]: row for row in rows}
    assert by_tag[FLOW] == {
        "tag": FLOW,
        "day": "2026-06-01",
        "percent_good": 50.0,
        "seconds": {"good": 60.0, "uncertain": 30.0, "bad": 10.0, "nothing": 20.0},
        "reasons": {"frozen": 30.0, "sensor fault": 10.0},
    }
    assert by_tag[LEVEL]["percent_good"] == 100.0
    assert by_tag[NEVER]["seconds"]["nothing"] == 120.0
    assert {asset: one["percent_good"] for asset, one in total["assets"].items()} == {"P.A.U1": 75.0, "P.B.U2": 0.0}
    assert total["tags"] == 3
    only = trunkline("quality", "report", file, "--under", "P.A.U1", "--from", iso(0), "--to", iso(120))
    assert only.code == 0
    assert "2 tags, 75.00 % of the time good" in only.text


def test_what_cannot_be_reported_is_told(file: Path) -> None:
    assert "has no tag at or below 'P.X'" in trunkline("quality", "report", file, "--under", "P.X").text
    assert "runs backwards" in trunkline("quality", "report", file, "--from", "now", "--to", "1d").text


def test_rules_are_tried_over_the_historian(file: Path, conninfo: str, tmp_path: Path) -> None:
    """Issue 6, item 1: what would this rule have said last month."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    values = [1.0, 2.0, 30.0, 31.0]
    marked = [reading(FLOW, START + n * S, value, Quality.UNCERTAIN_SPIKE if n == 2 else 0) for n, value in enumerate(values)]
    store(conninfo, [*marked, reading(NEVER, START, 1.0), reading(NEVER, START + S, 100.0)])
    said = trunkline("step", "try", rules, "--site", file, "--from", iso(0), "--to", iso(60), "--tag", "**.U1.*", "--json")
    assert said.code == 0, said.text
    *found, total = said.documents
    assert [(one["time"], one["tag"], one["value"], one["verdict"]) for one in found] == [(iso(2), FLOW, 30.0, "UNCERTAIN")]
    assert found[0]["reasons"] == [{"rule": "jumps", "why": "28 a second; 5 is believable"}]
    assert (total["readings"], total["rules"]) == (4, {"jumps": 1})
    rules.write_text("rules: [{id: silent, kind: gap, tags: ['**'], expected_seconds: 0.4}]")
    gaps = trunkline("step", "try", rules, "--site", file, "--from", iso(1), "--to", iso(4), "--tag", FLOW, "--json").documents[:-1]
    # what a rule of that day said of a reading is not what is asked now
    assert [(one["time"], one["verdict"]) for one in gaps] == [(iso(2), "GAP"), (iso(3), "GAP"), (iso(3.8), "GAP")]
    rules.write_text(RULES)
    everywhere = trunkline("step", "try", rules, "--site", file, "--from", iso(0), "--to", iso(60))
    assert "6 readings looked at, 2 verdicts" in everywhere.text


def test_rules_are_tried_over_the_site_log(file: Path, tmp_path: Path) -> None:
    """What gateways sent, with their times: the historian knows only the reading's own. Nothing is committed or appended."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    site = load(file)
    layout = layout_of(site.config.log)
    raw = layout.topic(Category.TELEMETRY, "raw")
    slot = TagSlot(FLOW, "plc", Kind.DOUBLE, 0)
    readings = [Reading(FLOW, 1.0, 0, START + n * S, START + n * S + late * S) for n, late in enumerate([0, 31, 5])]
    (record,), _ = write_blocks("gw1", 0, {0: 0}, [(slot, one) for one in readings])
    log = open_site_log(site.config.log, site.data_dir)
    try:
        log.append(raw, [record._replace(partition=0)])
        before = log.bounds(raw)
        said = trunkline("step", "try", rules, "--site", file, "--from-log", "--from", iso(0), "--to", iso(60), "--json")
        assert log.bounds(raw) == before
        assert log.committed("validate") == {}
    finally:
        log.close()
    *found, total = said.documents
    assert [(one["time"], one["reasons"][0]["rule"]) for one in found] == [(iso(1), "late")]
    assert total["readings"] == 3


def test_an_override_goes_through_the_log(file: Path) -> None:
    """D-17: with author and reason, as an event that is kept."""
    said = trunkline(
        *("quality", "override", file, FLOW, "--quality", "good", "--author", "A. Lind", "--reason", "calibrated by hand"),
        *("--from", iso(0), "--to", iso(60), "--json"),
    )
    assert said.code == 0, said.text
    site = load(file)
    layout = layout_of(site.config.log)
    log = open_site_log(site.config.log, site.data_dir)
    try:
        (record,) = log.read(TopicPartition(layout.topic(Category.EVENT, "raw"), 0), 0, 10)
    finally:
        log.close()
    event = decode_event(record.value)
    assert (event.id, event.actor, event.asset, event.tag) == (said.documents[0]["id"], "A. Lind", "P.A.U1", "FLOW")
    assert event.attributes == {"quality": "good", "from": START, "to": START + 60 * S, "reason": "calibrated by hand"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--author": " "}, "say who (--author)"),
        ({"--reason": ""}, "say who (--author) and why"),
        ({"--quality": "fine"}, "use one of good, uncertain, bad, rules"),
        ({"--to": iso(-1)}, "later than '--from'"),
    ],
)
def test_an_override_is_never_silent(file: Path, change: dict[str, str], says: str) -> None:
    options = {"--quality": "good", "--author": "A. Lind", "--reason": "why", "--from": iso(0), "--to": iso(60)} | change
    said = trunkline("quality", "override", file, FLOW, *[part for pair in options.items() for part in pair])
    assert said.code == 2
    assert says in said.text


def test_broken_rules_are_summed_by_tag_and_rule(file: Path, conninfo: str) -> None:
    """Every reason counts, also those that a reading's quality does not show; late readings come as a further event."""
    cells = [
        Cell(FLOW, "jumps", "rate", 3, START, START + S),
        Cell(FLOW, "jumps", "rate", 2, START + 2 * S, START + 3 * S),
        Cell(FLOW, "late", "clock_skew", 1, START, START),
        Cell(NEVER, "jumps", "rate", 9, START, START),
        Cell(FLOW, "jumps", "rate", 50, START + times.DAY, START + times.DAY),
    ]
    other = Event(id=str(uuid7()), type="NOTE", time=START, gateway_time=START, text="QUALITY of the water", asset="P.A.U1")
    told = [*(cell.event(START + times.HOUR) for cell in cells), other]
    place = TopicPartition("events.clean", 0)
    with Writer(conninfo) as writer:
        writer.take_over([place])
        events = [EventRecord(event, None, place, Category.EVENT) for event in told]
        assert writer.write(Flush(decode([]), [], {place: len(told)}, events=events)).events == len(told)
    with Reader(conninfo) as reader:
        assert quality.broken_rules(reader, START, START + times.HOUR, "P.A") == [(FLOW, "jumps", 5), (FLOW, "late", 1)]
    said = trunkline("quality", "report", file, "--from", iso(0), "--to", iso(60), "--json")
    assert said.documents[-1]["rules"][0] == {"tag": NEVER, "rule": "jumps", "readings": 9}
