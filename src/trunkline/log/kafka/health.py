"""How the cluster behind the site log is: brokers, copies, positions, rates and disks. Reads only, and keeps nothing.

One figure that people look for is not here. The active controller: brokers in KRaft mode name any of themselves in its place.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec
from confluent_kafka import IsolationLevel, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, OffsetSpec, ResourceType

from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.log.kafka.committed import Committed
from trunkline.log.kafka.disks import BrokerDisk, Disks
from trunkline.log.kafka.disks import ask as ask_disks
from trunkline.log.kafka.errors import answer
from trunkline.log.kafka.plan import wanted_topics
from trunkline.log.kafka.settings import Connection
from trunkline.log.port import Positions, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater, TrunklineError

#: Disks fill slowly, and each question is a login of its own.
_DISKS_SECONDS: Final = 60.0
#: Rates are those of this last time.
RATE_SECONDS: Final = 60
_COMMITTED_ONLY: Final = IsolationLevel.READ_COMMITTED
_MIN_ISR: Final = "min.insync.replicas"
#: Topics of Kafka's own, on which positions and transactions of the site depend.
_INTERNAL: Final = ("__consumer_offsets", "__transaction_state")


class TopicHealth(msgspec.Struct, frozen=True):
    """One topic of the site.

    Attributes:
        topic: its name.
        partitions: how many it has.
        records: those kept. Kafka's marks at the ends of transactions count as records, here and below.
        records_per_s: appended in the last `RATE_SECONDS`, by the times that the records bear.
        disk_bytes: of all its copies; None when the brokers could not be asked.
    """

    topic: str
    partitions: int
    records: int
    records_per_s: float
    disk_bytes: int | None


class GroupHealth(msgspec.Struct, frozen=True):
    """How far a group is with one topic.

    Attributes:
        group: its name.
        topic: what it reads.
        behind: records that it has yet to read.
        positions: the next offset by number of partition, where it has stored one.
    """

    group: str
    topic: str
    behind: int
    positions: dict[int, int]


class KafkaHealth(msgspec.Struct, frozen=True):
    """One look at a cluster. Partitions are written 'topic/number'; they are those of the site, and Kafka's own where they may be seen.

    Attributes:
        at_us: when it was taken.
        brokers: ids of those in the cluster.
        brokers_away: ids of those that hold copies and are not in the cluster.
        partitions: how many were looked at.
        under_replicated: a copy is behind or away.
        under_min_isr: too few copies keep up: a write is refused.
        offline: no copy serves: neither a write nor a read succeeds.
        topics: topics of the site that serve.
        groups: the steps that read them.
        disks: directories of the brokers that answered, looked at once a minute; none without the right to describe the cluster.
        faults: what could not be asked, and why.
    """

    at_us: int
    brokers: list[int]
    brokers_away: list[int]
    partitions: int
    under_replicated: list[str]
    under_min_isr: list[str]
    offline: list[str]
    topics: list[TopicHealth]
    groups: list[GroupHealth]
    disks: list[BrokerDisk]
    faults: list[str]


class _Copies(NamedTuple):
    """Where a partition lies; `leader` is -1 when no copy serves."""

    at: TopicPartition
    leader: int
    replicas: Sequence[int]
    in_sync: Sequence[int]


class Observer:
    """Looks at one cluster again and again over the same connections. For one thread at a time.

    Args:
        config: the site log; its engine is Kafka.
        secrets: resolves the password; relative paths of certificates start at its base.

    Raises:
        Misconfigured: a secret or a PEM file cannot be read.
    """

    def __init__(self, config: LogConfig, secrets: SecretStore | None = None) -> None:
        layout = Layout(config.layout, config.partitions)
        # what `trunkline topics apply` sets; until the brokers say otherwise
        self._min_isr = {one.name: int(one.settings[_MIN_ISR]) for one in wanted_topics(layout, config.profile)}
        self._reads = {"validate": tuple(layout.categories("raw")), "historian": tuple(layout.categories("clean"))}
        self._min_isr_asked = False
        self._disks = Disks([], {}, [], allowed=True)
        self._disks_due = 0.0
        self._connection = Connection(config, secrets)
        try:
            self._admin = AdminClient(self._connection.of_client())
        except KafkaException as error:
            raise self._connection.explain(error, "set up the connection to Kafka") from error
        self._committed = Committed(self._connection)

    def look(self) -> KafkaHealth:
        """Look once. Raises Misconfigured or RetryLater when not even the brokers can be asked for; less is told in `faults`."""
        metadata = self._metadata()
        copies = list(_copies(metadata, (*self._min_isr, *_INTERNAL)))
        serving = [one.at for one in copies if one.leader >= 0 and one.at.topic in self._min_isr]
        topics: list[TopicHealth] = []
        groups: list[GroupHealth] = []
        disks = self._ask_disks(metadata)
        faults = list(disks.faults)
        try:
            self._ask_min_isr([topic for topic in self._min_isr if topic in metadata.topics])
            bounds = self._bounds(serving)
            topics = self._topics(bounds, disks.topics)
            for group, names in self._reads.items():
                groups += self._group(group, names, bounds)
        except TrunklineError as error:
            # what else there is to ask would only wait as long
            faults.append(str(error))
        brokers = sorted(metadata.brokers)
        return KafkaHealth(
            at_us=times.now(),
            brokers=brokers,
            brokers_away=sorted({node for one in copies for node in one.replicas} - set(brokers)),
            partitions=len(copies),
            under_replicated=_named(one for one in copies if len(one.in_sync) < len(one.replicas)),
            under_min_isr=_named(one for one in copies if one.leader >= 0 and len(one.in_sync) < self._needed(one)),
            offline=_named(one for one in copies if one.leader < 0),
            topics=topics,
            groups=groups,
            disks=disks.brokers,
            faults=faults,
        )

    def close(self) -> None:
        """Drop the connections."""
        self._committed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _metadata(self) -> ClusterMetadata:
        try:
            found = self._admin.list_topics(timeout=self._connection.timeout)
        except KafkaException as error:
            self._admin.poll(0)
            raise self._connection.explain(error, "ask for the brokers") from error
        self._connection.well()
        return found

    def _ask_min_isr(self, topics: list[str]) -> None:
        """Take over how many copies writes need, once: brokers note each question of those who have no right to ask."""
        if self._min_isr_asked or not topics:
            return
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        for resource, asked in self._admin.describe_configs(resources, request_timeout=self._connection.timeout).items():
            try:
                self._min_isr[resource.name] = int(answer(asked)[_MIN_ISR].value)
            except KafkaException as error:
                why = self._connection.explain(error, f"ask for the settings of topic {resource.name}", resource.name)
                if isinstance(why, RetryLater):
                    raise why from error
        self._min_isr_asked = True

    def _ask_disks(self, metadata: ClusterMetadata) -> Disks:
        """Ask the brokers for their disks, unless that was done in the last minute or is not allowed."""
        if self._disks.allowed and time.monotonic() >= self._disks_due:
            places = [(number, str(broker.host), broker.port) for number, broker in sorted(metadata.brokers.items())]
            self._disks = ask_disks(places, self._connection.settings, self._connection.timeout)
            if not self._disks.faults:
                self._disks_due = time.monotonic() + _DISKS_SECONDS
        return self._disks

    def _needed(self, partition: _Copies) -> int:
        """Return how many copies a write needs; brokers ask for no more than there are to be."""
        return min(self._min_isr.get(partition.at.topic, 1), len(partition.replicas))

    def _bounds(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        firsts = self._offsets(partitions, OffsetSpec.earliest())
        ends = self._offsets(partitions, OffsetSpec.latest())
        return {at: (firsts[at], max(firsts[at], ends[at])) for at in partitions}

    def _topics(self, bounds: Mapping[TopicPartition, tuple[int, int]], sizes: Mapping[str, int]) -> list[TopicHealth]:
        began = (times.now() - RATE_SECONDS * times.SECOND) // 1000
        then = self._offsets(list(bounds), OffsetSpec.for_timestamp(began))
        found: dict[str, tuple[int, int, int]] = {}
        for at, (first, end) in bounds.items():
            count, kept, recent = found.get(at.topic, (0, 0, 0))
            # the broker answers -1 where no record is as young
            new = end - max(first, then[at]) if then[at] >= 0 else 0
            found[at.topic] = (count + 1, kept + end - first, recent + max(0, new))
        return [TopicHealth(topic, count, kept, recent / RATE_SECONDS, sizes.get(topic)) for topic, (count, kept, recent) in found.items()]

    def _group(self, group: str, topics: Sequence[str], bounds: Mapping[TopicPartition, tuple[int, int]]) -> Iterator[GroupHealth]:
        partitions = [at for at in bounds if at.topic in topics]
        if not partitions:
            return
        reached = self._committed.positions(group, partitions)
        for topic in topics:
            own = [at for at in partitions if at.topic == topic]
            if own:
                behind = sum(max(0, bounds[at][1] - max(bounds[at][0], reached.get(at, 0))) for at in own)
                yield GroupHealth(group, topic, behind, {at.partition: reached[at] for at in own if at in reached})

    def _offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> Positions:
        if not partitions:
            return {}
        wanted = {ClientPartition(at.topic, at.partition): spec for at in partitions}
        try:
            asked = self._admin.list_offsets(wanted, isolation_level=_COMMITTED_ONLY, request_timeout=self._connection.timeout)
            found = {TopicPartition(one.topic, one.partition): answer(reply).offset for one, reply in asked.items()}
        except KafkaException as error:
            self._admin.poll(0)
            raise self._connection.explain(error, "ask for the bounds of topics", partitions[0].topic) from error
        self._connection.well()
        return found


def look(config: LogConfig, secrets: SecretStore | None = None) -> KafkaHealth:
    """Look once at the cluster of a site log; see `Observer`. Raises Misconfigured, RetryLater."""
    with Observer(config, secrets) as observer:
        return observer.look()


def _copies(metadata: ClusterMetadata, topics: Iterable[str]) -> Iterator[_Copies]:
    for topic in topics:
        found = metadata.topics.get(topic)
        for number, one in sorted(found.partitions.items()) if found is not None else ():
            yield _Copies(TopicPartition(topic, number), one.leader, one.replicas, one.isrs)


def _named(copies: Iterable[_Copies]) -> list[str]:
    return [f"{one.at.topic}/{one.at.partition}" for one in copies]
