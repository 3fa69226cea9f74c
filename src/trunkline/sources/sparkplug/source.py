"""The Sparkplug B source."""

import asyncio
import contextlib
import logging
import math

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Reading, Value, coerce
from trunkline.sources.broker.client import make_client
from trunkline.sources.broker.link import BrokerLink
from trunkline.sources.broker.message import Message
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand
from trunkline.sources.sparkplug import commands, datatypes, topics
from trunkline.sources.sparkplug.config import SESSION, SparkplugConfig
from trunkline.sources.sparkplug.readings import MILLISECOND, TagReader
from trunkline.sources.sparkplug.session import Expectation, HostSession
from trunkline.sources.sparkplug.state import HostState, says_offline

_log = logging.getLogger(__name__)

#: Messages decoded in one read: each may hold thousands of metrics.
_MESSAGES_AT_ONCE = 200
#: Unchanged tags are reported as alive at most this often, in seconds.
_ALIVE_EVERY = 1.0
#: Longest wait, in seconds, for the broker to take the news that the gateway goes.
_FAREWELL = 2.0
#: How long browsing listens, in seconds.
_LISTEN = 2.0


class SparkplugSource:
    """A Sparkplug host application: reads what edge nodes report, asks for births when it has missed something.

    Attributes:
        undecodable: values of tags that could not be decoded since the start.
    """

    def __init__(self, config: SparkplugConfig, context: SourceContext) -> None:
        """Prepare a source; nothing is opened."""
        self._config = config
        self._context = context
        self._tags = {tag.path: tag for tag in config.tags}
        self._link: BrokerLink | None = None
        self._session = self._new_session(0.0)
        self._state: HostState | None = None
        self._contradicted = False
        self._turn = asyncio.Lock()
        self._messages: list[Message] = []
        self._readings: list[Reading] = []
        self._events: list[Event] = []
        self._refused: list[Reading] = []
        self._alive = -math.inf
        self.undecodable = 0

    @property
    def unmatched(self) -> int:
        """Messages of edge nodes that no tag names, since the connection."""
        return self._session.unmatched

    async def connect(self) -> None:
        """Connect, subscribe, say that the host is online, and ask for births. Raises SourceUnavailable or SourceMisconfigured.

        [tck-id-message-flow-phid-sparkplug-subscription]: the subscription comes 'immediately after successfully establishing the MQTT
        session and before publishing its own STATE message'.
        """
        await self.close()
        name = f"{self._context.gateway}-{self._config.id}"
        client = make_client(self._config, SESSION, self._config.client_id or f"trunkline-{name}", self._context)
        state = HostState(self._config.host_id or name, self._context.now() // MILLISECOND) if self._config.primary else None
        if state is not None:
            client.will_set(state.topic, state.offline, qos=1, retain=True)
        link = BrokerLink(client, self._config, SESSION, self._context.now)
        try:
            await link.open()
            await link.subscribe([*([state.topic] if state else []), *topics.filters(self._config.group, self._config.nodes)])
            if state is not None:
                await self._announce(link, state)
        except BaseException:
            link.close()
            raise
        self._link, self._state, self._contradicted = link, state, False
        self._session = self._new_session(asyncio.get_running_loop().time())
        self._ask_for_births(link)

    async def read(self) -> ReadBatch:
        """Wait for messages and return their readings. Raises SourceUnavailable when the connection is lost."""
        link = self._connected()
        while True:
            async with self._turn:
                batch = self._ready(link)
                if batch is not None:
                    return batch
                await self._listen(link)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Send an NCMD or DCMD: DONE once the edge node reports the written value, UNKNOWN if it does not in time.

        Commands are published at QoS 0 ([tck-id-topics-ncmd-mqtt]), so nobody but the edge node can say that one has arrived.
        """
        tag = self._tags.get(command.tag)
        if tag is None or not tag.writable:
            raise SourceMisconfigured(f"tag {command.tag} of source {self._config.id} cannot be written: give it 'writable: true'")
        link = self._connected()
        where = topics.place(tag.node, tag.device or "")
        known = self._session.known(tag.node, tag.device or "", tag.metric)
        if known is None:
            raise SourceUnavailable(f"metric {tag.metric!r} of {where} is in no birth: edge node or device is offline, or has none")
        try:
            metric = commands.write(known, coerce(command.value, tag.value_kind), self._context.now())
        except datatypes.NoScalar as error:
            raise SourceMisconfigured(f"tag {tag.path}, metric {tag.metric!r} of {where}: {error}") from error
        except (TypeError, OverflowError, ValueError):
            return CommandOutcome.REFUSED
        session = self._session
        # as the edge node will report it: a Float, for example, has 32 bits only
        expectation = session.expect(tag.path, TagReader(tag, self._count).reading(metric, known.datatype, None, 0).value)
        try:
            topic = topics.command(self._config.group, tag.node, tag.device or "")
            link.send(topic, commands.payload(metric), expiry=self._config.timeout)
            return await self._confirmed(link, expectation)
        finally:
            session.forget(expectation)

    async def _confirmed(self, link: BrokerLink, expectation: Expectation) -> CommandOutcome:
        """Read on until the value is there; what else comes is kept for `read`."""
        try:
            async with asyncio.timeout(self._config.timeout):
                while not expectation.met:
                    async with self._turn:
                        if not expectation.met:
                            await self._listen(link)
        except (TimeoutError, SourceUnavailable):
            return CommandOutcome.UNKNOWN
        return CommandOutcome.DONE

    async def browse(self, at: str) -> list[BrowseNode]:
        """List edge nodes (at ''), the devices and metrics of an edge node, or the metrics of a device ('node/device').

        Edge nodes are those heard within two seconds, or before, and those of tags. One whose births are not known is asked for them.
        """
        link = self._connected()
        node, _, device = at.partition("/")
        if node and self._session.births(node) is None:
            self._session.follow(node)
        self._ask_for_births(link)
        await self._listen_for(link, _LISTEN)
        if not node:
            return [BrowseNode(one, one, branch=True) for one in self._session.seen]
        births = self._session.births(node) or {}
        branches = [] if device else [BrowseNode(topics.place(node, one), one, branch=True) for one in sorted(births) if one]
        metrics = births[device].metrics.values() if device in births else ()
        return branches + [BrowseNode(f"{at}#{one.name}", one.name, datatypes.kind(one.datatype)) for one in metrics]

    async def close(self) -> None:
        """Say that the host goes offline, and let go of the connection.

        [tck-id-operational-behavior-host-application-termination]: a host that goes on purpose publishes its death. If the broker does not
        take it, the connection is broken instead of ended, and the broker publishes the will, which says the same.
        """
        link, self._link = self._link, None
        if link is None:
            return
        self._messages = []
        try:
            if self._state is not None:
                async with asyncio.timeout(_FAREWELL):
                    if await link.publish(self._state.topic, self._state.offline, retain=True) is None:
                        link.drop("the broker did not take the farewell")
        except TimeoutError:
            link.drop("the broker did not take the farewell")
        finally:
            link.close()

    def _new_session(self, at: float) -> HostSession:
        readers = [(tag.node, tag.device or "", TagReader(tag, self._count)) for tag in self._config.tags]
        return HostSession(readers, self._config.timeout, at, self._report, self._tell)

    def _connected(self) -> BrokerLink:
        if self._link is None:
            raise SourceUnavailable(f"Sparkplug source {self._config.id} is not connected")
        return self._link

    async def _announce(self, link: BrokerLink, state: HostState) -> None:
        answer = await link.publish(state.topic, state.online, retain=True)
        if answer is None:
            raise SourceUnavailable(f"MQTT broker {self._config.host}:{self._config.port} does not take the message on {state.topic}")
        if answer.is_failure:
            raise SourceMisconfigured(
                f"MQTT broker {self._config.host}:{self._config.port} refuses the retained message on {state.topic} ({answer}): "
                "mend its access rules, or say 'primary: false'"
            )

    async def _listen(self, link: BrokerLink) -> None:
        """Wait for messages, at most until something is due, and take them in. Raises SourceUnavailable when the connection is lost."""
        loop = asyncio.get_running_loop()
        messages: list[Message] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(self._session.next_due(), loop.time() + _ALIVE_EVERY)):
                messages = await link.receive(_MESSAGES_AT_ONCE)
        self._messages += messages
        now = loop.time()
        for message in messages:
            if self._state is not None and message.topic == self._state.topic:
                self._contradicted |= says_offline(message.payload)
            else:
                self._readings += self._session.take(message, now)
        self._readings += self._session.missed(now, self._context.now())
        self._ask_for_births(link)
        if self._contradicted and self._state is not None:
            # [tck-id-message-flow-hid-sparkplug-state-message-delivered]: the will of an earlier connection came late
            await self._announce(link, self._state)
            self._contradicted = False

    async def _listen_for(self, link: BrokerLink, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    async with self._turn:
                        await self._listen(link)

    def _ask_for_births(self, link: BrokerLink) -> None:
        for node in self._session.rebirths(asyncio.get_running_loop().time()):
            link.send(topics.command(self._config.group, node), commands.rebirth(self._context.now()), expiry=self._config.timeout)

    def _ready(self, link: BrokerLink) -> ReadBatch | None:
        """Return what has come; None if there is nothing to tell. While the broker is heard its word on edge nodes holds."""
        alive = self._session.settled and link.heard >= self._alive + _ALIVE_EVERY
        if alive:
            self._alive = link.heard
        messages, self._messages = self._messages, []
        readings, self._readings, self._refused = self._refused + self._readings, [], []
        events, self._events = self._events, []
        if not readings and not events and not alive:
            link.acknowledge(messages)
            return None

        async def ack() -> None:
            link.acknowledge(messages)

        async def nack(why: str) -> None:
            # at QoS 0 nobody offers them again; and without STATE edge nodes know that they have to keep what comes now
            self._refused += readings
            self._events[:0] = events
            link.drop(f"the readings could not be stored ({why})")

        return ReadBatch(readings, events, alive, ack, nack)

    def _tell(self, kind: str, text: str, attributes: dict[str, Value]) -> None:
        now = self._context.now()
        self._events.append(
            Event(id=str(uuid7()), type=kind, time=now, gateway_time=now, source=self._config.id, text=text, attributes=attributes)
        )

    def _report(self, place: str, why: str) -> None:
        _log.warning("source %s: %r: %s", self._config.id, place, why)

    def _count(self, path: str, why: str) -> None:
        self.undecodable += 1
        if self.undecodable & (self.undecodable - 1) == 0:  # the 1st, 2nd, 4th, 8th…: a broken device must not flood the log
            _log.warning("source %s: value %d not decoded, tag %s: %s", self._config.id, self.undecodable, path, why)
