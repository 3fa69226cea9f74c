"""The site file: one YAML document that describes a site, its gateways and where data goes.

Sections of sources are checked by the plugin that their `type` names (`trunkline.config.loading`).
"""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from trunkline.config.alarms import AlarmsConfig
from trunkline.config.anomalies import AnomalyRule
from trunkline.config.derived import DerivedConfig
from trunkline.config.edge import EdgeKafka, check_edge
from trunkline.config.kafka import Bootstrap, KafkaSecurity, Profile, check_connection
from trunkline.config.notifications import NotificationsConfig
from trunkline.config.registry import RegistryConfig
from trunkline.config.rollups import RollupsConfig
from trunkline.config.rules import AnyRule
from trunkline.config.secrets import references
from trunkline.config.tags import Identifier, Model, Seconds, SizeText
from trunkline.config.zones import check_zone

Bytes = Annotated[int, Field(gt=0)]
BytesPerSecond = Annotated[int, SizeText, Field(ge=500)]
Members = Annotated[int, Field(ge=1, le=200)]
Port = Annotated[int, Field(ge=0, le=65535)]


#: By layout; the catalogues of `trunkline.log.layouts` say the same.
PRODUCTION_PARTITIONS: Final = {"gateway": 12, "isa95": 200, "petroleum": 6}


class LogConfig(Model):
    """The site log."""

    engine: Literal["journal", "kafka"] = Field("journal", description="'journal' is embedded and needs nothing; 'kafka' is Apache Kafka")
    partitions: int = Field(
        4,
        ge=1,
        le=1000,
        description="partitions of each telemetry topic, fixed once data is there (PD-18); "
        "default of kafka in production: 12, with layout isa95 200, petroleum 6",
    )
    layout: Literal["gateway", "isa95", "petroleum"] = Field("gateway", description="how topics are named")
    form: Literal["block", "single", "json"] = Field(
        "block",
        description="how readings are written: 'block' holds many and is by far the quickest, 'single' is one Avro record a reading, "
        "'json' the plant's envelope, for events and alarms as well (layout isa95); every form is read, whatever is written",
    )
    retention_hours: float = Field(24.0, gt=0, description="how long raw and clean telemetry stays in the log")
    bootstrap: Bootstrap = Field("", description="kafka: addresses of brokers, host:port with commas between")
    profile: Profile = Field(
        "production",
        description="kafka: 'development' keeps one copy and creates topics itself, 'production' keeps three of which two must be there",
    )
    security: KafkaSecurity | None = Field(None, description="kafka: TLS and the principal; required unless insecure")
    insecure: bool = Field(False, description="kafka: plain text without a principal, for brokers on this machine only")
    timeout_seconds: float = Field(10.0, ge=1, le=300, description="kafka: longest wait for a broker before work is put off")
    session_seconds: float = Field(10.0, ge=1, le=300, description="kafka: silence after which other workers take over a worker's share")
    edge: EdgeKafka | None = Field(None, description="kafka: 'bootstrap' is a broker of this edge's own, mirrored to a central cluster")

    @model_validator(mode="before")
    @classmethod
    def _partitions(cls, given: object) -> object:
        """A cluster in production, and an edge of one, get what their layout is made for; everything smaller the small number above."""
        if not isinstance(given, dict) or given.get("engine") != "kafka":
            return given
        edge = given.get("edge")
        cluster = edge.get("central") if isinstance(edge, dict) else given
        if not isinstance(cluster, dict) or cluster.get("profile", "production") != "production":
            return given
        return {"partitions": PRODUCTION_PARTITIONS.get(str(given.get("layout", "gateway")), 4), **given}

    @model_validator(mode="after")
    def _connection(self) -> "LogConfig":
        if self.engine == "kafka":
            check_connection(self.bootstrap, self.security, insecure=self.insecure)
            if self.edge is not None:
                check_edge(self.edge, self.bootstrap, self.profile, insecure=self.insecure)
        return self


class EncryptionConfig(Model):
    """The edge journal is sealed: unreadable on the disk without a key."""

    key: str = Field(description="secret reference of the key: 32 random bytes in base64, of 'openssl rand -base64 32'")

    @field_validator("key")
    @classmethod
    def _reference(cls, key: str) -> str:
        if references(key) != [key]:
            raise ValueError("a key is never written out: put it among the site's secrets and write '${secret:NAME}'")
        return key


class BufferConfig(Model):
    """Store and forward at the edge."""

    max_bytes: Bytes = Field(
        10_000_000_000,
        description="bytes that the edge journal may take on its disk; the oldest telemetry is given up before it is reached, on record",
    )
    reserved_bytes: Bytes = Field(100_000_000, description="part of it that only alarms, commands and notices may use")
    retention_days: float = Field(30.0, gt=0, description="how long forwarded records stay at the edge once the historian has them (P-69)")
    encryption: EncryptionConfig | None = Field(None, description="seals what the edge journal holds; none leaves it readable on the disk")
    linger_ms: int = Field(50, ge=0, le=10_000, description="longest wait to gather readings for one durable write; 0 writes at once")
    batch_readings: int = Field(2_000, ge=1, description="readings that start a durable write at once")


