"""Every layout from the edge to the clean topics: lanes keep order and coverage, also where telemetry has several topics (P-28, PD-30)."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from trunkline.config.site import BufferConfig, LogConfig, ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.forwarder import Forwarder
from trunkline.historian.account import VALIDATE_GROUP
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec import columns as codec
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.codec.writer import TagSlot
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Log, Record, StoredRecord, TopicPartition
from trunkline.log.topics import TABLES, Layout
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind, Reading
from trunkline.processing.replay import read_letters, replay
from trunkline.processing.validate import ValidateStep

NOW: Final = times.from_iso("2026-01-01T00:00:00Z")
NAMES: Final = ("FLOW_RATE", "PRESSURE", "TEMPERATURE", "VIBRATION", "LEVEL")
TAGS: Final = {
    path: TagConfig(path=path, max=90, measurement="pressure" if name == "LEVEL" else "")
    for unit in range(6)
    for name in NAMES
    for path in [f"PLANT01.AREA01.UNIT_{unit}.{name}"]
}


@pytest.fixture(params=sorted(TABLES))
def config(request: pytest.FixtureRequest) -> LogConfig:
    return LogConfig(layout=request.param, partitions=3)


@pytest.fixture
def layout(config: LogConfig) -> Layout:
    return layout_of(config)


@pytest.fixture
def site(config: LogConfig, tmp_path: Path) -> Iterator[Log]:
    log = open_site_log(config, tmp_path)
    yield log
    log.close()


@pytest.fixture
def edge(config: LogConfig, tmp_path: Path) -> Iterator[Journal]:
    journal = open_edge_journal(config, tmp_path, "gw1")
    yield journal
    journal.close()


async def fill(edge: Journal, layout: Layout, start: int, rounds: int) -> None:
    """Every tag has value k at NOW + k s, and every unit an event and an alarm each round."""
    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())
    writer.start()
    slots = [TagSlot(path, "plc", Kind.DOUBLE, layout.lane_of(path, tag.measurement)) for path, tag in TAGS.items()]
    for number in range(start, start + rounds):
        time = NOW + number * times.SECOND
        await writer.submit([(slot, Reading(slot.path, float(number), 0, time, time)) for slot in slots])
        happened = [_event(f"PLANT01.AREA01.UNIT_{unit}", time) for unit in range(6)]
        await writer.submit((), [*happened, *(_alarm(one.asset, time) for one in happened)])
    writer.stop()


def _event(asset: str, time: int) -> Event:
    return Event(id=str(uuid7()), type="UNIT_START", time=time, gateway_time=time, source="plc", asset=asset)


def _alarm(asset: str, time: int) -> Alarm:
    return Alarm(id=str(uuid7()), type="HIGH", time=time, gateway_time=time, source="plc", asset=asset, severity=AlarmSeverity.LOW)


def forward(edge: Journal, site: Log, layout: Layout) -> None:
    forwarder = Forwarder(edge, lambda: site, layout)
    while forwarder.step():
        pass


def validate(site: Log, layout: Layout, step: ValidateStep | None = None) -> None:
    step = step or ValidateStep(layout, TAGS, ValidationConfig(max_future_seconds=1e6), clock=lambda: NOW)
    with site.consumer(VALIDATE_GROUP, step.inputs, "worker-0") as consumer:
        while batch := consumer.poll(1000, 0.1):
            consumer.commit(batch.positions, with_appends=step.process(batch.records))


def records(log: Log, topic: str) -> dict[TopicPartition, list[StoredRecord]]:
    return {at: log.read(at, first, 10_000) for at, (first, _) in log.bounds(topic).items()}


def test_every_topic_of_a_stage_is_read(layout: Layout) -> None:
    step = ValidateStep(layout, {}, ValidationConfig())
    assert set(step.inputs) == set(layout.categories("raw"))
    assert set(step.outputs) == set(layout.categories("clean"))


async def test_order_and_coverage_in_every_lane(edge: Journal, site: Log, layout: Layout) -> None:
    """P-29: a tag stays in one partition of one topic; decision 0002: what is clean covers what is raw, without a hole."""
    await fill(edge, layout, 0, 10)
    await fill(edge, layout, 10, 5)
    forward(edge, site, layout)
    validate(site, layout)
    places: defaultdict[str, set[TopicPartition]] = defaultdict(set)
    seen = 0
    for topic in layout.topics(Category.TELEMETRY, "clean"):
        for at, found in records(site, topic).items():
            columns = codec.decode(found)
            seen += len(columns)
            assert Coverage((head.lo, head.hi) for head in columns.heads).holes() == ()
            for tag, path in enumerate(columns.tags):
                places[path].add(at)
                assert columns.number[columns.tag == tag].tolist() == [float(number) for number in range(15)]
    assert seen == 15 * len(TAGS)
    raw_of = {clean: raw for raw, clean in layout.clean_of.items()}
    for path, (at,) in places.items():
        assert TopicPartition(raw_of[at.topic], at.partition) == layout.place_of(layout.lane_of(path, TAGS[path].measurement))


async def test_a_configured_measurement_decides(layout: Layout) -> None:
    """PD-30."""
    level = next(path for path in TAGS if path.endswith("LEVEL"))
    topic = layout.place_of(layout.lane_of(level, TAGS[level].measurement)).topic
    assert topic == layout.topic(Category.TELEMETRY, "raw", level, "pressure")
    if layout.name == "isa95":
        assert topic == "scada.l2.telemetry.pressure"
        assert layout.topic(Category.TELEMETRY, "raw", level) == "scada.l2.telemetry.other"


@pytest.mark.parametrize("category", [Category.EVENT, Category.ALARM])
async def test_events_have_a_sequence_in_every_partition(edge: Journal, site: Log, layout: Layout, category: Category) -> None:
    """A hole in a partition's numbers is a loss with an address: partitions are numbered apart."""
    await fill(edge, layout, 0, 4)
    await fill(edge, layout, 4, 3)
    forward(edge, site, layout)
    validate(site, layout)
    count = 0
    for topic in (*layout.topics(category, "raw"), *layout.topics(category, "clean")):
        for found in records(site, topic).values():
            heads = [decode_head(header) for record in found if (header := record.header(HEADER))]
            assert [(head.lo, head.hi) for head in heads] == [(number, number + 1) for number in range(len(heads))]
            count += len(heads)
    assert count == 2 * 7 * 6


