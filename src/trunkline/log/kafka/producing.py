"""Appending: one batch through an idempotent producer, everything else in a transaction."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import starmap
from operator import itemgetter
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as ClientPartition

from trunkline.log.kafka.bounded import LeftBehind, bounded
from trunkline.log.kafka.completing import Completion
from trunkline.log.kafka.errors import AWAY, code_of
from trunkline.log.kafka.records import Outgoing
from trunkline.log.kafka.settings import PRODUCING, Connection, Settings
from trunkline.log.port import Positions, TopicPartition
from trunkline.log.uplink import STATISTICS_MS, Uplink

#: What one batch holds; beyond it a call to one partition would become several.
BATCH_RECORDS: Final = 10_000
BATCH_BYTES: Final = 900_000
_QUEUE_FULL_SECONDS: Final = 0.01
#: An abort may take this long beyond a call's time: without it the producer has to be made anew.
_ABORT_SECONDS: Final = 1.0
#: Something else failed while the call was under way (a partition may not be written to): librdkafka answers so when it is about to send
#: the second of the call's two requests (`rd_kafka_txn_send_TxnOffsetCommitRequest`). Called again, it says what.
_OTHER_FAULT: Final = KafkaError._STATE  # noqa: SLF001 - how the client spells its own errors
#: How often a partition without a leader is looked at again.
_LEADER_SECONDS: Final = 0.1
_PLACE: Final = itemgetter(0, 1)


class Interrupted(Exception):
    """A transaction was given up.

    Attributes:
        error: what the client said.
        stored: False when nothing was stored, None when it is not known: the producer cannot be used any more.
    """

    def __init__(self, error: KafkaError, *, stored: bool | None) -> None:
        super().__init__(error.str())
        self.error = error
        self.stored = stored


class BatchProducer:
    """Appends without transactions: quick, and all or none for what fits one batch. For one thread at a time.

    A call that failed leaves nothing behind in the client: it is discarded, and the next call begins with a new one.

    Args:
        connection: settings and time limits.
        uplink: compression, and the meter to turn; without it as measured for links within a plant.
    """

    def __init__(self, connection: Connection, uplink: Uplink | None = None) -> None:
        self._connection = connection
        self._uplink = uplink
        milliseconds = round(connection.timeout * 1000)
        # a call's records wait for `flush`, which sends them at once: what was queued by then is one batch
        own: Settings = {"linger.ms": milliseconds // 2, "message.timeout.ms": milliseconds, "request.timeout.ms": milliseconds}
        own |= {"batch.num.messages": BATCH_RECORDS}
        self._settings = connection.of_client(PRODUCING, own)
        if uplink is not None:
            # what a client says of itself lies in its memory until it is asked for: `Uplink.serve`
            said = {"statistics.interval.ms": STATISTICS_MS, "stats_cb": uplink.note}
            self._settings |= {"compression.type": uplink.compression, **said}
        self._producer: Producer | None = None

    def append(self, records: Sequence[Outgoing]) -> Positions:
        """Append and wait until all in-sync replicas have it.

        Raises:
            KafkaException: as the client says. After a time limit, what was sent may still arrive.
        """
        producer = self._open(records[0].topic)
        last: dict[TopicPartition, int] = {}
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failures.append(error)
            else:
                last[TopicPartition(message.topic() or "", message.partition() or 0)] = message.offset() or 0

        ends = {(one.topic, one.partition): place for place, one in enumerate(records)}
        ended = frozenset(ends.values())
        deadline = time.monotonic() + self._connection.timeout
        try:
            for place, one in enumerate(records):
                _produce(producer, one, deadline, delivered if place in ended else None)
            left = _flush(producer, max(0.0, deadline - time.monotonic()))
        except BaseException:
            self.close()
            raise
        if left or failures or len(last) < len(ends):
            self.close()
            if failures:
                raise KafkaException(failures[0])
            raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT, "the records were not acknowledged in time"))
        return {at: offset + 1 for at, offset in last.items()}

    def close(self) -> None:
        """Drop the client with what it may hold. Its own `close` would wait for brokers without a limit."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
        if self._uplink is not None:
            self._uplink.forget()

    def _open(self, topic: str) -> Producer:
        if self._producer is None:
            producer = Producer(self._settings)
            # once it is connected it has its identity within a millisecond, otherwise half a second later
            producer.list_topics(topic, timeout=self._connection.timeout)
            self._producer = producer
            if self._uplink is not None:
                self._uplink.serve = partial(producer.poll, 0)
        return self._producer


