"""The site log behind a link that a file keeps up: without the file nothing gets through, in either direction."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from trunkline.log.port import Consumer, Log, Positions, Record, StoredRecord, Topic, TopicPartition
from trunkline.model.errors import RetryLater


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

    def _through(self) -> Log:
        if not self._link.exists():
            raise RetryLater("the link to the site is cut")
        return self._log

    def create(self, topics: Iterable[Topic]) -> None:
        """See the port."""
        self._through().create(topics)

    def topics(self) -> dict[str, Topic]:
        """See the port."""
        return self._through().topics()

    def identity(self, topic: str) -> str:
        """See the port."""
        return self._through().identity(topic)

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        """See the port."""
        return self._through().append(topic, records, atomic=atomic)

    def consumer(self, group: str, topics: Sequence[str], member: str, *, appends: Sequence[str] = ()) -> Consumer:
        """See the port."""
        return self._through().consumer(group, topics, member, appends=appends)

    def read(self, at: TopicPartition, offset: int, max_records: int = 1000) -> list[StoredRecord]:
        """See the port."""
        return self._through().read(at, offset, max_records)

    def bounds(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """See the port."""
        return self._through().bounds(topic)

    def committed(self, group: str) -> Positions:
        """See the port."""
        return self._through().committed(group)

    def close(self) -> None:
        """See the port."""
        self._log.close()
