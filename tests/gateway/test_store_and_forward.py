"""The edge journal, the forwarder and the buffer's keeper on real journals."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from trunkline.config.site import BufferConfig, LogConfig
from trunkline.gateway.buffer import BufferKeeper
from trunkline.gateway.confirmed import Confirmed
from trunkline.gateway.edge import EdgeWriter, edge_counts
from trunkline.gateway.forwarder import BACKLOG_AGE, Forwarder
from trunkline.gateway.outbox import LADDER, MAX_RETRIES
from trunkline.ledger.confirmation import Confirmation, ConfirmedLane, encode_confirmation
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec import columns as codec
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.head import BACKLOG
from trunkline.log.codec.writer import TagSlot
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import open_site_log
from trunkline.log.port import Log, Positions, Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import DiskFull, Rejected, RetryLater
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind, Reading

NOW = times.from_iso("2026-01-01T00:00:00Z")
TAGS = [f"P.A.U{number}.FLOW" for number in range(12)]
SLOTS = {tag: TagSlot.of(tag, "plc", Kind.DOUBLE, 3) for tag in TAGS}


def readings(start: int, count: int) -> list[tuple[TagSlot, Reading]]:
    """Reading k has value k and time NOW + k ms."""
    made = []
    for number in range(start, start + count):
        slot = SLOTS[TAGS[number % len(TAGS)]]
        made.append((slot, Reading(slot.path, float(number), 0, NOW + number * 1000, NOW + number * 1000 + 500)))
    return made


def event(kind: str = "UNIT_START") -> Event:
    return Event(id=str(uuid7()), type=kind, time=NOW, gateway_time=NOW, source="plc", asset="P.A")


def writer_of(journal: Journal, layout: Layout) -> EdgeWriter:
    return EdgeWriter(journal, layout, BufferConfig(linger_ms=1), wrote=threading.Event())


async def fill(journal: Journal, layout: Layout, *batches: Sequence[tuple[TagSlot, Reading]], events: Sequence[Event] = ()) -> None:
    writer = writer_of(journal, layout)
    writer.start()
    for batch in batches:
        await writer.submit(batch)
    await writer.submit((), events)
    writer.stop()


def stored(log: Log, topic: str) -> list[StoredRecord]:
    return [record for at, (first, _) in log.bounds(topic).items() for record in log.read(at, first, 10_000)]


def values(log: Log, layout: Layout) -> list[float]:
    return sorted(codec.decode(stored(log, layout.topic(Category.TELEMETRY, "raw"))).number.tolist())


def settle(forwarder: Forwarder) -> None:
    while forwarder.step():
        pass


def confirm(site: Log, layout: Layout, origin: str, ranges: Sequence[tuple[int, int]], category: Category = Category.TELEMETRY) -> None:
    """Say what the historian says once these positions are stored, on every partition."""
    topic = layout.topic(category, "raw")
    lanes = [ConfirmedLane(topic, at.partition, list(ranges)) for at in site.bounds(topic)]
    record = Record(encode_confirmation(Confirmation(origin, NOW, lanes)), key=origin.encode())
    site.append(layout.confirmations, [record])


class Unreliable:
    """A site log whose appends fail on demand: the real journal behind a switch that a test holds."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.refuse: Callable[[str, Sequence[Record]], Exception | None] = lambda _topic, _records: None
        self.after: Callable[[], None] = lambda: None

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        error = self.refuse(topic, records)
        if error is not None:
            raise error
        positions = self._log.append(topic, records, atomic=atomic)
        self.after()
        return positions

    def opener(self) -> Log:
        """Return itself as a log."""
        return cast("Log", self)

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def close(self) -> None:
        """Stays open: the test owns the journal behind it."""


async def test_everything_read_arrives_once_and_is_counted(edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout) -> None:
    """P-53, P-64, PD-6."""
    alarm = Alarm(id=str(uuid7()), type="HIGH_TEMP", time=NOW, gateway_time=NOW, source="plc", severity=AlarmSeverity.HIGH)
    await fill(edge, layout, readings(0, 100), readings(100, 57), events=[event(), alarm])
    forwarder = Forwarder(edge, open_site, layout)
    settle(forwarder)
    assert values(site, layout) == [float(number) for number in range(157)]
    assert decode_event(stored(site, layout.topic(Category.ALARM, "raw"))[0].value).origin == edge.id
    cells = {(cell.category): (cell.read, cell.forwarded, cell.dropped) for cell in edge_counts(edge.tallies())}
    assert cells == {"telemetry": (157, 157, 0), "event": (1, 1, 0), "alarm": (1, 1, 0)}


