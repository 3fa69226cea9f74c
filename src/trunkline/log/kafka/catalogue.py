"""Topics as one handle knows them: how many partitions, how large a record may be, how long it stays."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from trunkline.log.kafka.errors import answer
from trunkline.log.kafka.settings import FRAME_BYTES, MAX_RECORD_BYTES, Connection
from trunkline.log.port import Topic
from trunkline.model.errors import Misconfigured, NotConnected

K = TypeVar("K")
V = TypeVar("V")

_LOOK_SECONDS: Final = 0.02
#: A topic's log is cut into this many pieces over its retention: Kafka deletes whole pieces only.
_PIECES: Final = 24
_SHORTEST_PIECE_MS: Final = 60_000
_LONGEST_PIECE_MS: Final = 7 * 86_400_000
_FOR_EVER: Final = "-1"
#: What a batch holds beside one record's own bytes (record batch and record headers, KIP-98).
_BATCH_BYTES: Final = 128


def topic_config(topic: Topic) -> dict[str, str]:
    """Return the broker's settings for what the port says of a topic. Kafka counts bytes per partition and time in milliseconds."""
    config = {"retention.ms": _FOR_EVER, "retention.bytes": _FOR_EVER}
    if topic.retention_us is not None:
        milliseconds = max(1, topic.retention_us // 1000)
        config["retention.ms"] = str(milliseconds)
        config["segment.ms"] = str(min(_LONGEST_PIECE_MS, max(_SHORTEST_PIECE_MS, milliseconds // _PIECES)))
    if topic.retention_bytes is not None:
        config["retention.bytes"] = str(max(1, topic.retention_bytes // topic.partitions))
    return config


class Catalogue:
    """The topics of a cluster that this principal may see.

    Args:
        connection: settings and time limits.
        admin: any connected client for administration.
    """

    def __init__(self, connection: Connection, admin: AdminClient) -> None:
        self._connection = connection
        self._admin = admin
        self._lock = threading.Lock()
        self._partitions: dict[str, int] = {}
        self._leaderless: set[str] = set()
        self._limits: dict[str, int] = {}

    def partitions(self, topics: Iterable[str]) -> dict[str, int]:
        """Return how many partitions topics have, asking a broker only for those not known yet. Raises Misconfigured, RetryLater."""
        wanted = set(topics)
        if not wanted <= self._partitions.keys():
            self._look()
        if waiting := sorted(wanted & self._leaderless - self._partitions.keys()):
            raise NotConnected(f"topic {waiting[0]!r} of Kafka has a partition without a leader: too few brokers are there")
        if missing := sorted(wanted - self._partitions.keys()):
            names = ", ".join(sorted(self._partitions)) or "none"
            raise Misconfigured(
                f"Kafka has no topic {missing[0]!r} that {self._connection.principal} may see; it may see: {names}. "
                f"Create it, or grant the right to describe it ('trunkline topics apply')"
            )
        return {topic: self._partitions[topic] for topic in wanted}

    def limit(self, topic: str) -> int:
        """Return the bytes that one record of a topic may have: value, key and headers."""
        if topic not in self._limits:
            said = self._configs([topic]).get(topic, {}).get("max.message.bytes")
            self._limits[topic] = min(MAX_RECORD_BYTES, int(said) - _BATCH_BYTES) if said else MAX_RECORD_BYTES
        return self._limits[topic]

    def identity(self, topic: str) -> str:
        """Return the id that the cluster gave the topic when it was created. Raises Misconfigured, RetryLater."""
        self.partitions([topic])
        asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=self._connection.timeout)
        try:
            return str(answer(asked[topic]).topic_id)
        except KafkaException as error:
            raise self._connection.explain(error, f"ask for topic {topic}", topic) from error

    def forget(self, topic: str) -> None:
        """Look again at the next use: the broker refused what was known."""
        self._partitions.pop(topic, None)
        self._limits.pop(topic, None)

    def counts(self) -> dict[str, int]:
        """Return every topic with the number of its partitions."""
        return self._look()

    def topics(self) -> dict[str, Topic]:
        """Return every topic; retention is None where this principal may not see it."""
        counts = self._look()
        configs = self._configs(counts)
        return {name: _topic(name, count, configs.get(name, {})) for name, count in counts.items()}

    def missing(self, topics: Iterable[Topic]) -> list[Topic]:
        """Return the topics that are not there, or not for this principal. Raises Misconfigured where a partition count differs."""
        counts = self._look()
        return [topic for topic in topics if not _is_there(topic, counts)]

    def create(self, topics: Iterable[Topic], copies: int) -> None:
        """Create what is missing and take over new retention.

        Where this principal may not alter topics, retention is left to `trunkline topics apply`.

        Args:
            topics: as they are to be.
            copies: replication factor of those created.

        Raises:
            Misconfigured: a partition count differs (PD-18), or topics may not be created.
            RetryLater: no broker answers.
        """
        wanted = {topic.name: topic for topic in topics}
        counts = self._look()
        missing = [topic for topic in wanted.values() if not _is_there(topic, counts)]
        if missing:
            self._create(missing, copies)
        self._retain([topic for name, topic in wanted.items() if name in counts])

    def _create(self, topics: list[Topic], copies: int) -> None:
        new = [
            NewTopic(
                topic.name,
                topic.partitions,
                copies,
                config={**topic_config(topic), "max.message.bytes": str(MAX_RECORD_BYTES + FRAME_BYTES)},
            )
            for topic in topics
        ]
        for name, made in self._admin.create_topics(new, request_timeout=self._connection.timeout).items():
            try:
                answer(made)
            except KafkaException as error:
                # another process of the site creates the same topics when a site starts
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._explain(error, f"create topic {name}", name) from error
        counts = {topic.name: topic.partitions for topic in topics}
        self._wait(lambda: counts.items() <= self._look().items(), counts)

    def _retain(self, topics: list[Topic]) -> None:
        """Set the retention of topics that have another one."""
        changes = self._changes(topics)
        if not changes:
            return
        allowed = []
        for resource, changed in self._admin.incremental_alter_configs(changes, request_timeout=self._connection.timeout).items():
            try:
                answer(changed)
                allowed.append(resource.name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise self._explain(error, f"set the retention of topic {resource.name}", resource.name) from error
        self._wait(lambda: not self._changes([topic for topic in topics if topic.name in allowed]), allowed)

    def _changes(self, topics: list[Topic]) -> list[ConfigResource]:
        """Return what has to be set so that topics keep their records as long as they are to."""
        configs = self._configs(topic.name for topic in topics)
        changes = []
        for topic in topics:
            now = configs.get(topic.name)
            if now is None:
                continue
            entries = [
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in topic_config(topic).items()
                if now.get(name) != value
            ]
            if entries:
                changes.append(ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries))
        return changes

    def _wait(self, seen: Callable[[], bool], names: Iterable[str]) -> None:
        """Wait until brokers show what they accepted: it reaches them a little later."""
        deadline = time.monotonic() + self._connection.timeout
        while not seen():
            if time.monotonic() > deadline:
                raise NotConnected(f"Kafka accepted topics and does not show them yet: {', '.join(names)}")
            time.sleep(_LOOK_SECONDS)

    def _look(self) -> dict[str, int]:
        """Ask for every topic that has leaders."""
        try:
            listed = self._admin.list_topics(timeout=self._connection.timeout).topics
        except KafkaException as error:
            raise self._explain(error, "ask for the topics") from error
        self._connection.well()
        there = {name: one.partitions for name, one in listed.items() if not name.startswith("__") and one.error is None}
        counts = {name: len(found) for name, found in there.items() if all(one.leader >= 0 for one in found.values())}
        with self._lock:
            self._leaderless = there.keys() - counts.keys()
            # a count known stays: keys must go on to the partition they have, whatever was added meanwhile (PD-18)
            self._partitions = {**counts, **{name: count for name, count in self._partitions.items() if name in listed}}
        return counts

    def _configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the settings of topics, without those that this principal may not see."""
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        if not resources:
            return {}
        found = {}
        for resource, asked in self._admin.describe_configs(resources, request_timeout=self._connection.timeout).items():
            try:
                entries = answer(asked)
            except KafkaException as error:
                if error.args[0].code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART}:
                    continue
                raise self._explain(error, f"ask for the settings of topic {resource.name}", resource.name) from error
            found[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
        return found

    def _explain(self, error: KafkaException, doing: str, topic: str = "") -> Exception:
        self._admin.poll(0)
        return self._connection.explain(error, doing, topic)


def _is_there(topic: Topic, counts: Mapping[str, int]) -> bool:
    """Return whether a topic exists. Raises Misconfigured when it has, or is to have, other partitions than it can have."""
    if topic.partitions < 1:
        raise Misconfigured(f"topic {topic.name!r} must have at least one partition")
    if counts.get(topic.name, topic.partitions) != topic.partitions:
        raise Misconfigured(
            f"topic {topic.name!r} has {counts[topic.name]} partitions and cannot have {topic.partitions}: keys would move and "
            f"lose their order; set it back, or drain the topic and create one under a new name"
        )
    return topic.name in counts


def _topic(name: str, partitions: int, config: Mapping[str, str]) -> Topic:
    milliseconds, size = int(config.get("retention.ms", _FOR_EVER)), int(config.get("retention.bytes", _FOR_EVER))
    return Topic(name, partitions, milliseconds * 1000 if milliseconds >= 0 else None, size * partitions if size >= 0 else None)
