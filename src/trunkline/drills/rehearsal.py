"""What every drill does: an edge that is fed and harmed, the site behind its link, looks at both, and the comparison at the end.

Every reading that was fed is worked out again and compared with the historian, dead letters, and what the edge says it gave up.
"""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import psycopg

from trunkline.config.loading import Site
from trunkline.drills.checking import Bools, compare, given_up, only_good
from trunkline.drills.course import Course
from trunkline.drills.edge import acknowledged
from trunkline.drills.feed import I64, Feed
from trunkline.drills.outcome import Outcome, Own
from trunkline.drills.plan import Folder
from trunkline.drills.stage import Centre, DrillFailed, Edge, EdgeJournal
from trunkline.drills.watch import LiveWatch, Sample, memory
from trunkline.gateway.edge import DROPPED, FORWARDED, READ
from trunkline.log.codec.columns import Columns
from trunkline.log.opening import edge_journal, layout_of, open_site_log
from trunkline.log.port import Log
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.supervisor.wiring import conninfo, historian_reader, site_log

LOOK_SECONDS: Final = 0.1
#: Nothing at all moved for so long: something is broken.
PATIENCE: Final = 120.0
_SAMPLE_SECONDS: Final = 0.5
_TELL_SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 3600.0
#: A journal's files without a backlog take less than this.
_SMALL_BYTES: Final = 32_000_000
#: What an edge without a backlog keeps waiting: the readings of a few seconds.
_STEPS_ON_THE_WAY: Final = 3
_DELETE_A_SEGMENT: Final = "DELETE FROM historian.segment WHERE ctid = (SELECT ctid FROM historian.segment ORDER BY n DESC LIMIT 1)"

Tell = Callable[[str], None]


