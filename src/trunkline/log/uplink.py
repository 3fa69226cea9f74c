"""How one handle's appends travel to brokers, and how many bytes that takes."""

from collections.abc import Callable
from typing import Final

import msgspec

#: How often the client of Kafka says what it sent, ms.
STATISTICS_MS: Final = 500


class _Statistics(msgspec.Struct):
    """What is wanted of librdkafka's statistics (STATISTICS.md): bytes written to brokers by one client since it was made."""

    name: str
    tx_bytes: int = 0


_decoder = msgspec.json.Decoder(_Statistics)


def _nothing() -> None:
    """There is no client yet."""


class Uplink:
    """The settings of a writer's way to the site log, and its meter. One handle of a log and one thread use it.

    An embedded site log has no link: nothing is compressed for it again, and the meter stands still.

    Args:
        compression: of the batches, as Kafka's `compression.type` names it.

    Attributes:
        sent_bytes: written to the brokers' connections so far: batches after compression, what the protocol adds, and what was sent
            again; before TLS and TCP. Up to half a second old.
        serve: set by the engine: lets its client say what it has sent. The handle's own thread calls it.
    """

    def __init__(self, compression: str) -> None:
        self.compression = compression
        self.sent_bytes = 0
        self.serve: Callable[[], object] = _nothing
        self._said: dict[str, int] = {}

    def note(self, statistics: str) -> None:
        """Take over what a client says of itself, librdkafka's JSON."""
        told = _decoder.decode(statistics)
        self.sent_bytes += max(0, told.tx_bytes - self._said.get(told.name, 0))
        self._said = {told.name: told.tx_bytes}  # a handle has one client that appends; one made anew has another name

    def forget(self) -> None:
        """The client is gone."""
        self.serve = _nothing
