"""Episodes: from a score that reaches its threshold to one that stays low. One of them is told once, not once a reading (E-73)."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from trunkline.config.anomalies import AnomalyRule
from trunkline.log.codec.columns import BOOL, F64, I64
from trunkline.model import times
from trunkline.processing.anomaly.detector import NEVER, Rows
from trunkline.processing.anomaly.table import Table

#: `since`: from when the score has been on the side that changes the state; `heard`: clock of the newest judged reading; the others are
#: of the episode under way.
EPISODE: Final = np.dtype(
    [
        ("active", "<i8"),
        ("since", "<i8"),
        ("start", "<i8"),
        ("peak", "<f8"),
        ("peak_time", "<i8"),
        ("readings", "<i8"),
        ("heard", "<i8"),
    ]
)


class Turn(NamedTuple):
    """An episode that began or ended.

    Attributes:
        series: row.
        reading: place among the readings of the call that turned it; -1 when silence did.
        kind: what happened.
        time: when it began or ended, source time in µs.
        start: when the episode began.
    """

    series: int
    reading: int
    kind: Literal["begin", "end", "silent"]
    time: int
    start: int


class Episodes:
    """The episodes of one rule.

    Attributes:
        table: a row for each series.
    """

    def __init__(self, rule: AnomalyRule, paths: Sequence[str]) -> None:
        self._threshold = rule.detector.threshold
        self._low = rule.detector.threshold * (1 - rule.deadband)
        self._delay, self._clear_delay = int(rule.delay * times.SECOND), int(rule.clear_delay * times.SECOND)
        self._silence = int(rule.silence * times.SECOND)
        blank = np.zeros(1, EPISODE)
        blank["since"] = NEVER
        self.table = Table(f"episode|{rule.id}|", paths, blank[0], b"", _under_way)
        self.rows = self.table.rows

    def step(self, at: I64, time: I64, score: F64, now: int) -> list[Turn]:
        """Take one score of each of several series. NaN changes nothing."""
        judged = ~np.isnan(score)
        active = self.rows["active"][at] == 1
        turning = judged & np.where(active, score < self._low, score >= self._threshold)
        # nearly all readings are usual ones of usual series
        busy = np.flatnonzero(judged & (turning | active | (self.rows["since"][at] != NEVER)))
        if not len(busy):
            return []
        at, time, score, turning, active = at[busy], time[busy], score[busy], turning[busy], active[busy]
        self.table.changed[at] = True
        since = np.where(turning, np.where(self.rows["since"][at] == NEVER, time, self.rows["since"][at]), NEVER)
        wait = np.where(active, self._clear_delay, self._delay)
        turned = turning & (time - np.where(turning, since, time) >= wait)
        self._follow(at, time, score, active, now)
        turns = self._turns(at, busy, since, active, turned)
        begun = turned & ~active
        self.rows["start"][at[begun]] = since[begun]
        self.rows["active"][at] = np.where(turned, 1 - active, active)
        self.rows["since"][at] = np.where(turned, NEVER, since)
        return turns

    def _follow(self, at: I64, time: I64, score: F64, active: BOOL, now: int) -> None:
        going = active | (self.rows["since"][at] != NEVER)
        higher = ~going | (score > self.rows["peak"][at])
        self.rows["peak"][at] = np.where(higher, score, self.rows["peak"][at])
        self.rows["peak_time"][at] = np.where(higher, time, self.rows["peak_time"][at])
        self.rows["readings"][at] = np.where(going, self.rows["readings"][at] + 1, 1)
        self.rows["heard"][at] = now

    def _turns(self, at: I64, places: I64, since: I64, active: BOOL, turned: BOOL) -> list[Turn]:
        found = []
        for place in np.flatnonzero(turned).tolist():
            series, time = int(at[place]), int(since[place])
            start = int(self.rows["start"][series]) if active[place] else time
            found.append(Turn(series, int(places[place]), "end" if active[place] else "begin", time, start))
        return found

    def tick(self, newest: I64, now: int) -> list[Turn]:
        """End the episodes of series that are silent.

        Args:
            newest: source time of the newest reading of each series.
            now: clock, µs UTC.
        """
        silent = np.flatnonzero((self.rows["active"] == 1) & (now - self.rows["heard"] >= self._silence))
        turns = [Turn(series, -1, "silent", int(newest[series]), int(self.rows["start"][series])) for series in silent.tolist()]
        self.rows["active"][silent] = 0
        self.rows["since"][silent] = NEVER
        self.table.changed[silent] = True
        return turns


def _under_way(rows: Rows) -> BOOL:
    open_: BOOL = (rows["active"] == 1) | (rows["since"] != NEVER)
    return open_
