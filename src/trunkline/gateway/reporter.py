"""Tells the site how the gateway is, and its side of the ledger, every few seconds; notices a second gateway of the same name."""

import threading
from collections.abc import Callable
from typing import Final

import structlog
from msgspec.structs import replace

from trunkline.gateway.copies import size_of
from trunkline.ledger.status import EdgeCount, GatewayStatus, decode_status, encode_status
from trunkline.log.port import Log, Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import CorruptData, Misconfigured, RetryLater

log = structlog.get_logger("trunkline.gateway")

PERIOD_SECONDS: Final = 2.0
#: Every so many reports all counts are told, not only the changed ones.
_FULL_EVERY: Final = 150
#: Counts in one record: 2 MB of the 8 that a record may have.
_COUNTS: Final = 20_000


class Reporter:
    """Publishes `GatewayStatus` records in a thread of its own.

    Args:
        site: opens the site log.
        layout: names of the topics.
        report: makes the present status with all counts.
        listen: called after each report, to read what the site has to tell.
        period: seconds between reports.
        pace: takes the bytes of a report that was sent, and returns for how many seconds at least the next one should wait.
    """

    def __init__(
        self,
        site: Callable[[], Log],
        layout: Layout,
        report: Callable[[], GatewayStatus],
        listen: Callable[[Log], None] = lambda _site: None,
        period: float = PERIOD_SECONDS,
        pace: Callable[[int], float] = lambda _size: 0.0,
    ) -> None:
        self._open_site = site
        self._site: Log | None = None
        self._topic = layout.gateway_status
        self._report = report
        self._listen = listen
        self._period = self._pause = period
        self._pace = pace
        self._told: dict[tuple[str, str, int], EdgeCount] = {}
        self._counted: list[EdgeCount] | None = None
        self._complete_us = 1
        self._reports = 0
        self._read_to: int | None = None
        self._started = times.now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        #: origin of another gateway that uses our name, or None
        self.impostor: str | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Report once more, so that the site knows the last counts, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._site is not None:
            self._site.close()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stop.wait(self._pause)
            try:
                self.publish()
            except (RetryLater, Misconfigured):
                # the forwarder tells of the link; the next report says everything again
                self._told.clear()
                if self._site is not None:
                    self._site.close()
                    self._site = None

    def publish(self) -> None:
        """Send one report. Raises RetryLater when the site log is away."""
        if self._site is None:
            self._site = self._open_site()
        status = self._report()
        self._look_for_impostor(self._site, status)
        self._reports += 1
        if self._reports % _FULL_EVERY == 0:
            self._told.clear()
        cells = self._told
        if status.counts is not self._counted or not cells:
            cells = {(cell.source, cell.category, cell.hour): cell for cell in status.counts}
        changed = [] if cells is self._told else [cell for key, cell in cells.items() if self._told.get(key) != cell]
        records = [Record(encode_status(one), key=status.gateway.encode()) for one in self._parts(status, changed)]
        self._site.append(self._topic, records)
        self._pause = max(self._period, self._pace(sum(map(size_of, records))))
        self._told, self._counted, self._complete_us = cells, status.counts, status.counted_us
        self._listen(self._site)

    def _parts(self, status: GatewayStatus, changed: list[EdgeCount]) -> list[GatewayStatus]:
        """Return the reports that tell these counts. The last says up to when they are complete: whoever has read it has read all."""
        parts = [changed[start : start + _COUNTS] for start in range(0, len(changed), _COUNTS)] or [[]]
        complete = [self._complete_us] * (len(parts) - 1) + [status.counted_us]
        return [replace(status, counts=part, counted_us=until) for part, until in zip(parts, complete, strict=True)]

    def _look_for_impostor(self, site: Log, own: GatewayStatus) -> None:
        at = TopicPartition(self._topic, 0)
        if self._read_to is None:
            self._read_to = site.bounds(self._topic)[at][1]
        for record in site.read(at, self._read_to, 1000):
            self._read_to = record.offset + 1
            try:
                other = decode_status(record.value)
            except CorruptData:
                continue
            if other.gateway == own.gateway and other.origin != own.origin and other.at_us > self._started and self.impostor is None:
                self.impostor = other.origin
                log.error(
                    "another gateway reports under the same id; readings are kept apart by origin, but one must be renamed",
                    gateway=own.gateway,
                    own_origin=own.origin,
                    other_origin=other.origin,
                )
