"""Sending again on demand, on real journals at both ends and the real validation behind them (PD-4, PD-10)."""

import asyncio
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.edge_support import NOW, TAGS, fill, positions, readings
from tests.gateway.test_store_and_forward import Unreliable, event, settle
from tests.gateway.test_store_and_forward import fill as fill_with_events

from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.gateway.edge import edge_counts
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.outbox import LADDER, MAX_RETRIES, Lane, Poison
from trunkline.gateway.resending import Resend, answer_to, ask
from trunkline.historian.account import VALIDATE_GROUP
from trunkline.log.codec import columns as codec
from trunkline.log.codec.events import decode_event
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Rejected
from trunkline.model.reading import Category
from trunkline.processing.validate import ValidateStep


class Ticking:
    """Seconds that pass with every look, so that requests are always due."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 2.0
        return self.seconds


def forwarder_of(edge: Journal, open_site: Callable[[], Log], layout: Layout) -> Forwarder:
    return Forwarder(edge, open_site, layout, ticks=Ticking())


def validator(layout: Layout) -> ValidateStep:
    return ValidateStep(layout, {path: TagConfig(path=path) for path in TAGS}, ValidationConfig(), clock=lambda: NOW + times.MINUTE)


def validate(site: Log, step: ValidateStep) -> None:
    with site.consumer(VALIDATE_GROUP, step.inputs, "worker-0") as consumer:
        while batch := consumer.poll(1000, 0.1):
            consumer.commit(batch.positions, with_appends=step.process(batch.records))


def clean(site: Log, layout: Layout) -> list[int]:
    topic = layout.topic(Category.TELEMETRY, "clean")
    records = [record for at in site.bounds(topic) for record in site.read(at, 0, 10_000)]
    return sorted(codec.decode(records).seq.tolist())


def counted(edge: Journal) -> set[tuple[str, int, int]]:
    return {(cell.category, cell.read, cell.forwarded) for cell in edge_counts(edge.tallies())}


async def test_what_was_forwarded_goes_again_and_nothing_is_doubled(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """PD-10: the raw topic has everything twice, what validation passes on everything once, and the ledger's counts stand as they were."""
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 600, 60)))
    forwarder, step = forwarder_of(edge, open_site, layout), validator(layout)
    settle(forwarder)
    validate(site, step)
    before = counted(edge)
    assert before == {("telemetry", 600, 600)}
    assert ask(edge, Resend("one", since_us=0))
    settle(forwarder)
    answer = answer_to(edge, Resend("one"))
    assert answer is not None
    assert answer.records == 30, "ten blocks in each of three partitions"
    assert positions(site, layout) == sorted([*range(600), *range(600)])
    validate(site, step)
    assert clean(site, layout) == list(range(600))
    assert counted(edge) == before


async def test_only_what_was_journalled_in_the_time(edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout) -> None:
    moments = []
    for start in range(0, 300, 60):
        moments.append(times.now())
        await fill(edge, layout, readings(start, 60))
        await asyncio.sleep(0.002)
    forwarder = forwarder_of(edge, open_site, layout)
    settle(forwarder)
    assert ask(edge, Resend("one", since_us=moments[1], until_us=moments[3]))
    settle(forwarder)
    assert positions(site, layout) == sorted([*range(300), *range(60, 180)])
    assert ask(edge, Resend("two", topics=[layout.topic(Category.ALARM, "raw")], since_us=0))
    settle(forwarder)
    assert len(positions(site, layout)) == 420, "another topic was asked for"


async def test_what_waits_is_not_sent_twice_for_it(edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout) -> None:
    """New data and a backlog go in their own lanes and before: only what is settled goes again."""
    await fill(edge, layout, readings(0, 60))
    forwarder = forwarder_of(edge, open_site, layout)
    settle(forwarder)
    await fill(edge, layout, readings(60, 60))
    for lane in forwarder.outbox.lanes.values():
        lane.split(2)  # what came last waits as a backlog
    await fill(edge, layout, readings(120, 60))
    assert ask(edge, Resend("one", since_us=0))
    forwarder.step()
    settle(forwarder)
    found = positions(site, layout)
    assert set(found) == set(range(180))
    assert [found.count(position) for position in (0, 59)] == [2, 2]
    assert counted(edge) == {("telemetry", 180, 180)}


