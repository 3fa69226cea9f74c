"""One rule on its series: what the detector learnt of each, and the episodes of what it finds."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from trunkline.config.anomalies import AnomalyRule, score_path
from trunkline.log.codec.columns import F64, I64
from trunkline.model.events import Event
from trunkline.processing.anomaly import marks
from trunkline.processing.anomaly.detector import Detector, Judgement
from trunkline.processing.anomaly.episodes import Episodes, Turn
from trunkline.processing.anomaly.explanation import Evidence, begun, ended
from trunkline.processing.anomaly.readings import Readings
from trunkline.processing.anomaly.rounds import rounds
from trunkline.processing.anomaly.table import Table, fingerprint


class Found(NamedTuple):
    """What one rule made of readings.

    Attributes:
        position: of the reading that made each score, ascending.
        series: of each, which one of the rule's series.
        time: of each, source time in µs.
        score: of each.
        events: with the position of the reading that made each, in that order.
    """

    position: I64
    series: I64
    time: I64
    score: F64
    events: list[tuple[int, Event]]


class Watch(Protocol):
    """A rule at work.

    Attributes:
        rule: its definition.
        score_paths: tag path of each series' scores.
        late: readings that came too late to be judged.
    """

    rule: AnomalyRule
    score_paths: list[str]
    late: int

    def evaluate(self, readings: Readings, now: int, *, live: bool = True) -> Found:
        """Judge readings, learn from them and, if `live`, follow the episodes."""
        ...

    def tick(self, now: int) -> list[Event]:
        """End the episodes of series that are silent."""
        ...

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of what was learnt, up to date."""
        ...

    @property
    def episodes(self) -> Episodes:
        """Its episodes."""
        ...

    def restore(self, key: str, data: bytes) -> bool:
        """Take back an entry of one of its tables; return whether it is one."""
        ...


class SeriesWatch:
    """A rule whose detector looks at single series."""

    def __init__(self, rule: AnomalyRule, detector: Detector, units: Mapping[str, str], zone: str) -> None:
        """Start with nothing learnt.

        Args:
            rule: its definition.
            detector: made of the rule's options.
            units: the tags that it watches, each with its unit.
            zone: time zone of the site.
        """
        self.rule = rule
        self.paths = list(units)
        self.score_paths = [score_path(rule, path) for path in self.paths]
        self.late = 0
        self.episodes = Episodes(rule, self.paths)
        self._units = list(units.values())
        self._place = {path: place for place, path in enumerate(self.paths)}
        self._detector = detector
        made_by = fingerprint(rule.kind, rule.detector.model_dump_json(), zone)
        self._table = Table(f"learnt|{rule.id}|", self.paths, marks.blank(*detector.fields), made_by, marks.heard)

    def evaluate(self, readings: Readings, now: int, *, live: bool = True) -> Found:
        """See `Watch.evaluate`."""
        series_of_tag = np.fromiter((self._place.get(tag, -1) for tag in readings.tags), np.int64, len(readings.tags))
        series = series_of_tag[readings.tag]
        mine = np.flatnonzero(series >= 0)
        scores = np.full(len(series), np.nan)
        events: list[tuple[int, Event]] = []
        for chosen in rounds(series[mine]):
            at = self._taken(mine[chosen], series, readings)
            if not len(at):
                continue
            places, time, value = series[at], readings.time[at], readings.value[at]
            judgement = self._detector.judge(self._table.rows, places, time, value)
            scores[at] = judgement.score
            if live:
                turns = self.episodes.step(places, time, judgement.score, now)
                events += [(int(at[turn.reading]), self._event(turn, now, judgement, value)) for turn in turns]
        position = np.flatnonzero(~np.isnan(scores))
        events.sort(key=lambda pair: pair[0])
        return Found(position, series[position], readings.time[position], scores[position], events)

    def _taken(self, at: I64, series: I64, readings: Readings) -> I64:
        fresh, late = marks.take(self._table.rows, series[at], at, readings)
        self._table.changed[series[at[fresh]]] = True
        self.late += int(late.sum())
        return at[fresh & ~late]

    def tick(self, now: int) -> list[Event]:
        """See `Watch.tick`."""
        return [self._end(turn, now) for turn in self.episodes.tick(self._table.rows["newest"], now)]

    def tables(self) -> tuple[Table, ...]:
        """See `Watch.tables`."""
        return (self._table,)

    def restore(self, key: str, data: bytes) -> bool:
        """See `Watch.restore`."""
        return self._table.restore(key, data) is not None

    def _event(self, turn: Turn, now: int, judgement: Judgement, value: F64) -> Event:
        if turn.kind != "begin":
            return self._end(turn, now)
        here, path = turn.reading, self.paths[turn.series]
        evidence = Evidence(
            value=float(value[here]),
            expected=float(judgement.expected[here]),
            low=float(judgement.low[here]),
            high=float(judgement.high[here]),
            score=float(judgement.score[here]),
            tags={path: 1.0},
            facts=self._detector.evidence(self._table.rows[turn.series]),
        )
        return begun(self.rule, path, self._units[turn.series], turn.start, evidence, now)

    def _end(self, turn: Turn, now: int) -> Event:
        return ended(self.rule, self.paths[turn.series], turn, self.episodes.rows[turn.series], now)
