"""Completes the last transaction of a transactional id as its coordinator decided, wherever brokers left out its markers.

When all replicas of a partition are away while the coordinator of a transaction that is already confirmed comes back, brokers of Apache
Kafka 4.3 take the partition for deleted, write no marker to it, and call the transaction complete (KAFKA-20734). A single broker killed
by SIGKILL does that to one transaction in a few. What it appended stays hidden there from readers of what is committed, and positions of
its group stay pending, for ever; where markers arrived before the kill, it is visible. The broker's log says at level INFO "Couldn't find
leader endpoint … these partitions are likely deleted already and hence can be skipped".

A marker ends whatever its producer id has open in a partition. So an empty transaction of the same id, over all partitions that the last
one may have reached, gives every one of them the same decision. The coordinator alone knows it, and forgets it when the id is taken over:
it is asked first. librdkafka has a call for none of these requests.

Source: https://kafka.apache.org/protocol (FindCoordinator 4, InitProducerId 4, AddPartitionsToTxn 3, AddOffsetsToTxn 3, EndTxn 3,
DescribeTransactions 0).
"""

import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException

from trunkline.config.kafka import addresses
from trunkline.log.kafka.wire import BrokerConnection, Reader, WireError, compact, compact_array
from trunkline.log.port import TopicPartition

T = TypeVar("T")

log = structlog.get_logger("trunkline.log")

_FIND_COORDINATOR: Final = (10, 4)
_INIT_PRODUCER_ID: Final = (22, 4)
_ADD_PARTITIONS: Final = (24, 3)
_ADD_OFFSETS: Final = (25, 3)
_END: Final = (26, 3)
_DESCRIBE: Final = (65, 0)

_OF_GROUP: Final = 0
_OF_TRANSACTION: Final = 1

_NO_TAGS: Final = b"\0"
_NEVER_BEGUN: Final = 105
_NOT_TRIED: Final = 55
#: The coordinator is loading, away, or elsewhere by now.
_GONE: Final = frozenset({14, 15, 16})
#: A partition is about to be known again; the coordinator is still busy with what it was asked before.
_BUSY: Final = frozenset({3, 51})
_PAUSE_SECONDS: Final = 0.01
#: Longest wait for a broker: one that hangs must not use up the time in which others would answer.
_ANSWER_SECONDS: Final = 4.0


class _Last(NamedTuple):
    """The last transaction of an id."""

    state: str
    timeout_ms: int
    producer: int
    epoch: int


class Completion:
    """Completes what one transactional id left. For one use.

    Args:
        settings: of librdkafka: addresses, TLS, the login.
        transactional_id: whose last transaction it is.
        group: whose positions it may hold; empty for none.
        seconds: that everything together may take.
    """

    def __init__(self, settings: Mapping[str, object], transactional_id: str, group: str, seconds: float) -> None:
        self._settings = settings
        self._id = transactional_id
        self._group = group
        self._deadline = time.monotonic() + seconds
        self._coordinator: BrokerConnection | None = None

    def run(self, partitions: Iterable[TopicPartition]) -> None:
        """Complete it as it was decided; one that was never confirmed is undone. Whoever holds the id meanwhile is fenced.

        A process that ends within the few milliseconds of this call may leave an empty transaction that brokers undo in time.

        Args:
            partitions: all that it may have appended to. Each has a leader: a marker to another would be left out again.

        Raises:
            KafkaException: nobody answered in time, a right is missing, or another holder took over.
        """
        try:
            last = self._settled()
            if last is None:
                return
            held = self._ask(_INIT_PRODUCER_ID, self._of_init(last), _producer)
            if held[0] != last.producer:
                log.warning("a transactional id has a new number: what its last transaction left cannot be told", id=self._id)
                return
            own = compact(self._id) + struct.pack(">qh", *held)
            self._ask(_ADD_PARTITIONS, own + _by_topic(partitions) + _NO_TAGS, _worst_of_partitions)
            if self._group:
                self._ask(_ADD_OFFSETS, own + compact(self._group) + _NO_TAGS, _code_alone)
            confirmed = last.state == "CompleteCommit"
            self._ask(_END, own + struct.pack(">?", confirmed) + _NO_TAGS, _code_alone)
            self._settled()
        finally:
            self._hang_up()

    def _settled(self) -> _Last | None:
        """Return the id's last transaction once it is over, None when there was none. What was open is undone."""
        while (last := self._ask(_DESCRIBE, compact_array([compact(self._id)]) + _NO_TAGS, _description)) is not None:
            if last.state == "Ongoing":
                self._ask(_INIT_PRODUCER_ID, self._of_init(last), _producer)
            elif not last.state.startswith("Prepare"):
                return last
            else:
                self._pause("its last transaction is not over yet")
        return None

    def _of_init(self, last: _Last) -> bytes:
        """Return a request that is refused when somebody took the id over since it was described."""
        return compact(self._id) + struct.pack(">iqh", last.timeout_ms, last.producer, last.epoch) + _NO_TAGS

    # ------------------------------------------------------------------ asking

    def _ask(self, request: tuple[int, int], body: bytes, read: Callable[[Reader], tuple[int, T]]) -> T:
        """Ask the id's coordinator until it answers; every request here may be repeated."""
        while True:
            try:
                if self._coordinator is None:
                    self._coordinator = self._find()
                code, found = read(self._coordinator.ask(*request, body))
            except WireError as problem:
                self._hang_up()
                self._pause(str(problem))
                continue
            if code not in _GONE | _BUSY:
                if code:
                    raise KafkaException(KafkaError(code))
                return found
            if code in _GONE:
                self._hang_up()
            self._pause(KafkaError(code).str())

    def _find(self) -> BrokerConnection:
        """Return a connection to the coordinator, once the group has one as well. Raises WireError, KafkaException."""
        problem = WireError("no broker answers")
        for host, port in addresses(str(self._settings["bootstrap.servers"])):
            try:
                with self._connect(host, port) as broker:
                    if self._group:
                        _place(broker, self._group, _OF_GROUP)
                    found = _place(broker, self._id, _OF_TRANSACTION)
                return self._connect(*found)
            except WireError as error:
                problem = error
        raise problem

    def _connect(self, host: str, port: int) -> BrokerConnection:
        left = max(_PAUSE_SECONDS, self._deadline - time.monotonic())
        return BrokerConnection(host, port, self._settings, min(_ANSWER_SECONDS, left))

    def _hang_up(self) -> None:
        coordinator, self._coordinator = self._coordinator, None
        if coordinator is not None:
            coordinator.close()

    def _pause(self, reason: str) -> None:
        if time.monotonic() >= self._deadline:
            raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT, f"the coordinator of {self._id} cannot be asked: {reason}"))
        time.sleep(_PAUSE_SECONDS)


