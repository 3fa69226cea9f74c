"""Configuration of an edge's own Kafka: server.properties of its broker, mm2.properties of MirrorMaker 2 (W-96 to W-99, D-4, D-5, D-20).

Everything comes from the site file, nothing from defaults that are made for clusters: a topic of three copies cannot exist on one broker,
MirrorMaker prefixes names and copies settings unless told otherwise, and its books belong to the centre. No file has a secret in it but
those that `Login` returns: MirrorMaker stores its settings in a topic, and there they are references, too.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.config.edge import CentralKafka, EdgeKafka
from trunkline.config.kafka import KafkaSecurity, addresses
from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.log.kafka.access import mirror_alias
from trunkline.log.kafka.edge import mirrored, returned
from trunkline.log.kafka.plan import COPIES
from trunkline.log.layouts.spec import LARGEST, TopicSpec
from trunkline.log.opening import layout_of
from trunkline.model.errors import Misconfigured

CENTRAL: Final = "central"
JAAS: Final = "central.jaas"
KEYSTORE: Final = "central.pem"
_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PROVIDER: Final = "org.apache.kafka.common.config.provider.DirectoryConfigProvider"
_IDENTITY: Final = "org.apache.kafka.connect.mirror.IdentityReplicationPolicy"
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
#: By the lists in the jars; looking into every class of them takes half the time of a start.
_DISCOVERY: Final = "plugin.discovery"
_REQUEST_BYTES: Final = LARGEST + (1 << 16)

Settings = dict[str, str]


class Login(NamedTuple):
    """How MirrorMaker 2 logs in to the centre.

    Attributes:
        settings: of Kafka's Java clients; secrets are references to files of a folder.
        files: those files by name, to be readable by their owner only.
    """

    settings: Settings
    files: Mapping[str, str]


def broker_settings(log: LogConfig, edge: EdgeKafka, directory: Path) -> Settings:
    """Return the settings of the edge's broker: KRaft node 1, broker and controller, on loopback only (W-96).

    Args:
        log: the `log` section of the site file.
        edge: its `edge`.
        directory: its data goes to `data` in it, which must be a volume that lasts (W-97).
    """
    ((_, port),) = addresses(log.bootstrap)
    controller = f"127.0.0.1:{edge.controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(directory / "data"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        **_one_copy_of_its_own(),
        # bytes bound the disk, never hours: what waits for a link that is down for days must not expire
        "log.retention.ms": "-1",
        "message.max.bytes": str(LARGEST),
        "log.flush.scheduler.interval.ms": str(max(1, edge.flush_ms)),
        **({"log.flush.interval.ms": str(edge.flush_ms)} if edge.flush_ms else {"log.flush.interval.messages": "1"}),
        # after a power cut the last segment of every partition is read again
        "num.recovery.threads.per.data.dir": "2",
        "log.cleaner.dedupe.buffer.size": "2097152",
        "group.initial.rebalance.delay.ms": "0",
    }


def mirror_settings(site: str, log: LogConfig, edge: EdgeKafka, login: Login, secrets: Path) -> Settings:
    """Return the settings of MirrorMaker 2.

    Args:
        site: name of the site; tells this edge's books at the centre from those of other edges.
        log: the `log` section of the site file.
        edge: its `edge`.
        login: of `central_login`.
        secrets: absolute path of the folder with the files of `login`.
    """
    layout = layout_of(log)
    here = mirror_alias(site)
    out, back = f"{here}->{CENTRAL}", f"{CENTRAL}->{here}"
    copies = str(COPIES[edge.central.profile][0])
    return {
        "clusters": f"{here},{CENTRAL}",
        f"{here}.bootstrap.servers": log.bootstrap,
        f"{CENTRAL}.bootstrap.servers": edge.central.bootstrap,
        _DISCOVERY: "service_load",
        "config.providers": "directory",
        "config.providers.directory.class": _PROVIDER,
        "config.providers.directory.param.allowed.paths": str(secrets),
        **{f"{CENTRAL}.{key}": value for key, value in login.settings.items()},
        # names at the centre are those of the edge; topics there are `trunkline topics apply`'s, and their settings, too
        "replication.policy.class": _IDENTITY,
        "sync.topic.configs.enabled": "false",
        "sync.topic.acls.enabled": "false",
        "config.properties.exclude": ".*",
        "emit.heartbeats.enabled": "false",
        "heartbeats.replication.enabled": "false",
        "refresh.topics.interval.seconds": "60",
        f"{out}.enabled": "true",
        f"{out}.topics": _patterns(mirrored(layout)),
        f"{back}.enabled": "true",
        f"{back}.topics": _patterns(returned(layout)),
        # MirrorMaker runs its three connectors for each direction; nobody's progress at the centre is of use at the edge
        f"{back}.groups": "none",
        **_transactions(edge),
        **_books_of(out, copies),
        **_books_of(back, "1"),
        **_books(CENTRAL, copies),
        **_books(here, "1"),
        **_flow(here),
    }


def central_login(central: CentralKafka, secrets: SecretStore, folder: Path) -> Login:
    """Return how MirrorMaker 2 logs in to the centre.

    Args:
        central: the cluster.
        secrets: resolves the password and is where relative paths start.
        folder: absolute path of the folder that will hold the secret files.

    Raises:
        Misconfigured: a secret or a PEM file cannot be read, or the password has control characters.
    """
    security = central.security
    if security is None:
        return Login({}, {})
    settings = {"security.protocol": "SASL_SSL" if security.username else "SSL"}
    files = {}
    if security.username:
        files[JAAS] = _jaas(security, secrets)
        settings |= {"sasl.mechanism": security.mechanism, "sasl.jaas.config": f"${{directory:{folder}:{JAAS}}}"}
    if security.ca:
        settings |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(_path(secrets, security.ca))}
    if security.certificate:
        # Java takes key and certificate from one file only
        names = dict.fromkeys((security.key, security.certificate))
        files[KEYSTORE] = "".join(_text(_path(secrets, name)).rstrip("\n") + "\n" for name in names)
        settings |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(folder / KEYSTORE)}
    return Login(settings, files)


def java_properties(settings: Mapping[str, str], heading: Iterable[str] = ()) -> str:
    """Return settings as a Java properties file, which is Latin-1: other characters are escaped."""
    comments = "".join(f"# {line}\n" for line in heading)
    return comments + "".join(f"{_escaped(key)}={_escaped(value)}\n" for key, value in settings.items())


def _one_copy_of_its_own() -> Settings:
    """Kafka's own topics: three copies are the default, and one broker cannot hold them (D-5)."""
    topics = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    found = {f"{topic}.{key}": value for topic in topics for key, value in (("replication.factor", "1"), ("num.partitions", "4"))}
    return found | {f"{topic}.min.isr": "1" for topic in topics[1:]}


