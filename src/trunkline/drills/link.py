"""The site log behind a link that a file keeps up, and that may be slow, lose calls or answers, and hang.

Where the site's log is the embedded journal this wrapper is the link. What real connections that break within a call of Kafka's protocol do
is tested with real brokers.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from typing_extensions import override

from trunkline.drills.weather import Line
from trunkline.log.codec.head import HEADER, BlockHead, decode_head, encode_head
from trunkline.log.port import Consumer, Log, Positions, Record, StoredRecord, Topic, TopicPartition
from trunkline.model.errors import RetryLater

T = TypeVar("T")

#: Readings that go by before records come a second time: more than validation remembers the values of, so that only their identity tells.
_GO_BY: Final = 400_000
#: Records that come a second time.
_AGAIN: Final = 20


class CutLog:
    """A `trunkline.log.port.Log` that is away while its link is.

    The cut falls between two calls: what the log does with a call that is cut in the middle is its own promise, held to by its own tests.

    Args:
        log: what is behind the link.
        link: there while the link is up.
    """

    def __init__(self, log: Log, link: Path) -> None:
        self._log = log
        self._link = link

    def _carry(self, call: Callable[[Log], T], size: int = 0) -> T:
        """Make a call whose records have so many bytes."""
        del size
        if not self._link.exists():
            raise RetryLater("the link to the site is cut")
        return call(self._log)

    def create(self, topics: Iterable[Topic]) -> None:
        """See the port."""
        self._carry(lambda log: log.create(topics))

    def topics(self) -> dict[str, Topic]:
        """See the port."""
        return self._carry(lambda log: log.topics())

    def identity(self, topic: str) -> str:
        """See the port."""
        return self._carry(lambda log: log.identity(topic))

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        """See the port."""
        return self._carry(lambda log: log.append(topic, records, atomic=atomic), sum(map(_size, records)))

    def consumer(self, group: str, topics: Sequence[str], member: str, *, appends: Sequence[str] = ()) -> Consumer:
        """See the port."""
        return self._carry(lambda log: log.consumer(group, topics, member, appends=appends))

    def read(self, at: TopicPartition, offset: int, max_records: int = 1000) -> list[StoredRecord]:
        """See the port."""
        return self._carry(lambda log: log.read(at, offset, max_records))

    def bounds(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """See the port."""
        return self._carry(lambda log: log.bounds(topic))

    def committed(self, group: str) -> Positions:
        """See the port."""
        return self._carry(lambda log: log.committed(group))

    def close(self) -> None:
        """See the port."""
        self._log.close()


class BadLog(CutLog):
    """The same on a line in bad weather: slow, and calls hang, never reach the log, or reach it while the caller hears that they failed.

    Args:
        log: what is behind the link.
        link: there while the link is up.
        line: what its calls go through.
    """

    def __init__(self, log: Log, link: Path, line: Line) -> None:
        super().__init__(log, link)
        self._line = line

    @override
    def _carry(self, call: Callable[[Log], T], size: int = 0) -> T:
        carry = super()._carry
        return self._line.carry(lambda: carry(call), size)


@dataclass(slots=True)
class Kept:
    """What a `TwiceLog` will deliver again.

    Attributes:
        topic: theirs.
        records: of one append; they wait for their time.
        readings: that have gone by.
    """

    topic: str = ""
    records: list[Record] = field(default_factory=list)
    readings: int = 0


class TwiceLog(BadLog):
    """Planted defect: the first records are appended once more, much later and under the name of another gateway.

    Args:
        log: what is behind the link.
        link: there while the link is up.
        line: what its calls go through.
        topics: those of readings.
        kept: outlives this log, which is opened anew after each fault.
    """

    def __init__(self, log: Log, link: Path, line: Line, topics: Collection[str], kept: Kept) -> None:
        super().__init__(log, link, line)
        self._topics = topics
        self._kept = kept

    @override
    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        appended = super().append(topic, records, atomic=atomic)
        if topic in self._topics:
            kept = self._kept
            if not kept.readings:
                kept.topic, kept.records = topic, list(map(_renamed, records[:_AGAIN]))
            kept.readings += sum(head.readings for head in map(_head, records))
            if kept.records and kept.readings >= _GO_BY:
                super().append(kept.topic, kept.records, atomic=False)
                kept.records = []
        return appended


def _size(record: Record) -> int:
    return len(record.value) + len(record.key or b"") + sum(map(len, chain.from_iterable(record.headers)))


def _head(record: Record) -> BlockHead:
    return decode_head(next(value for name, value in record.headers if name == HEADER))


def _renamed(record: Record) -> Record:
    """Return a record as another gateway would have sent it."""
    head = msgspec.structs.replace(_head(record), origin="00000000-0000-7000-8000-000000000000")
    return record._replace(headers=((HEADER, encode_head(head)), *(one for one in record.headers if one[0] != HEADER)))