def _place(broker: BrokerConnection, name: str, kind: int) -> tuple[str, int]:
    """Return host and port of a coordinator. Raises WireError while there is none, KafkaException without the right to ask."""
    answer = broker.ask(*_FIND_COORDINATOR, struct.pack(">b", kind) + compact_array([compact(name)]) + _NO_TAGS)
    answer.number("i")  # throttled for so many ms
    ((code, host, port),) = answer.array(_coordinator)
    if code in _GONE:
        raise WireError(f"there is no coordinator of {name} now")
    if code:
        raise KafkaException(KafkaError(code))
    return host, port


def _coordinator(reader: Reader) -> tuple[int, str, int]:
    reader.text()  # of what
    reader.number("i")  # id of the broker
    host, port, code = reader.text(), reader.number("i"), reader.number("h")
    reader.text()  # the code in words
    reader.tags()
    return code, host, port


def _by_topic(partitions: Iterable[TopicPartition]) -> bytes:
    topics: dict[str, list[bytes]] = {}
    for at in partitions:
        topics.setdefault(at.topic, []).append(struct.pack(">i", at.partition))
    return compact_array([compact(topic) + compact_array(numbers) + _NO_TAGS for topic, numbers in topics.items()])


def _description(reader: Reader) -> tuple[int, _Last | None]:
    reader.number("i")
    ((code, last),) = reader.array(_last)
    return (0, None) if code == _NEVER_BEGUN else (code, last)


def _last(reader: Reader) -> tuple[int, _Last]:
    code = reader.number("h")
    reader.text()  # the id
    state, timeout_ms = reader.text(), reader.number("i")
    reader.number("q")  # when it began
    producer, epoch = reader.number("q"), reader.number("h")
    return code, _Last(state, timeout_ms, producer, epoch)


def _producer(reader: Reader) -> tuple[int, tuple[int, int]]:
    reader.number("i")
    return reader.number("h"), (reader.number("q"), reader.number("h"))


def _code_alone(reader: Reader) -> tuple[int, None]:
    reader.number("i")
    return reader.number("h"), None


def _worst_of_partitions(reader: Reader) -> tuple[int, None]:
    reader.number("i")
    codes = [code for topic in reader.array(_codes) for code in topic if code not in {0, _NOT_TRIED}]
    return (codes[0] if codes else 0), None


def _codes(reader: Reader) -> list[int]:
    reader.text()  # name of the topic
    codes = reader.array(_code)
    reader.tags()
    return codes


def _code(reader: Reader) -> int:
    reader.number("i")  # number of the partition
    code = reader.number("h")
    reader.tags()
    return code