class Transactor:
    """Appends in transactions under one transactional id. For one thread at a time.

    A broker that went away may have left out markers of the last transaction (`completing`). So the id is taken over anew after that,
    before anything else: the next transaction, if it were given up, would undo what is confirmed.

    Args:
        connection: settings and time limits.
        transactional_id: whoever held it before is fenced.
        group: whose positions its transactions hold; empty for none.
        outputs: partitions that the last holder may have appended to.

    Attributes:
        id: the transactional id.
        limit: seconds after which brokers undo a transaction that is still open.
    """

    def __init__(self, connection: Connection, transactional_id: str, group: str = "", outputs: Iterable[TopicPartition] = ()) -> None:
        self._connection = connection
        self.id = transactional_id
        self._group = group
        self._outputs = set(outputs)
        milliseconds = round(connection.timeout * 1000)
        limit = max(20_000, 2 * milliseconds)
        self.limit = limit / 1000
        own: Settings = {"transactional.id": transactional_id, "linger.ms": 5, "message.timeout.ms": milliseconds}
        own |= {"transaction.timeout.ms": limit, "request.timeout.ms": milliseconds, "delivery.report.only.error": True}
        self._settings = connection.of_client(PRODUCING, own) | {"error_cb": self._told}
        self._producer: Producer | None = None
        self._shaken = False

    @property
    def opened(self) -> bool:
        """Whether this client holds the transactional id, as far as it knows, and kept its connections since."""
        return self._kept() is not None

    def open(self) -> Producer:
        """Take the transactional id over: what was confirmed is completed, what was open is undone. Raises KafkaException."""
        if (kept := self._kept()) is not None:
            return kept
        deadline = time.monotonic() + self._connection.timeout
        producer = Producer(self._settings)
        if self._outputs:
            self._await_leaders(producer, deadline)
            Completion(self._connection.settings, self.id, self._group, deadline - time.monotonic()).run(self._outputs)
        _until(deadline, producer.init_transactions)
        self._shaken = False
        self._producer = producer
        return producer

    def write(self, records: Sequence[Outgoing], positions: Mapping[TopicPartition, int], member: Consumer | None = None) -> None:
        """Append records and store a group's positions in one transaction.

        Raises:
            Interrupted: with what the client said, and whether something may have been stored.
        """
        deadline = time.monotonic() + self._connection.timeout
        try:
            producer = self.open()
        except KafkaException as error:
            raise Interrupted(code_of(error), stored=False) from error
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None and not failures:
                failures.append(error)

        try:
            producer.begin_transaction()
            self._outputs.update(starmap(TopicPartition, set(map(_PLACE, records))))
            for one in records:
                _produce(producer, one, deadline, delivered)
            if member is not None:
                _send_positions(producer, positions, member, deadline)
        except LeftBehind as error:
            self.close()
            raise Interrupted(code_of(error), stored=False) from error
        except KafkaException as error:
            raise self._abort(producer, code_of(error), failures, deadline) from error
        try:
            _until(deadline, producer.commit_transaction)
        except KafkaException as error:
            found = code_of(error)
            if found.txn_requires_abort():
                raise self._abort(producer, found, failures, deadline) from error
            self.close()
            raise Interrupted(found, stored=None) from error

    def close(self) -> None:
        """Drop the client; a transaction that it left open ends when the id is taken over, or after its time limit."""
        producer, self._producer = self._producer, None
        self._shaken = False
        if producer is not None:
            producer.purge()

    def _kept(self) -> Producer | None:
        """Return the client that holds the id, unless it lost a connection meanwhile."""
        if self._producer is not None:
            self._producer.poll(0)
        if self._shaken:
            self.close()
        return self._producer

    def _told(self, error: KafkaError) -> None:
        """Take note of what the client tells beside its calls: it tries again only brokers that it needs."""
        self._shaken |= error.code() in AWAY
        self._connection.notice(error)

    def _await_leaders(self, producer: Producer, deadline: float) -> None:
        """Wait until every output has a leader: where it has none, a marker is left out again. Raises KafkaException."""
        while True:
            topics = producer.list_topics(timeout=max(_LEADER_SECONDS, deadline - time.monotonic())).topics
            led = {TopicPartition(name, one.id) for name, topic in topics.items() for one in topic.partitions.values() if one.leader >= 0}
            missing = self._outputs - led
            if not missing:
                return
            if time.monotonic() >= deadline:
                at = min(missing)
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"{at.topic}/{at.partition} has no leader"))
            time.sleep(_LEADER_SECONDS)

    def _abort(self, producer: Producer, error: KafkaError, failures: list[KafkaError], deadline: float) -> Interrupted:
        """Give up a transaction whose commit was not asked for or was refused.

        The client's summary tells how many deliveries failed, the first of them tells why.
        """
        if error.fatal():
            self.close()
            return Interrupted(error, stored=False)
        error = failures[0] if failures else error
        try:
            _until(max(deadline, time.monotonic() + _ABORT_SECONDS), producer.abort_transaction)
        except KafkaException:
            self.close()
        return Interrupted(error, stored=False)


