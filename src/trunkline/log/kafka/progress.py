"""How far MirrorMaker 2 is, from the books that it keeps at the centre: positions by partition, and the state of its connectors."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from trunkline.log.kafka.access import mirror_alias
from trunkline.log.port import Log, Positions, StoredRecord, TopicPartition

_PAGE: Final = 1000
#: Beyond this many, records are counted by their offsets, among which Kafka's own marks of transactions are.
_COUNTED: Final = 1000


class Part(NamedTuple):
    """A connector of MirrorMaker 2, or a task of one.

    Attributes:
        name: `MirrorSourceConnector`, for a task with its number after a slash.
        state: RUNNING, FAILED, PAUSED, UNASSIGNED …, as Kafka Connect says.
        reason: first line of the error of what failed; empty otherwise.
    """

    name: str
    state: str
    reason: str


class MirrorBooks:
    """Reads the books of one edge at the centre.

    Args:
        centre: the log at the centre, opened as the user mirror-SITE or one who may read its books.
        site: name of the site.
    """

    def __init__(self, centre: Log, site: str) -> None:
        self._centre = centre
        self._alias = mirror_alias(site)

    def positions(self) -> Positions:
        """Return, for each partition of the edge that has been mirrored, the offset that comes next. Told anew every ten seconds.

        Raises:
            Misconfigured, RetryLater: the centre refuses or is away.
        """
        found = {}
        for key, value in self._latest(f"mm2-offsets.{self._alias}.internal").items():
            connector, place = json.loads(key)
            if connector == "MirrorSourceConnector" and place["cluster"] == self._alias:
                found[TopicPartition(place["topic"], place["partition"])] = json.loads(value)["offset"] + 1
        return found

    def parts(self) -> list[Part]:
        """Return the connectors and tasks that take records to the centre. Raises Misconfigured, RetryLater."""
        found = []
        for key, value in sorted(self._latest(f"mm2-status.{self._alias}.internal").items()):
            kind, _, name = key.decode().removeprefix("status-").partition("-")
            if kind in ("connector", "task"):
                said: Mapping[str, Any] = json.loads(value)
                name = "/".join(name.rsplit("-", 1)) if kind == "task" else name
                found.append(Part(name, said["state"], (said.get("trace") or "").partition("\n")[0]))
        return found

    def _latest(self, topic: str) -> dict[bytes, bytes]:
        """Return the newest value of each key of a compacted topic; a key whose value is empty is gone."""
        found = {
            record.key or b"": record.value
            for at, (low, _) in self._centre.bounds(topic).items()
            for record in _from(self._centre, at, low)
        }
        return {key: value for key, value in found.items() if value}


def waiting(edge: Log, topics: Sequence[str], positions: Mapping[TopicPartition, int]) -> dict[str, int]:
    """Return how many records of each topic of the edge have not been mirrored.

    Raises:
        Misconfigured, RetryLater: the edge's broker is away, or has no such topic.
    """
    return {topic: sum(_waiting(edge, at, low, end, positions) for at, (low, end) in edge.bounds(topic).items()) for topic in topics}


def _waiting(edge: Log, at: TopicPartition, low: int, end: int, positions: Mapping[TopicPartition, int]) -> int:
    start = max(low, positions.get(at, 0))
    rough = end - start
    return sum(1 for _ in _from(edge, at, start)) if 0 < rough <= _COUNTED else rough


def _from(log: Log, at: TopicPartition, offset: int) -> Iterator[StoredRecord]:
    """Yield what a partition has from an offset on."""
    while records := log.read(at, offset, _PAGE):
        yield from records
        offset = records[-1].offset + 1
