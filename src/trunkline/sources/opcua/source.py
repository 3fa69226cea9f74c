"""The OPC UA source: keeps the source port with a session and a reader (W-42)."""

import logging

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.opcua.addresses import UnknownNamespace
from trunkline.sources.opcua.browsing import browse
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.delivery import Counters, source_event
from trunkline.sources.opcua.eventbook import EventBook
from trunkline.sources.opcua.items import Item, items_of
from trunkline.sources.opcua.monitoring import Subscription
from trunkline.sources.opcua.polling import Polling
from trunkline.sources.opcua.session import Session
from trunkline.sources.opcua.stack import UaError, UaStatusCodeError, status_name
from trunkline.sources.opcua.writing import write_value
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand

_log = logging.getLogger(__name__)


class OpcUaSource:
    """Reads, writes and browses one OPC UA server.

    After a reconnect the server sends the present value of every variable again, with the source time it has: whoever de-duplicates by
    tag and source time drops what was delivered before. Events that a refresh repeats are recognised here.

    Attributes:
        counters: what happened since the source was made.
    """

    def __init__(self, config: OpcUaConfig, context: SourceContext) -> None:
        self.counters = Counters()
        self._config = config
        self._context = context
        self._book = EventBook(context.checkpoint)
        self._items: list[Item] = items_of(config.tags)
        self._tags = {tag.path: tag for tag in config.tags}
        self._session: Session | None = None
        self._reader: Subscription | Polling | None = None

    @property
    def subscribed(self) -> bool:
        """Whether values come by subscription now."""
        return isinstance(self._reader, Subscription)

    async def connect(self) -> None:
        """Connect with a fresh client and start to subscribe or poll. Raises SourceUnavailable or SourceMisconfigured."""
        await self.close()
        session = await Session.open(self._config, self._context)
        try:
            self._reader = await self._start_reader(session)
        except UaError as error:
            await session.close()
            raise SourceUnavailable(f"{self._config.endpoint}: {error}") from error
        except BaseException:
            await session.close()
            raise
        self._session = session

    async def _start_reader(self, session: Session) -> Subscription | Polling:
        polling = Polling(session, self._config, self._context, self._items, self.counters)
        if self._config.mode == "subscribe":
            subscription = Subscription(session, self._config, self._context, self._items, self.counters, self._book)
            try:
                await subscription.start()
            except UaStatusCodeError as error:
                refusal = f"{self._config.endpoint} refuses to subscribe ({status_name(error.code)})"
                why = f"{refusal}: polled every {self._config.poll_interval:g} s"
                if self._config.events:
                    why += ", and its events are not heard: they come by subscription only"
                _log.warning("source %s: %s", self._config.id, why)
                polling.tell(source_event(self._config.id, self._context.now(), "SUBSCRIPTION_REFUSED", why))
            else:
                return subscription
        await polling.start()
        return polling

    async def read(self) -> ReadBatch:
        """Wait for values. Raises SourceUnavailable."""
        if self._reader is None:
            raise SourceUnavailable("not connected")
        try:
            return await self._reader.read()
        except UaError as error:
            raise SourceUnavailable(f"{self._config.endpoint}: {error}") from error

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Write one value as the type its variable has. Raises SourceMisconfigured, or SourceUnavailable if nothing was sent."""
        tag = self._tags.get(command.tag)
        if tag is None:
            raise SourceMisconfigured(f"source {self._config.id} has no tag {command.tag!r}")
        if tag.element is not None:
            raise SourceMisconfigured(f"{command.tag} is an element of an array: arrays and their elements cannot be written")
        session = self._connected()
        try:
            node = items_of([tag])[0].node_id(session.namespaces)
        except UnknownNamespace as error:
            raise SourceMisconfigured(str(error)) from error
        return await write_value(session, node, command.value)

    async def browse(self, at: str) -> list[BrowseNode]:
        """List the children of a node, '' for the Objects folder. Raises SourceMisconfigured or SourceUnavailable."""
        session = self._connected()
        try:
            return await browse(session, at)
        except UaError as error:
            raise SourceUnavailable(f"{self._config.endpoint}: {error}") from error

    async def close(self) -> None:
        """Leave the server; bounded in time, safe to call again."""
        session, self._session, self._reader = self._session, None, None
        if session is not None:
            await session.close()

    def _connected(self) -> Session:
        if self._session is None:
            raise SourceUnavailable("not connected")
        return self._session
