"""`trunkline drill offline` and `power-cut`: days without a site, kills on the way, two more cuts, and all arrives once.

While the site is away the edge journals what its devices show, as quickly as it can or at the devices' pace, and is killed at moments
that the seed picks. Then the link comes up and live readings begin; at 30 % and 70 % of the backlog the link is cut again.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from trunkline.config.loading import Site
from trunkline.drills.outcome import Figure, Outcome, Own
from trunkline.drills.plan import Folder
from trunkline.drills.rehearsal import Rehearsal, Tell
from trunkline.drills.stage import Edge
from trunkline.drills.watch import Sample
from trunkline.log.port import Log

#: Parts of the backlog at which the link is cut again, and for how long.
CUTS: Final = (0.3, 0.7)
CUT_SECONDS: Final = 5.0
#: Live readings go on for so long after the backlog is gone.
_AFTERWARDS: Final = 5.0


class Offline(Rehearsal):
    """One run of the drill.

    `kills`: how often the edge is killed, four in five of them while it is offline. `cuts`: parts of the backlog at which the link is cut.
    """

    NAME: ClassVar[str] = "offline"

    def __init__(
        self, site: Site, folder: Folder, tell: Tell, *, kills: int = 0, cuts: Sequence[float] = CUTS, sabotage: str | None = None
    ) -> None:
        super().__init__(site, folder, tell, sabotage=sabotage)
        self._cuts = cuts
        self._later = kills // 5
        self._kills_offline = self.places(kills - self._later, 0, self.history)

    def rehearse(self) -> Outcome:
        """See `Rehearsal`."""
        self.tell(f"offline: {self.history:,} readings of {len(self.plan.tags):,} tags, {len(self._kills_offline)} kills on the way")
        self.edge.start()
        self.feed(self._kills_offline)
        with self.site_behind() as log:
            self.catch_up()
            self.live(log)
            self.shrink()
            return self.judge(log)

    def live(self, log: Log) -> None:
        """Do what this drill does once only live readings are on the way; `log` is the site's."""
        del log
        self.wait(_AFTERWARDS)

    def catch_up(self) -> None:
        """Let the link return, cut it again on the way, until only live readings are on the way."""
        self.tell("the link is up: live readings beside the backlog")
        self.connect()
        gone = self.look().gone
        cuts = [gone + round(part * (self.history - gone)) for part in self._cuts]
        due = self.places(self._later, gone, self.history)

        def harm(now: Sample) -> Sample:
            if cuts and now.gone >= cuts[0]:
                cuts.pop(0)
                return self.cut(CUT_SECONDS)
            if due and now.gone >= due[0]:
                due.pop(0)
                self.kill()
            return now

        self.drain(harm)


class PowerCut(Offline):
    """The same, but kills are power cuts: what was not synced is lost or torn.

    A further planted defect, 'lying-disk', loses with the power what the disk said it had.
    """

    NAME: ClassVar[str] = "power-cut"
    SABOTAGE: ClassVar[tuple[str, ...]] = (*Rehearsal.SABOTAGE, "lying-disk")

    def make_edge(self) -> Edge:
        """See `Rehearsal`."""
        return Edge(self.folder, self.journal, self.chance, lying=self.sabotage == "lying-disk")

    def own(self, log: Log) -> Own:
        """See `Rehearsal`."""
        del log
        torn = self.edge.torn
        return Own({"bytes_torn": torn}, [Figure("torn by power cuts", f"{torn:,} B", "that the disk had not been told to keep")])
