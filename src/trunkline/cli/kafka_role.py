"""Role 'kafka': the lab's brokers as a site log, secured ones with the site's users, topics and access lists."""

import threading
from pathlib import Path
from typing import Final, cast

import structlog

from trunkline.cli.kafka_cluster import ADMIN, Nodes, choose_shape, make_cluster, password_file, secure
from trunkline.cli.kafka_login import cluster_admin, logged_in
from trunkline.cli.topic_plans import Asked, cluster_plan, password_of
from trunkline.config.kafka import addresses
from trunkline.config.loading import Site
from trunkline.lab.kafka import Cluster
from trunkline.security.kafka_credentials import secret_name
from trunkline.supervisor.supervisor import brokers_ready

log = structlog.get_logger("trunkline.kafka")

_WATCH_SECONDS: Final = 0.5
_EVERYTHING: Final = Asked(profile=None, users=None, acls=None, others=())


def brokers_directory(site: Site) -> Path:
    """Return where the lab's brokers keep everything."""
    return site.data_dir / "kafka"


def prepare(site: Site) -> None:
    """Make what the other roles read when they start: certificates, and passwords of the administrator and the site.

    Raises:
        Misconfigured: the brokers' data is there and their passwords are gone.
    """
    nodes = _nodes(site)
    if nodes <= 1:
        return
    directory = brokers_directory(site)
    directory.mkdir(parents=True, exist_ok=True)
    secure(directory, nodes)
    if not (site.secrets.directory / secret_name(ADMIN)).is_file():
        site.secrets.put(secret_name(ADMIN), password_file(directory, ADMIN).read_text())
    security = site.config.log.security
    if security is not None:
        password_of(site.secrets, security.username)


def run_brokers(site: Site, stop: threading.Event) -> None:
    """Run the brokers until stopped; one that ends is started again.

    Raises:
        BrokerFailed: one does not start.
        Misconfigured: Kafka is not installed, or the brokers' folder was made for others.
    """
    nodes = _nodes(site)
    prepare(site)
    directory = brokers_directory(site)
    clients = [port for _, port in addresses(site.config.log.bootstrap)]
    shape = choose_shape(directory, nodes, secured=nodes > 1, port=clients[-1] + 1, clients=clients)
    with make_cluster(directory, shape) as cluster:
        if shape.secured:
            _provision(site)
        brokers_ready(site.data_dir).touch()
        log.info("brokers are running", bootstrap=cluster.bootstrap, secured=shape.secured)
        while not stop.wait(_WATCH_SECONDS):
            _start_what_ended(cluster)


def _start_what_ended(cluster: Cluster) -> None:
    for broker in cluster.brokers:
        if broker.pid is None:
            log.warning("a broker ended and is started again", broker=broker.node_id)
            broker.spawn()


def _provision(site: Site) -> None:
    """Create topics, users and access lists; nothing happens where they are there already."""
    administrator = logged_in(site, ADMIN)
    found = cluster_plan(administrator, _EVERYTHING)
    cluster_admin(administrator).apply(found, lambda user: password_of(site.secrets, user), lambda _: None)


def _nodes(site: Site) -> Nodes:
    lab = site.config.lab
    return cast("Nodes", lab.kafka_brokers if lab is not None else 0)
