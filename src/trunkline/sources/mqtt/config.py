"""Options of the MQTT source."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import Model, Path, Seconds, SourceConfig, TagConfig
from trunkline.model.events import AlarmSeverity
from trunkline.sources.decoding import TimeFormat
from trunkline.sources.jsonpath import JsonPath
from trunkline.sources.mqtt.topics import check_filter, check_name, covers

TopicFilter = Annotated[str, AfterValidator(check_filter), Field(examples=["plant/area02/unit05", "plant/+/unit05/#"])]
TopicName = Annotated[str, AfterValidator(check_name)]
SecretReference = Annotated[str, Field(pattern=r"^\$\{(secret|env|file):[^{}]+\}$", examples=["${secret:broker-password}"])]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class TlsConfig(Model):
    """Encryption. The broker's certificate and name are always checked."""

    ca_file: str = Field("", description="PEM file of the authorities to trust; empty: those of the system")
    cert_file: str = Field("", description="PEM file of the client certificate with its chain")
    key_file: str = Field("", description="PEM file of the client certificate's key")
    key_password: SecretReference | None = Field(None, description="secret reference of the key's password")

    @model_validator(mode="after")
    def _pair(self) -> "TlsConfig":
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("'cert_file' and 'key_file' belong together: give both or none")
        return self


class MqttTagConfig(TagConfig):
    """One tag and where its values are found."""

    topic: TopicFilter = Field(description="topic whose messages feed the tag; '+' and '#' match any level and any rest")
    value: JsonPath | None = Field(
        None,
        description="JSONPath (RFC 9535) of the value; several values found, or a list, are samples in order; empty: the payload itself",
    )
    timestamp: JsonPath | None = Field(None, description="JSONPath of the time of measurement, one for all samples or one for each")
    timestamp_format: TimeFormat = Field("iso8601", description="how the time is written; ISO 8601 needs a zone")
    quality: JsonPath | None = Field(None, description="JSONPath of GOOD, UNCERTAIN, BAD, OOR, SUSPECT or UNKNOWN; absent: GOOD")
    command_topic: TopicName | None = Field(None, description="topic that a write is published to; empty: the tag cannot be written")
    command_value: str = Field(
        "", max_length=64, description="member that holds the value in a JSON object written to the topic; empty: the plain value"
    )

    @model_validator(mode="after")
    def _plain(self) -> "MqttTagConfig":
        if self.value is None and (self.timestamp or self.quality):
            raise ValueError("'timestamp' and 'quality' need a JSON payload: give the path of the 'value' too")
        return self


class EventFields(Model):
    """JSONPath of each field of an event; what is not found stays empty."""

    id: JsonPath = Field("$.id", description="UUID; a message without one gets an identity of its time and content")
    type: JsonPath = Field("$.type", description="what happened, for example UNIT_START")
    text: JsonPath = Field("$.text", description="a sentence for people")
    severity: JsonPath = Field("$.severity", description="LOW, MEDIUM, HIGH, CRITICAL or 1 to 4; its presence makes an alarm")
    asset: JsonPath = Field("$.asset", description="asset path, for example PLANT01.AREA02.UNIT_05")
    tag: JsonPath = Field("$.tag", description="tag name the event speaks of")
    time: JsonPath = Field("$.time", description="when it happened")
    active: JsonPath = Field("$.active", description="whether the condition came (true) or went (false)")
    value: JsonPath = Field("$.value", description="the value that raised the alarm")
    threshold: JsonPath = Field("$.threshold", description="the limit crossed")
    unit: JsonPath = Field("$.unit", description="engineering unit of both")
    before: JsonPath = Field("$.before", description="state before the change")
    after: JsonPath = Field("$.after", description="state after the change")
    actor: JsonPath = Field("$.actor", description="who did it")
    attributes: JsonPath = Field("$.attributes", description="object of further facts")


class EventConfig(Model):
    """Topics whose messages are events or alarms, one JSON object each."""

    topic: TopicFilter = Field(description="topic filter")
    fields: EventFields = Field(EventFields(), description="where each field of an event is found")
    time_format: TimeFormat = Field("iso8601", description="how the time is written; ISO 8601 needs a zone")
    type: str = Field("", max_length=128, description="type of messages that do not say")
    asset: Path | None = Field(None, description="asset of messages that do not say")
    severity: Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"] | None = Field(
        None, description="severity of messages that do not say: makes each of them an alarm"
    )

    @property
    def default_severity(self) -> AlarmSeverity | None:
        """The severity as the model's enumeration."""
        return AlarmSeverity[self.severity] if self.severity else None


class MqttConfig(SourceConfig):
    """A connection to an MQTT broker."""

    type: Literal["mqtt"] = "mqtt"
    host: str = Field(min_length=1, description="name or address of the broker; with TLS it must be in the broker's certificate")
    port: int = Field(1883, ge=1, le=65_535, description="8883 is usual with TLS")
    protocol: Literal["5", "3.1.1"] = Field("5", description="version of MQTT to speak")
    tls: TlsConfig | None = Field(None, description="encryption; absent: plain TCP")
    username: str = Field("", max_length=1024, description="name at the broker, or a secret reference")
    password: SecretReference | None = Field(None, description="secret reference of the password")
    allow_password_without_tls: bool = Field(
        False, description="send the password without TLS over the network; everyone on the way can read it"
    )
    client_id: str = Field("", max_length=256, description="identity of the session; empty: made of the gateway's and the source's id")
    qos: Literal[0, 1, 2] = Field(1, description="quality of service to subscribe with; 0 may lose messages")
    persistent: bool = Field(True, description="the broker keeps the session and its messages while the gateway is away")
    session_expiry: Seconds = Field(7 * 86_400.0, description="how long (MQTT 5); older brokers decide themselves")
    keepalive: int = Field(15, ge=1, le=3600, description="seconds until a silent broker is asked, and again until it counts as lost")
    timeout: float = Field(10.0, gt=0, le=300, description="longest wait in seconds for a connection, an answer or a delivered write")
    max_in_flight: int = Field(1000, ge=1, le=65_535, description="most messages held that are not yet acknowledged (receive maximum)")
    max_text_bytes: int = Field(65_536, ge=1, description="longer text values are refused as undecodable")
    retained: bool = Field(True, description="take the messages that the broker retains for new subscribers")
    subscribe: tuple[TopicFilter, ...] = Field(
        (), description="filters to subscribe to instead of one for each tag; they must cover every topic of tags and events"
    )
    tags: tuple[MqttTagConfig, ...] = Field((), description="what is read")
    events: tuple[EventConfig, ...] = Field((), description="topics of events and alarms")

    @model_validator(mode="after")
    def _secure(self) -> "MqttConfig":
        if self.password and not self.username:
            raise ValueError("a 'password' needs a 'username'")
        if self.password and not self.tls and not self.allow_password_without_tls and self.host not in LOOPBACK:
            raise ValueError(
                "the password would cross the network unencrypted: add 'tls', or 'allow_password_without_tls: true' if that is meant"
            )
        return self

    @model_validator(mode="after")
    def _subscribed(self) -> "MqttConfig":
        for topic in self.topics if self.subscribe else ():
            if not any(covers(wide, topic) for wide in self.subscribe):
                raise ValueError(f"no filter under 'subscribe' covers the topic {topic!r}: add one, or leave 'subscribe' out")
        return self

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic filter that tags and events name."""
        return (*(tag.topic for tag in self.tags), *(event.topic for event in self.events))
