"""Payloads to readings. Nothing that a device sends raises: what cannot be decoded becomes a BAD reading of the tags concerned."""

from collections.abc import Callable
from typing import Any, TypeAlias

from trunkline.model import quality
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading, Value
from trunkline.sources.broker.message import Message
from trunkline.sources.decoding import Undecodable, checked_value, parse_plain, parse_time, told_quality
from trunkline.sources.mqtt.config import MqttTagConfig
from trunkline.sources.samples import SampleFinder

#: Takes a message and why it, or a part of it, could not be decoded.
Report: TypeAlias = Callable[[Message, str], None]


class TagDecoder:
    """Decodes the readings of one tag out of messages."""

    def __init__(self, tag: MqttTagConfig, max_text_bytes: int, report: Report) -> None:
        """Compile the paths of `tag`; `report` is told of everything that cannot be decoded."""
        self._report = report
        self.path = tag.path
        self.json = tag.value is not None
        self._kind = tag.value_kind
        self._max_text_bytes = max_text_bytes
        self._time_format = tag.timestamp_format
        self._samples = SampleFinder(tag.value, tag.timestamp, tag.quality) if tag.value else None

    def undecodable(self, message: Message, why: str) -> Reading:
        """Return the reading that says that something came and could not be understood."""
        self._report(message, f"tag {self.path}: {why}")
        return Reading(self.path, None, Quality.BAD_DECODING, None, message.received)

    def decode_plain(self, message: Message) -> list[Reading]:
        """Decode a payload that is the value itself. Raises Undecodable."""
        value = checked_value(parse_plain(message.payload, self._kind), self._kind, self._max_text_bytes)
        return [self._reading(message, value, Quality.GOOD, None)]

    def decode_json(self, message: Message, document: Any) -> list[Reading]:  # noqa: ANN401 - any JSON document
        """Decode one or more samples of a JSON document. Raises Undecodable if none can be told; a single bad one is a BAD reading."""
        samples = self._samples.find(document) if self._samples else []
        if not samples:
            raise Undecodable("no value at the path")
        return [self._sample(message, *sample) for sample in samples]

    def _sample(self, message: Message, raw: object, moment: object, code: object) -> Reading:
        try:
            value = checked_value(raw, self._kind, self._max_text_bytes)
            told = told_quality(code)
        except Undecodable as error:
            return self.undecodable(message, str(error))
        if value is None and quality.severity(told) is not quality.Severity.BAD:
            told = Quality.BAD  # PD-26: no value needs a BAD quality
        try:
            source_time = None if moment is None else parse_time(moment, self._time_format)
        except Undecodable:
            return self._reading(message, value, quality.worse(told, Quality.BAD_TIME), None)
        return self._reading(message, value, told, source_time)

    def _reading(self, message: Message, value: Value, told: int, source_time: int | None) -> Reading:
        if message.retained and source_time is None:
            # the broker kept it for an unknown time: it is a first idea of the value, not a measurement of now
            told = quality.worse(told, Quality.UNCERTAIN_INITIAL)
        return Reading(self.path, value, told, source_time, message.received)
