"""How much of the edge's disk each class of records may use (W-97, D-24, PD-10).

Telemetry, events and log lines may fill `max_bytes` less `reserved_bytes`; alarms, commands and notices of what was given up may use the
rest as well. What is measured is pages of the journal's file that hold something, not the records alone. The write-ahead log and the room
held on the disk for a day when it is full come out of the reserved part.
"""

from collections.abc import Callable
from typing import Final

import structlog

from trunkline.config.site import BufferConfig
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.reserve import LARGEST_RESERVE, Reserve
from trunkline.log.journal.salvage import beside
from trunkline.log.journal.store import WAL_FULL
from trunkline.log.topics import Layout
from trunkline.model.errors import DiskFull, NoRoom, RetryLater
from trunkline.model.reading import Category

log = structlog.get_logger("trunkline.gateway")

#: What lies beside the file: its write-ahead log, which SQLite cuts back to 8 MB, and the reserve on the disk.
_BESIDE_BYTES: Final = (8 << 20) + LARGEST_RESERVE


class Room:
    """The bounds of one edge journal, and whether it is short of room.

    Args:
        journal: the edge journal.
        layout: names of its topics.
        config: the bounds.

    Attributes:
        share: bytes that telemetry, events and log lines may use.
        reserved: bytes that only alarms, commands and notices may use.
        ceiling: bytes of the file that everything together may use.
        on_short: called, in the writer's thread, when there was no room.
    """

    def __init__(self, journal: Journal, layout: Layout, config: BufferConfig) -> None:
        self._journal = journal
        self._urgent_topics = (*layout.topics(Category.ALARM, "raw"), layout.overflow)
        self.max_bytes = config.max_bytes
        # never more than half: what is mostly reserved is no buffer
        self.reserved = min(config.reserved_bytes, config.max_bytes // 2)
        self.share = config.max_bytes - self.reserved
        self.ceiling = config.max_bytes - min(_BESIDE_BYTES, self.reserved // 2)
        self._reserve = Reserve(beside(journal.path, ".reserve"), self.reserved // 4)
        self._urgent_bytes = 0
        #: while the disk is full: how long the file may be; it still is when whoever met it was killed
        self._longest: int | None = self._without_growing() if self._reserve.spent else None
        self.on_short: Callable[[], None] = lambda: None

    @property
    def within(self) -> int:
        """Bytes of the file that may be in use after an append of telemetry, events or log lines.

        While the disk is full they must not make the file longer: the reserve, let go, is not for them.
        """
        bound = min(self.share + self._urgent_bytes, self.ceiling)
        return bound if self._longest is None else min(bound, self._longest)

    @property
    def limit(self) -> int:
        """Bytes that telemetry, events and log lines may use now: less than their share only if alarms fill more than the reserved part."""
        return min(self.share, self.ceiling - self._urgent_bytes)

    @property
    def disk_full(self) -> bool:
        """Whether the disk was full at an attempt and has not been seen with room to spare since."""
        return self._longest is not None

    def size(self) -> int:
        """Return the bytes in use by everything but alarms, commands and notices."""
        self._urgent_bytes = sum(self._journal.size(topic) for topic in self._urgent_topics)
        return self._journal.space().used - self._urgent_bytes

    def hold_reserve(self) -> None:
        """Hold room on the disk for what must get in, as soon as there is some to spare."""
        if self._reserve.hold():
            if self.disk_full:
                log.info("the disk of the edge journal has room again")
            self._longest = None

    def run_short(self, error: NoRoom) -> None:
        """Note that an append found no room; what must get in gets the reserve."""
        if isinstance(error, DiskFull):
            if not self.disk_full:
                log.error("the disk of the edge journal is full: telemetry waits, alarms use the reserve", held=self._reserve.held)
                self._longest = self._without_growing()
            self._reserve.release()
        self.on_short()

    def _without_growing(self) -> int:
        """Return how much of the file may be used without a byte more on the disk: nothing before the write-ahead log has its size."""
        try:
            space = self._journal.space()
        except RetryLater:
            return 0
        return space.file if space.wal >= WAL_FULL else 0

    @property
    def held(self) -> int:
        """Bytes of the disk that are held for what must get in."""
        return self._reserve.held
