"""A step's side of the ledger: what it emitted, told as gateways tell what they read."""

from typing import Final

from trunkline import __version__
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus, SourceStatus, encode_status
from trunkline.log.codec.head import BlockHead
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.reading import Category

PERIOD: Final = 2 * times.SECOND
#: Every so many reports all counts are told, not only the changed ones.
_FULL_EVERY: Final = 150


class Account:
    """Counts readings by hour since the origin was made. What is emitted is in the log at once: forwarded is what was read.

    Args:
        name: of the gateway and source that the ledger knows the step as.
        tags: how many tags it has.

    Attributes:
        by_hour: readings emitted, by hour of history.
        newest: time of the newest reading of the last that were emitted.
    """

    def __init__(self, name: str, tags: int) -> None:
        self._name = name
        self._tags = tags
        self.by_hour: dict[int, int] = {}
        self._untold: set[int] = set()
        self._reports = 0
        self._told_at = 0
        self._since = 0
        self.newest: int | None = None

    def add(self, head: BlockHead) -> set[int]:
        """Count what a block holds; return the hours touched."""
        for tally in head.tallies:
            self.by_hour[tally.hour] = self.by_hour.get(tally.hour, 0) + tally.readings
        hours = {tally.hour for tally in head.tallies}
        self._untold |= hours
        return hours

    def restore(self, hour: int, count: int) -> None:
        """Take over a count."""
        self.by_hour[hour] = count
        self._untold.add(hour)

    def due(self, now: int) -> bool:
        """Return whether it is time to report. An idle step reports as well, so that the ledger knows that nothing is left untold."""
        return not 0 <= now - self._told_at < PERIOD

    def report(self, origin: str, now: int) -> Record:
        """Return a report for `Layout.gateway_status`."""
        self._since = self._since or now
        if self._reports % _FULL_EVERY == 0:
            self._untold = set(self.by_hour)
        self._reports += 1
        category = Category.TELEMETRY.name.lower()
        counts = [EdgeCount(self._name, category, hour, self.by_hour[hour], self.by_hour[hour], 0) for hour in sorted(self._untold)]
        self._untold, self._told_at = set(), now
        total = sum(self.by_hour.values())
        source = SourceStatus(self._name, self._name, "connected", self._since, self.newest, total, 0, 0.0, None, self._tags, 0)
        status = GatewayStatus(
            gateway=self._name,
            origin=origin,
            at_us=now,
            version=__version__,
            sources=[source],
            buffer=BufferStatus(0, 0, None, 0),
            link=LinkStatus("up", self._since, None),
            counts=counts,
            counted_us=now,
        )
        return Record(encode_status(status), key=self._name.encode())
