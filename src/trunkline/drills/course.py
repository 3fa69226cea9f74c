"""What happened in a drill and when, for figures and pictures."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from trunkline.drills.watch import Delays, Sample
from trunkline.model import times

#: Over which the forwarder's best rate is taken.
_PEAK_SECONDS: Final = 3.0
#: Readings that were read so shortly before a cut may be caught by it.
_CAUGHT: Final = times.SECOND


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
    baseline: int = 0
    delays: Delays = field(default_factory=Delays)

    def moved(self, last: Sample, now: Sample) -> None:
        """Note what was forwarded between two looks, if anything was."""
        if now.forwarded > last.forwarded:
            seconds, readings = self.progress[-1]
            self.progress.append((seconds + now.seconds - last.seconds, readings + now.forwarded - last.forwarded))

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
