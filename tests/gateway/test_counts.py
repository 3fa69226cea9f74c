"""The ledger's counts of a large gateway: not counted anew for every report, and told in records of a size that a log takes."""

from collections.abc import Callable

from trunkline.gateway.counts import EdgeCounts
from trunkline.gateway.edge import READ, tally_key
from trunkline.gateway.reporter import Reporter
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus, decode_status
from trunkline.log.journal.journal import MAX_RECORD_BYTES
from trunkline.log.port import Log, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.reading import Category


class Clocks:
    """Time, and processor time of which each counting takes a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.spent = 0.0
        self.read = 0

    def tallies(self) -> dict[tuple[str, ...], int]:
        self.read += 1
        self.spent += 1.0
        return {tally_key(READ, "plc", Category.TELEMETRY, 7): self.read}


def test_counting_takes_a_fiftieth_of_the_time_at_most() -> None:
    clocks = Clocks()
    counts = EdgeCounts(clocks.tallies, lambda: int(clocks.now * 1e6), lambda: clocks.now, lambda: clocks.spent)
    first = counts.lately()
    assert first == ([EdgeCount("plc", "telemetry", 7, 1, 0, 0)], 0)
    clocks.now = 49.0
    assert counts.lately() is first
    clocks.now = 50.0
    assert counts.lately() == ([EdgeCount("plc", "telemetry", 7, 2, 0, 0)], 50_000_000)
    counts.expire()
    assert counts.lately()[0][0].read == 3, "the last report of all must be exact"
    assert clocks.read == 3


def status(counts: list[EdgeCount], at: int) -> GatewayStatus:
    return GatewayStatus("gw1", "origin", at, "1", [], BufferStatus(0, 0, None, 1), LinkStatus("up", 0, None), counts, counted_us=at - 5)


def test_a_month_of_two_hundred_sources_is_told_in_several_records(open_site: Callable[[], Log], site: Log, layout: Layout) -> None:
    """W-187, D-52: one record of all counts would be larger than a log takes, and no report would come through again."""
    month = [
        EdgeCount(f"plc-{source:03}", "telemetry", 500_000 + hour, 18_000_000, 18_000_000, 0)
        for source in range(200)
        for hour in range(720)
    ]
    reports = [status(month, 1_000), status(month, 2_000), status([*month, EdgeCount("new", "telemetry", 1, 1, 0, 0)], 3_000)]
    coming = iter(reports)
    reporter = Reporter(open_site, layout, lambda: next(coming))
    at = TopicPartition(layout.gateway_status, 0)
    told: list[list[GatewayStatus]] = []
    for _ in reports:
        before = site.bounds(layout.gateway_status)[at][1]
        reporter.publish()
        records = site.read(at, before, 1000)
        assert max(len(record.value) for record in records) < MAX_RECORD_BYTES / 2
        told.append([decode_status(record.value) for record in records])
    reporter.stop()
    whole, same, more = told
    assert [count for part in whole for count in part.counts] == month
    assert len(whole) > 1
    # who has read only some of the parts must not take the counts for complete
    assert all(part.counted_us < 500 for part in whole[:-1])
    assert whole[-1].counted_us == 995
    assert [part.counts for part in same] == [[]]
    assert [count.source for part in more for count in part.counts] == ["new"]
