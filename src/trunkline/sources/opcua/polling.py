"""Polling: all variables are read in regular scans, for servers that cannot or may not subscribe."""

import asyncio
from collections.abc import Sequence

from asyncua import ua

from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading
from trunkline.sources.opcua.addresses import UnknownNamespace
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.delivery import Counters
from trunkline.sources.opcua.items import Item
from trunkline.sources.opcua.session import Session
from trunkline.sources.port import ReadBatch, SourceContext

#: While a namespace is unknown, the namespace table is read again this often, in seconds.
RELOAD_NAMESPACES_SECONDS = 30.0


class Polling:
    """Regular scans in a session. Call `start` once, then `read`."""

    def __init__(self, session: Session, config: OpcUaConfig, context: SourceContext, items: Sequence[Item], counters: Counters) -> None:
        self._session = session
        self._config = config
        self._now = context.now
        self._items = items
        self._counters = counters
        self._known: list[tuple[Item, ua.NodeId]] = []
        self._unknown: list[Item] = []
        self._events: list[Event] = []
        self._due = 0.0
        self._reload = 0.0

    async def start(self) -> None:
        """Find out which variables can be asked for; the first scan is due at once."""
        self._due = asyncio.get_running_loop().time()
        self._resolve()

    def tell(self, event: Event) -> None:
        """Hand over an event with the next scan."""
        self._events.append(event)

    async def read(self) -> ReadBatch:
        """Wait until a scan is due and return its readings. Raises SourceUnavailable."""
        clock = asyncio.get_running_loop().time
        while (left := self._due - clock()) > 0:
            await self._session.wait(left)
        # A scan that took longer than the interval is followed by the next at once, not by all that were missed.
        self._due = max(self._due + self._config.poll_interval, clock())
        if self._unknown and clock() >= self._reload:
            await self._session.load_namespaces()
            self._resolve()
        values = await self._session.read([node for _, node in self._known])
        now = self._now()
        readings: list[Reading] = []
        for (item, _), data in zip(self._known, values, strict=True):
            readings.extend(item.readings(data, now)[0])
        for item in self._unknown:
            readings.extend(item.bad(Quality.BAD_UNKNOWN_ADDRESS, now))
        events, self._events = self._events, []
        return ReadBatch(readings, events)

    def _resolve(self) -> None:
        self._known, self._unknown = [], []
        for item in self._items:
            try:
                self._known.append((item, item.node_id(self._session.namespaces)))
            except UnknownNamespace:
                self._unknown.append(item)
        self._counters.nodes_refused = len(self._unknown)
        self._reload = asyncio.get_running_loop().time() + RELOAD_NAMESPACES_SECONDS
