"""A centre that an edge reaches through a cable which can be pulled, and the edge's site file."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from trunkline.cli.kafka_cluster import secure
from trunkline.config.loading import Site, load
from trunkline.lab.cable import Cable
from trunkline.lab.kafka import Cluster, NodePorts
from trunkline.lab.kafka.ports import lasting_ports
from trunkline.log.kafka.access import User
from trunkline.log.kafka.admin import ClusterAdmin
from trunkline.log.kafka.plan import plan_rules, plan_topics, plan_users, wanted_topics
from trunkline.log.topics import Layout

SITE: Final = "rig-alpha"
MIRROR: Final = User(f"mirror-{SITE}", "mirror")
PASSWORD: Final = 'pass"word\\of the mirror'
LAYOUT: Final = Layout("gateway", 2)
_LINK_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"

_EDGE_FILE: Final = """
site: {site}
data_dir: {directory}/data
log:
  engine: kafka
  bootstrap: 127.0.0.1:{port}
  profile: development
  insecure: true
  partitions: 2
  edge:
    controller_port: {controller}
    disk_bytes: 1000000000
    central:
      bootstrap: 127.0.0.1:{link}
      profile: development
      security:
        username: {user}
        password: ${{secret:kafka-{user}}}
        ca: {ca}
gateways:
  - id: g1
"""


class Link:
    """The cable between edge and centre, in a thread of its own."""

    def __init__(self, inner: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        self._cable = Cable(0)
        self._cable.inner = inner
        self.mend()

    @property
    def port(self) -> int:
        """Where the edge finds the centre."""
        return self._cable.port

    def mend(self) -> None:
        """Let connections through."""
        self._run(self._cable.plug())

    def cut(self) -> None:
        """Drop every connection and accept none."""
        self._run(self._cable.unplug())

    def close(self) -> None:
        """End the thread."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, doing: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(60)


@contextmanager
def centre_behind_a_link(directory: Path) -> Iterator[tuple[Cluster, Link]]:
    """Run a secured broker with the topics of the layout and the rights of one mirror; a listener of its own is behind the link."""
    client, internal, controller, inner = lasting_ports(4)
    link = Link(inner)
    brokers = f"CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal}"
    settings = {
        "listeners": f"{brokers},LINK://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"{brokers},LINK://127.0.0.1:{link.port}",
        "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SASL_SSL,LINK:SASL_SSL,CONTROLLER:SSL",
        "listener.name.link.scram-sha-512.sasl.jaas.config": _LINK_LOGIN,
    }
    directory.mkdir()
    try:
        security = secure(directory, 1)
        with Cluster(directory, 1, security, ports=[NodePorts(client, internal, controller)], settings=settings) as cluster:
            _furnish(cluster)
            yield cluster, link
    finally:
        link.close()


def _furnish(cluster: Cluster) -> None:
    """Do what `trunkline topics apply --mirror rig-alpha` does at the centre."""
    admin = ClusterAdmin(AdminClient({**cluster.client_settings()}))
    wanted = wanted_topics(LAYOUT, "development")
    found = admin.look([topic.name for topic in wanted], [MIRROR.name])
    plan = plan_topics(wanted, found) + plan_users([MIRROR], found, lambda _: True) + plan_rules([MIRROR], LAYOUT, found)
    admin.apply(plan, lambda _: PASSWORD, lambda _: None)


def edge_site(directory: Path, cluster: Cluster, link: Link) -> Site:
    """Write the edge's site file and its secret, and load it."""
    assert cluster.security is not None
    port, controller = lasting_ports(2)
    directory.mkdir()
    secrets = directory / "data" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    secret = secrets / f"kafka-{MIRROR.name}"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    file = directory / "edge.yaml"
    facts = {"port": port, "controller": controller, "link": link.port, "user": MIRROR.name, "ca": cluster.security.ca}
    file.write_text(_EDGE_FILE.format(site=SITE, directory=directory, **facts))
    return load(file)
