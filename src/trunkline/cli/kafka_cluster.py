"""The development cluster of a folder: its shape and ports, its certificates and passwords, and who runs it.

cluster.json        nodes, ports, secured or not: chosen once, so that addresses in site files stay right
ca/, certs/         the cluster's own authority; the nodes' certificates are issued anew at every start
secrets/            passwords of the users `broker` and `admin`, a file each, mode 0600
node-1/ …           settings, log and data of each node
run/                the lock of the process that runs it, and a file that is there once every node is ready
"""

import fcntl
import secrets
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from trunkline.config.secrets import SecretStore
from trunkline.lab.kafka import Cluster, ClusterSecurity, NodePorts, Scram
from trunkline.lab.kafka.ports import is_free
from trunkline.model.errors import Misconfigured
from trunkline.security.pki import CertificateAuthority
from trunkline.supervisor.holding import open_lock

ROLE: Final = "kafka"
ADMIN: Final = "admin"
BROKER: Final = "broker"

_HOSTS: Final = ("127.0.0.1", "localhost")
_LISTENERS: Final = 3

Nodes: TypeAlias = Literal[1, 3]


class Shape(msgspec.Struct, frozen=True):
    """What was chosen when the folder was first used."""

    nodes: Nodes
    secured: bool
    ports: tuple[tuple[int, int, int], ...]

    @property
    def bootstrap(self) -> str:
        """Addresses for clients."""
        return ",".join(f"127.0.0.1:{client}" for client, _, _ in self.ports)

    @property
    def words(self) -> str:
        """As people call it."""
        count = "one broker" if self.nodes == 1 else f"{self.nodes} brokers"
        return f"{count}, {'secured' if self.secured else 'plaintext'}"


def known_shape(directory: Path) -> Shape | None:
    """Return what the folder was made for, or None. Raises Misconfigured when its file is damaged."""
    file = directory / "cluster.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Shape)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} is damaged ({error}): remove {directory} to begin anew; its data goes with it") from error


def choose_shape(directory: Path, nodes: Nodes, *, secured: bool, port: int, clients: Sequence[int] = ()) -> Shape:
    """Return the folder's shape; the first time it is chosen, ports from `port` on.

    Args:
        directory: the folder.
        nodes: how many brokers.
        secured: with TLS and passwords.
        port: the first port to try.
        clients: ports for clients, one a node, where a site file names them already.

    Raises:
        Misconfigured: the folder was made for another shape, or there are not enough free ports.
    """
    if found := known_shape(directory):
        if (found.nodes, found.secured) != (nodes, secured):
            raise Misconfigured(f"{directory} was made for {found.words}: choose another folder, or remove it with its data")
        if clients and list(clients) != [client for client, _, _ in found.ports]:
            raise Misconfigured(f"the brokers of {directory} listen at {found.bootstrap}: name these, or remove it with its data")
        return found
    ports = [*clients, *_free_ports(port, _LISTENERS * nodes - len(clients))]
    shape = Shape(nodes, secured, tuple((ports[node], ports[nodes + node], ports[2 * nodes + node]) for node in range(nodes)))
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / "cluster.json.new"
    fresh.write_bytes(msgspec.json.encode(shape))
    fresh.replace(directory / "cluster.json")
    return shape


def make_cluster(directory: Path, shape: Shape) -> Cluster:
    """Return the folder's cluster, not started.

    Raises:
        Misconfigured: Kafka is not installed, or the passwords that its data was made with are gone.
    """
    security = secure(directory, shape.nodes) if shape.secured else None
    return Cluster(directory, shape.nodes, security, ports=[NodePorts(*ports) for ports in shape.ports])


def secure(directory: Path, nodes: int) -> ClusterSecurity:
    """Provide certificates and passwords of a cluster, those that are in the folder or new ones.

    Raises:
        Misconfigured: the folder has data, and the passwords that it was made with are gone.
    """
    ca = directory / "ca"
    authority = CertificateAuthority.open(ca) if ca.exists() else CertificateAuthority.create(ca, "development")
    certificates = directory / "certs"
    certificates.mkdir(mode=0o700, exist_ok=True)
    files = [
        authority.issue("kafka-broker", hosts=_HOSTS, server=True).write(certificates / f"node-{node}.pem") for node in range(1, nodes + 1)
    ]
    return ClusterSecurity(
        authority.trust_file, files, Scram(BROKER, _password(directory, BROKER)), Scram(ADMIN, _password(directory, ADMIN))
    )


def password_file(directory: Path, user: str) -> Path:
    """Return where a user's password is."""
    return directory / "secrets" / f"kafka-{user}"


def site_lines(directory: Path, shape: Shape) -> str:
    """Return the `log` section of a site file that uses this cluster."""
    lines = [
        "log:",
        "  engine: kafka",
        f"  bootstrap: {shape.bootstrap}",
        f"  profile: {'development' if shape.nodes == 1 else 'production'}",
    ]
    if shape.secured:
        root = directory.resolve()
        lines += [
            "  security:",
            f"    username: {ADMIN}",
            f"    password: ${{file:{password_file(root, ADMIN)}}}",
            f"    ca: {root / 'ca' / 'ca.pem'}",
        ]
    else:
        lines.append("  insecure: true")
    return "\n".join(lines)


def ready_file(directory: Path) -> Path:
    """Return the file that is there while every node is ready."""
    return directory / "run" / "kafka.ready"


def runner(directory: Path) -> int | None:
    """Return the process that runs the folder's cluster, or None."""
    if not directory.is_dir():
        return None
    with open_lock(directory, ROLE) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            return int(file.read().strip() or 0) or None
    return None


def _password(directory: Path, user: str) -> str:
    file = password_file(directory, user)
    if not file.exists():
        if (directory / "node-1" / "data").exists():
            raise Misconfigured(f"{file} is gone, and the brokers' data was made with it: restore it, or remove {directory} to begin anew")
        SecretStore(file.parent, directory).put(file.name, secrets.token_urlsafe(24))
    return SecretStore(file.parent, directory).resolve(f"${{secret:{file.name}}}")


def _free_ports(first: int, count: int) -> Sequence[int]:
    found = list(islice((port for port in range(first, 65536) if is_free(port)), count))
    if len(found) < count:
        raise Misconfigured(f"there are not enough free ports from {first} on: choose another --port")
    return found