async def test_order_per_tag_and_meeting_ranges(edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout) -> None:
    """P-29, PD-3: ranges of one partition meet, over restarts of the writer, too."""
    for start in range(0, 200, 25):
        await fill(edge, layout, readings(start, 25))
    settle(Forwarder(edge, open_site, layout))
    topic = layout.topic(Category.TELEMETRY, "raw")
    for at in site.bounds(topic):
        columns = codec.decode(site.read(at, 0, 1000))
        coverage = Coverage((head.lo, head.hi) for head in columns.heads)
        assert coverage.holes() == ()
        assert [head.lo for head in columns.heads[1:]] == [head.hi for head in columns.heads[:-1]]
        for tag in range(len(columns.tags)):
            times_of_tag = columns.time[columns.tag == tag]
            assert (times_of_tag[1:] > times_of_tag[:-1]).all()


async def test_an_outage_loses_nothing_and_uses_up_no_retries(edge: Journal, site: Log, layout: Layout) -> None:
    """P-118, PD-4."""
    flaky = Unreliable(site)
    forwarder = Forwarder(edge, flaky.opener, layout)
    flaky.refuse = lambda _topic, _records: RetryLater("away")
    await fill(edge, layout, readings(0, 60))
    for _ in range(20):
        with pytest.raises(RetryLater):
            forwarder.step()
    flaky.refuse = lambda _topic, _records: None
    settle(forwarder)
    assert values(site, layout) == [float(number) for number in range(60)]
    assert all(not lane.poison for lane in forwarder.outbox.lanes.values())


async def test_a_crash_between_acknowledgement_and_progress_sends_the_same_ranges_again(edge: Journal, site: Log, layout: Layout) -> None:
    """PD-6: at least once on the wire; the repeat is recognised by its range."""
    flaky = Unreliable(site)

    def crash() -> None:
        raise KeyboardInterrupt

    await fill(edge, layout, readings(0, 60))
    flaky.after = crash
    forwarder = Forwarder(edge, flaky.opener, layout)
    with pytest.raises(KeyboardInterrupt):
        settle(forwarder)
    flaky.after = lambda: None
    settle(Forwarder(edge, flaky.opener, layout))
    for at in site.bounds(layout.topic(Category.TELEMETRY, "raw")):
        heads = codec.decode(site.read(at, 0, 1000)).heads
        assert len(heads) == 2
        assert heads[0] == heads[1]
    counts = edge_counts(edge.tallies())
    assert (counts[0].read, counts[0].forwarded) == (60, 60)


async def test_live_data_passes_the_backlog_after_an_outage(edge: Journal, site: Log, layout: Layout) -> None:
    """Live first, backlog beside it; W-100."""
    await fill(edge, layout, *(readings(start, 12) for start in range(0, 240, 12)))
    later = times.now() + BACKLOG_AGE + times.SECOND
    forwarder = Forwarder(edge, Unreliable(site).opener, layout, clock=lambda: later)
    forwarder.step()  # connects, splits; nothing is live yet
    await fill(edge, layout, readings(240, 12))
    settle(forwarder)
    assert values(site, layout) == [float(number) for number in range(252)]
    for at in site.bounds(layout.topic(Category.TELEMETRY, "raw")):
        records = site.read(at, 0, 1000)
        heads = codec.decode(records).heads
        assert Coverage((head.lo, head.hi) for head in heads).ranges == ((0, 252),)
        late = [record.header(BACKLOG) is not None for record in records]
        assert late == [head.lo < 240 for head in heads]  # whoever reads can tell what live data may have overtaken


async def test_lanes_survive_a_restart(edge: Journal, site: Log, layout: Layout) -> None:
    await fill(edge, layout, readings(0, 36))
    first = Forwarder(edge, Unreliable(site).opener, layout)
    at = TopicPartition(layout.topic(Category.TELEMETRY, "raw"), 0)
    first.outbox.lane(at).split(1)
    edge.append_many({}, meta=first.outbox.meta())
    second = Forwarder(edge, Unreliable(site).opener, layout)
    assert second.outbox.lane(at).backlog == [(0, 1)]
    settle(second)
    assert values(site, layout) == [float(number) for number in range(36)]


