"""`trunkline drill bad-link`: a backlog and live readings over a link that is slow, cut, hangs, and loses calls and answers.

The hard one is the lost answer: the site has the readings, the gateway heard that it failed and sends them again, and they must not be
there twice.
"""

import time
from typing import ClassVar, Final

from trunkline.config.loading import Site
from trunkline.drills.offline import CUT_SECONDS, Offline
from trunkline.drills.order import arrivals
from trunkline.drills.outcome import Figure, Outcome, Own
from trunkline.drills.pictures import short
from trunkline.drills.plan import Folder
from trunkline.drills.rehearsal import Rehearsal, Tell
from trunkline.drills.weather import Weather, clear_weather, read_tolls, write_weather
from trunkline.log.port import Log

_CUTS: Final = 2
#: The bad weather lasts until so many calls went out, or so much longer than the backlog.
_LEAST_CALLS: Final = 60
_LONGER_SECONDS: Final = 30.0
#: A fair link is given so long to bring the last readings.
_FAIR_SECONDS: Final = 60.0


class BadLink(Offline):
    """One run of the drill; `weather`: what the link is like.

    A further planted defect, 'twice', delivers some readings again under the name of another gateway.
    """

    NAME: ClassVar[str] = "bad-link"
    SABOTAGE: ClassVar[tuple[str, ...]] = (*Rehearsal.SABOTAGE, "twice")

    def __init__(self, site: Site, folder: Folder, tell: Tell, *, weather: Weather, sabotage: str | None = None) -> None:
        super().__init__(site, folder, tell, sabotage=sabotage)
        self._cuts = sorted(self.chance.uniform(0.1, 0.9) for _ in range(_CUTS))
        self._weather = weather
        self._bad_seconds = 0.0

    def rehearse(self) -> Outcome:
        """See `Rehearsal`."""
        write_weather(self.folder.path, self._weather)
        return super().rehearse()

    def catch_up(self) -> None:
        """See `Offline`; what is on the way when the weather turns fair comes as well."""
        began = time.monotonic()
        super().catch_up()
        self.until(lambda: read_tolls(self.folder.path).calls >= _LEAST_CALLS, _LONGER_SECONDS)
        self._bad_seconds = time.monotonic() - began - CUT_SECONDS * _CUTS
        self.tell("the weather turns fair")
        clear_weather(self.folder.path)
        self.until(lambda: self.drained(self.look()), _FAIR_SECONDS)

    def own(self, log: Log) -> Own:
        """See `Rehearsal`."""
        tolls, came = read_tolls(self.folder.path), arrivals(log, self.layout)
        goodput = tolls.arrived / self._bad_seconds
        facts = {
            "bandwidth": self._weather.bandwidth,
            "goodput": round(goodput),
            "bytes_wasted": tolls.wasted,
            "calls": tolls.calls,
            "lost_calls": tolls.lost_calls,
            "lost_answers": tolls.lost_answers,
            "hangs": tolls.hangs,
            "repeated": came.repeated,
            "inversions": came.inverted,
        }
        figures = [
            Figure("goodput", f"{short(goodput)}B/s", f"of {short(self._weather.bandwidth)}B/s that the link carries while it is up"),
            Figure(
                "lost calls · lost answers · hangs",
                f"{tolls.lost_calls} · {tolls.lost_answers} · {tolls.hangs}",
                f"of {tolls.calls:,} calls; {short(tolls.wasted)}B were sent in vain",
            ),
            Figure("sent again", f"{came.repeated:,}", "readings that the site had already: it drops them"),
            Figure("out of order", f"{came.inverted:,}", "readings, among the live ones or among those of the backlog"),
        ]
        broken = [f"{came.inverted:,} readings came to the site log out of order"] if came.inverted else []
        return Own(facts, figures, broken)
