"""Real Apache Kafka on loopback, from installed jars: for development, tests, drills and benches."""

from trunkline.lab.kafka.broker import Broker, BrokerFailed
from trunkline.lab.kafka.cluster import Cluster
from trunkline.lab.kafka.edge import Edge
from trunkline.lab.kafka.installation import Jars
from trunkline.lab.kafka.java_clients import java_client_settings, write_client_settings
from trunkline.lab.kafka.jvm import Jvm
from trunkline.lab.kafka.security import ClusterSecurity, Scram
from trunkline.lab.kafka.settings import NodePorts

__all__ = [
    "Broker",
    "BrokerFailed",
    "Cluster",
    "ClusterSecurity",
    "Edge",
    "Jars",
    "Jvm",
    "NodePorts",
    "Scram",
    "java_client_settings",
    "write_client_settings",
]
