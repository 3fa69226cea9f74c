"""`trunkline drill clock-step`: the devices' clock steps, then the gateway's, while readings flow and while the link is cut.

History is by the devices' time, order by the place in the edge journal, and delays here by the machine's own clock, which nobody touches.
Nothing may be lost, doubled or invented, whatever the times say; the gateway tells every step of its own clock, and doubts the time of
readings only while it says so. All is UTC: a change of daylight saving time is no step.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import ClassVar, Final

import msgspec
import numpy as np
import numpy.typing as npt

from trunkline.config.loading import Site
from trunkline.drills.checking import Bools
from trunkline.drills.clocks import Clocks, Turn, ahead, write_clocks
from trunkline.drills.edge import acknowledged
from trunkline.drills.feed import I64, Feed
from trunkline.drills.offline import Offline
from trunkline.drills.order import arrivals
from trunkline.drills.outcome import Figure, Outcome, Own
from trunkline.drills.pictures import Line, Picture
from trunkline.drills.plan import Folder
from trunkline.drills.rehearsal import PATIENCE, Rehearsal, Tell
from trunkline.drills.stage import Edge
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.events import decode_event
from trunkline.log.port import Log
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.model.reading import Category

_UNITS: Final = {"s": times.SECOND, "m": times.MINUTE, "h": times.HOUR}
_STEP: Final = re.compile(r"([+-])(\d+(?:\.\d+)?)([smh])")
#: A clock that is less off is not told as wrong (D-15: 10 s); one that is more off has its readings refused (a day).
_LEAST, _MOST = 15 * times.SECOND, 23 * times.HOUR
#: A turn is written down so long before it comes.
_NOTICE: Final = times.SECOND
#: What is told of a step may differ by so much: the gateway's two clocks are not read at one instant.
_TOLERANCE: Final = times.SECOND
#: How long readings may still be marked after the clocks agree again: the minute that the gateway looks back, and its delays.
_AFTERMATH: Final = 90 * times.SECOND
_PAGE: Final = 1000


def parse_steps(text: str) -> list[int]:
    """Return the steps of a text such as '+1h,-90m,+30m', in µs. Raises Misconfigured."""
    steps: list[int] = []
    for word in text.split(","):
        found = _STEP.fullmatch(word.strip())
        if found is None:
            raise Misconfigured(f"{word.strip()!r} is no step of a clock: write '+1h', '-90m' or '+30s', with commas between them")
        steps.append(round(float(f"{found[1]}{found[2]}") * _UNITS[found[3]]))
    for offset in accumulate(steps):
        if offset and not _LEAST <= abs(offset) <= _MOST:
            raise Misconfigured(f"with the steps {text} a clock is {offset / times.SECOND:g} s off: that has to be 0, or 15 s to 23 h")
    return steps


@dataclass(frozen=True, slots=True)
class Told:
    """What the gateway told of clocks.

    Attributes:
        steps: sizes of its own clock's steps, µs.
        places: of these in its journal.
        doubted: steps of the feed, [first, end), whose readings it marks; None as the end while it still does.
        alerts: how often it called for somebody to mend a device's clock.
    """

    steps: list[int]
    places: list[int]
    doubted: list[tuple[int, int | None]]
    alerts: int

    @property
    def at_ease(self) -> bool:
        """Whether no clock is doubted."""
        return not self.doubted or self.doubted[-1][1] is not None


class ClockStep(Offline):
    """One run of the drill.

    `turns`: steps of each clock, µs; after the last of them it is set right. `hold`: seconds between two of them.

    A further planted defect, 'stamp', has readings stamped by the gateway's clock in the place of their device's.
    """

    NAME: ClassVar[str] = "clock-step"
    SABOTAGE: ClassVar[tuple[str, ...]] = (*Rehearsal.SABOTAGE, "stamp")

    def __init__(self, site: Site, folder: Folder, tell: Tell, *, turns: Sequence[int], hold: float, sabotage: str | None = None) -> None:
        super().__init__(site, folder, tell, cuts=(), sabotage=sabotage)
        offsets = list(accumulate(turns))
        self._offsets = offsets if not offsets[-1] else [*offsets, 0]
        self._hold = hold
        self._clocks = Clocks(misread=sabotage == "stamp")
        self._log: Log | None = None
        self._doubtful = 0

    def make_edge(self) -> Edge:
        """See `Rehearsal`."""
        return Edge(self.folder, self.journal, module="trunkline.drills.clockedge")

    def rehearse(self) -> Outcome:
        """See `Rehearsal`."""
        write_clocks(self.folder.path, self._clocks)
        return super().rehearse()

    def live(self, log: Log) -> None:
        """See `Offline`."""
        self._log = log
        self.tell("the devices' clock steps")
        for number, offset in enumerate(self._offsets):
            # no two readings of a tag have one time, wherever the clock is set
            apart = self.plan.period_us * (number + 1) // (len(self._offsets) + 1) if offset else 0
            self._turn(devices=(*self._clocks.devices, Turn(times.now() + _NOTICE, offset + apart)))
            self.wait(self._hold)
        self.tell("the gateway's clock steps; in the middle the link is cut")
        for number, offset in enumerate(self._offsets):
            self._turn(gateway=(*self._clocks.gateway, Turn(times.now() + _NOTICE, offset)))
            if number == len(self._offsets) // 2:
                self.cut(self._hold)
            else:
                self.wait(self._hold)
            self.until(lambda: len(self._heard(log).steps) >= len(self._clocks.gateway), PATIENCE)
        self.tell("all clocks are right again")
        self.until(lambda: self._heard(log).at_ease, PATIENCE + _AFTERMATH / times.SECOND)
        self.wait(self._hold)

    def _turn(self, **turns: tuple[Turn, ...]) -> None:
        self.mark("clock")
        self._clocks = msgspec.structs.replace(self._clocks, **turns)
        write_clocks(self.folder.path, self._clocks)

    # ------------------------------------------------------------------ what was fed, and may be stored

    def fed(self) -> Feed:
        """See `Rehearsal`."""
        feed = super().fed()
        feed.turns = self._clocks.devices
        return feed

    def steps(self, read: int) -> int:
        """See `Rehearsal`: what the gateway adds of its own is none of these."""
        del read
        return acknowledged(self.folder) // len(self.plan.tags)

    def allowed(self, step: I64, quality: npt.NDArray[np.uint16]) -> Bools:
        """See `Rehearsal`: beside GOOD, clock skew where the gateway says so."""
        doubted = np.zeros(len(step), np.bool_)
        for first, end in self._last_heard.doubted:
            doubted |= (step >= first) & (step < end) if end is not None else step >= first
        marked = doubted & (quality == Quality.UNCERTAIN_CLOCK_SKEW)
        self._doubtful += int(np.count_nonzero(marked))
        return np.asarray(marked | super().allowed(step, quality))

    def read_at(self, columns: Columns) -> I64:
        """See `Rehearsal`: the devices' time, with what their clock was off taken out again."""
        found = np.zeros(len(columns), np.int64)
        feed = self.fed()
        if feed.live is None:
            return found
        turns = self._clocks.devices
        for begin, end, offset in zip(
            (feed.live, *(turn.moment for turn in turns)),
            (*(turn.moment for turn in turns), np.iinfo(np.int64).max),
            (0, *(turn.offset for turn in turns)),
            strict=True,
        ):
            moment = columns.time - offset
            shown = (moment >= begin) & (moment < end) & ((moment - feed.live) % self.plan.period_us == 0)
            found[shown] = moment[shown]
        return found

    # ------------------------------------------------------------------ what was told

    def _heard(self, log: Log) -> Told:
        events: dict[str, Event] = {}
        for topic in self.layout.topics(Category.EVENT, "raw"):
            for at, (first, _) in log.bounds(topic).items():
                offset = first
                while records := log.read(at, offset, _PAGE):
                    offset = records[-1].offset + 1
                    events |= {event.id: event for event in (decode_event(record.value) for record in records)}
        steps = [event for event in events.values() if event.type == "CLOCK_STEP"]
        doubted: list[tuple[int, int | None]] = []
        for event in events.values():
            if event.type in {"CLOCK_SKEW", "CLOCK_SKEW_MARKED"} and (not doubted or doubted[-1][1] is not None):
                doubted.append((_fact(event, "next_position") // len(self.plan.tags), None))
            elif event.type == "CLOCK_SKEW_CLEARED" and doubted:
                doubted[-1] = (doubted[-1][0], _fact(event, "next_position") // len(self.plan.tags))
        alerts = sum(event.type == "CLOCK_SKEW" for event in events.values())
        return Told([_fact(event, "step_us") for event in steps], [_fact(event, "next_position") for event in steps], doubted, alerts)

    @cached_property
    def _last_heard(self) -> Told:
        if self._log is None:
            raise RuntimeError("there is no site that could have been told anything")
        return self._heard(self._log)

    def own(self, log: Log) -> Own:
        """See `Rehearsal`."""
        told, came = self._last_heard, arrivals(log, self.layout)
        made = [later - before for before, later in zip((0, *self._offsets), self._offsets, strict=False)]
        broken = [*self._wrong_steps(told, made), *self._wrong_doubts(told)]
        if came.inverted:
            broken.append(f"{came.inverted:,} readings came to the site log out of order")
        facts = {
            "steps": len(made),
            "steps_told": len(told.steps),
            "skew_alerts": told.alerts,
            "doubted": self._doubtful,
            "inversions": came.inverted,
        }
        words = ", ".join(f"{step / times.SECOND:+,.0f} s" for step in made)
        figures = [
            Figure("steps of the gateway's clock · told", f"{len(made)} · {len(told.steps)}", f"{words}; those of the devices' as well"),
            Figure("readings with doubtful time", f"{self._doubtful:,}", "UNCERTAIN (clock skew), only while the gateway said so"),
            Figure("out of order", f"{came.inverted:,}", "readings, by their place in the edge journal"),
        ]
        lines = [Line("gateway's", self._course_of(self._clocks.gateway)), Line("devices'", self._course_of(self._clocks.devices), "b")]
        return Own(facts, figures, broken, [Picture("How far clocks are off", "h", lines)])

    def _course_of(self, turns: Sequence[Turn]) -> list[tuple[float, float]]:
        """Return how many hours a clock was off, over the drill's seconds."""
        points = [(0.0, 0.0)]
        for turn in turns:
            at = (turn.moment - self.course.began) / times.SECOND
            points += [(at, points[-1][1]), (at, abs(turn.offset) / times.HOUR)]
        return [*points, (self.seconds, points[-1][1])]

    def _wrong_steps(self, told: Told, made: list[int]) -> list[str]:
        """Return what is wrong with what was told of the gateway's own steps: each once, with its size, in the order of the journal."""
        words = []
        right = len(told.steps) == len(made) and all(abs(one - other) < _TOLERANCE for one, other in zip(told.steps, made, strict=True))
        if not right:
            said = ", ".join(f"{step / times.SECOND:+,.3f} s" for step in told.steps) or "none"
            words.append(f"the gateway's clock stepped by {', '.join(f'{step / times.SECOND:+,.0f} s' for step in made)}; told were {said}")
        if told.places != sorted(told.places):
            words.append(f"positions in the edge journal went back when the clock stepped: {told.places}")
        return words

    def _wrong_doubts(self, told: Told) -> list[str]:
        """Return where clocks were doubted that agreed, and whether they still are, or never were."""
        if not told.alerts:
            return ["the clocks were apart, and nobody was told to check them"]
        words = [] if told.at_ease else ["the clocks agree again, and readings are still marked"]
        feed = self.fed()
        apart = self._apart()
        for first, end in told.doubted:
            begin, over = feed.moment(first), feed.moment(end) if end is not None else times.now()
            # a reading is due a little before it is read
            if not any(low - self.plan.period_us <= begin and over <= high + _AFTERMATH for low, high in apart):
                span = f"{times.to_iso(begin)} to {times.to_iso(over)}"
                words.append(f"readings of {span} were marked, long after or before the clocks differed")
        return words

    def _apart(self) -> list[tuple[int, int]]:
        """Return when the clocks were apart, [begin, end) in µs UTC; spans between which the gateway need not have noticed are one."""
        moments = sorted(turn.moment for turn in chain(self._clocks.gateway, self._clocks.devices))
        at = np.array(moments, np.int64)
        off = ahead(self._clocks.gateway, at) - ahead(self._clocks.devices, at)
        spans: list[tuple[int, int]] = []
        for begin, end, difference in zip(moments, [*moments[1:], moments[-1]], off.tolist(), strict=True):
            if not difference:
                continue
            if spans and begin - spans[-1][1] < _AFTERMATH:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((begin, end))
        return spans


def _fact(event: Event, name: str) -> int:
    value = event.attributes[name]
    if not isinstance(value, int):
        raise TypeError(f"{event.type}: {name} is {value!r}, not a whole number")
    return value