async def test_poison_is_set_aside_and_others_pass(edge: Journal, site: Log, layout: Layout) -> None:
    """P-61 to P-63, P-120, PD-4, PD-5: ten tries on the ladder, then FAILED; neighbours are not held back."""
    await fill(edge, layout, readings(0, 36), events=[event("GOOD_ONE"), event("BAD_ONE"), event("GOOD_TWO")])
    flaky = Unreliable(site)

    def refuse(_topic: str, records: Sequence[Record]) -> Exception | None:
        rows = [row for row, record in enumerate(records) if b"BAD_ONE" in record.value]
        return Rejected("record too large", rows) if rows else None

    flaky.refuse = refuse
    now = times.now()
    forwarder = Forwarder(edge, flaky.opener, layout, clock=lambda: now)
    settle(forwarder)
    topic = layout.topic(Category.EVENT, "raw")
    assert [decode_event(record.value).type for record in stored(site, topic)] == ["GOOD_ONE", "GOOD_TWO"]
    (poison,) = forwarder.outbox.lane(TopicPartition(topic, 0)).poison
    assert (poison.tries, poison.reason, poison.failed) == (1, "record too large", False)
    assert poison.due == now + LADDER[0]
    for _ in range(MAX_RETRIES - 1):
        now += LADDER[-1]
        settle(forwarder)
    (poison,) = forwarder.outbox.lane(TopicPartition(topic, 0)).poison
    assert poison.failed
    flaky.refuse = lambda _topic, _records: None
    now += LADDER[-1]
    settle(forwarder)
    assert len(stored(site, topic)) == 2, "a FAILED record is sent again only by hand"
    cell = next(cell for cell in edge_counts(edge.tallies()) if cell.category == "event")
    assert (cell.read, cell.forwarded) == (3, 2)


async def test_pruning_by_age_touches_only_what_the_historian_confirmed(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """P-67, P-123, PD-10: neither what waits nor what was merely forwarded goes, however old it is."""
    await fill(edge, layout, readings(0, 36))
    forwarder, confirmed = Forwarder(edge, open_site, layout), Confirmed(edge, layout)
    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(retention_days=1), confirmed)
    future = times.now() + 2 * times.DAY
    keeper.tend(future)
    assert len(values(edge, layout)) == 36
    settle(forwarder)
    await fill(edge, layout, readings(36, 12))
    keeper.tend(future)
    assert len(values(edge, layout)) == 48, "forwarded is not stored"
    confirm(site, layout, "another edge", [(0, 48)])
    confirm(site, layout, edge.id, [(0, 36)])
    confirmed.learn(site)
    keeper.tend(times.now())
    assert len(values(edge, layout)) == 48
    keeper.tend(future)
    assert values(edge, layout) == [float(number) for number in range(36, 48)]
    settle(forwarder)
    assert len(values(site, layout)) == 48


async def test_pruning_stops_before_a_block_that_is_not_stored_as_a_whole(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """PD-10: what lies behind a hole stays with it, until the hole is filled; a newer word of the historian replaces the older one."""
    for start in range(0, 60, 12):
        await fill(edge, layout, readings(start, 12))
    forwarder, confirmed = Forwarder(edge, open_site, layout), Confirmed(edge, layout)
    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(retention_days=1), confirmed)
    settle(forwarder)
    future = times.now() + 2 * times.DAY
    for ranges, left in (
        ([(12, 60)], 60),  # as after the historian was set up anew: the oldest block never came
        ([(0, 30), (36, 60)], 36),
        ([(0, 23)], 36),
        ([(0, 48)], 12),
    ):
        confirm(site, layout, edge.id, ranges)
        confirmed.learn(site)
        keeper.tend(future)
        assert len(values(edge, layout)) == left


async def test_events_are_confirmed_by_their_own_numbers_and_log_lines_need_none(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """PD-10: each class is numbered for itself; what carries no readings goes once it is forwarded."""
    await fill(edge, layout, readings(0, 36), events=[event() for _ in range(4)])
    edge.append(layout.platform_log, [Record(b"line")])
    forwarder, confirmed = Forwarder(edge, open_site, layout), Confirmed(edge, layout)
    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(retention_days=1), confirmed)
    settle(forwarder)
    confirm(site, layout, edge.id, [(0, 3)], Category.EVENT)
    confirmed.learn(site)
    keeper.tend(times.now() + 2 * times.DAY)
    assert len(stored(edge, layout.topic(Category.EVENT, "raw"))) == 1
    assert len(values(edge, layout)) == 36
    assert stored(edge, layout.platform_log) == []


