"""The anomaly step's core: all rules of a site over columns of readings. Pure: no I/O, no clock but the one handed in."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from trunkline.config.anomalies import AnomalyRule, Cusum, Ewma, HalfSpaceTrees, RobustZ, Seasonal, watched
from trunkline.log.codec.columns import F64, I32, I64, Columns
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.processing.anomaly.assets import AssetWatch
from trunkline.processing.anomaly.cusum import CusumDetector
from trunkline.processing.anomaly.ewma import EwmaDetector
from trunkline.processing.anomaly.readings import good
from trunkline.processing.anomaly.robust_z import RobustZDetector
from trunkline.processing.anomaly.seasonal import SeasonalDetector
from trunkline.processing.anomaly.watch import SeriesWatch, Watch

#: What was learnt is handed out this often; episodes at once. It is a function of the input and made again by `warm`.
LEARNT_EVERY: Final = 5 * times.MINUTE


class Scores(NamedTuple):
    """Scores as readings of kind double and quality GOOD, rule after rule, each in the order of the readings that they are of.

    Attributes:
        tags: paths of all scores of the site; the same list every time.
        tag: per score, index into `tags`.
        time: source time, µs UTC.
        value: finite.
    """

    tags: Sequence[str]
    tag: I32
    time: I64
    value: F64


class Findings(NamedTuple):
    """What a batch of readings showed: scores as series, and anomalies that began or ended."""

    scores: Scores
    events: list[Event]


class AnomalyBook:
    """Every enabled rule of a site on the tags that it names.

    Entries: `learnt|RULE|PATH` is what a detector knows, handed out by `changed` every five minutes; `episode|RULE|PATH` is an anomaly
    under way, handed out as soon as it changes. After `restore`, `warm` takes the input from five minutes before the newest entries
    up to the positions that were committed with them; what an entry has seen already is recognised by origin and position and left out,
    so that more input than needed does no harm.
    """

    def __init__(self, rules: Sequence[AnomalyRule], tags: Mapping[str, str], zone: str) -> None:
        """Start with nothing learnt.

        Args:
            rules: those of the site file; disabled ones are passed over.
            tags: paths of all numeric tags, each with its unit.
            zone: IANA name of the site's time zone.

        Raises:
            Misconfigured: a rule needs a package that is not installed.
        """
        self._watches = [_watch(rule, tags, zone) for rule in rules if rule.enabled]
        self._paths = [path for watch in self._watches for path in watch.score_paths]
        self._handed_out: int | None = None
        self._now = 0
        self._gone: set[str] = set()

    @property
    def late(self) -> int:
        """Readings so far that came too late to be judged."""
        return sum(watch.late for watch in self._watches)

    def evaluate(self, columns: Columns, now: int) -> Findings:
        """Judge the GOOD readings of numeric tags, and learn from them.

        Args:
            columns: readings in log order.
            now: clock, µs UTC.
        """
        self._now = now
        readings = good(columns)
        tag, time, value = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float64)]
        events: list[Event] = []
        before = 0
        for watch in self._watches:
            found = watch.evaluate(readings, now)
            events += [event for _, event in found.events]
            if watch.rule.scores:
                tag.append(found.series + before)
                time.append(found.time)
                value.append(found.score)
            before += len(watch.score_paths)
        scores = Scores(self._paths, np.concatenate(tag).astype(np.int32), np.concatenate(time), np.concatenate(value))
        return Findings(scores, events)

    def tick(self, now: int) -> list[Event]:
        """Return the ends of anomalies whose tags are silent."""
        self._now = now
        return [event for watch in self._watches for event in watch.tick(now)]

    def warm(self, columns: Columns) -> None:
        """Learn from readings that were judged before a restart; nothing is told."""
        readings = good(columns)
        for watch in self._watches:
            watch.evaluate(readings, 0, live=False)

    # --- state

    def changed(self) -> dict[str, bytes | None]:
        """Return entries that changed since the last call, None for those to delete; what was learnt only every five minutes."""
        found: dict[str, bytes | None] = dict.fromkeys(self._gone)
        self._gone.clear()
        if self._handed_out is None:
            self._handed_out = self._now
        learnt = self._now - self._handed_out >= LEARNT_EVERY
        if learnt:
            self._handed_out = self._now
        for watch in self._watches:
            found.update(watch.episodes.table.take_changed())
            for table in watch.tables() if learnt else ():
                found.update(table.take_changed())
        return found

    def entries(self) -> dict[str, bytes]:
        """Return all entries."""
        found: dict[str, bytes] = {}
        for watch in self._watches:
            found.update(watch.episodes.table.entries())
            for table in watch.tables():
                found.update(table.entries())
        return found

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take back what `entries` and `changed` handed out. What nobody knows any more is deleted with the next changes."""
        for key, data in entries.items():
            if not any(watch.episodes.table.restore(key, data) is not None or watch.restore(key, data) for watch in self._watches):
                self._gone.add(key)


def _watch(rule: AnomalyRule, tags: Mapping[str, str], zone: str) -> Watch:
    units = {path: tags[path] for path in watched(rule, tags)}
    match rule.detector:
        case RobustZ() as options:
            return SeriesWatch(rule, RobustZDetector(options), units, zone)
        case Ewma() as options:
            return SeriesWatch(rule, EwmaDetector(options, zone), units, zone)
        case Cusum() as options:
            return SeriesWatch(rule, CusumDetector(options, zone), units, zone)
        case Seasonal() as options:
            return SeriesWatch(rule, SeasonalDetector(options, zone), units, zone)
        case HalfSpaceTrees() as options:
            return AssetWatch(rule, options, units)