async def test_a_request_is_taken_once_whoever_restarts(edge: Journal, open_site: Callable[[], Log], site: Log, layout: Layout) -> None:
    """Left while the gateway stands still, taken when it starts; not again after that; a second one waits for its turn."""
    await fill(edge, layout, readings(0, 60))
    settle(forwarder_of(edge, open_site, layout))
    assert ask(edge, Resend("one", since_us=0))
    assert not ask(edge, Resend("two", since_us=0)), "the first one was not taken yet"
    settle(forwarder_of(edge, open_site, layout))
    settle(forwarder_of(edge, open_site, layout))
    assert len(positions(site, layout)) == 120
    assert ask(edge, Resend("two", since_us=0))
    assert answer_to(edge, Resend("two")) is None


async def test_a_cut_in_the_middle_goes_on_where_it_was(edge: Journal, site: Log, layout: Layout) -> None:
    """What is still to be sent again is in the journal, like every lane."""
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 6000, 60)))
    far = Unreliable(site)
    settle(forwarder_of(edge, far.opener, layout))
    assert ask(edge, Resend("one", since_us=0))
    first = forwarder_of(edge, far.opener, layout)
    first.step()
    again = len(positions(site, layout)) - 6000
    assert 0 < again < 6000
    settle(forwarder_of(edge, far.opener, layout))
    assert positions(site, layout) == sorted([*range(6000), *range(6000)])


async def test_a_failed_record_goes_again_by_hand(edge: Journal, site: Log, layout: Layout) -> None:
    """PD-4: FAILED rows can be inspected and resent, with all their tries; their bytes are in the journal until then."""
    await fill_with_events(edge, layout, readings(0, 12), events=[event("GOOD"), event("BAD_ONE"), event("BAD_TWO")])
    flaky = Unreliable(site)

    def refuse(_topic: str, records: Sequence[Record]) -> Exception | None:
        rows = [row for row, record in enumerate(records) if b"BAD" in record.value]
        return Rejected("not in the schema", rows) if rows else None

    flaky.refuse = refuse
    now = times.now()
    forwarder = Forwarder(edge, flaky.opener, layout, clock=lambda: now, ticks=Ticking())
    for _ in range(MAX_RETRIES):
        settle(forwarder)
        now += LADDER[-1]
    topic = layout.topic(Category.EVENT, "raw")
    at = TopicPartition(topic, 0)
    assert [(one.offset, one.failed) for one in forwarder.outbox.lane(at).poison] == [(1, True), (2, True)]
    flaky.refuse = lambda _topic, _records: None
    settle(forwarder)
    assert _types(site, topic) == ["GOOD"]
    assert ask(edge, Resend("one", failed=True, places=[(topic, 0, 2)]))
    settle(forwarder)
    assert _types(site, topic) == ["GOOD", "BAD_TWO"]
    assert ask(edge, Resend("two", failed=True))
    settle(forwarder)
    assert _types(site, topic) == ["GOOD", "BAD_TWO", "BAD_ONE"]
    assert ("event", 3, 3) in counted(edge)


def _types(site: Log, topic: str) -> list[str]:
    records: list[StoredRecord] = site.read(TopicPartition(topic, 0), 0, 100)
    return [decode_event(record.value).type for record in records]


ranges = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple), max_size=6)


@given(live=st.integers(0, 30), asked=ranges, aside=st.sets(st.integers(0, 29), max_size=4))
def test_again_holds_what_is_settled_and_asked_for_and_nothing_twice(live: int, asked: list[tuple[int, int]], aside: set[int]) -> None:
    """A lane up to 30, of which some waits: ranges are apart, ascending, and cover exactly the offsets asked for that wait for nothing."""
    poison = [Poison(offset, 1, 0, "") for offset in aside if offset < live]
    lane = Lane(live=live, backlog=[(5, 8)] if live > 8 else [], poison=poison)
    added = sum(lane.send_again(first, end) for first, end in asked)
    covered = [offset for start, stop in lane.again for offset in range(start, stop)]
    wanted = {offset for first, end in asked for offset in range(first, end) if not lane.waits(offset)}
    assert covered == sorted(wanted)
    assert added == len(covered)
    assert all(stop < start for (_, stop), (start, _) in zip(lane.again, lane.again[1:], strict=False))
