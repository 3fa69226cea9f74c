"""The log port: what every engine does, in the words of Apache Kafka.

A log holds **topics**; a topic has **partitions**; a partition is an ordered run of **records** at consecutive **offsets** from 0.
Records of one key always share a partition (`trunkline.log.partitioner`). An engine passes `tests/log/behaviour.py` unchanged.

Promises that every engine keeps:

* `append` returns after the records are durable (fsync or all in-sync replicas); all of one call or none of it.
* Offsets only grow. A gap in offsets is possible (retention, quarantine, transaction markers) and means nothing by itself.
* A record is delivered to a group at least once; `commit` moves the group on. Appends given to `commit` become visible together with
  the new positions or not at all, so a step that reads, appends and commits acts exactly once.
* A member that was replaced cannot commit or append through its consumer any more: it gets `Fenced`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol, Self


class TopicPartition(NamedTuple):
    """Where a run of records lives."""

    topic: str
    partition: int


class Record(NamedTuple):
    """What is appended.

    Attributes:
        value: the bytes.
        key: decides the partition when `partition` is None; None spreads records freely.
        headers: small facts beside the value.
        timestamp: µs UTC; None means the time of the append.
        partition: a partition chosen by the writer, for blocks whose readings were sorted to it already.
    """

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int | None = None
    partition: int | None = None


class StoredRecord(NamedTuple):
    """What is read: a record and its place. `timestamp` is set."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> bytes | None:
        """Return the first header of that name, or None."""
        return next((value for key, value in self.headers if key == name), None)


#: Next offset to read (or written up to) for each partition.
Positions = dict[TopicPartition, int]
Appends = Mapping[str, Sequence[Record]]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's settings. `retention_us` and `retention_bytes` of None keep for ever."""

    name: str
    partitions: int = 1
    retention_us: int | None = None
    retention_bytes: int | None = None


@dataclass(slots=True)
class Batch:
    """Records in partition order and the positions to commit once they are dealt with.

    An engine may keep the records as columns (`trunkline.log.runs`), and make an object for one only when it is asked for.
    """

    records: Sequence[StoredRecord] = ()
    positions: Positions = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.positions)


class Consumer(Protocol):
    """One member of a group. Not thread-safe: one thread owns it."""

    def poll(self, max_records: int = 1000, timeout: float = 1.0) -> Batch:
        """Return the next records, waiting up to `timeout` seconds; an empty batch when there are none.

        Positions advance in memory: the next poll goes on from there. Raises `Fenced` when another member took over this member's name.
        """
        ...

    def commit(self, positions: Mapping[TopicPartition, int], *, with_appends: Appends | None = None) -> None:
        """Store the group's positions, and append records, in one step.

        Raises:
            Fenced: this member was replaced; nothing was stored.
            RetryLater: the log is away, or a partition went to another member; either nothing was stored, or the next `poll`
                raises as well and the group has to be joined again, which tells.
            Misconfigured, Rejected: as `Log.append`; nothing was stored.
        """
        ...

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets (positions that a sink stored with its data, or a replay)."""
        ...

    def assignment(self) -> set[TopicPartition]:
        """Return the partitions that this member reads now."""
        ...

    def close(self) -> None:
        """Leave the group. Uncommitted records will be read by whoever comes next."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Log(Protocol):
    """A log. Methods are synchronous and thread-safe; many processes may open the same log."""

    def create(self, topics: Iterable[Topic]) -> None:
        """Create what is missing and take over new retention. Raises `Misconfigured` if a partition count differs (PD-18)."""
        ...

    def topics(self) -> dict[str, Topic]:
        """Return every topic by name."""
        ...

    def identity(self, topic: str) -> str:
        """Return what tells this topic from any other of its name: one made anew, or one in another log.

        Positions that are kept elsewhere mean something only together with it. Raises Misconfigured when there is no such topic.
        """
        ...

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        """Append durably, all or none; return the next offset of each partition touched.

        Args:
            topic: where to.
            records: what.
            atomic: False allows a call that fails to leave some of its records behind (Kafka then needs no transaction and is several
                times as fast): for records with an identity of their own, which are appended again until the call succeeds.

        Raises:
            Misconfigured: no such topic or partition.
            RetryLater: the store is full, read-only or unreachable; nothing was written or (Kafka) the same call may be repeated.
            Rejected: a record is too large; `rows` names which.
        """
        ...

    def consumer(self, group: str, topics: Sequence[str], member: str, *, appends: Sequence[str] = ()) -> Consumer:
        """Join `group`.

        Args:
            group: its name.
            topics: what the group reads.
            member: a name that survives restarts ('worker-0'): whoever joins under it last, owns it.
            appends: topics that commits will append to. It works without, but what a member left open when it was killed (Kafka: a
                transaction, which hides what follows) then ends at its time limit instead of now, and what brokers left undecided
                never does.

        Raises:
            Misconfigured: no such topic, or no right to it.
            RetryLater: the log cannot be reached.
        """
        ...

    def read(self, at: TopicPartition, offset: int, max_records: int = 1000) -> list[StoredRecord]:
        """Read without a group from `offset` on, or from the first kept record if that was deleted."""
        ...

    def bounds(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (first kept offset, next offset to be written) of each partition."""
        ...

    def committed(self, group: str) -> Positions:
        """Return a group's stored positions."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...
