"""Blocking work of a source in a thread, so that a network share or a database that hangs does not hold up the gateway's loop."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """Does one piece of work at a time.

    A thread cannot be stopped. What is under way when its caller is cancelled goes on, and is what the next caller gets: nothing that was
    read is thrown away.
    """

    def __init__(self) -> None:
        """Start no thread yet."""
        self._under_way: asyncio.Future[T] | None = None

    @property
    def busy(self) -> bool:
        """Whether a thread is at work."""
        return self._under_way is not None and not self._under_way.done()

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises."""
        if self._under_way is None:
            self._under_way = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.wait((self._under_way,))
        done, self._under_way = self._under_way, None
        return done.result()

    async def settle(self) -> None:
        """Wait for what is under way, and forget it."""
        if self._under_way is not None:
            await asyncio.wait((self._under_way,))
            self._under_way.exception()
            self._under_way = None
