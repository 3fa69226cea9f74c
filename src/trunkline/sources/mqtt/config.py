"""Options of the MQTT source."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import Model, Path, Seconds, TagConfig
from trunkline.model.events import AlarmSeverity
from trunkline.sources.broker.config import BrokerConfig, Session
from trunkline.sources.decoding import TimeFormat
from trunkline.sources.jsonpath import JsonPath
from trunkline.sources.mqtt.topics import check_filter, check_name, covers

TopicFilter = Annotated[str, AfterValidator(check_filter), Field(examples=["plant/area02/unit05", "plant/+/unit05/#"])]
TopicName = Annotated[str, AfterValidator(check_name)]


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


class MqttConfig(BrokerConfig):
    """A connection to an MQTT broker."""

    type: Literal["mqtt"] = "mqtt"
    qos: Literal[0, 1, 2] = Field(1, description="quality of service to subscribe with; 0 may lose messages")
    persistent: bool = Field(True, description="the broker keeps the session and its messages while the gateway is away")
    session_expiry: Seconds = Field(7 * 86_400.0, description="how long (MQTT 5); older brokers decide themselves")
    max_text_bytes: int = Field(65_536, ge=1, description="longer text values are refused as undecodable")
    retained: bool = Field(True, description="take the messages that the broker retains for new subscribers")
    subscribe: tuple[TopicFilter, ...] = Field(
        (), description="filters to subscribe to instead of one for each tag; they must cover every topic of tags and events"
    )
    tags: tuple[MqttTagConfig, ...] = Field((), description="what is read")
    events: tuple[EventConfig, ...] = Field((), description="topics of events and alarms")

    @model_validator(mode="after")
    def _subscribed(self) -> "MqttConfig":
        for topic in self.topics if self.subscribe else ():
            if not any(covers(wide, topic) for wide in self.subscribe):
                raise ValueError(f"no filter under 'subscribe' covers the topic {topic!r}: add one, or leave 'subscribe' out")
        return self

    @property
    def session(self) -> Session:
        """What is asked of the broker."""
        return Session(self.qos, self.retained, self.session_expiry if self.persistent else 0)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic filter that tags and events name."""
        return (*(tag.topic for tag in self.tags), *(event.topic for event in self.events))
