"""Opening the site log that the site file names."""

from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.config.kafka import Profile
from trunkline.config.secrets import SecretStore, SecretUnavailable, key_bytes
from trunkline.config.site import GatewayConfig, LogConfig
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.sealing import Key, WrongKey
from trunkline.log.port import Log, Topic
from trunkline.log.topics import Layout
from trunkline.log.uplink import Uplink
from trunkline.model import times
from trunkline.model.errors import Misconfigured

if TYPE_CHECKING:
    from trunkline.log.kafka.engine import KafkaLog
    from trunkline.log.kafka.plan import KafkaTopic


def layout_of(config: LogConfig) -> Layout:
    """Return the naming of topics."""
    return Layout(config.layout, config.partitions)


def retention_of(config: LogConfig) -> int | None:
    """Return how long raw and clean telemetry is kept, in µs; None leaves it to the layout, on Kafka without a figure of its own."""
    if config.engine == "kafka" and "retention_hours" not in config.model_fields_set:
        return None
    return int(config.retention_hours * times.HOUR)


def site_journal(data_dir: Path) -> Path:
    """Return the file of an embedded site log."""
    return data_dir / "site" / "journal.db"


def open_site_log(
    config: LogConfig, data_dir: Path, secrets: SecretStore | None = None, *, look: bool = True, uplink: Uplink | None = None
) -> Log:
    """Open the site log.

    The journal, and Kafka in the profile 'development', create the topics that are missing; elsewhere `trunkline topics apply` does.

    Args:
        config: its section of the site file.
        data_dir: where an embedded log lies.
        secrets: resolves Kafka's password; relative paths of certificates start at its base.
        look: False opens Kafka without looking at its topics, and so without a broker.
        uplink: how appends travel to Kafka, and the meter that they turn; an embedded log has no link.

    Raises:
        Misconfigured: its partitions differ from the configuration (PD-18), or it cannot be opened with these settings.
        RetryLater: it cannot be opened now.
    """
    if config.engine == "kafka":
        return _open_kafka(config, secrets, look=look, uplink=uplink)
    return open_site_journal(config, data_dir)


def open_site_journal(config: LogConfig, data_dir: Path) -> Journal:
    """Open an embedded site log. Raises Misconfigured, RetryLater."""
    journal = Journal(site_journal(data_dir))
    try:
        journal.create(layout_of(config).catalogue(retention_of(config)))
    except BaseException:
        journal.close()
        raise
    return journal


def _open_kafka(config: LogConfig, secrets: SecretStore | None, *, look: bool, uplink: Uplink | None) -> "KafkaLog":
    from trunkline.log.kafka.engine import KafkaLog  # noqa: PLC0415 - the client is loaded where Kafka is used

    log = KafkaLog(config, secrets, uplink)
    try:
        if look and log.missing(Topic(one.name, one.partitions) for one in kafka_topics(config)) and config.profile == "development":
            _create(config, secrets)
    except BaseException:
        log.close()
        raise
    return log


def kafka_topics(config: LogConfig, profile: Profile | None = None) -> "list[KafkaTopic]":
    """Return what the brokers that the site file names should hold; `profile` replaces the site file's.

    An edge with a broker of its own holds what is mirrored to the centre and what comes back, and keeps it by bytes (D-19).
    """
    from trunkline.log.kafka.edge import edge_topics  # noqa: PLC0415 - as above
    from trunkline.log.kafka.plan import wanted_topics  # noqa: PLC0415

    if config.edge is not None:
        return edge_topics(layout_of(config), config.edge)
    return wanted_topics(layout_of(config), profile or config.profile, retention_of(config))


def _create(config: LogConfig, secrets: SecretStore | None) -> None:
    """Create what is missing as `trunkline topics apply` would."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as above

    from trunkline.log.kafka.admin import ClusterAdmin  # noqa: PLC0415
    from trunkline.log.kafka.plan import Plan, plan_topics  # noqa: PLC0415
    from trunkline.log.kafka.settings import Connection  # noqa: PLC0415

    connection = Connection(config, secrets)
    admin = ClusterAdmin(AdminClient(connection.of_client()), connection)
    wanted = kafka_topics(config)
    plan = plan_topics(wanted, admin.look(topic.name for topic in wanted))
    admin.apply(Plan([step for step in plan.steps if step.action == "create topic"]), lambda _: "", lambda _: None)


def edge_journal(data_dir: Path, gateway: str) -> Path:
    """Return the file of a gateway's edge journal."""
    return data_dir / "edge" / gateway / "journal.db"


def edge_key(config: GatewayConfig, secrets: SecretStore) -> Key | None:
    """Return the key that seals a gateway's journal, None when the site file asks for none. Raises WrongKey: it cannot be had."""
    encryption = config.buffer.encryption
    return key_named(encryption.key, secrets) if encryption is not None else None


def key_named(reference: str, secrets: SecretStore) -> Key:
    """Return the key that a secret reference names. Raises WrongKey."""
    try:
        return Key(key_bytes(secrets.resolve(reference)))
    except SecretUnavailable as error:
        raise WrongKey(str(error)) from None
    except Misconfigured as error:
        raise WrongKey(f"{reference}: {error}") from None


def open_edge_journal(config: LogConfig, data_dir: Path, gateway: str, key: Key | None = None) -> Journal:
    """Open a gateway's edge journal. It keeps everything until the gateway prunes it. Raises Misconfigured, RetryLater."""
    journal = Journal(edge_journal(data_dir, gateway), key=key)
    try:
        journal.create(layout_of(config).edge_catalogue())
    except BaseException:
        journal.close()
        raise
    return journal
