"""Deletes what the site log has kept long enough, never what a consumer has yet to read, and gives the room back to the disk."""

import threading
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, Positions
from trunkline.model import times
from trunkline.model.errors import RetryLater

log = structlog.get_logger("trunkline.log")

PERIOD_SECONDS: Final = 60.0
#: Longest time for which room is given back in one go; appends wait for single steps of it.
_GIVE_BACK_SECONDS: Final = 5.0
_PAGE: Final = 1000


def keep_positions(site: Log, groups: Sequence[str]) -> Positions:
    """Return, for each partition that one of the groups reads, the lowest offset that is still needed."""
    needed: Positions = {}
    for group in groups:
        for at, offset in site.committed(group).items():
            needed[at] = min(offset, needed.get(at, offset))
    return needed


def sweep(site: Journal, groups: Sequence[str], now: int) -> int:
    """Delete what is beyond its retention; return how many records went."""
    return sum(gone.records for gone in site.enforce_retention(now, keep_positions(site, groups)).values())


def compact(site: Journal, topics: Iterable[str]) -> int:
    """Delete what lies before the oldest record that is still the last of its key; return how many records went.

    An empty value forgets its key. Whoever writes to such a topic writes every key anew now and then (`trunkline.processing.memory`), so
    what stays is small.
    """
    gone = 0
    for topic in topics:
        for at, (first, end) in site.bounds(topic).items():
            last: dict[bytes | None, int | None] = {}
            position = first
            while position < end and (records := site.read(at, position, _PAGE)):
                last.update((record.key, record.offset if record.value else None) for record in records)
                position = records[-1].offset + 1
            oldest = min((offset for offset in last.values() if offset is not None), default=position)
            if oldest > first:
                gone += site.delete_before(at, oldest).records
    return gone


def tidy(site: Journal, groups: Sequence[str], now: int, compacted: Iterable[str] = ()) -> int:
    """Sweep, compact, and give free pages back to the disk when there are many; return how many records went."""
    gone = sweep(site, groups, now) + compact(site, compacted)
    space = site.space()
    if space.wasteful:
        site.give_back(space.slack, _GIVE_BACK_SECONDS)
    return gone


class Housekeeper(threading.Thread):
    """Tidies the site log once a minute.

    Args:
        site: the site log's journal.
        groups: consumer groups whose unread records are kept whatever their age.
        compacted: topics of which the last record of each key counts.
        stop: ends the thread.
    """

    def __init__(self, site: Journal, groups: Sequence[str], compacted: Sequence[str], stop: threading.Event) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._site = site
        self._groups = groups
        self._compacted = compacted
        self._stop_event = stop

    def run(self) -> None:
        """Tidy until stopped."""
        while not self._stop_event.wait(PERIOD_SECONDS):
            try:
                gone = tidy(self._site, self._groups, times.now(), self._compacted)
            except RetryLater as error:
                log.warning("retention has to wait", error=str(error))
                continue
            if gone:
                log.info("records beyond their retention were deleted", records=gone)
