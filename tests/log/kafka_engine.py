"""A log on the shared test broker for each test: the suite's names of topics and groups get a prefix of their own."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from trunkline.config.site import LogConfig
from trunkline.log.kafka.consumer import KafkaConsumer
from trunkline.log.kafka.engine import KafkaLog
from trunkline.log.kafka.settings import MAX_RECORD_BYTES
from trunkline.log.port import Appends, Batch, Log, Positions, Record, StoredRecord, Topic, TopicPartition


class Prefixed:
    """A log whose topics and groups have a prefix that callers do not see."""

    def __init__(self, log: KafkaLog, prefix: str) -> None:
        self.log = log
        self.prefix = prefix

    def create(self, topics: Iterable[Topic]) -> None:
        self.log.create(Topic(self.prefix + one.name, one.partitions, one.retention_us, one.retention_bytes) for one in topics)

    def topics(self) -> dict[str, Topic]:
        return {
            self._bare(name): Topic(self._bare(name), one.partitions, one.retention_us, one.retention_bytes)
            for name, one in self.log.topics().items()
            if name.startswith(self.prefix)
        }

    def identity(self, topic: str) -> str:
        return self.log.identity(self.prefix + topic)

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        return self._strip(self.log.append(self.prefix + topic, records, atomic=atomic))

    def consumer(self, group: str, topics: Sequence[str], member: str, *, appends: Sequence[str] = ()) -> "PrefixedConsumer":
        names = [self.prefix + topic for topic in topics]
        return PrefixedConsumer(
            self.log.consumer(self.prefix + group, names, member, appends=[self.prefix + topic for topic in appends]), self.prefix
        )

    def read(self, at: TopicPartition, offset: int, max_records: int = 1000) -> list[StoredRecord]:
        records = self.log.read(TopicPartition(self.prefix + at.topic, at.partition), offset, max_records)
        return [record._replace(topic=self._bare(record.topic)) for record in records]

    def bounds(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        found = self.log.bounds(self.prefix + topic)
        return {TopicPartition(topic, at.partition): limits for at, limits in found.items()}

    def committed(self, group: str) -> Positions:
        return self._strip(self.log.committed(self.prefix + group))

    def close(self) -> None:
        self.log.close()

    def _bare(self, name: str) -> str:
        return name.removeprefix(self.prefix)

    def _strip(self, positions: Mapping[TopicPartition, int]) -> Positions:
        return {TopicPartition(self._bare(at.topic), at.partition): offset for at, offset in positions.items()}


class PrefixedConsumer:
    """A member whose topics have a prefix that callers do not see."""

    def __init__(self, consumer: KafkaConsumer, prefix: str) -> None:
        self.consumer = consumer
        self.prefix = prefix

    def poll(self, max_records: int = 1000, timeout: float = 1.0) -> Batch:
        batch = self.consumer.poll(max_records, timeout)
        records = [record._replace(topic=record.topic.removeprefix(self.prefix)) for record in batch.records]
        return Batch(records, {self._bare(at): offset for at, offset in batch.positions.items()})

    def commit(self, positions: Mapping[TopicPartition, int], *, with_appends: Appends | None = None) -> None:
        appends = {self.prefix + topic: records for topic, records in (with_appends or {}).items()}
        self.consumer.commit(self._full(positions), with_appends=appends)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        self.consumer.seek(self._full(positions))

    def assignment(self) -> set[TopicPartition]:
        return {self._bare(at) for at in self.consumer.assignment()}

    def close(self) -> None:
        self.consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _bare(self, at: TopicPartition) -> TopicPartition:
        return TopicPartition(at.topic.removeprefix(self.prefix), at.partition)

    def _full(self, positions: Mapping[TopicPartition, int]) -> Positions:
        return {TopicPartition(self.prefix + at.topic, at.partition): offset for at, offset in positions.items()}


def config_of(bootstrap: str, *, timeout: float = 60.0, session: float = 4.0) -> LogConfig:
    """Return the site log on a test broker. Shares of members that went pass on after `session` seconds."""
    return LogConfig(
        engine="kafka", bootstrap=bootstrap, profile="development", insecure=True, timeout_seconds=timeout, session_seconds=session
    )


def open_log(bootstrap: str, prefix: str) -> Log:
    """Open a log of one test's own."""
    return Prefixed(KafkaLog(config_of(bootstrap)), prefix)


class KafkaEngine:
    """One test's log on a broker that others share."""

    max_record_bytes = MAX_RECORD_BYTES

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix

    def open(self) -> Log:
        return open_log(self.bootstrap, self.prefix)

    def source(self) -> str:
        return f"from tests.log.kafka_engine import open_log\nlog = open_log({self.bootstrap!r}, {self.prefix!r})"

    def enforce_retention(self, log: Log, now: int) -> None:
        """Nothing to do: the test broker looks for what is beyond its retention several times a second."""
