"""The MQTT source."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.events import Event
from trunkline.model.reading import Kind, Reading, Value, coerce
from trunkline.sources.broker.client import make_client
from trunkline.sources.broker.config import Session
from trunkline.sources.broker.link import BrokerLink
from trunkline.sources.broker.message import Message
from trunkline.sources.decoding import Undecodable, parse_json
from trunkline.sources.mqtt import browsing
from trunkline.sources.mqtt.config import MqttConfig, MqttTagConfig
from trunkline.sources.mqtt.events import EventDecoder
from trunkline.sources.mqtt.payload import TagDecoder
from trunkline.sources.mqtt.topics import Router, without_covered
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand

_log = logging.getLogger(__name__)

#: Messages decoded in one read: enough for one durable write, few enough not to hold up other sources.
_MESSAGES_AT_ONCE = 2_000
#: Names of the filters that the broker's session holds, kept between runs.
_SUBSCRIPTIONS_FILE = "subscriptions.json"


class MqttSource:
    """Subscribes to a broker; messages are acknowledged to it once the gateway has stored their readings.

    Attributes:
        undecodable: payloads, or parts of them for one tag, that could not be decoded since the start.
        unmatched: messages of topics that neither a tag nor an event names since the start.
    """

    def __init__(self, config: MqttConfig, context: SourceContext) -> None:
        """Prepare a source; nothing is opened."""
        self._config = config
        self._context = context
        self._tags = {tag.path: tag for tag in config.tags}
        self._filters = without_covered(config.subscribe or config.topics)
        self._tag_router = Router((tag.topic, TagDecoder(tag, config.max_text_bytes, self._count)) for tag in config.tags)
        self._event_router = Router((event.topic, EventDecoder(event, config.id)) for event in config.events)
        self._link: BrokerLink | None = None
        self.undecodable = 0
        self.unmatched = 0

    async def connect(self) -> None:
        """Connect and subscribe. Raises SourceUnavailable or SourceMisconfigured."""
        await self.close()
        link = self._link_with(self._config.session, self._client_id())
        try:
            await link.open()
            await self._subscribe(link)
        except BaseException:
            link.close()
            raise
        self._link = link

    async def read(self) -> ReadBatch:
        """Wait for messages and return everything there is. Raises SourceUnavailable when the connection is lost."""
        link = self._connected()
        while True:
            messages = await link.receive(_MESSAGES_AT_ONCE)
            readings: list[Reading] = []
            events: list[Event] = []
            for message in messages:
                if message.retained and not self._config.retained:
                    continue  # MQTT 3.1.1 cannot ask the broker to leave them out
                tags, happenings = self._tag_router.receivers(message.topic), self._event_router.receivers(message.topic)
                readings += self._readings(message, tags)
                events += self._events(message, happenings)
                self.unmatched += not tags and not happenings
            if readings or events:
                return _batch(link, messages, readings, events)
            link.acknowledge(messages)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Publish a value to the tag's command topic at QoS 1: DONE is the broker's acknowledgement, not the device's."""
        tag = self._tags.get(command.tag)
        if tag is None or tag.command_topic is None:
            raise SourceMisconfigured(f"tag {command.tag} of source {self._config.id} cannot be written: give it a 'command_topic'")
        try:
            value = coerce(command.value, tag.value_kind)
        except (TypeError, OverflowError):
            return CommandOutcome.REFUSED
        if value is None:
            return CommandOutcome.REFUSED
        answer = await self._connected().publish(tag.command_topic, _command_payload(tag, value), expiry=self._config.timeout)
        if answer is None:
            return CommandOutcome.UNKNOWN
        return CommandOutcome.REFUSED if answer.is_failure else CommandOutcome.DONE

    async def browse(self, at: str) -> list[BrowseNode]:
        """Listen for a moment and list the topics seen below `at` ('' for all), with the members of JSON payloads."""
        # a session of its own: the one that reads must not see these messages
        link = self._link_with(Session(qos=0, retained=True), f"{self._client_id()}-browse")
        try:
            await link.open()
            return await browsing.listen(link, at)
        finally:
            link.close()

    async def close(self) -> None:
        """Let go of the connection; a persistent session stays at the broker."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _client_id(self) -> str:
        return self._config.client_id or f"trunkline-{self._context.gateway}-{self._config.id}"

    def _link_with(self, session: Session, client_id: str) -> BrokerLink:
        return BrokerLink(make_client(self._config, session, client_id, self._context), self._config, session, self._context.now)

    def _connected(self) -> BrokerLink:
        if self._link is None:
            raise SourceUnavailable(f"MQTT source {self._config.id} is not connected")
        return self._link

    async def _subscribe(self, link: BrokerLink) -> None:
        """Subscribe, and give up what an earlier configuration left in the broker's session."""
        notes = self._context.directory / _SUBSCRIPTIONS_FILE
        await link.subscribe(self._filters)
        if self._config.persistent:
            earlier = _noted(notes)
            if earlier and not link.resumed:
                _log.warning("source %s: the broker has forgotten the session; what was published meanwhile is lost", self._config.id)
            await link.unsubscribe([one for one in earlier if one not in self._filters])
            notes.write_bytes(msgspec.json.encode(self._filters))

    def _readings(self, message: Message, decoders: Sequence[TagDecoder]) -> Iterator[Reading]:
        document, why = None, ""
        if any(decoder.json for decoder in decoders):
            try:
                document = parse_json(message.payload)
            except Undecodable as error:
                why = str(error)
        for decoder in decoders:
            if decoder.json and why:
                yield decoder.undecodable(message, why)
                continue
            try:
                yield from decoder.decode_json(message, document) if decoder.json else decoder.decode_plain(message)
            except Undecodable as error:
                yield decoder.undecodable(message, str(error))

    def _events(self, message: Message, decoders: Sequence[EventDecoder]) -> Iterator[Event]:
        for decoder in decoders:
            try:
                yield decoder.decode(message)
            except Undecodable as error:
                self._count(message, str(error))
                yield decoder.refused(message, str(error))

    def _count(self, message: Message, why: str) -> None:
        self.undecodable += 1
        if self.undecodable & (self.undecodable - 1) == 0:  # the 1st, 2nd, 4th, 8th…: a broken device must not flood the log
            _log.warning("source %s: message %d not decoded, topic %r: %s", self._config.id, self.undecodable, message.topic[:256], why)


def _batch(link: BrokerLink, messages: list[Message], readings: list[Reading], events: list[Event]) -> ReadBatch:
    async def ack() -> None:
        link.acknowledge(messages)

    async def nack(why: str) -> None:
        link.drop(f"the readings could not be stored ({why}): the broker is asked again")

    return ReadBatch(readings, events, ack=ack, nack=nack)


def _command_payload(tag: MqttTagConfig, value: Value) -> bytes:
    if tag.command_value:
        return msgspec.json.encode({tag.command_value: value})
    return str(value).encode() if tag.value_kind is Kind.TEXT else msgspec.json.encode(value)


def _noted(notes: Path) -> tuple[str, ...]:
    """Return the filters noted at the last connection; none if there was no such note."""
    try:
        return msgspec.json.decode(notes.read_bytes(), type=tuple[str, ...])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ()
