"""Edge records on their way: which go next, what is sent to the site log for each, and how many readings they hold."""

import heapq
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

from trunkline.gateway.edge import tally_key
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.port import Record, StoredRecord
from trunkline.model.reading import Category


def size_of(record: Record | StoredRecord) -> int:
    """Return the bytes of a record: value, key and headers."""
    return len(record.value) + len(record.key or b"") + sum(len(name) + len(value) for name, value in record.headers)


def first_of(runs: Sequence[Sequence[StoredRecord]], room: int) -> list[StoredRecord]:
    """Return the records that were journalled first, as many as `room` bytes hold, but at least one.

    Args:
        runs: of one partition each, ascending; what is taken of each is its beginning.
        room: bytes.
    """
    if sum(size_of(record) for run in runs for record in run) <= room:
        return [record for run in runs for record in run]
    taken: list[StoredRecord] = []
    for record in heapq.merge(*runs, key=attrgetter("timestamp")):
        room -= size_of(record)
        if taken and room < 0:
            break
        taken.append(record)
    return taken


def count(records: Sequence[StoredRecord], what: str, category: Category) -> Counter[tuple[str, ...]]:
    """Return the ledger counts of edge records, from their headers."""
    tallies: Counter[tuple[str, ...]] = Counter()
    for record in records:
        header = record.header(HEADER)
        if header is not None:
            for tally in decode_head(header).tallies:
                tallies[tally_key(what, tally.source, category, tally.hour)] += tally.readings
    return tallies


def as_sent(
    forms: Forms, category: Category | None, records: Sequence[StoredRecord], mark: tuple[tuple[str, bytes], ...] = ()
) -> list[list[Record]]:
    """Return for each edge record what is sent to the site log for it.

    Args:
        forms: how the site writes.
        category: class of the records' topic; None for notices and log lines.
        records: of one topic.
        mark: headers to add.
    """
    marked = [record._replace(headers=(*record.headers, *mark)) for record in records] if mark else records
    if category is Category.TELEMETRY:
        return forms.telemetry(marked)
    return [[_copy(record, forms.event(record.value) if category is not None else record.value)] for record in marked]


def _copy(record: StoredRecord, value: bytes) -> Record:
    return Record(value, record.key, record.headers, record.timestamp, record.partition)