async def test_confirmations_outlive_restarts_and_the_site_log(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout, tmp_path: Path
) -> None:
    """PD-10: known without the site log, read on from where it was, and from the start of a site log that is another one."""
    at = TopicPartition(layout.topic(Category.TELEMETRY, "raw"), 1)
    first = Confirmed(edge, layout)
    first.learn(site)
    assert first.reach(at, 5) == 5
    site.append(layout.confirmations, [Record(b"garbage", key=edge.id.encode())])
    confirm(site, layout, edge.id, [(0, 10), (20, 30)])
    first.learn(site)
    again = Confirmed(edge, layout)
    assert [again.reach(at, position) for position in (0, 9, 10, 25, 30)] == [10, 10, 10, 30, 30]
    assert again.reach(TopicPartition(layout.topic(Category.EVENT, "raw"), 0), 0) == 0
    other = open_site_log(LogConfig(partitions=3), tmp_path / "other")
    confirm(other, layout, edge.id, [(0, 40)])
    again.learn(other)
    other.close()
    assert again.reach(at, 0) == 40


async def test_overflow_gives_up_the_oldest_telemetry_on_record_and_never_an_alarm(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """W-65, W-101 to W-103, D-24: every drop is an event with its exact range; alarms are never dropped."""
    alarm = Alarm(id=str(uuid7()), type="HIGH_TEMP", time=NOW, gateway_time=NOW, source="plc", severity=AlarmSeverity.HIGH)
    await fill(edge, layout, *(readings(start, 600) for start in range(0, 60_000, 600)), events=[alarm])
    forwarder = Forwarder(edge, open_site, layout)
    size = BufferKeeper(edge, forwarder, layout, BufferConfig(), Confirmed(edge, layout)).size()
    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(max_bytes=size // 2, reserved_bytes=1), Confirmed(edge, layout))
    keeper.tend(times.now())
    assert keeper.size() <= 0.9 * (size // 2)
    kept = set(values(edge, layout))
    assert 0 < len(kept) < 60_000
    settle(forwarder)
    assert set(values(site, layout)) == kept
    assert len(stored(site, layout.topic(Category.ALARM, "raw"))) == 1
    notices = [decode_event(record.value) for record in stored(site, layout.overflow)]
    assert {notice.type for notice in notices} == {"BUFFER_OVERFLOW"}
    (cell,) = [cell for cell in edge_counts(edge.tallies()) if cell.category == "telemetry"]
    assert cell.dropped == 60_000 - len(kept) == sum(int(str(notice.attributes["readings"])) for notice in notices)
    assert cell.read == cell.forwarded + cell.dropped
    gone = set(range(60_000)) - {int(value) for value in kept}
    for partition in range(3):
        mine = [notice for notice in notices if notice.attributes["partition"] == partition]
        covered = Coverage((int(str(one.attributes["lo"])), int(str(one.attributes["hi"]))) for one in mine)
        lost_here = {number for number in gone if SLOTS[TAGS[number % len(TAGS)]].partition == partition}
        kept_here = {int(value) for value in kept if SLOTS[TAGS[int(value) % len(TAGS)]].partition == partition}
        assert all(number in covered for number in lost_here)
        assert not any(number in covered for number in kept_here)


async def test_making_room_takes_confirmed_copies_first_and_tells_of_unconfirmed_ones(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """D-24, PD-10: copies cost nothing; those that the historian has not confirmed go last, no more than needed, and on record."""
    alarm = Alarm(id=str(uuid7()), type="HIGH_TEMP", time=NOW, gateway_time=NOW, source="plc", severity=AlarmSeverity.HIGH)
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 60_000, 60)), events=[alarm])
    forwarder, confirmed = Forwarder(edge, open_site, layout), Confirmed(edge, layout)
    settle(forwarder)
    size = BufferKeeper(edge, forwarder, layout, BufferConfig(), confirmed).size()

    confirm(site, layout, edge.id, [(0, 12_000)])
    confirmed.learn(site)
    BufferKeeper(edge, forwarder, layout, BufferConfig(max_bytes=size, reserved_bytes=1), confirmed).tend(times.now())
    assert values(edge, layout) == [float(number) for number in range(12_000, 60_000)], "confirmed copies were room enough"
    assert stored(edge, layout.overflow) == []

    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(max_bytes=size // 2, reserved_bytes=1), confirmed)
    keeper.tend(times.now())
    assert keeper.size() <= 0.9 * (size // 2)
    kept = values(edge, layout)
    assert 20_000 < len(kept) < 30_000
    notices = [decode_event(record.value) for record in stored(edge, layout.overflow)]
    assert {notice.type for notice in notices} == {"BUFFER_UNCONFIRMED_DROPPED"}
    assert sum(int(str(notice.attributes["readings"])) for notice in notices) == 48_000 - len(kept)
    assert not any("lo" in notice.attributes for notice in notices), "the ledger must not take them for given up"
    assert len(stored(edge, layout.topic(Category.ALARM, "raw"))) == 1
    (cell,) = [cell for cell in edge_counts(edge.tallies()) if cell.category == "telemetry"]
    assert (cell.read, cell.forwarded, cell.dropped) == (60_000, 60_000, 0)
    assert len(values(site, layout)) == 60_000


async def test_what_could_not_be_given_up_still_waits(
    edge: Journal, open_site: Callable[[], Log], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-103, PD-10: on a full disk even deleting may fail. What was not deleted is no copy that goes without a word at the next look.

    The disk is full by a patch: when a real one refuses one transaction and takes the next cannot be arranged.
    """
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 60_000, 60)))
    forwarder = Forwarder(edge, open_site, layout)
    size = BufferKeeper(edge, forwarder, layout, BufferConfig(), Confirmed(edge, layout)).size()
    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(max_bytes=size // 2, reserved_bytes=1), Confirmed(edge, layout))

    def full(*_: object, **__: object) -> None:
        raise DiskFull("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(edge, "delete_before", full)
        with pytest.raises(DiskFull):
            keeper.tend(times.now())
    keeper.tend(times.now())
    notices = [decode_event(record.value) for record in stored(edge, layout.overflow)]
    assert {notice.type for notice in notices} == {"BUFFER_OVERFLOW"}
    (cell,) = edge_counts(edge.tallies())
    assert cell.dropped == 60_000 - len(values(edge, layout)) > 0


async def test_what_was_forwarded_is_not_counted_as_given_up(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """W-79, D-20: a backlog that live data has overtaken is dropped by itself; read = forwarded + dropped, to the reading."""
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 29_700, 60)))
    later = times.now() + BACKLOG_AGE + times.SECOND
    forwarder = Forwarder(edge, Unreliable(site).opener, layout, clock=lambda: later)
    forwarder.step()
    await fill(edge, layout, *(readings(start, 60) for start in range(29_700, 60_000, 60)))
    forwarder.step()  # all that is live, a little of the backlog
    assert 0 < len(values(site, layout)) < 60_000
    size = BufferKeeper(edge, forwarder, layout, BufferConfig(), Confirmed(edge, layout)).size()
    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(max_bytes=size // 3, reserved_bytes=1), Confirmed(edge, layout))
    keeper.tend(times.now())
    settle(forwarder)
    (cell,) = [cell for cell in edge_counts(edge.tallies()) if cell.category == "telemetry"]
    assert cell.dropped > 0
    assert cell.read == cell.forwarded + cell.dropped == 60_000
    assert len(values(site, layout)) == cell.forwarded


async def test_submit_waits_while_too_much_is_under_way(edge: Journal, layout: Layout) -> None:
    """Bounded memory: a source waits instead of filling the gateway."""
    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event(), limit=10)
    tasks = [asyncio.create_task(writer.submit(readings(start, 10))) for start in range(0, 50, 10)]
    await asyncio.sleep(0.05)
    assert sum(task.done() for task in tasks) == 0
    writer.start()
    await asyncio.gather(*tasks)
    writer.stop()
    assert len(values(edge, layout)) == 50


async def test_nothing_is_acknowledged_while_the_disk_is_full(edge: Journal, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's own tests fill a real file; here its answer is switched, so that the moment of recovery is the test's choice."""
    real = edge.append_many
    disk = {"full": True}

    def append_many(*arguments: Any, **options: Any) -> Positions:
        if disk["full"]:
            raise RetryLater("database or disk is full")
        return real(*arguments, **options)

    monkeypatch.setattr(edge, "append_many", append_many)
    writer = writer_of(edge, layout)
    writer.start()
    task = asyncio.create_task(writer.submit(readings(0, 10)))
    while writer.error is None:
        await asyncio.sleep(0.01)
    assert not task.done()
    disk["full"] = False
    await task
    assert not writer.error
    assert len(values(edge, layout)) == 10
    writer.stop()


async def test_large_texts_are_spread_over_records(edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout) -> None:
    """A batch of long texts exceeds the largest record; nothing is refused, order and ranges hold."""
    slot = TagSlot.of("P.A.U.NOTE", "plc", Kind.TEXT, 3)
    notes = [(slot, Reading(slot.path, chr(0x1F600 + number) * 240_000, 0, NOW + number, NOW)) for number in range(20)]
    await fill(edge, layout, notes)
    settle(Forwarder(edge, open_site, layout))
    columns = codec.decode(stored(site, layout.topic(Category.TELEMETRY, "raw")))
    assert [columns.text[place] for place in range(20)] == [reading.value for _, reading in notes]
    assert Coverage((head.lo, head.hi) for head in columns.heads).ranges == ((0, 20),)
