"""The server.properties of a node, plaintext or secured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline.lab.kafka.security import ClusterSecurity

HOST: Final = "127.0.0.1"

LOG4J: Final = """status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


@dataclass(frozen=True)
class NodePorts:
    """Where a node listens on loopback: for clients, for other brokers (secured clusters only), for controllers."""

    client: int
    internal: int
    controller: int


def properties(
    node_id: int,
    ports: Sequence[NodePorts],
    data: Path,
    security: ClusterSecurity | None,
    changes: Mapping[str, str],
) -> dict[str, str]:
    """Return the settings of node `node_id` (from 1) of a cluster of `len(ports)` nodes, each of them broker and controller.

    Args:
        node_id: number of the node, from 1.
        ports: of every node, in their order.
        data: its folder.
        security: absent for plaintext.
        changes: settings that replace or add to the ones below.
    """
    mine = ports[node_id - 1]
    replicas = min(3, len(ports))
    in_sync = 2 if replicas == 3 else 1
    return {
        "process.roles": "broker,controller",
        "node.id": str(node_id),
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": ",".join(f"{number}@{HOST}:{one.controller}" for number, one in enumerate(ports, 1)),
        **(_plaintext(mine) if security is None else _secured(node_id, mine, security)),
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        **_internal_topics(replicas, in_sync),
        "group.initial.rebalance.delay.ms": "0",
        "log.cleaner.dedupe.buffer.size": "2097152",
        # a broker that was killed may come back when its session has ended: 9 s unless it is told otherwise
        "broker.session.timeout.ms": "1000" if replicas == 1 else "3000",
        "broker.heartbeat.interval.ms": "200" if replicas == 1 else "500",
        **changes,
    }


def text(settings: Mapping[str, str]) -> str:
    """Write settings as a Java properties file."""
    return "".join(f"{key}={_escaped(value)}\n" for key, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")


def _plaintext(ports: NodePorts) -> dict[str, str]:
    return {
        "listeners": f"PLAINTEXT://{HOST}:{ports.client},CONTROLLER://{HOST}:{ports.controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


def _secured(node_id: int, ports: NodePorts, security: ClusterSecurity) -> dict[str, str]:
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    broker, admin = security.inter_broker, security.admin
    brokers = f"CLIENT://{HOST}:{ports.client},INTERNAL://{HOST}:{ports.internal}"
    return {
        "listeners": f"{brokers},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": brokers,
        "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SASL_SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "INTERNAL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.internal.scram-sha-512.sasl.jaas.config": f'{login} username="{broker.username}" password="{broker.password}";',
        "listener.name.client.scram-sha-512.sasl.jaas.config": f"{login};",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(security.nodes[node_id - 1]),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(security.ca),
        "listener.name.controller.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{security.node_principal};User:{broker.username};User:{admin.username}",
        "allow.everyone.if.no.acl.found": "false",
    }


def _internal_topics(replicas: int, in_sync: int) -> dict[str, str]:
    """Few partitions: each costs a folder, files and a thread's attention on every node."""
    return {
        "offsets.topic.replication.factor": str(replicas),
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "4",
    }
