"""`trunkline drill disk-full`: another program fills the edge's disk while the link is cut.

Telemetry then waits and alarms go on being acknowledged, into the room that is held for them; the edge is killed meanwhile. The other
program's file goes, telemetry goes on, the link returns, and every reading and every alarm is compared.
"""

import time
from typing import Any, ClassVar, Final, NamedTuple

import psycopg

from trunkline.config.loading import Site
from trunkline.drills.alarmcheck import AlarmDifference, compare_alarms, stored_alarms
from trunkline.drills.alarms import acknowledged_alarms
from trunkline.drills.edge import acknowledged
from trunkline.drills.outcome import Figure, Outcome, Own
from trunkline.drills.pictures import Line, Picture
from trunkline.drills.plan import Folder
from trunkline.drills.rehearsal import LOOK_SECONDS, PATIENCE, Rehearsal, Tell
from trunkline.drills.smalldisk import SmallDisk, small_disk
from trunkline.drills.stage import DrillFailed
from trunkline.drills.watch import Sample
from trunkline.gateway.edge import DROPPED, FORWARDED, READ
from trunkline.log.journal.reserve import Reserve
from trunkline.log.journal.salvage import beside
from trunkline.log.port import Log
from trunkline.model.reading import Category
from trunkline.supervisor.wiring import conninfo, historian_reader

#: The longest that telemetry may take to go on once the disk has room.
RECOVERY_SECONDS: Final = 5.0
#: Seconds between two alarms.
ALARM_SECONDS: Final = 0.05
#: Parts of the history after one of which the disk is filled: the seed picks.
_FILLED_BETWEEN: Final = (0.1, 0.3)
#: Readings that may have been about to get in when the disk was full, or found a place in the file as it is.
_UNDER_WAY: Final = 50_000
#: A write-ahead log at its largest, which takes readings for a while when the file cannot grow any more.
_LOG_BYTES: Final = 8 << 20
#: Bytes that are of no use to alarms: the write-ahead log is carried over into them first, 4 MB and a transaction.
_LEAST_HELD: Final = 5 << 20
#: An alarm that is not acknowledged for so long waits.
_STALLED: Final = 30.0
#: The same where nothing is held for alarms, so that it is no surprise.
_STALLED_FOR_SURE: Final = 3.0
_AFTERWARDS: Final = 3.0
_QUICK: Final = 0.02
#: What the edge says of a full disk.
_FULL: Final = b"the disk of the edge journal is full"
_DELETE_AN_ALARM: Final = "DELETE FROM historian.event WHERE ctid = (SELECT ctid FROM historian.event WHERE category = %s LIMIT 1)"


def history_of(megabytes: int) -> int:
    """Return how many readings to feed to an edge whose disk has so many MB: half of what its write-ahead log leaves, at 12 B."""
    return (megabytes * 1_000_000 - _LOG_BYTES) // 24


class _Look(NamedTuple):
    """Alarms that the edge has taken in and forwarded, and the bytes free on its disk, so many seconds after the drill began."""

    seconds: float
    taken: int
    forwarded: int
    left: int | None