class Rehearsal(ABC):
    """One run of a drill. Raises Misconfigured when it does not know the planted defect.

    Args:
        site: the drill's own.
        folder: its files.
        tell: says how far it is.
        sabotage: a planted defect that has to be noticed (`SABOTAGE`).

    Attributes:
        NAME: of the drill.
        SABOTAGE: planted defects that it knows: 'segment' deletes a row of the historian before the comparison.
        history: readings that are fed before the live ones.
        chance: picks faults.
        journal: of the edge, looked at from outside.
        edge: the process that is harmed.
        centre: the site behind the link, once it runs (`site_behind`).
    """

    NAME: ClassVar[str]
    SABOTAGE: ClassVar[tuple[str, ...]] = ("segment",)

    def __init__(self, site: Site, folder: Folder, tell: Tell, *, sabotage: str | None = None) -> None:
        if sabotage not in {None, *self.SABOTAGE}:
            raise Misconfigured(f"the drill {self.NAME} has no planted defect {sabotage!r}: it can be {' or '.join(self.SABOTAGE)}")
        self.site = site
        self.folder = folder
        self.plan = folder.plan()
        self.tell = tell
        self.sabotage = sabotage
        self.layout = layout_of(site.config.log)
        self.chance = random.Random(self.plan.seed)  # noqa: S311 - faults, no secret
        self.history = self.plan.steps * len(self.plan.tags)
        self.course = Course(times.now())
        self.journal = EdgeJournal(edge_journal(site.data_dir, self.plan.gateway))
        self.edge = self.make_edge()
        self.centre: Centre | None = None
        self._began = self._moved = self._told = self._sampled = 0.0
        #: since when nothing gets through, µs UTC, and what was forwarded by then
        self._down_since: int | None = self.course.began
        self._down_at = 0

    def make_edge(self) -> Edge:
        """Return the edge."""
        return Edge(self.folder, self.journal)

    def fed(self) -> Feed:
        """Return what was fed."""
        return self.plan.feed(self.layout, self.folder.live())

    def steps(self, read: int) -> int:
        """Return how many steps the edge has taken in; its journal counts so many readings."""
        return read // len(self.plan.tags)

    def allowed(self, step: I64, quality: npt.NDArray[np.uint16]) -> Bools:
        """Return which of these qualities readings of these steps may have."""
        return only_good(step, quality)

    def read_at(self, columns: Columns) -> I64:
        """Return when readings were read, µs UTC of the machine's clock."""
        return columns.gateway_time

    @abstractmethod
    def rehearse(self) -> Outcome:
        """Do what this drill does, from the first start of the edge to the comparison. Raises DrillFailed when it cannot go on."""

    def own(self, log: Log) -> Own:
        """Return what only this drill measures and promises; everything is stored by now. `log` is the site's."""
        del log
        return Own()

    def run(self) -> Outcome:
        """Run it. Raises DrillFailed when it cannot go on."""
        self.folder.cut()
        self._began = self._moved = self._told = time.monotonic()
        try:
            return self.rehearse()
        finally:
            self.edge.close()
            self.journal.close()

    # ------------------------------------------------------------------ what happens

    def places(self, count: int, low: int, high: int) -> list[int]:
        """Return numbers of readings at which something happens, ascending."""
        return sorted(self.chance.randrange(low, max(low + 1, high)) for _ in range(count))

    def feed(self, due: list[int], goal: int | None = None) -> None:
        """Wait until the history is taken in, or so many readings; kill the edge whenever it has taken in so many of them."""
        goal = self.history if goal is None else goal
        kills = len(due) + self.edge.kills
        due = list(due)
        began = time.monotonic()
        while (read := self.look().read) < goal and acknowledged(self.folder) < goal:
            self.course.baseline = self.course.baseline or (self.journal.disk() if not read else 0)
            if due and read >= due[0]:
                due = [one for one in due if one > read]
                self.kill()
            time.sleep(LOOK_SECONDS)
        self.course.feed_seconds += time.monotonic() - began
        for _ in range(kills - self.edge.kills):
            self.kill()

    @contextmanager
    def site_behind(self) -> Iterator[Log]:
        """Run the site behind the link, and watch how late live readings come, which begin now; yields the site's log."""
        with Centre(self.site) as self.centre:
            self.centre.tend()
            with site_log(self.site) as log:  # made before the link is there, so that nothing is measured beside it
                live = times.now()
                self.folder.go_live(live)
                watched = open_site_log(self.site.config.log, self.site.data_dir, self.site.secrets)
                watch = LiveWatch(watched, self.layout, live, self.read_at)
                watch.start()
                try:
                    yield log
                finally:
                    watch.stop()
                    self.course.delays = watch.delays

    def kill(self) -> None:
        """Kill the edge."""
        self.mark("kill")
        self._down_since = self._down_since or times.now()
        self.edge.kill()

    def connect(self) -> None:
        """Let the link return."""
        self.mark("link")
        self.folder.connect()

    def drain(self, harm: Callable[[Sample], Sample] = lambda now: now) -> None:
        """Wait until only live readings are on the way, or what waits grows no less: then it is judged.

        `harm` is called with every look, and returns the newest.
        """
        last = self.look()
        least, changed = last.waiting, time.monotonic()
        while not self.drained(last) and time.monotonic() - changed < PATIENCE:
            self.tend()
            time.sleep(LOOK_SECONDS)
            now = self.look()
            self.course.moved(last, now)
            if now.waiting < least:
                least, changed = now.waiting, time.monotonic()
            last = harm(now)

    def cut(self, seconds: float) -> Sample:
        """Cut the link for a while; return a look at the end of it."""
        self.tell("the link is cut")
        self.mark("cut")
        self._down_since = self._down_since or times.now()
        self.folder.cut()
        self.wait(seconds)
        last = self.look()
        self.connect()
        return last

    def wait(self, seconds: float) -> None:
        """Let time pass, and look."""
        self.until(lambda: False, seconds)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until something holds; return whether it came to hold in time."""
        deadline = time.monotonic() + seconds
        while not (held := condition()) and time.monotonic() < deadline:
            self.tend()
            self.look()
            time.sleep(LOOK_SECONDS)
        return held

    def tend(self) -> None:
        """Start again what should run at the site."""
        if self.centre is not None:
            self.centre.tend()

    def drained(self, last: Sample) -> bool:
        """Return whether nothing waits but live readings.

        What a damaged journal has lost would be counted as waiting for ever, and so would what was forwarded before a lying disk forgot it.
        """
        if last.gone >= self.history and last.waiting <= _STEPS_ON_THE_WAY * len(self.plan.tags):
            return True
        uncertain = self.sabotage == "lying-disk" or self.journal.damaged()
        return uncertain and self.journal.waiting_records() <= _STEPS_ON_THE_WAY * self.layout.telemetry_partitions

    def shrink(self) -> None:
        """Wait until the historian has everything, the edge has let its copies go, and the disk has its room back."""
        self.tell("the backlog is gone: waiting until the historian has it and the edge has given its room back")
        least = self.journal.disk()
        changed = time.monotonic()
        while least > _SMALL_BYTES and time.monotonic() - changed < PATIENCE:
            self.wait(LOOK_SECONDS)
            if (now := self.journal.disk()) < least:
                least, changed = now, time.monotonic()

    # ------------------------------------------------------------------ looking

    @property
    def seconds(self) -> float:
        """Seconds since the drill began."""
        return time.monotonic() - self._began

    def mark(self, words: str) -> None:
        """Note that something happens."""
        self.course.marks.append((self.seconds, words))

    def look(self) -> Sample:
        """Look at the edge; keep a few looks a second. Raises DrillFailed when it ended, or when nothing moves any more."""
        self.edge.look()
        now = time.monotonic()
        found = self.journal.counts()
        link = self.folder.link.exists()
        sample = Sample(now - self._began, found[READ], found[FORWARDED], found[DROPPED], self.journal.disk(), memory(self.edge.pid), link)
        self._note_link(sample)
        last = self.course.samples[-1] if self.course.samples else None
        if last is None or (sample.read, sample.forwarded) != (last.read, last.forwarded):
            self._moved = now
        elif now - self._moved > PATIENCE:
            raise DrillFailed(f"nothing was read or forwarded for {PATIENCE:g} s: see {self.folder.path}")
        if last is None or now - self._sampled >= _SAMPLE_SECONDS:
            self._sampled = now
            self.course.samples.append(sample)
        if now - self._told > _TELL_SECONDS:
            self._told = now
            self.tell(f"{sample.read:,} readings taken in, {sample.forwarded:,} forwarded, {sample.waiting:,} wait")
        return sample

    def _note_link(self, sample: Sample) -> None:
        """Note when the first readings get through after a cut or a kill."""
        if self._down_since is not None and sample.link and sample.forwarded > self._down_at:
            self.course.down.append((self._down_since, times.now()))
            self._down_since = None
        elif self._down_since is None or not sample.link:
            self._down_at = sample.forwarded

    # ------------------------------------------------------------------ judging

    def judge(self, log: Log) -> Outcome:
        """Stop the edge, let the site settle, compare every reading. Call it within `site_behind`."""
        if self.centre is None:
            raise RuntimeError("there is no site to compare with")
        self.edge.stop()
        self.look()
        self.course.kills, self.course.forgotten = self.edge.kills, self.edge.forgotten
        self.centre.wait("validation and the historian", self.centre.settled, _SETTLE_SECONDS)
        balance = self.centre.account(PATIENCE)
        if self.sabotage == "segment":
            self.tell("planted defect: a segment of the historian is deleted by hand")
            with psycopg.connect(conninfo(self.site), autocommit=True) as connection:
                connection.execute(_DELETE_A_SEGMENT)
        read = self.journal.counts()[READ]
        dropped = given_up(log, self.layout)
        self.tell(f"comparing {read:,} readings, one by one")
        with historian_reader(self.site) as reader:
            found = compare(self.fed(), self.steps(read), reader, lambda lane: dropped.get(self.layout.place_of(lane), ()), self.allowed)
        return Outcome(
            self.NAME,
            self.plan,
            self.course,
            found,
            balance,
            acknowledged(self.folder),
            read - self.history,
            self.own(log),
            self.sabotage,
        )
