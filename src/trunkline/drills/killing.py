"""`trunkline drill kill`: while live readings flow, gateway, validation, historian and database are killed at moments that the seed picks.

Each is started again, as `trunkline up` would, and readings that are read after the kill have to be stored again.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from statistics import median
from typing import ClassVar, Final

from trunkline.config.loading import Site
from trunkline.drills.outcome import Figure, Outcome, Own
from trunkline.drills.plan import Folder
from trunkline.drills.rehearsal import PATIENCE, Rehearsal, Tell
from trunkline.drills.stage import DrillFailed
from trunkline.drills.watch import Sample
from trunkline.historian.reader import Reader
from trunkline.log.port import Log
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.supervisor.wiring import conninfo, embedded_server

#: What is killed: the drill's edge, two roles of its site, the first process of its database server.
VICTIMS: Final = ("gateway", "validation", "historian", "database")
#: Stands for no kill at all: how long storing takes by itself.
_NOBODY: Final = "nobody"
_ROLES: Final = {"validation": "worker", "historian": "historian"}
#: Seconds between two kills, at most; one in four comes while the one before is not yet mended.
_PAUSE: Final = 2.0
_BEFORE_MENDED: Final = 0.25
_QUERY_SECONDS: Final = 2.0


class Kill(Rehearsal):
    """One run of the drill. `kills`: how often something is killed."""

    NAME: ClassVar[str] = "kill"

    def __init__(self, site: Site, folder: Folder, tell: Tell, *, kills: int, sabotage: str | None = None) -> None:
        super().__init__(site, folder, tell, sabotage=sabotage)
        self._wanted = kills
        self._kills: Counter[str] = Counter()
        self._took: dict[str, list[float]] = {victim: [] for victim in (_NOBODY, *VICTIMS)}
        #: (victim, µs UTC) of kills after which nothing that was read later is stored yet
        self._open: list[tuple[str, int]] = []
        self._reader = Reader(conninfo(site), connections=1, timeout=_QUERY_SECONDS)

    def rehearse(self) -> Outcome:
        """See `Rehearsal`."""
        self.tell(f"{self._wanted} kills while {len(self.plan.tags):,} tags are read every {self.plan.period_us / times.SECOND:g} s")
        self.edge.start()
        self.feed([])
        self.course.feed_seconds = 0.0  # one reading of each tag: no rate
        with self.site_behind() as log:
            self.connect()
            self._mended()
            self._took[_NOBODY].clear()  # the site had to start
            self._mended()
            for victim in islice(self._victims(), self._wanted):
                self._strike(victim)
            self._mended()
            self.drain()
            return self.judge(log)

    def run(self) -> Outcome:
        """See `Rehearsal`."""
        try:
            return super().run()
        finally:
            self._reader.close()

    def _mended(self) -> None:
        """Wait until what was read after the last kill is stored, or what was read from now on."""
        self._open = self._open or [(_NOBODY, times.now())]
        if not self.until(lambda: not self._open, PATIENCE):
            victim, _ = self._open[0]
            raise DrillFailed(f"nothing was stored for {PATIENCE:g} s; killed last: {victim}; see {self.site.data_dir / 'logs'}")

    def _victims(self) -> Iterator[str]:
        """Yield who is killed next: each as often as the others, in an order that the seed picks."""
        while True:
            yield from self.chance.sample(VICTIMS, len(VICTIMS))

    def _strike(self, victim: str) -> None:
        """Kill one of them; mostly wait until that is mended."""
        hurry, pause = self.chance.random() < _BEFORE_MENDED, self.chance.uniform(0, _PAUSE)
        if victim == "gateway":
            self._note(victim)
            self.kill()
        else:
            self._kill_role(victim)
        if not hurry:
            self._mended()
        self.wait(pause)

    def _kill_role(self, victim: str) -> None:
        """Kill a process of the site once it runs. Raises DrillFailed when it does not come up."""
        found: list[int] = []

        def runs() -> bool:
            pid = self._pid(victim)
            found.extend([pid] if pid is not None else [])
            return pid is not None

        if not self.until(runs, PATIENCE):
            raise DrillFailed(f"{victim} does not start again: see {self.site.data_dir / 'logs'}")
        self.mark("kill")
        self._note(victim)
        os.kill(found[-1], signal.SIGKILL)

    def _pid(self, victim: str) -> int | None:
        if victim == "database":
            return embedded_server(self.site).pid()
        roles = self.centre.roles if self.centre is not None else ()
        return next((role.pid for role in roles if role.name == _ROLES[victim]), None)

    def _note(self, victim: str) -> None:
        self._kills[victim] += 1
        self._open.append((victim, times.now()))

    # ------------------------------------------------------------------ looking

    def look(self) -> Sample:
        """See `Rehearsal`; kills after which readings are stored again are done with."""
        sample = super().look()
        if self._open:
            newest, now = self._newest(), times.now()
            for victim, moment in [one for one in self._open if newest > one[1]]:
                self._open.remove((victim, moment))
                self._took[victim].append((now - moment) / times.SECOND)
        return sample

    def _newest(self) -> int:
        """Return when the newest stored reading was read, µs UTC; 0 while the database is away, or has no tables yet."""
        try:
            return max((one.gateway_time for one in self._reader.latest([self.plan.tags[0].path])), default=0)
        except (RetryLater, Misconfigured):
            return 0

    # ------------------------------------------------------------------ judging

    def own(self, log: Log) -> Own:
        """See `Rehearsal`."""
        del log
        took = {victim: round(median(seconds), 2) if seconds else None for victim, seconds in self._took.items()}
        figures = [
            Figure(
                f"{victim} killed",
                f"{self._kills[victim]} · {took[victim] or 0:.2f} s",
                "kills; until readings are stored again, the median",
            )
            for victim in VICTIMS
        ]
        figures.append(Figure("nothing killed", f"{took[_NOBODY] or 0:.2f} s", "until what is read now is stored, the median"))
        return Own(
            {"kills": self._kills.total(), "kills_by": {victim: self._kills[victim] for victim in VICTIMS}, "recovery_s": took}, figures
        )
