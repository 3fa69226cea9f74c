"""A cluster of real brokers on loopback for development, tests, drills and benches."""

import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from trunkline.lab.kafka import archive
from trunkline.lab.kafka.broker import Broker, BrokerFailed
from trunkline.lab.kafka.installation import Jars
from trunkline.lab.kafka.jvm import Jvm
from trunkline.lab.kafka.ports import lasting_ports
from trunkline.lab.kafka.security import ClusterSecurity, Scram
from trunkline.lab.kafka.settings import LOG4J, NodePorts, properties, text
from trunkline.lab.kafka.storage import first_metadata, kept_metadata, lay_out, new_id
from trunkline.model.errors import Misconfigured

_READY_SECONDS: Final = 120.0
_ASK_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05


class Cluster:
    """One broker, or three; each node is broker and controller.

    Its folder keeps everything: settings, data, logs. A cluster made again on the same folder with the same ports has its data back.

    Args:
        directory: one folder a node is made in it: node-1, …
        nodes: how many.
        security: certificates and first users; absent, every listener is plaintext and everybody may do everything.
        ports: of each node; free ones when absent.
        settings: changes to the brokers' settings.
        jvm: how Java runs them.
        jars: the installed Kafka; found when absent.

    Raises:
        Misconfigured: Kafka is not installed, or there are fewer certificates than nodes.
    """

    def __init__(
        self,
        directory: Path,
        nodes: Literal[1, 3] = 1,
        security: ClusterSecurity | None = None,
        *,
        ports: Sequence[NodePorts] | None = None,
        settings: Mapping[str, str] | None = None,
        jvm: Jvm | None = None,
        jars: Jars | None = None,
    ) -> None:
        if security and len(security.nodes) < nodes:
            raise Misconfigured(f"{nodes} nodes need as many certificates; there are {len(security.nodes)}")
        self.directory = directory.resolve()
        self.security = security
        self.ports = tuple(ports) if ports else _free_ports(nodes)
        self._jars = jars or Jars.find()
        self._settings = dict(settings or {})
        self._jvm = jvm or Jvm()
        self.brokers: tuple[Broker, ...] = tuple(self._make(node) for node in range(1, nodes + 1))

    @property
    def bootstrap(self) -> str:
        """Addresses for clients: host:port,host:port."""
        return ",".join(broker.address for broker in self.brokers)

    def start(self) -> None:
        """Start every node and wait until each of them knows all.

        Raises:
            BrokerFailed: a node ended or is not in the metadata after two minutes.
        """
        self._prepare()
        try:
            for broker in self.brokers:
                broker.spawn()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every node in an orderly way; safe to call at any time, more than once."""
        for broker in self.brokers:
            broker.ask_to_stop()
        for broker in self.brokers:
            broker.wait_stopped()

    def kill(self, node: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send node `node` (from 1) a signal and wait for its end."""
        self.brokers[node - 1].kill(number)

    def pause(self, node: int) -> None:
        """Let a node hang (SIGSTOP)."""
        self.brokers[node - 1].pause()

    def resume(self, node: int) -> None:
        """Let a node that hangs go on (SIGCONT)."""
        self.brokers[node - 1].resume()

    def restart(self, node: int) -> None:
        """Start a node again that was killed or stopped, or stop it first, and wait until every running node is in the metadata."""
        broker = self.brokers[node - 1]
        broker.stop()
        broker.spawn()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until each running node answers and lists all running nodes.

        Raises:
            BrokerFailed: one of them does not after two minutes.
        """
        running = [broker for broker in self.brokers if broker.pid is not None]
        deadline = time.monotonic() + _READY_SECONDS
        for broker in running:
            broker.wait_open()
        expected = {broker.node_id for broker in running}
        for broker in running:
            self._wait_listed(broker, expected, deadline)

    def client_settings(self, user: Scram | None = None) -> dict[str, str]:
        """Return librdkafka's settings for `user`, or for the administrator; plaintext clusters know no users."""
        quick = {"reconnect.backoff.ms": "20", "reconnect.backoff.max.ms": "500"}
        if self.security is None:
            return {"bootstrap.servers": self.bootstrap, **quick}
        login = user or self.security.admin
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": login.username,
            "sasl.password": login.password,
            "ssl.ca.location": str(self.security.ca),
            **quick,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _make(self, node: int) -> Broker:
        directory = self.directory / f"node-{node}"
        return Broker(node, directory, self.ports[node - 1].client)

    def _prepare(self) -> None:
        """Write what the nodes start from; folders that were formatted before keep their data."""
        self.directory.mkdir(parents=True, exist_ok=True)
        log4j = self.directory / "log4j2.properties"
        log4j.write_text(LOG4J)
        flags = self._jvm.flags(log4j, archive.loaded_classes(self._jars))
        cluster_id = new_id()
        metadata: bytes | None = None
        for broker in self.brokers:
            data = broker.directory / "data"
            if not data.exists():
                metadata = metadata or self._first_metadata()
                lay_out(data, metadata, cluster_id, broker.node_id)
            config = broker.directory / "server.properties"
            config.touch(0o600)
            config.write_text(text(properties(broker.node_id, self.ports, data, self.security, self._settings)))
            broker.command = self._jars.command("kafka.Kafka", [config], flags)

    def _first_metadata(self) -> bytes:
        if self.security is None:
            return kept_metadata(self._jars, archive.cache_folder(self._jars))
        return first_metadata(self._jars, (self.security.inter_broker, self.security.admin))

    def _wait_listed(self, broker: Broker, expected: set[int], deadline: float) -> None:
        client = AdminClient({**self.client_settings(), "bootstrap.servers": broker.address, "log_level": "2"})
        seen: set[int] = set()
        while not expected <= seen:
            if time.monotonic() > deadline or broker.pid is None:
                raise BrokerFailed(f"Kafka broker {broker.node_id} lists the nodes {sorted(seen)}, not {sorted(expected)}; {broker.tail()}")
            try:
                seen = set(client.list_topics(timeout=_ASK_SECONDS).brokers)
            except KafkaException:
                seen = set()
            if not expected <= seen:
                time.sleep(_POLL_SECONDS)


def _free_ports(nodes: int) -> tuple[NodePorts, ...]:
    ports = lasting_ports(3 * nodes)
    return tuple(NodePorts(*ports[3 * node : 3 * node + 3]) for node in range(nodes))
