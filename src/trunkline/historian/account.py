"""The ledger of a running site: the historian's counts, and what is on its way in the log behind them.

The order of looking makes it honest: first the historian's counts with its positions, then validation's position, then the clean topics.
A record on the move may then be seen twice, never missed, so data in flow is no false alarm, and at rest every figure is exact.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from trunkline.historian.reader import Reader
from trunkline.ledger.balance import Balance, Cell, balance
from trunkline.ledger.status import decode_status
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.port import Log, Positions, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.reading import Category

VALIDATE_GROUP: Final = "validate"
HISTORIAN_GROUP: Final = "historian"
_PAGE: Final = 1000
#: Enough to hold a report of every gateway.
_STATUS_RECORDS: Final = 500


def take_account(reader: Reader, log: Log, layout: Layout, *, recount: bool = False) -> Balance:
    """Balance the ledger.

    Args:
        reader: of the historian.
        log: the site log.
        layout: names of the topics.
        recount: count the historian's tables again, which finds rows deleted by hand.

    Raises:
        RetryLater: the database or the log is away.
    """
    snapshot = reader.ledger_snapshot(recount=recount)
    judged = log.committed(VALIDATE_GROUP)
    under_way: Counter[Cell] = Counter()
    for topic, category in layout.categories("clean").items():
        under_way += _behind(log, topic, category, snapshot.positions, snapshot.gateways)
    for topic, category in layout.categories("raw").items():
        under_way += _behind(log, topic, category, judged, snapshot.gateways)
    up_to_date = _told_until(log, layout, snapshot.positions) >= _newest(log, layout)
    return balance(snapshot.counts, under_way, snapshot.holes, times.now(), up_to_date=up_to_date)


def _told_until(log: Log, layout: Layout, positions: Positions) -> int:
    """Return the time up to which every gateway's counts have reached the historian; 0 when none has."""
    at = TopicPartition(layout.gateway_status, 0)
    end = positions.get(at, 0)
    told: dict[bytes | None, int] = {}
    for record in log.read(at, max(log.bounds(at.topic)[at][0], end - _STATUS_RECORDS), _STATUS_RECORDS):
        if record.offset < end:
            one = decode_status(record.value)
            told[record.key] = one.counted_us or one.at_us  # taken before the counts
    return min(told.values(), default=0)


def _newest(log: Log, layout: Layout) -> int:
    """Return when the newest raw record was made durable at the edge; 0 when there is none."""
    newest = 0
    for topic in layout.categories("raw"):
        for at, (first, end) in log.bounds(topic).items():
            if first < end:
                newest = max(newest, *(record.timestamp for record in log.read(at, end - 1, 1)), 0)
    return newest


def _behind(log: Log, topic: str, category: Category, positions: Positions, gateways: Mapping[str, str]) -> Counter[Cell]:
    """Count the records after the positions, by their headers."""
    counted: Counter[Cell] = Counter()
    for at, (first, end) in log.bounds(topic).items():
        position = max(first, positions.get(at, 0))
        while position < end:
            records = log.read(at, position, _PAGE)
            if not records:
                break
            position = records[-1].offset + 1
            for record in records:
                header = record.header(HEADER)
                if header is None:
                    continue
                head = decode_head(header)
                for tally in head.tallies:
                    cell = Cell(gateways.get(head.origin, head.origin), tally.source, category.name.lower(), tally.hour)
                    counted[cell] += tally.readings + tally.rejected + tally.deduplicated
    return counted


def settled(log: Log, layout: Layout) -> bool:
    """Return whether validation and the historian have read everything there is."""
    return _read_to_end(log, VALIDATE_GROUP, layout.categories("raw")) and _read_to_end(
        log, HISTORIAN_GROUP, [*layout.categories("clean"), layout.gateway_status]
    )


def _read_to_end(log: Log, group: str, topics: Iterable[str]) -> bool:
    stored = log.committed(group)
    return all(
        stored.get(TopicPartition(at.topic, at.partition), 0) >= end for topic in topics for at, (_, end) in log.bounds(topic).items()
    )
