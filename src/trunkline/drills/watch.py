"""What a drill sees while it runs: how much the edge holds, what it takes, and how late live readings reach the site."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import structlog

from trunkline.gateway.edge import DROPPED, FORWARDED, READ
from trunkline.log.codec import columns as codec
from trunkline.log.codec.head import BACKLOG
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Category

log = structlog.get_logger("trunkline.drills")

_LOOK_SECONDS: Final = 0.05
_RECORDS: Final = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Attributes:
        seconds: since the drill began.
        read, forwarded, dropped: readings so far.
        disk: bytes of the edge journal's files.
        memory: resident bytes of the edge process; 0 while it does not run.
        link: whether the link is up.
    """

    seconds: float
    read: int
    forwarded: int
    dropped: int
    disk: int
    memory: int
    link: bool

    @property
    def waiting(self) -> int:
        """Readings that wait at the edge."""
        return self.read - self.gone

    @property
    def gone(self) -> int:
        """Readings that were sent on or given up."""
        return self.forwarded + self.dropped


def counts(edge: Journal, of: Category = Category.TELEMETRY) -> dict[str, int]:
    """Return how many readings, or alarms, an edge journal has taken in, sent on and given up."""
    found = dict.fromkeys((READ, FORWARDED, DROPPED), 0)
    for (what, _, category, _), count in edge.tallies().items():
        if category == of.name.lower():
            found[what] += count
    return found


def disk(journal: Path) -> int:
    """Return the bytes of a journal's files."""
    total = 0
    for file in journal.parent.glob(f"{journal.name}*"):
        with contextlib.suppress(FileNotFoundError):  # those that come and go
            total += file.stat().st_size
    return total


def memory(pid: int | None) -> int:
    """Return a process's resident bytes; 0 when it does not run."""
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid is not None else 0
    except psutil.Error:
        return 0


@dataclass(slots=True)
class Delays:
    """How late live readings were.

    Attributes:
        moments: when each was read, µs UTC.
        seconds: from then until it was seen in the site log.
    """

    moments: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class LiveWatch:
    """Reads the site log's raw telemetry as it comes, and notes how late live readings are. In a thread of its own.

    Args:
        site: the site log; closed at the end.
        layout: names of its topics.
        since: when live readings begin, µs UTC.
        read_at: returns when readings were read, µs UTC of the machine's clock; of one that cannot be told, something before `since`.
    """

    def __init__(self, site: Log, layout: Layout, since: int, read_at: Callable[[codec.Columns], codec.I64]) -> None:
        self.delays = Delays()
        self._read_at = read_at
        self._since = since
        self._site = site
        self._at = {at: end for topic in layout.topics(Category.TELEMETRY, "raw") for at, (_, end) in site.bounds(topic).items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()
        self._site.close()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                while self._look():
                    pass
            except RetryLater as error:
                log.warning("the site log cannot be read now", error=str(error))

    def _look(self) -> bool:
        """Read on in every partition; return whether there may be more."""
        more = False
        for at, offset in self._at.items():
            records = self._site.read(at, offset, _RECORDS)
            if records:
                self._at[at] = records[-1].offset + 1
                more |= len(records) == _RECORDS
                now = times.now()
                read = self._read_at(codec.decode([record for record in records if record.header(BACKLOG) is None]))
                live = read[read >= self._since]
                self.delays.moments += live.tolist()
                self.delays.seconds += ((now - live) / times.SECOND).tolist()
        return more