class LinkConfig(Model):
    """The way from a gateway to the site log."""

    max_bytes_per_second: BytesPerSecond | None = Field(
        None,
        description="most that the gateway sends to the site log, for example 8000 or 64K (multiples of 1024) a second; alarms are counted "
        "but never wait; empty sends as much as the link takes (docs/how-to/bad-links.md)",
    )
    backlog_bytes_per_second: BytesPerSecond | None = Field(
        None, description="most of it for what waited through an outage or is sent again; empty leaves it all that live data does not need"
    )
    compression: Literal["none", "snappy", "lz4", "zstd", "gzip"] = Field(
        "lz4", description="kafka: how batches are compressed; 'zstd' sends least and takes most processor time"
    )

    @model_validator(mode="after")
    def _part(self) -> "LinkConfig":
        if self.max_bytes_per_second and self.backlog_bytes_per_second and self.backlog_bytes_per_second > self.max_bytes_per_second:
            raise ValueError(
                f"backlog_bytes_per_second ({self.backlog_bytes_per_second}) is a part of max_bytes_per_second "
                f"({self.max_bytes_per_second}): make it smaller, or leave it out"
            )
        return self


class GatewayConfig(Model):
    """One gateway: a process close to its devices."""

    id: Identifier = Field(description="name of the gateway, unique within the site")
    admin_port: Port = Field(0, description="loopback port of /health and /metrics; 0 picks a free one")
    buffer: BufferConfig = BufferConfig()
    link: LinkConfig = LinkConfig()
    sources: tuple[dict[str, Any], ...] = Field((), description="connections to devices; each is checked by the plugin its 'type' names")


class HistorianConfig(Model):
    """Where history is kept."""

    dsn: str = Field(
        "", description="PostgreSQL connection string or secret reference; empty runs an embedded server under the data directory"
    )
    flush_seconds: Seconds = Field(2.0, description="longest time a reading waits in memory for a longer run")
    flush_readings: int = Field(200_000, ge=1, description="readings that are written at once")
    retention_days: float | None = Field(None, gt=0, description="drop history older than this; empty keeps all")
    compact: bool = Field(True, description="merge short segments in the background")
    rows: bool = Field(
        False, description="keep every number as a narrow row as well, in the same transaction, for TimescaleDB and other tools of SQL"
    )
    members: Members = Field(1, description="processes of 'trunkline up' that share the partitions; more than there are stay idle (P-115)")


class ApiConfig(Model):
    """REST, WebSocket and the page."""

    host: str = Field("127.0.0.1", description="address to listen on; anything but loopback needs authentication, which is always on")
    port: Port = Field(8400, description="port to listen on")
    allowed_hosts: tuple[str, ...] = Field((), description="further names under which browsers may reach it, of a proxy for example")


class ValidationConfig(Model):
    """What the validation step refuses or marks; ranges and rates come from the tags."""

    max_future_seconds: Seconds = Field(10.0, description="a source time further ahead is refused")
    max_age_days: float = Field(3650.0, gt=0, description="a source time further back is refused")
    max_text_bytes: int = Field(65_536, ge=1, description="longer text values are refused")
    bad: Literal["dead_letter", "keep"] = Field(
        "dead_letter",
        description="what becomes of a value that a tag's range or a rule calls BAD: 'dead_letter' keeps it out of history (W-124), 'keep' "
        "stores it as BAD (E-72)",
    )
    gap_factor: float = Field(2.0, gt=1, description="silence of more than this many usual intervals is a gap event (W-129)")
    members: Members = Field(1, description="processes of 'trunkline up' that share the partitions; more than there are stay idle (P-113)")


class LabConfig(Model):
    """Simulated devices that 'trunkline up' starts beside the site: for learning, tests and drills."""

    units: int = Field(10, ge=1, le=10_000, description="process units of the plant")
    seed: int = Field(7, description="of the random numbers: the same seed makes the same plant")
    period_ms: int = Field(1000, ge=1, description="milliseconds between two changes of a value")
    modbus_port: Port = Field(15020, description="loopback port of the Modbus devices")
    opcua_port: Port = Field(48400, description="loopback port of the OPC UA server")
    mqtt_port: Port = Field(18830, description="loopback port of the MQTT broker")
    truth: str = Field("", description="file for the ground truth; empty writes none")
    kafka_brokers: Literal[0, 1, 3] = Field(
        0, description="brokers of Apache Kafka that run beside the devices, where log.bootstrap says: 1 in plain text, 3 secured"
    )


class SiteConfig(Model):
    """The whole site file."""

    site: Identifier = Field(description="short name of the site")
    title: str = Field("", max_length=128, description="name shown to people")
    timezone: Annotated[str, AfterValidator(check_zone)] = Field("UTC", description="IANA zone in which people read times")
    data_dir: str = Field("data", description="where everything is kept; relative to the site file")
    log: LogConfig = LogConfig()
    registry: RegistryConfig | None = Field(None, description="the schema registry; without it only built-in schemas are known")
    gateways: tuple[GatewayConfig, ...] = ()
    validation: ValidationConfig = ValidationConfig()
    rules: tuple[AnyRule, ...] = Field((), description="quality rules; each names the tags that it judges (docs/how-to/quality-rules.md)")
    derived: tuple[DerivedConfig, ...] = Field((), description="tags that are reckoned from others")
    alarms: AlarmsConfig = AlarmsConfig()
    anomalies: tuple[AnomalyRule, ...] = Field((), description="rules that watch tags for what is unusual; without any nothing is watched")
    notifications: NotificationsConfig = NotificationsConfig()
    rollups: RollupsConfig = RollupsConfig()
    historian: HistorianConfig = HistorianConfig()
    api: ApiConfig = ApiConfig()
    lab: LabConfig | None = None

    @property
    def keeps_alarms(self) -> bool:
        """Whether alarms have a life here: there is a section for them, were it an empty one, or somebody is to be told."""
        return "alarms" in self.model_fields_set or bool(self.notifications.channels)

    @property
    def evaluates(self) -> bool:
        """Whether there is anything to derive, to alarm on or to watch."""
        return self.keeps_alarms or bool(self.derived) or any(rule.enabled for rule in self.anomalies)