class FullDisk(Rehearsal):
    """One run of the drill.

    A further planted defect, 'alarm', deletes a stored alarm before the comparison.

    Args:
        site, folder, tell, sabotage: see `Rehearsal`.
        megabytes: size of the disk.
        alarms: that have to be acknowledged while it is full.
        kills: how often the edge is killed meanwhile.
        mount: mount a disk of that size if the drill may; otherwise the edge's files are kept from growing.
    """

    NAME: ClassVar[str] = "disk-full"
    SABOTAGE: ClassVar[tuple[str, ...]] = (*Rehearsal.SABOTAGE, "alarm")

    def __init__(
        self, site: Site, folder: Folder, tell: Tell, *, megabytes: int, alarms: int, kills: int, mount: bool, sabotage: str | None = None
    ) -> None:
        super().__init__(site, folder, tell, sabotage=sabotage)
        self._disk: SmallDisk
        self._mount = mount
        self._megabytes = megabytes
        self._wanted = alarms
        low, high = (round(part * self.history) for part in _FILLED_BETWEEN)
        (self._fill_at,) = self.places(1, low, high)
        self._kills = self.places(kills, 1, alarms)
        self._log = folder.path / "edge.log"
        self._reserve = Reserve(beside(self.journal.path, ".reserve"), 0)
        self._reserves = False
        self._full_since: float | None = None
        self._noticed = False
        self._full_seconds = self._recovery = 0.0
        self._alarms_while_full = self._readings_while_full = 0
        self._broken: list[str] = []
        self._looks: list[_Look] = []

    def run(self) -> Outcome:
        """See `Rehearsal`."""
        with small_disk(self.journal.path, self.site.data_dir / "edge", self._megabytes, mount=self._mount) as self._disk:
            return super().run()

    def rehearse(self) -> Outcome:
        """See `Rehearsal`."""
        self.tell(f"{self.history:,} readings of {len(self.plan.tags):,} tags; the disk is filled after {self._fill_at:,}")
        self.edge.start()
        self.feed([], self._fill_at)
        self.tell("another program fills the disk")
        self.mark("full")
        self._full_since = self.seconds
        held = self._reserve.held
        self._reserves = self._disk.reserves and held > _LEAST_HELD
        if self._disk.reserves and not self._reserves:
            self._broken.append(
                f"{held / 1e6:.1f} MB held on the disk for alarms are too few: the write-ahead log takes {_LEAST_HELD / 1e6:.1f} MB of it; "
                "make buffer.max_bytes at least 50 MB and reserved_bytes half of it"
            )
        self._leave_no_room()
        self._endure()
        self._free()
        self.feed([])
        with self.site_behind() as log:
            self.tell("the link is up: live readings beside the backlog")
            self.connect()
            self.drain()
            self.wait(_AFTERWARDS)
            self.shrink()
            return self.judge(log)

    def kill(self) -> None:
        """See `Rehearsal`; the disk stays as full as it is."""
        super().kill()
        if self._full_since is not None:
            self._leave_no_room()

    # ------------------------------------------------------------------ what happens

    def _leave_no_room(self) -> None:
        """Let another program fill the disk, and wait until the edge that runs now says that it is full, or has all there is to feed.

        An edge at its own bound may never need another byte of the disk: it then gives up the oldest, and does not notice.
        """
        begin = self._log.stat().st_size
        self._disk.fill(self.edge.pid)

        def said() -> bool:
            with self._log.open("rb") as file:
                file.seek(begin)
                found = _FULL in file.read()
            self._noticed |= found
            return found

        if not self.until(lambda: said() or self.look().read >= self.history, PATIENCE):
            raise DrillFailed(f"the disk is full, and the edge does not say so: see {self._log}")

    def _endure(self) -> None:
        """Wait until so many alarms are acknowledged on the full disk, or none is any more; kill the edge meanwhile."""
        before, first, noticed = self.look(), self._alarms_taken(), self._noticed
        if not noticed and not before.dropped:
            raise DrillFailed("all readings were taken in before the disk was full: make it larger (--disk-mb)")
        # where nothing can be held for it, a gateway that was killed starts again only once there is room
        due = [first + place for place in self._kills] if self._reserves else []
        have, moved = first, time.monotonic()
        while have - first < self._wanted and time.monotonic() - moved < (_STALLED if self._reserves else _STALLED_FOR_SURE):
            self.wait(LOOK_SECONDS)
            if (now := self._alarms_taken()) > have:
                have, moved = now, time.monotonic()
                self._moved = moved  # telemetry waits, as it should
            if due and have >= due[0]:
                due.pop(0)
                self.kill()
                moved = time.monotonic()
        for _ in due:
            self.kill()
        after = self.look()
        self._alarms_while_full, self._readings_while_full = have - first, after.read - before.read
        if self._reserves and self._alarms_while_full < self._wanted:
            self._broken.append(f"only {self._alarms_while_full} of {self._wanted} alarms were acknowledged while the disk was full")
        if self._reserves and noticed and self._readings_while_full > _UNDER_WAY:
            self._broken.append(f"{self._readings_while_full:,} readings got in while the disk was full: into room that is held for alarms")
        if noticed and after.dropped > before.dropped:
            self._broken.append(f"{after.dropped - before.dropped} readings that waited were given up because the disk was full")

    def _free(self) -> None:
        """Let the other program's file go, and see how long telemetry takes to go on, and that room is held for alarms again."""
        self.tell("the other program's file goes")
        taken = self.look().read
        self.mark("room")
        self._full_seconds = self.seconds - (self._full_since or 0.0)
        self._full_since = None
        self._disk.free(self.edge.pid)
        began = time.monotonic()
        while taken < self.history and acknowledged(self.folder) <= taken:
            if time.monotonic() - began > PATIENCE:
                raise DrillFailed(f"telemetry did not go on within {PATIENCE:g} s although the disk has room: see {self._log}")
            time.sleep(_QUICK)
        self._recovery = time.monotonic() - began
        if self._recovery > RECOVERY_SECONDS:
            self._broken.append(
                f"telemetry went on {self._recovery:.1f} s after the disk had room: at most {RECOVERY_SECONDS:g} s are promised"
            )
        if self._reserves and not self.until(lambda: self._reserve.held > 0, PATIENCE):
            self._broken.append("no room is held for alarms again")

    # ------------------------------------------------------------------ looking

    def look(self) -> Sample:
        """See `Rehearsal`; with the looks that are kept go those at alarms and at the disk."""
        sample = super().look()
        if self.course.samples[-1] is sample:
            alarms = self.journal.counts(Category.ALARM)
            self._looks.append(_Look(sample.seconds, alarms[READ], alarms[FORWARDED], self._disk.left()))
        return sample

    def _alarms_taken(self) -> int:
        return self.journal.counts(Category.ALARM)[READ]

    # ------------------------------------------------------------------ judging

    def own(self, log: Log) -> Own:
        """See `Rehearsal`."""
        if self.sabotage == "alarm":
            self.tell("planted defect: a stored alarm is deleted by hand")
            with psycopg.connect(conninfo(self.site), autocommit=True) as connection:
                connection.execute(_DELETE_AN_ALARM, (int(Category.ALARM),))
        counts = self.journal.counts(Category.ALARM)
        with historian_reader(self.site) as reader:
            found = compare_alarms(self.plan, counts[READ], stored_alarms(reader), log, self.layout)
        broken = [*self._broken, *found.wrong]
        if self.edge.forgotten_alarms:
            broken.append(f"{self.edge.forgotten_alarms} alarms were acknowledged and gone after a kill")
        if counts[DROPPED]:
            broken.append(f"{counts[DROPPED]} alarms were given up")
        return Own(self._facts(found), self._figures(found), broken, self._pictures())

    def _facts(self, found: AlarmDifference) -> dict[str, Any]:
        return {
            "disk": "mounted" if self._disk.reserves else "limited",
            "noticed": self._noticed,
            "full_s": round(self._full_seconds, 1),
            "recovery_s": round(self._recovery, 2),
            "readings_while_full": self._readings_while_full,
            "alarms": acknowledged_alarms(self.folder),
            "alarms_while_full": self._alarms_while_full,
            "alarms_stored": found.stored,
            "alarms_lost": found.lost + self.edge.forgotten_alarms,
            "alarms_doubled": found.doubled,
            "alarms_changed": found.changed,
            "alarms_disordered": found.disordered,
        }

    def _figures(self, found: AlarmDifference) -> list[Figure]:
        small = f"{self._megabytes} MB" if self._disk.reserves else "limited"
        return [
            Figure(
                "disk of the edge", small, "mounted for the drill" if self._disk.reserves else "the size of its files, for want of a disk"
            ),
            Figure("disk full", f"{self._full_seconds:.1f} s", f"by another program; {self._readings_while_full:,} readings got in"),
            Figure("telemetry goes on after", f"{self._recovery:.2f} s", f"once there is room; at most {RECOVERY_SECONDS:g} s"),
            Figure("alarms acknowledged", f"{acknowledged_alarms(self.folder):,}", f"{self._alarms_while_full:,} while the disk was full"),
            Figure("alarms stored", f"{found.stored:,}"),
            Figure(
                "alarms lost · doubled · changed · out of order",
                f"{found.lost:,} · {found.doubled:,} · {found.changed:,} · {found.disordered:,}",
                "compared one by one",
            ),
        ]

    def _pictures(self) -> list[Picture]:
        looks = self._looks
        pictures = [
            Picture(
                "Alarms so far",
                "alarms",
                [
                    Line("acknowledged", [(one.seconds, one.taken) for one in looks]),
                    Line("forwarded", [(one.seconds, one.forwarded) for one in looks], "b"),
                ],
            )
        ]
        if left := [(one.seconds, one.left / 1e6) for one in looks if one.left is not None]:
            pictures.append(Picture("Room left on the disk of the edge", "MB", [Line("free", left)]))
        return pictures
