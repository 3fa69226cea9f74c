"""A group's stored positions, asked for from outside the group.

The administration's own request for them brings the process down when it meets a broker that has just come back (librdkafka 2.16:
`rd_kafka_handle_OffsetFetch` takes every client for a member of a group), so a consumer that never joins asks instead.
"""

import threading
from typing import Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from trunkline.log.kafka.bounded import LeftBehind, bounded
from trunkline.log.kafka.errors import AWAY, UNDECIDED, code_of
from trunkline.log.kafka.settings import Connection, Settings
from trunkline.log.port import Positions, TopicPartition

#: How long positions of a transaction are waited for that was confirmed or is still open.
_SHOWN_SECONDS: Final = 1.0


class Committed:
    """Asks for the positions of groups; thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Consumer] = {}

    def positions(self, group: str, partitions: list[TopicPartition]) -> Positions:
        """Return where a group stands in those of these partitions that it committed. Raises Misconfigured, RetryLater."""
        wanted = [ClientPartition(at.topic, at.partition) for at in partitions]
        with self._lock:
            try:
                found = self._ask(group, "read_committed", wanted, min(_SHOWN_SECONDS, self._connection.timeout))
            except KafkaException as error:
                if code_of(error).code() not in AWAY:
                    raise self._connection.explain(error, f"ask for the positions of group {group}", group) from error
                # the writer of a transaction died in the middle, or no broker answers
                found = self._ask_once_more(group, wanted)
        self._connection.well()
        return {TopicPartition(one.topic, one.partition): one.offset for one in found if one.offset >= 0}

    def undecided(self, group: str, partitions: list[TopicPartition]) -> bool:
        """Return whether a group's positions wait for a transaction to be decided. False as well when no broker answers."""
        wanted = [ClientPartition(at.topic, at.partition) for at in partitions]
        with self._lock:
            try:
                self._ask(group, "read_uncommitted", wanted, self._connection.timeout)
            except KafkaException:
                return False
            try:
                self._ask(group, "read_committed", wanted, min(_SHOWN_SECONDS, self._connection.timeout))
            except KafkaException as error:
                return code_of(error).code() in UNDECIDED
        return False

    def close(self) -> None:
        """Drop the clients."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _ask_once_more(self, group: str, wanted: list[ClientPartition]) -> list[ClientPartition]:
        try:
            return self._ask(group, "read_uncommitted", wanted, self._connection.timeout)
        except KafkaException as error:
            raise self._connection.explain(error, f"ask for the positions of group {group}", group) from error

    def _ask(self, group: str, isolation: str, wanted: list[ClientPartition], wait: float) -> list[ClientPartition]:
        client = self._clients.get((group, isolation))
        if client is None:
            settings: Settings = {"group.id": group, "isolation.level": isolation, "enable.auto.commit": False}
            client = self._clients[group, isolation] = Consumer(self._connection.of_client(settings))
            # once it is connected it finds the group's coordinator at once, otherwise half a second later
            client.list_topics(timeout=self._connection.timeout)
        try:
            found = bounded(lambda seconds: client.committed(wanted, timeout=seconds), wait)
        except LeftBehind:
            del self._clients[group, isolation]
            raise
        for one in found:
            if one.error is not None:
                raise KafkaException(one.error)
        return found