async def test_what_is_sent_again_is_dropped(edge: Journal, site: Log, layout: Layout) -> None:
    """A forwarder that crashed sends its last records again; a worker that was restarted remembers by its own output."""
    await fill(edge, layout, 0, 5)
    forward(edge, site, layout)
    validate(site, layout)
    clean = {topic: records(site, topic) for topic in layout.categories("clean")}
    for topic in layout.categories("raw"):
        sent = [one for found in records(site, topic).values() for one in found]
        site.append(topic, [Record(one.value, one.key, one.headers, one.timestamp, one.partition) for one in sent])
    step = ValidateStep(layout, TAGS, ValidationConfig(max_future_seconds=1e6), clock=lambda: NOW)
    for found_at in clean.values():
        for found in found_at.values():
            step.recover(found)
    validate(site, layout, step)
    assert {topic: records(site, topic) for topic in layout.categories("clean")} == clean


async def test_dead_letters_go_back_to_their_lane(edge: Journal, site: Log, layout: Layout) -> None:
    """W-67: a letter sent again is judged by the rules of today, in the partition that its tag always had."""
    await fill(edge, layout, 95, 1)
    forward(edge, site, layout)
    validate(site, layout)
    letters = list(read_letters(site, layout))
    assert len(letters) == len(TAGS)
    before = {at: end for topic in layout.categories("raw") for at, (_, end) in site.bounds(topic).items()}
    assert [one.problem for one in replay(site, layout, TAGS, letters)] == [None] * len(TAGS)
    for topic in layout.topics(Category.TELEMETRY, "raw"):
        for at, (_, end) in site.bounds(topic).items():
            again = codec.decode(site.read(at, before[at], 1000)) if end > before[at] else None
            for path in again.tags if again else ():
                assert layout.place_of(layout.lane_of(path, TAGS[path].measurement)) == at
