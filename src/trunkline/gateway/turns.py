"""Whose turn it is to connect: the sources of a gateway start in the order of the file, a jittered moment apart, and few at once.

Two hundred sources that connect in one instant storm the network behind them, and the devices, of which many take one connection at a
time. Only first connections take turns; later ones are spread by the runner's back-off.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

#: Connections under way at once.
AT_ONCE: Final = 16
#: Seconds between two starts, on average; each pause is between half and one and a half of it.
APART_SECONDS: Final = 0.02
#: Longest time that a start keeps its place: a device that does not answer must not hold up those that would.
HELD_SECONDS: Final = 1.0


class Turns:
    """Hands out turns to connect, first come first served.

    Args:
        seed: of the jitter; the gateway's id, so that gateways that start together do not march in step.
        at_once: turns taken at the same time, at most.
        apart: seconds between two turns, on average.
        held: seconds after which the next may go although this one has not ended.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        seed: str,
        *,
        at_once: int = AT_ONCE,
        apart: float = APART_SECONDS,
        held: float = HELD_SECONDS,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._jitter = random.Random(seed)  # noqa: S311 - spreads starts, no secret
        self._free = asyncio.Semaphore(at_once)
        self._next = asyncio.Lock()
        self._apart = apart
        self._held = held
        self._sleep = sleep

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and give it back at the end of the block, or when it was held too long."""
        async with self._next:
            await self._sleep(self._apart * self._jitter.uniform(0.5, 1.5))
            await self._free.acquire()
        hold = asyncio.ensure_future(self._sleep(self._held))
        hold.add_done_callback(lambda _: self._free.release())
        try:
            yield
        finally:
            hold.cancel()
