"""Requests between their arrival and the gateway's disk, and the keys by which repeated ones are known."""

import asyncio
import base64
import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from trunkline.model.errors import SourceMisconfigured
from trunkline.model.reading import Reading
from trunkline.sources.webhook.config import WebhookConfig
from trunkline.sources.webhook.posts import Refusal

_RETRY_SECONDS: Final = "5"


class Keys(msgspec.Struct, frozen=True, tag="webhook"):
    """What is stored with the readings: the last keys, oldest first, each with a digest of its body."""

    keys: dict[str, str]


@dataclass(eq=False, slots=True)
class Delivery:
    """A request on its way to the disk.

    Attributes:
        readings: what it brought.
        key: digest of its Idempotency-Key; empty without one.
        body: digest of its body.
        done: set to '' once it is durable, else to why it is not.
    """

    readings: list[Reading]
    key: str
    body: str
    done: "asyncio.Future[str]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def digest(data: bytes) -> str:
    """Return 12 characters that stand for some bytes."""
    return base64.urlsafe_b64encode(hashlib.blake2b(data, digest_size=9).digest()).decode()


class Inbox:
    """Holds deliveries in order until the gateway reads them, and answers repeated ones."""

    def __init__(self, config: WebhookConfig, checkpoint: str | None) -> None:
        """Prepare.

        Args:
            config: how many may wait, and for how long; how many keys are remembered.
            checkpoint: what `take` gave with the last durable batch.

        Raises:
            SourceMisconfigured: the checkpoint is of another kind of source.
        """
        self._most = config.max_waiting
        self._most_keys = config.idempotency_keys
        self._patience = config.timeout
        self._waiting: deque[Delivery] = deque()
        self._under_way: set[Delivery] = set()
        self._came = asyncio.Event()
        self._closed = False
        try:
            self._keys = msgspec.json.decode(checkpoint, type=Keys).keys if checkpoint is not None else {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise SourceMisconfigured(
                f"source {config.id} stored its place as another type of source: give the webhook source an id of its own"
            ) from None

    async def store(self, delivery: Delivery) -> bool:
        """Return once a delivery is durable: whether it was for the first time. Raises Refusal."""
        first = self._repeated(delivery)
        if first is not None and delivery.body != first.body:
            raise Refusal(422, "the Idempotency-Key was used for another body: make a new key for each request that differs")
        if first is None:
            self._accept(delivery)
        waited = first or delivery
        done, _ = await asyncio.wait((waited.done,), timeout=self._patience)
        if not done:
            if delivery in self._waiting:
                self._waiting.remove(delivery)
                raise _later("not stored: the gateway is busy")
            raise _later("not known to be stored yet: repeat it with the same Idempotency-Key, else it may be stored twice")
        if waited.done.result():
            raise _later(f"not stored: {waited.done.result()}")
        return first is None

    async def take(self, most: int) -> list[Delivery]:
        """Wait for deliveries and return those of about `most` readings."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        taken: list[Delivery] = []
        while self._waiting and sum(len(one.readings) for one in taken) < most:
            delivery = self._waiting.popleft()
            self._under_way.add(delivery)
            if delivery.key and self._most_keys:
                self._keys[delivery.key] = delivery.body
            taken.append(delivery)
        while len(self._keys) > self._most_keys:
            del self._keys[next(iter(self._keys))]
        return taken

    @property
    def checkpoint(self) -> str:
        """The keys of everything taken, to be stored with it."""
        return msgspec.json.encode(Keys(self._keys)).decode()

    def settle(self, deliveries: Iterable[Delivery], why_not: str = "") -> None:
        """Have deliveries answered: stored, or not and why."""
        for delivery in deliveries:
            self._under_way.discard(delivery)
            if why_not and self._keys.get(delivery.key) == delivery.body:
                del self._keys[delivery.key]
            if not delivery.done.done():
                delivery.done.set_result(why_not)

    def close(self) -> None:
        """Take nothing more, and have what waits answered."""
        self._closed = True
        waiting, self._waiting = self._waiting, deque()
        self.settle(waiting, "the gateway is stopping")

    def _repeated(self, delivery: Delivery) -> Delivery | None:
        """Return the delivery that had the same key before, None if there was none."""
        if not delivery.key:
            return None
        for other in (*self._waiting, *self._under_way):
            if other.key == delivery.key:
                return other
        body = self._keys.get(delivery.key)
        if body is None:
            return None
        stored = Delivery([], delivery.key, body)
        stored.done.set_result("")
        return stored

    def _accept(self, delivery: Delivery) -> None:
        if self._closed:
            raise _later("not stored: the gateway is stopping")
        if len(self._waiting) >= self._most:
            raise Refusal(429, f"not stored: {self._most} requests wait already: come later", retry_after=_RETRY_SECONDS)
        self._waiting.append(delivery)
        self._came.set()


def _later(text: str) -> Refusal:
    return Refusal(503, text, retry_after=_RETRY_SECONDS)
