"""What a secured cluster is given: certificates as PEM files, and the users it starts with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Scram:
    """A user with a SCRAM-SHA-512 password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class ClusterSecurity:
    """Certificates and first users of a cluster.

    Attributes:
        ca: PEM file of the authority that signed every certificate; nodes and clients trust it.
        nodes: one PEM file a node: its PKCS#8 key, not encrypted, its certificate for 127.0.0.1 and localhost, the authority's.
        node_principal: the subject of every node's certificate, as Kafka writes principals; controllers know each other by it.
        inter_broker: the user that brokers are to each other.
        admin: the user that may do everything; other users and rights are its work.
    """

    ca: Path
    nodes: Sequence[Path]
    inter_broker: Scram
    admin: Scram
    node_principal: str = "CN=kafka-broker"
