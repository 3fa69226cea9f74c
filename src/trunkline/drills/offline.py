"""`trunkline drill offline`: days without a site, kills on the way, then the link returns, is cut again, and everything arrives once.

While the site is away the edge journals what its devices show, as quickly as it can or at the devices' pace, and is killed at moments
that the seed picks. Then the link comes up and live readings begin; at 30 % and 70 % of the backlog the link is cut again. At the end
every reading that was fed is worked out again and compared with the historian, dead letters, and what the edge says it gave up.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import psycopg

from trunkline.config.loading import Site
from trunkline.drills.checking import Difference, compare, given_up
from trunkline.drills.edge import acknowledged
from trunkline.drills.plan import Folder, Plan
from trunkline.drills.stage import Centre, DrillFailed, Edge, EdgeJournal
from trunkline.drills.watch import Delays, LiveWatch, Sample, memory
from trunkline.gateway.edge import DROPPED, FORWARDED, READ
from trunkline.ledger.balance import Balance, unbalanced
from trunkline.log.opening import edge_journal, layout_of, open_site_log
from trunkline.log.port import Log
from trunkline.model import times
from trunkline.supervisor.wiring import conninfo, historian_reader, site_log

#: Parts of the backlog at which the link is cut again, and for how long.
CUTS: Final = (0.3, 0.7)
CUT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1
_SAMPLE_SECONDS: Final = 0.5
_TELL_SECONDS: Final = 10.0
#: Over which the forwarder's best rate is taken.
_PEAK_SECONDS: Final = 3.0
#: Live readings go on for so long after the backlog is gone.
_AFTERWARDS: Final = 5.0
#: A journal's files without a backlog take less than this.
_SMALL_BYTES: Final = 32_000_000
#: Readings that were read so shortly before a cut may be caught by it.
_CAUGHT: Final = times.SECOND
#: Nothing at all moved for so long: something is broken.
_PATIENCE: Final = 120.0
_SETTLE_SECONDS: Final = 3600.0
#: What an edge without a backlog keeps waiting: the readings of a few seconds.
_STEPS_ON_THE_WAY: Final = 3
_DELETE_A_SEGMENT: Final = "DELETE FROM historian.segment WHERE ctid = (SELECT ctid FROM historian.segment ORDER BY n DESC LIMIT 1)"

Tell = Callable[[str], None]


@dataclass(slots=True)
class Course:
    """What happened when, for figures and pictures.

    Attributes:
        began: when seconds were counted from, µs UTC.
        samples: looks at the edge, a few a second.
        marks: (seconds, words) of kills and cuts.
        down: (begin, end) in µs UTC during which nothing was forwarded, for the link was cut or the edge had been killed.
        progress: (seconds, readings) forwarded so far with a backlog, counting the time in which it moved.
        feed_seconds: that history took.
        forgotten: acknowledged readings that a kill took.
        kills: of the edge.
        torn: bytes that power cuts took.
        baseline: bytes of the edge's files before it was offline.
        delays: of live readings.
    """

    began: int
    samples: list[Sample] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    down: list[tuple[int, int]] = field(default_factory=list)
    progress: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    feed_seconds: float = 0.0
    forgotten: int = 0
    kills: int = 0
    torn: int = 0
    baseline: int = 0
    delays: Delays = field(default_factory=Delays)

    @property
    def drain_rate(self) -> float:
        """Readings/s that the backlog went at while it moved."""
        seconds, readings = self.progress[-1]
        return readings / seconds if seconds else 0.0

    def peak(self) -> float:
        """Return the forwarder's best rate over a few seconds of moving, readings/s; the whole when it took no longer."""
        best, begin = 0.0, 0
        for end, (seconds, readings) in enumerate(self.progress):
            while begin < end and seconds - self.progress[begin + 1][0] >= _PEAK_SECONDS:
                begin += 1
            took = seconds - self.progress[begin][0]
            if took >= _PEAK_SECONDS:
                best = max(best, (readings - self.progress[begin][1]) / took)
        return best or self.drain_rate

    def live_delay(self, quantile: float) -> float | None:
        """Return how late live readings were that were read while the link carried readings, in seconds; None when there were none."""
        moment, late = np.array(self.delays.moments), np.array(self.delays.seconds)
        inside = np.ones(len(moment), np.bool_)
        for begin, end in self.down:
            inside &= (moment < begin - _CAUGHT) | (moment > end)
        return float(np.quantile(late[inside], quantile)) if inside.any() else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drill ended."""

    plan: Plan
    course: Course
    difference: Difference
    balance: Balance
    acknowledged: int
    live: int
    power: bool = False
    sabotage: str | None = None

    @property
    def name(self) -> str:
        """The drill's name."""
        return "power-cut" if self.power else "offline"

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled or changed; with a planted defect, whether that was noticed."""
        sound = self.difference.clean and self.balance.balanced and not self.course.forgotten and not self.balance.totals["rejected"]
        return not sound if self.sabotage else sound

    def document(self) -> dict[str, Any]:
        """Return the figures as drills report them."""
        course, found = self.course, self.difference
        rate, peak, late = course.drain_rate, course.peak(), course.live_delay(0.99)
        used = [sample.memory for sample in course.samples if sample.memory]
        return {
            "drill": self.name,
            "seed": self.plan.seed,
            "days": round(self.plan.steps * self.plan.period_us / times.DAY, 4),
            "tags": len(self.plan.tags),
            "kills": course.kills,
            **({"bytes_torn": course.torn} if self.power else {}),
            "cuts": sum(words == "cut" for _, words in course.marks),
            "readings": found.expected,
            "live_readings": self.live,
            "acknowledged": self.acknowledged,
            "stored": found.stored,
            "lost": found.lost + course.forgotten,
            "doubled": found.doubled,
            "invented": found.invented,
            "changed": found.changed,
            "dropped": found.dropped,
            "rejected": self.balance.totals["rejected"],
            "feed_rate": round((self.plan.steps * len(self.plan.tags)) / course.feed_seconds) if course.feed_seconds else None,
            "drain_rate": round(rate),
            "drain_of_peak": round(rate / peak, 2) if peak else None,
            "live_p99_s": round(late, 3) if late is not None else None,
            "memory_mb": round(max(used, default=0) / 1e6, 1),
            "disk_mb": {
                "before": round(course.baseline / 1e6, 1),
                "most": round(max((sample.disk for sample in course.samples), default=0) / 1e6, 1),
                "after": round(course.samples[-1].disk / 1e6, 1) if course.samples else None,
            },
            "ledger_balanced": self.balance.balanced,
            "problems": [*unbalanced(self.balance), *found.examples],
            **({"sabotage": self.sabotage, "caught": self.passed} if self.sabotage else {}),
            "passed": self.passed,
        }


class Offline:
    """One run of the drill.

    Args:
        site: the drill's own.
        folder: its files.
        kills: how often the edge is killed: four in five of them while it is offline.
        tell: says how far it is.
        power: kills are power cuts: what was not synced is lost or torn.
        sabotage: a planted defect that has to be noticed: 'segment' deletes a row of the historian before the comparison, 'lying-disk'
            loses with the power what the disk said it had.
    """

    def __init__(self, site: Site, folder: Folder, kills: int, tell: Tell, *, power: bool = False, sabotage: str | None = None) -> None:
        self._site = site
        self._folder = folder
        self._plan = folder.plan()
        self._tell = tell
        self._power = power
        self._sabotage = sabotage
        self._layout = layout_of(site.config.log)
        self._chance = random.Random(self._plan.seed)  # noqa: S311 - faults, no secret
        self._history = self._plan.steps * len(self._plan.tags)
        later = kills // 5
        self._kills_offline = self._places(kills - later, 0, self._history)
        self._later = later
        self._course = Course(times.now())
        self._began = 0.0
        self._sampled = 0.0
        self._told = 0.0
        self._moved = 0.0
        #: since when nothing gets through, µs UTC, and what was forwarded by then
        self._down_since: int | None = self._course.began
        self._down_at = 0

    def run(self) -> Outcome:
        """Run it. Raises DrillFailed when it cannot go on."""
        self._folder.cut()
        self._began = self._moved = self._told = time.monotonic()
        journal = EdgeJournal(edge_journal(self._site.data_dir, self._plan.gateway))
        edge = Edge(self._folder, journal, self._chance if self._power else None, lying=self._sabotage == "lying-disk")
        try:
            return self._run(edge, journal)
        finally:
            edge.close()
            journal.close()

    def _places(self, count: int, low: int, high: int) -> list[int]:
        """Return numbers of readings at which something happens, ascending."""
        return sorted(self._chance.randrange(low, max(low + 1, high)) for _ in range(count))

    # ------------------------------------------------------------------ phases

    def _run(self, edge: Edge, journal: EdgeJournal) -> Outcome:
        self._offline(edge, journal)
        with Centre(self._site) as centre:
            centre.tend()
            with site_log(self._site) as log:  # made before the link is there, so that nothing is measured beside it
                live = times.now()
                self._folder.go_live(live)
                watch = LiveWatch(open_site_log(self._site.config.log, self._site.data_dir, self._site.secrets), self._layout, live)
                watch.start()
                try:
                    self._drain(edge, journal, centre)
                finally:
                    watch.stop()
                self._shrink(edge, journal, centre)
                edge.stop()
                self._look(edge, journal)
                self._course.delays = watch.delays
                self._course.kills, self._course.forgotten, self._course.torn = edge.kills, edge.forgotten, edge.torn
                centre.wait("validation and the historian", centre.settled, _SETTLE_SECONDS)
                balance = centre.account(_PATIENCE)
                return self._compare(log, journal, live, balance)

    def _offline(self, edge: Edge, journal: EdgeJournal) -> None:
        """Feed history while the site is away."""
        self._tell(f"offline: {self._history:,} readings of {len(self._plan.tags):,} tags, {len(self._kills_offline)} kills on the way")
        edge.start()
        due = list(self._kills_offline)
        began = time.monotonic()
        while (read := self._look(edge, journal).read) < self._history and acknowledged(self._folder) < self._history:
            self._course.baseline = self._course.baseline or (journal.disk() if not read else 0)
            if due and read >= due[0]:
                due = [one for one in due if one > read]
                self._kill(edge)
            time.sleep(_LOOK_SECONDS)
        self._course.feed_seconds = time.monotonic() - began
        for _ in range(len(self._kills_offline) - edge.kills):
            self._kill(edge)

    def _drain(self, edge: Edge, journal: EdgeJournal, centre: Centre) -> None:
        """Let the link return, cut it again on the way, until only live readings are on the way."""
        self._tell("the link is up: live readings beside the backlog")
        self._connect()
        last = self._look(edge, journal)
        cuts = [last.gone + round(part * (self._history - last.gone)) for part in CUTS]
        due = self._places(self._later, last.gone, self._history)
        while not self._drained(last, journal):
            centre.tend()
            time.sleep(_LOOK_SECONDS)
            now = self._look(edge, journal)
            if now.forwarded > last.forwarded:
                seconds, readings = self._course.progress[-1]
                self._course.progress.append((seconds + now.seconds - last.seconds, readings + now.forwarded - last.forwarded))
            last = now
            if cuts and now.gone >= cuts[0]:
                cuts.pop(0)
                last = self._cut(edge, journal, centre)
            elif due and now.gone >= due[0]:
                due.pop(0)
                self._kill(edge)
        self._wait(_AFTERWARDS, edge, journal, centre)

    def _drained(self, last: Sample, journal: EdgeJournal) -> bool:
        """Return whether nothing waits but live readings.

        What a damaged journal has lost would be counted as waiting for ever, and so would what was forwarded before a lying disk forgot it.
        """
        if last.gone >= self._history and last.waiting <= _STEPS_ON_THE_WAY * len(self._plan.tags):
            return True
        uncertain = self._sabotage == "lying-disk" or journal.damaged()
        return uncertain and journal.waiting_records() <= _STEPS_ON_THE_WAY * self._layout.telemetry_partitions

    def _shrink(self, edge: Edge, journal: EdgeJournal, centre: Centre) -> None:
        """Wait until the historian has everything, the edge has let its copies go, and the disk has its room back."""
        self._tell("the backlog is gone: waiting until the historian has it and the edge has given its room back")
        least = journal.disk()
        changed = time.monotonic()
        while least > _SMALL_BYTES and time.monotonic() - changed < _PATIENCE:
            self._wait(_LOOK_SECONDS, edge, journal, centre)
            if (now := journal.disk()) < least:
                least, changed = now, time.monotonic()

    def _kill(self, edge: Edge) -> None:
        self._mark("kill")
        self._down_since = self._down_since or times.now()
        edge.kill()

    def _connect(self) -> None:
        self._mark("link")
        self._folder.connect()

    def _cut(self, edge: Edge, journal: EdgeJournal, centre: Centre) -> Sample:
        """Cut the link for a while; return a look at the end of it."""
        self._tell("the link is cut again")
        self._mark("cut")
        self._down_since = self._down_since or times.now()
        self._folder.cut()
        self._wait(CUT_SECONDS, edge, journal, centre)
        last = self._look(edge, journal)
        self._connect()
        return last

    def _wait(self, seconds: float, edge: Edge, journal: EdgeJournal, centre: Centre) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            centre.tend()
            self._look(edge, journal)
            time.sleep(_LOOK_SECONDS)

    # ------------------------------------------------------------------ looking

    def _mark(self, words: str) -> None:
        self._course.marks.append((time.monotonic() - self._began, words))

    def _look(self, edge: Edge, journal: EdgeJournal) -> Sample:
        """Look at the edge; keep a few looks a second. Raises DrillFailed when it ended, or when nothing moves any more."""
        edge.look()
        now = time.monotonic()
        found = journal.counts()
        link = self._folder.link.exists()
        sample = Sample(now - self._began, found[READ], found[FORWARDED], found[DROPPED], journal.disk(), memory(edge.pid), link)
        self._note_link(sample)
        last = self._course.samples[-1] if self._course.samples else None
        if last is None or (sample.read, sample.forwarded) != (last.read, last.forwarded):
            self._moved = now
        elif now - self._moved > _PATIENCE:
            raise DrillFailed(f"nothing was read or forwarded for {_PATIENCE:g} s: see {self._folder.path}")
        if last is None or now - self._sampled >= _SAMPLE_SECONDS:
            self._sampled = now
            self._course.samples.append(sample)
        if now - self._told > _TELL_SECONDS:
            self._told = now
            self._tell(f"{sample.read:,} readings taken in, {sample.forwarded:,} forwarded, {sample.waiting:,} wait")
        return sample

    def _note_link(self, sample: Sample) -> None:
        """Note when the first readings get through after a cut or a kill."""
        if self._down_since is not None and sample.link and sample.forwarded > self._down_at:
            self._course.down.append((self._down_since, times.now()))
            self._down_since = None
        elif self._down_since is None or not sample.link:
            self._down_at = sample.forwarded

    # ------------------------------------------------------------------ judging

    def _compare(self, log: Log, journal: EdgeJournal, live: int, balance: Balance) -> Outcome:
        if self._sabotage == "segment":
            self._tell("planted defect: a segment of the historian is deleted by hand")
            with psycopg.connect(conninfo(self._site), autocommit=True) as connection:
                connection.execute(
                    "DELETE FROM historian.segment WHERE ctid = (SELECT ctid FROM historian.segment ORDER BY n DESC LIMIT 1)"
                )
        read = journal.counts()[READ]
        steps = read // len(self._plan.tags)
        feed = self._plan.feed(self._layout, live)
        dropped = given_up(log, self._layout)
        self._tell(f"comparing {read:,} readings, one by one")
        with historian_reader(self._site) as reader:
            found = compare(feed, steps, reader, lambda lane: dropped.get(self._layout.place_of(lane), ()))
        return Outcome(
            self._plan, self._course, found, balance, acknowledged(self._folder), read - self._history, self._power, self._sabotage
        )
