"""New and revised buckets to the topics of their tiers, each once.

What is to be published lies in `rollup_outbox`, written in the transaction that stores the rows. Records carry the id of their row there,
which only grows within a topic, and those of one append become visible together; so after a kill the last record of a topic says what is
there already, and that is left out.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np

from trunkline.historian.db import Connection
from trunkline.historian.rollup.rows import NEVER, ROW, Rows
from trunkline.historian.rollup.tiers import Tier, ends
from trunkline.log.codec.rollups import RollupBlock, encode_rollup_json, encode_rollups
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Log, Record, StoredRecord, TopicPartition

Form = Literal["block", "json"]
#: Header with the id in the outbox.
HEADER: Final = "outbox"
_WAITING: Final = "SELECT id, rows FROM rollup_outbox WHERE tier = %s ORDER BY id LIMIT 1"
_DONE: Final = "DELETE FROM rollup_outbox WHERE tier = %s AND id <= %s"
_TAGS: Final = "SELECT id, tag, unit FROM series WHERE id = ANY(%s)"
#: Buckets in one record, at most: about a megabyte.
_BUCKETS: Final = 5_000
_TAIL: Final = 20
#: Columns of a block that are columns of the table, by name.
_SAME: Final = (
    "revision", "valued", "good_us", "uncertain_us", "bad_us", "valued_us", "avg", "m2", "tw_avg", "min", "max", "first", "last", "p50",
    "p95", "p99", "total",
)  # fmt: skip
_COLUMNS: Final = {"window_start": "start", "count": "n", "uncertain_samples": "uncertain", "bad_samples": "bad"} | {
    name: name for name in _SAME
}


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where rollups are published.

    Attributes:
        log: the site log.
        topics: by tier; tiers without one are not published.
        form: 'block' holds many buckets in Avro, 'json' one.
    """

    log: Log
    topics: Mapping[Tier, str]
    form: Form = "block"


class Publisher:
    """Empties the outbox. Used by whoever holds the roller's lock, on the same connection.

    Args:
        outlet: where to.
        zone: in which days begin.
    """

    def __init__(self, outlet: Outlet, zone: ZoneInfo) -> None:
        self._outlet = outlet
        self._zone = zone
        self._published: dict[Tier, int] = {}
        self._tags: dict[int, tuple[str, str]] = {}
        self._partition: dict[tuple[str, int], int] = {}

    def forget(self) -> None:
        """Look at the topics and tags again: somebody else may have published, and units may have changed."""
        self._published.clear()
        self._tags.clear()

    def run_once(self, connection: Connection, stop: threading.Event | None = None) -> int:
        """Publish what waits; return how many buckets that were.

        Raises:
            RetryLater: the log or PostgreSQL is unable now; what was not published waits.
            Misconfigured: a topic is missing.
        """
        published = 0
        for tier, topic in self._outlet.topics.items():
            while (row := connection.execute(_WAITING, (int(tier),)).fetchone()) is not None and not (stop and stop.is_set()):
                number, rows = int(row[0]), np.frombuffer(row[1], ROW)
                if tier not in self._published:
                    self._published[tier] = last_published(self._outlet.log, topic)
                if number > self._published[tier]:
                    self._outlet.log.append(topic, self._records(connection, tier, number, rows))
                    self._published[tier] = number
                    published += len(rows)
                connection.execute(_DONE, (int(tier), number))
        return published

    def _records(self, connection: Connection, tier: Tier, number: int, rows: Rows) -> list[Record]:
        """Return the records of one row of the outbox: each tag in its partition."""
        self._learn(connection, np.unique(rows["series_id"]).tolist())
        partitions = self._outlet.log.topics()[self._outlet.topics[tier]].partitions
        lane = np.array([self._partition_of(self._tags[series][0], partitions) for series in rows["series_id"].tolist()])
        headers = ((HEADER, str(number).encode()),)
        records: list[Record] = []
        for partition in np.unique(lane).tolist():
            mine = np.flatnonzero(lane == partition)
            for begin in range(0, len(mine), _BUCKETS):
                block = self._block(tier, rows[mine[begin : begin + _BUCKETS]])
                if self._outlet.form == "block":
                    records.append(Record(encode_rollups(block), None, headers, partition=partition))
                    continue
                for place, tag in enumerate(block.columns["tag"].tolist()):
                    records.append(Record(encode_rollup_json(block, place), block.tags[tag].encode(), headers, partition=partition))
        return records

    def _block(self, tier: Tier, rows: Rows) -> RollupBlock:
        series, tag = np.unique(rows["series_id"], return_inverse=True)
        names = [self._tags[one] for one in series.tolist()]
        columns = {name: rows[source] for name, source in _COLUMNS.items()}
        columns |= {"tag": tag, "window_end": ends(tier, self._zone, rows["start"])}
        columns |= {f"{name}_time": np.where(rows[f"{name}_t"] == NEVER, 0, rows[f"{name}_t"]) for name in ("min", "max", "first", "last")}
        return RollupBlock(tier.title, [name for name, _ in names], [unit for _, unit in names], columns)

    def _learn(self, connection: Connection, series: list[int]) -> None:
        missing = [one for one in series if one not in self._tags]
        if missing:
            self._tags |= {one: (tag, unit) for one, tag, unit in connection.execute(_TAGS, (missing,)).fetchall()}

    def _partition_of(self, tag: str, partitions: int) -> int:
        if (tag, partitions) not in self._partition:
            self._partition[tag, partitions] = partition_of(tag.encode(), partitions)
        return self._partition[tag, partitions]


def last_published(log: Log, topic: str) -> int:
    """Return the greatest outbox id on a topic, 0 when there is none: one append makes all of its records visible or none."""
    return max((_last_in(log, at, first, end) for at, (first, end) in log.bounds(topic).items()), default=0)


def _last_in(log: Log, at: TopicPartition, first: int, end: int) -> int:
    """Return the last id in a partition. Offsets may have gaps, so the look back grows until something is found."""
    look = _TAIL
    while first < end:
        found = [record for record in log.read(at, max(first, end - look), look) if record.header(HEADER) is not None]
        if found:
            return max(_number(record) for record in found)
        if end - look <= first:
            return 0
        look *= 8
    return 0


def _number(record: StoredRecord) -> int:
    value = record.header(HEADER)
    assert value is not None, "chosen for it"
    return int(value)
