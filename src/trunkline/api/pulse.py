"""What goes on without being asked: the live tail, first values from history, looks at the brokers, regular notices to live clients."""

import asyncio
import logging
from typing import Any, Final

import msgspec

from trunkline.api.accounts import account
from trunkline.api.cluster import ClusterWatch
from trunkline.api.live.cache import LiveValue
from trunkline.api.live.tail import Tail
from trunkline.api.services import Services
from trunkline.model import times
from trunkline.model.errors import TrunklineError

_log = logging.getLogger(__name__)

STATUS_SECONDS: Final = 2.0
LEDGER_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 2.0
_LEFT_OUT: Final = frozenset({"rows", "holes"})


class Pulse:
    """Background work of one application; lives as long as its event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._cluster = ClusterWatch(services.site, services.board, services.metrics)
        self._tail = Tail(services.log, services.layout, self._values, services.board.gateway, self._log_state)

    async def start(self) -> None:
        """Start everything."""
        self._loop = asyncio.get_running_loop()
        self._tail.start()
        self._tasks = [asyncio.create_task(work) for work in (self._seed(), self._tell_status(), self._tell_ledger(), self._cluster.run())]

    async def stop(self) -> None:
        """Stop everything and wait for it."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("background work of the API failed", exc_info=result)
        await asyncio.to_thread(self._tail.stop)

    def _values(self, values: list[LiveValue], readings: int, damaged: int) -> None:
        """Take over what the tail's thread found."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, values, readings, damaged)

    def _put(self, values: list[LiveValue], readings: int, damaged: int) -> None:
        found = self._services
        found.hub.put(values)
        found.metrics.readings.inc(readings)
        found.metrics.damaged.inc(damaged)
        found.metrics.tags.set(len(found.hub.cache))
        if values:
            found.metrics.delay.set((times.now() - max(value.gateway_time for value in values)) / times.SECOND)

    def _log_state(self, fault: str | None) -> None:
        self._services.health.tell("log", fault)

    async def _seed(self) -> None:
        """Fill the cache from history, once the tail has found its place: together they leave no gap."""
        while not await asyncio.to_thread(self._tail.wait_placed, 1.0):
            pass
        while True:
            try:
                latest = await asyncio.to_thread(self._services.reader.latest, under="")
            except TrunklineError as error:
                self._services.health.tell("historian", str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                values = [LiveValue(one.tag, one.value, one.quality, one.time, one.gateway_time) for one in latest]
                self._services.hub.put(values, from_history=True)
                self._services.metrics.tags.set(len(self._services.hub.cache))
                return

    async def _tell_status(self) -> None:
        while True:
            status = await asyncio.to_thread(self._services.board.status)
            self._services.hub.announce("status", msgspec.json.encode({"type": "status", **status}))
            await asyncio.sleep(STATUS_SECONDS)

    async def _tell_ledger(self) -> None:
        """Balance the ledger for those who watch, and notice the historian's absence."""
        while True:
            try:
                told = await asyncio.to_thread(self._ledger)
            except TrunklineError as error:
                self._services.health.tell("historian", str(error))
                frame = {"type": "error", "code": "HISTORIAN_AWAY", "detail": str(error)}
                self._services.hub.announce("ledger", msgspec.json.encode(frame))
            else:
                self._services.health.tell("historian", None)
                if told is not None:
                    self._services.hub.announce("ledger", told)
            await asyncio.sleep(LEDGER_SECONDS)

    def _ledger(self) -> bytes | None:
        """Return the ledger's frame, or None after a look at the historian when nobody watches: counting what is in transit costs."""
        if not self._services.hub.clients:
            self._services.reader.gateway_status()
            return None
        ledger: dict[str, Any] = account(self._services)
        return msgspec.json.encode({"type": "ledger", **{name: value for name, value in ledger.items() if name not in _LEFT_OUT}})