def _until(deadline: float, call: Callable[[float], object]) -> None:
    """Repeat what the client says may be repeated until the deadline. Raises KafkaException, LeftBehind."""
    while True:
        try:
            bounded(call, max(0.0, deadline - time.monotonic()))
        except LeftBehind:
            raise
        except KafkaException as error:
            if not code_of(error).retriable() or time.monotonic() >= deadline:
                raise
        else:
            return


def _send_positions(producer: Producer, positions: Mapping[TopicPartition, int], member: Consumer, deadline: float) -> None:
    """Make positions of the member's group part of the transaction. Raises KafkaException, LeftBehind."""
    offsets = [ClientPartition(at.topic, at.partition, offset) for at, offset in positions.items()]
    metadata = member.consumer_group_metadata()
    try:
        _until(deadline, lambda wait: producer.send_offsets_to_transaction(offsets, metadata, wait))
    except KafkaException as error:
        if code_of(error).code() != _OTHER_FAULT:
            raise
        _until(deadline, lambda wait: producer.send_offsets_to_transaction(offsets, metadata, wait))


def _produce(
    producer: Producer, one: Outgoing, deadline: float, delivered: Callable[[KafkaError | None, Message], None] | None = None
) -> None:
    record = one.record
    while True:
        try:
            producer.produce(
                one.topic,
                record.value,
                record.key,
                one.partition,
                on_delivery=delivered,
                timestamp=record.timestamp // 1000 if record.timestamp is not None else 0,
                headers=list(record.headers),
            )
        except BufferError:
            if time.monotonic() >= deadline:
                raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT, "the records could not be sent in time")) from None
            producer.poll(_QUEUE_FULL_SECONDS)
        else:
            return


def _flush(producer: Producer, wait: float) -> int:
    """Return how many records are not acknowledged yet.

    When a fatal error and a delivery report arrive together, the client raises SystemError, or a bare KafkaError: that is no exception
    class and passes by every except clause that names one.
    """
    try:
        return producer.flush(wait)
    except (KafkaException, KeyboardInterrupt, SystemExit):
        raise
    except:  # noqa: E722 - see above
        raise KafkaException(KafkaError(KafkaError.UNKNOWN, f"the client failed: {sys.exc_info()[1]!r}")) from None
