"""Bytes on the brokers' disks, by DescribeLogDirs (KIP-113; room of the volumes by KIP-827, Kafka 3.3 and later)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from trunkline.log.kafka.wire import BrokerConnection, Reader, WireError

_DESCRIBE_LOG_DIRS: Final = 35
_VERSION: Final = 4
#: All topics, no tagged fields.
_EVERYTHING: Final = b"\0\0"
_FORBIDDEN: Final = 31


class BrokerDisk(msgspec.Struct, frozen=True):
    """One log directory of one broker.

    Attributes:
        broker: id of the broker.
        directory: its path there.
        used_bytes: of all partitions in it.
        total_bytes: of its volume; -1 when the broker does not know.
        free_bytes: of its volume; -1 when the broker does not know.
        online: False when the broker cannot use it.
    """

    broker: int
    directory: str
    used_bytes: int
    total_bytes: int
    free_bytes: int
    online: bool


class Disks(NamedTuple):
    """What brokers told.

    Attributes:
        brokers: their directories.
        topics: bytes of each topic, all copies together.
        faults: what could not be asked, and why.
        allowed: False when this principal has no right to ask.
    """

    brokers: list[BrokerDisk]
    topics: Mapping[str, int]
    faults: list[str]
    allowed: bool


class _Directory(NamedTuple):
    error: int
    path: str
    topics: list[tuple[str, int]]
    total_bytes: int
    free_bytes: int


def ask(brokers: Iterable[tuple[int, str, int]], settings: Mapping[str, object], seconds: float) -> Disks:
    """Ask each broker once.

    Args:
        brokers: id, host and port of each.
        settings: of librdkafka, for TLS and the login.
        seconds: that any wait for a broker may take.
    """
    found: list[BrokerDisk] = []
    topics: Counter[str] = Counter()
    faults: list[str] = []
    for number, host, port in brokers:
        try:
            with BrokerConnection(host, port, settings, seconds) as connection:
                error, directories = _answer(connection.ask(_DESCRIBE_LOG_DIRS, _VERSION, _EVERYTHING))
        except WireError as problem:
            faults.append(f"cannot ask broker {number} for its disks: {problem}")
            continue
        if error == _FORBIDDEN:
            return Disks([], {}, [], allowed=False)
        if error:
            faults.append(f"cannot ask broker {number} for its disks: it answers with error {error}")
        for one in directories:
            used = sum(size for _, size in one.topics)
            found.append(BrokerDisk(number, one.path, used, one.total_bytes, one.free_bytes, online=one.error == 0))
            for topic, size in one.topics:
                topics[topic] += size
    return Disks(found, topics, faults, allowed=True)


def _answer(reader: Reader) -> tuple[int, list[_Directory]]:
    reader.number("i")  # throttled for so many ms
    return reader.number("h"), reader.array(_directory)


def _directory(reader: Reader) -> _Directory:
    error, path = reader.number("h"), reader.text()
    topics = reader.array(_topic)
    total, free = reader.number("q"), reader.number("q")
    reader.tags()
    return _Directory(error, path, topics, total, free)


def _topic(reader: Reader) -> tuple[str, int]:
    name = reader.text()
    size = sum(reader.array(_partition))
    reader.tags()
    return name, size


def _partition(reader: Reader) -> int:
    reader.number("i")
    size = reader.number("q")
    reader.number("q")  # how far a copy in another directory is behind
    reader.number("?")  # whether it is such a copy
    reader.tags()
    return size
