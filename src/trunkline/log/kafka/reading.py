"""Reading without a group: one client that follows many partitions, each at its own place."""

import contextlib
import threading
import time
from collections import OrderedDict, deque
from typing import Final

from confluent_kafka import Consumer, IsolationLevel, KafkaException, Message
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from trunkline.log.kafka.errors import END_OF_PARTITION, LEADERLESS, answer, code_of
from trunkline.log.kafka.records import stored
from trunkline.log.kafka.settings import CONSUMING, Connection, Settings
from trunkline.log.port import Positions, StoredRecord, TopicPartition

#: Partitions followed at once, and what may lie unread of one that nobody asks for: beyond either it is let go.
_FOLLOWED: Final = 256
_UNREAD_BYTES: Final = 4 << 20
_CHUNK: Final = 1000
#: How long records of a transaction are waited for that was confirmed or is still open.
_SHOWN_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.002
_LEADER_SECONDS: Final = 0.1
_OWN: Final[Settings] = {
    # never joined: the client wants a name
    "group.id": "trunkline.reader",
    "queued.min.messages": 10_000,
    "queued.max.messages.kbytes": 16_384,
    "fetch.message.max.bytes": 1 << 20,
}


class _Place:
    """Where a partition was read to: `asked` by callers, `reached` by the client; between them lie `records`."""

    __slots__ = ("asked", "reached", "records", "size")

    def __init__(self, offset: int) -> None:
        self.asked = offset
        self.reached = offset
        self.records: deque[StoredRecord] = deque()
        self.size = 0


class Reader:
    """Reads partitions by offset; what a transaction has not committed stays unseen. Thread-safe.

    Args:
        connection: settings and time limits.
        admin: any connected client for administration.
    """

    def __init__(self, connection: Connection, admin: AdminClient) -> None:
        self._connection = connection
        self._admin = admin
        self._lock = threading.Lock()
        self._client: Consumer | None = None
        self._places: OrderedDict[TopicPartition, _Place] = OrderedDict()
        self._stuck: Positions = {}

    def bounds(self, partitions: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (first kept offset, end of what is committed) of partitions. Raises Misconfigured, RetryLater."""
        firsts = self._offsets(partitions, OffsetSpec.earliest())
        ends = self._ends(partitions)
        return {at: (firsts[at], max(firsts[at], ends[at])) for at in partitions}

    def read(self, at: TopicPartition, offset: int, max_records: int) -> list[StoredRecord]:
        """Return records from `offset` on, or from the first kept one. Raises Misconfigured, RetryLater."""
        first, end = self.bounds([at])[at]
        offset = max(offset, first)
        if offset >= end:
            return []
        with self._lock:
            place = self._place(at, offset)
            deadline = time.monotonic() + self._connection.timeout
            while not place.records and place.reached < end:
                self._fetch(at, deadline - time.monotonic())
            records = [place.records.popleft() for _ in range(min(max_records, len(place.records)))]
            place.size -= sum(len(record.value) for record in records)
            if records:
                place.asked = records[-1].offset + 1
            return records

    def close(self) -> None:
        """Drop the client."""
        with self._lock:
            client, self._client = self._client, None
            self._places.clear()
            if client is not None:
                client.close()

    def _ends(self, partitions: list[TopicPartition]) -> Positions:
        """Return the ends of what is committed.

        Kafka confirms a transaction a little before it shows it. So that a reader sees what was confirmed before it asks, a partition
        with records that are not shown yet is looked at again for a while, unless the same ones kept it waiting before: those belong to
        a writer that died, and show up or vanish after the time limit of transactions.
        """
        written = self._offsets(partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)
        ends = self._offsets(partitions, OffsetSpec.latest())
        deadline = time.monotonic() + _SHOWN_SECONDS
        while hidden := [at for at in partitions if ends[at] < written[at] and self._stuck.get(at) != ends[at]]:
            if time.monotonic() > deadline:
                self._stuck |= {at: ends[at] for at in hidden}
                break
            time.sleep(_LOOK_SECONDS)
            ends |= self._offsets(hidden, OffsetSpec.latest())
        return ends

    def _offsets(
        self, partitions: list[TopicPartition], spec: OffsetSpec, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> Positions:
        deadline = time.monotonic() + self._connection.timeout
        while True:
            try:
                found = self._ask(partitions, spec, isolation)
            except KafkaException as error:
                if code_of(error).code() not in LEADERLESS or time.monotonic() >= deadline:
                    self._admin.poll(0)
                    topic = partitions[0].topic
                    raise self._connection.explain(error, f"ask for the bounds of topic {topic}", topic) from error
                time.sleep(_LEADER_SECONDS)
                # the client goes on asking the leader that it knows, with the epoch that it knows
                with contextlib.suppress(KafkaException):
                    self._admin.list_topics(timeout=self._connection.timeout)
            else:
                self._connection.well()
                return found

    def _ask(self, partitions: list[TopicPartition], spec: OffsetSpec, isolation: IsolationLevel) -> Positions:
        wanted = {ClientPartition(at.topic, at.partition): spec for at in partitions}
        asked = self._admin.list_offsets(wanted, isolation_level=isolation, request_timeout=self._connection.timeout)
        return {TopicPartition(one.topic, one.partition): answer(reply).offset for one, reply in asked.items()}

    def _place(self, at: TopicPartition, offset: int) -> _Place:
        """Return the place of a partition, moved to `offset` if the last read ended elsewhere."""
        place = self._places.get(at)
        if place is None or place.asked != offset:
            if self._client is None:
                self._client = Consumer(self._connection.of_client(CONSUMING, _OWN))
            if place is not None:
                self._let_go(at)
            self._client.incremental_assign([ClientPartition(at.topic, at.partition, offset)])
            place = self._places[at] = _Place(offset)
            if len(self._places) > _FOLLOWED:
                self._let_go(next(iter(self._places)))
        self._places.move_to_end(at)
        return place

    def _let_go(self, at: TopicPartition) -> None:
        assert self._client is not None
        self._client.incremental_unassign([ClientPartition(at.topic, at.partition)])
        del self._places[at]

    def _fetch(self, wanted: TopicPartition, wait: float) -> None:
        """Take over what the client has, waiting for the first of it."""
        assert self._client is not None
        messages = self._client.consume(1, max(0.0, wait))
        if not messages:
            raise self._connection.late(f"read {wanted.topic}/{wanted.partition}", wanted.topic)
        for message in [*messages, *self._client.consume(_CHUNK, 0)]:
            self._take(message, wanted)

    def _take(self, message: Message, wanted: TopicPartition) -> None:
        at = TopicPartition(message.topic() or "", message.partition() or 0)
        place = self._places.get(at)
        error = message.error()
        if error is not None and error.code() != END_OF_PARTITION:
            if error.retriable() or place is None:
                return
            raise self._connection.explain(error, f"read {at.topic}/{at.partition}", at.topic)
        if place is None:
            return
        if error is not None:
            place.reached = message.offset() or 0
            return
        (record,) = stored([message])
        place.records.append(record)
        place.reached = record.offset + 1
        place.size += len(record.value)
        if place.size > _UNREAD_BYTES and at != wanted:
            self._let_go(at)