def _transactions(edge: EdgeKafka) -> Settings:
    """Records and the position that they were read to, in one transaction at the centre.

    While one is open, readers of the same partitions wait. A link that goes down leaves it open until the centre ends it, for which the
    timeout must be longer than the ten seconds after which MirrorMaker gives up its tasks and begins them anew.
    """
    if not edge.exactly_once:
        return {f"{CENTRAL}.exactly.once.source.support": "disabled"}
    return {f"{CENTRAL}.exactly.once.source.support": "enabled", f"{CENTRAL}.producer.transaction.timeout.ms": "30000"}


def _books_of(flow: str, copies: str) -> Settings:
    """Where MirrorMaker's connectors keep their books: where they write, not on the edge, which cannot hold three copies (D-20)."""
    topics = ("offset-syncs.topic", "checkpoints.topic", "heartbeats.topic")
    factors = {f"{flow}.{topic}.replication.factor": copies for topic in topics}
    return {f"{flow}.replication.factor": copies, f"{flow}.offset-syncs.topic.location": "target", **factors}


def _books(target: str, copies: str) -> Settings:
    """Where Kafka Connect, which runs MirrorMaker, keeps its books; its own defaults are 25 partitions and one flush a minute."""
    storages = {f"{target}.{storage}.storage.replication.factor": copies for storage in ("config", "offset", "status")}
    partitions = {f"{target}.{storage}.storage.partitions": "1" for storage in ("offset", "status")}
    # the only worker of its group: a task that it lost with the link is its own again at once, not after five minutes
    waits = {f"{target}.offset.flush.interval.ms": "10000", f"{target}.scheduled.rebalance.max.delay.ms": "0"}
    return {f"{target}.{_DISCOVERY}": "service_load", **waits, **storages, **partitions}


def _flow(here: str) -> Settings:
    """How records are read and written: whole transactions only, in order, none too large that a gateway could write."""
    readers = {
        f"{alias}.consumer.{key}": value
        for alias in (here, CENTRAL)
        for key, value in (("isolation.level", "read_committed"), ("fetch.max.bytes", str(16 << 20)))
    }
    writers = {
        f"{alias}.producer.{key}": value
        for alias in (here, CENTRAL)
        for key, value in (
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("max.request.size", str(_REQUEST_BYTES)),
            ("batch.size", str(256 << 10)),
            ("linger.ms", "10"),
            ("compression.type", "zstd"),
        )
    }
    return readers | writers


def _patterns(specs: Iterable[TopicSpec]) -> str:
    """Return names as MirrorMaker takes them: a list of regular expressions."""
    return ",".join(spec.name.replace(".", r"\.") for spec in specs)


def _jaas(security: KafkaSecurity, secrets: SecretStore) -> str:
    password = secrets.resolve(security.password)
    if _CONTROL.search(security.username + password):
        raise Misconfigured(f"the password of {security.username} has a line break or another control character: choose one without")
    return f"{_LOGIN} required username={_quoted(security.username)} password={_quoted(password)};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _path(secrets: SecretStore, file: str) -> Path:
    return (secrets.base / Path(file).expanduser()).resolve()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}: name a PEM file that this user may read") from error


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n")
    return "".join(char if " " <= char <= "~" else "".join(f"\\u{unit:04x}" for unit in _utf16(char)) for char in plain)


def _utf16(char: str) -> Iterable[int]:
    raw = char.encode("utf-16-be")
    return (int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2))
