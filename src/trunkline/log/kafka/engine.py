"""Apache Kafka as an engine of the log."""

import threading
import uuid
from collections.abc import Iterable, Sequence
from itertools import count
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.log.kafka.catalogue import Catalogue
from trunkline.log.kafka.committed import Committed
from trunkline.log.kafka.consumer import KafkaConsumer
from trunkline.log.kafka.errors import Names, was_replaced
from trunkline.log.kafka.producing import BATCH_BYTES, BATCH_RECORDS, BatchProducer, Interrupted, Transactor
from trunkline.log.kafka.reading import Reader
from trunkline.log.kafka.records import Outgoing, place
from trunkline.log.kafka.settings import Connection
from trunkline.log.port import Appends, Positions, Record, StoredRecord, Topic, TopicPartition
from trunkline.log.uplink import Uplink
from trunkline.model.errors import Misconfigured, RetryLater

#: Copies of each partition that `create` asks for.
_COPIES: Final = {"development": 1, "production": 3}


class KafkaLog:
    """A `trunkline.log.port.Log` on Apache Kafka 4.

    Nothing is connected before it is needed, and no call waits for a broker longer than the configured time. What Kafka does in its own
    way: records keep milliseconds; an append to several partitions, or of more than one batch, is a transaction, which leaves gaps in
    offsets; retention deletes whole segments.
    """

    def __init__(self, config: LogConfig, secrets: SecretStore | None = None, uplink: Uplink | None = None) -> None:
        """Raises Misconfigured when a secret or a PEM file cannot be read."""
        self._connection = Connection(config, secrets)
        self._copies = _COPIES[config.profile]
        self._session_ms = round(config.session_seconds * 1000)
        try:
            self._admin = AdminClient(self._connection.of_client())
        except KafkaException as error:
            mend = "look at the PEM files of 'log.security': certificates, and a key without a passphrase"
            raise Misconfigured(f"the connection to Kafka cannot be set up: {error.args[0].str()}: {mend}") from error
        self._catalogue = Catalogue(self._connection, self._admin)
        self._reader = Reader(self._connection, self._admin)
        self._committed = Committed(self._connection)
        self._batches = BatchProducer(self._connection, uplink)
        self._transactor: Transactor | None = None
        self._appending = threading.Lock()
        self._turns = count()

    # ------------------------------------------------------------------ topics

    def create(self, topics: Iterable[Topic]) -> None:
        """Create what is missing and take over new retention; see the port."""
        self._catalogue.create(topics, self._copies)

    def missing(self, topics: Iterable[Topic]) -> list[Topic]:
        """Return the topics that are not there, or that this principal may not see. Kafka only.

        Raises:
            Misconfigured: a partition count differs (PD-18).
            RetryLater: no broker answers.
        """
        return self._catalogue.missing(topics)

    def topics(self) -> dict[str, Topic]:
        """Return every topic by name; retention is None as well where this principal may not see it."""
        return self._catalogue.topics()

    def identity(self, topic: str) -> str:
        """Return the topic's id (KIP-516); see the port. Raises Misconfigured, RetryLater."""
        return self._catalogue.identity(topic)

    # ------------------------------------------------------------------ appending

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        """Append durably; see the port."""
        outgoing = self._placed({topic: records})
        if not outgoing:
            return {}
        size = sum(len(one.record.value) for one in outgoing)
        one_batch = len({one.partition for one in outgoing}) == 1 and len(outgoing) <= BATCH_RECORDS and size <= BATCH_BYTES
        with self._appending:
            if one_batch or len(outgoing) == 1 or not atomic:
                return self._append_batches(topic, outgoing)
            return self._append_transaction(topic, outgoing)

    def _append_batches(self, topic: str, outgoing: list[Outgoing]) -> Positions:
        try:
            done = self._batches.append(outgoing)
        except KafkaException as error:
            self._catalogue.forget(topic)
            raise self._connection.explain(error, f"append to topic {topic}", topic) from error
        self._connection.well()
        return done

    def _append_transaction(self, topic: str, outgoing: list[Outgoing]) -> Positions:
        if self._transactor is None:
            # nobody takes this name over: a process that is killed leaves its transaction to the time limit
            self._transactor = Transactor(self._connection, f"append.{uuid.uuid4()}")
        try:
            self._transactor.write(outgoing, {})
        except Interrupted as interrupted:
            self._catalogue.forget(topic)
            if was_replaced(interrupted.error):
                raise RetryLater(f"cannot append to topic {topic}: it took too long and was undone") from interrupted
            names = Names(topic=topic, transaction=self._transactor.id)
            raise self._connection.explain(interrupted.error, f"append to topic {topic}", names) from interrupted
        self._connection.well()
        touched = {TopicPartition(topic, one.partition) for one in outgoing}
        return {at: end for at, (_, end) in self._reader.bounds(list(touched)).items()}

    def _placed(self, appends: Appends) -> list[Outgoing]:
        """Give records their partition. Raises Misconfigured, Rejected, RetryLater."""
        return place(appends, self._catalogue.partitions(appends), self._catalogue.limit, self._turns.__next__)

    # ------------------------------------------------------------------ reading

    def consumer(self, group: str, topics: Sequence[str], member: str, *, appends: Sequence[str] = ()) -> KafkaConsumer:
        """Join a group; see the port. Raises Misconfigured, RetryLater."""
        if not topics:
            raise Misconfigured(f"member {member!r} of group {group!r} must read at least one topic")
        self._catalogue.partitions(topics)
        outputs = [TopicPartition(topic, one) for topic, count in self._catalogue.partitions(appends).items() for one in range(count)]
        return KafkaConsumer(self._connection, group, topics, member, self._session_ms, self._placed, self._committed, outputs)

    def read(self, at: TopicPartition, offset: int, max_records: int = 1000) -> list[StoredRecord]:
        """Read without a group; see the port."""
        return self._reader.read(at, offset, max_records)

    def bounds(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (first kept offset, end of what is committed) of each partition."""
        partitions = self._catalogue.partitions([topic])[topic]
        return self._reader.bounds([TopicPartition(topic, partition) for partition in range(partitions)])

    def committed(self, group: str) -> Positions:
        """Return a group's stored positions."""
        counts = self._catalogue.counts()
        partitions = [TopicPartition(topic, partition) for topic, count in counts.items() for partition in range(count)]
        return self._committed.positions(group, partitions) if partitions else {}

    def close(self) -> None:
        """Release everything."""
        with self._appending:
            self._batches.close()
            if self._transactor is not None:
                self._transactor.close()
        self._reader.close()
        self._committed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
