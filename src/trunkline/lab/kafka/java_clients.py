"""Settings for Java's own clients: the console tools, MirrorMaker 2, Connect."""

from pathlib import Path

from trunkline.lab.kafka.cluster import Cluster
from trunkline.lab.kafka.security import Scram
from trunkline.lab.kafka.settings import text


def java_client_settings(cluster: Cluster, user: Scram | None = None) -> dict[str, str]:
    """Return what a Java client needs to reach a cluster as `user`, or as the administrator; all but the addresses on plaintext ones."""
    settings = {"bootstrap.servers": cluster.bootstrap}
    if cluster.security is None:
        return settings
    login = user or cluster.security.admin
    return settings | {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": (
            f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{login.username}" password="{login.password}";'
        ),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(cluster.security.ca),
    }


def write_client_settings(file: Path, cluster: Cluster, user: Scram | None = None) -> Path:
    """Write a properties file for --command-config and the like, readable by its owner only; return its path."""
    file.touch(0o600)
    file.write_text(text(java_client_settings(cluster, user)))
    return file
