"""How far MirrorMaker 2 is, from the books that it keeps at the centre: positions by partition, and the state of its connectors."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as At

from trunkline.log.kafka.access import mirror_alias
from trunkline.log.kafka.errors import END_OF_PARTITION
from trunkline.log.kafka.settings import Connection
from trunkline.log.port import TopicPartition

_PAGE: Final = 1000
#: Beyond this many, records are counted by their offsets, among which Kafka's own marks of transactions are.
_COUNTED: Final = 1000
_LOOK_SECONDS: Final = 1.0


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
        connection: to the centre, as the user mirror-SITE or one who may read its books.
        site: name of the site.
    """

    def __init__(self, connection: Connection, site: str) -> None:
        self._connection = connection
        self._alias = mirror_alias(site)

    def positions(self) -> dict[TopicPartition, int]:
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
        """Return the newest value of each key of a compacted topic; a key without a value is gone."""
        with _reader(self._connection) as reader:
            found: dict[bytes, bytes | None] = {}
            for message in _all_of(reader, self._connection, topic, {}):
                found[message.key() or b""] = message.value()
        return {key: value for key, value in found.items() if value is not None}


def waiting(edge: Connection, topics: Sequence[str], positions: Mapping[TopicPartition, int]) -> dict[str, int]:
    """Return how many records of each topic of the edge have not been mirrored.

    Raises:
        Misconfigured, RetryLater: the edge's broker is away, or has no such topic.
    """
    with _reader(edge) as reader:
        return {topic: _waiting(reader, edge, topic, positions) for topic in topics}


def _waiting(reader: Consumer, edge: Connection, topic: str, positions: Mapping[TopicPartition, int]) -> int:
    rough = 0
    for partition in _partitions(reader, edge, topic):
        low, high = _bounds(reader, edge, At(topic, partition))
        rough += high - max(low, positions.get(TopicPartition(topic, partition), 0))
    if not 0 < rough <= _COUNTED:
        return rough
    starts = {at.partition: position for at, position in positions.items() if at.topic == topic}
    return sum(1 for _ in _all_of(reader, edge, topic, starts))


def _reader(connection: Connection) -> Consumer:
    return Consumer(
        connection.of_client(
            {
                "group.id": "unused",  # the client wants one; nothing is committed and no group is joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
    )


def _all_of(reader: Consumer, connection: Connection, topic: str, starts: Mapping[int, int]) -> list[Message]:
    """Return everything in a topic from the positions on (a partition that is not named: from the beginning) to its present end."""
    left = set(_partitions(reader, connection, topic))
    lows = {partition: _bounds(reader, connection, At(topic, partition))[0] for partition in left}
    reader.assign([At(topic, partition, max(low, starts.get(partition, 0))) for partition, low in lows.items()])
    found: list[Message] = []
    while left:
        page = reader.consume(_PAGE, _LOOK_SECONDS)
        if not page:
            _bounds(reader, connection, At(topic, min(left)))  # raises when nobody answers any more
        for message in page:
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == END_OF_PARTITION:
                left.discard(message.partition() or 0)
            else:
                raise connection.explain(error, f"read topic {topic}", topic)
    reader.unassign()
    return found


def _partitions(reader: Consumer, connection: Connection, topic: str) -> list[int]:
    try:
        found = reader.list_topics(topic, timeout=connection.timeout).topics[topic]
    except KafkaException as error:
        raise connection.explain(error, f"ask for topic {topic}", topic) from error
    if found.error is not None:
        raise connection.explain(found.error, f"ask for topic {topic}", topic)
    return sorted(found.partitions)


def _bounds(reader: Consumer, connection: Connection, at: At) -> tuple[int, int]:
    try:
        low, high = reader.get_watermark_offsets(at, timeout=connection.timeout)
    except KafkaException as error:
        raise connection.explain(error, f"ask for the end of topic {at.topic}", at.topic) from error
    return low, high
