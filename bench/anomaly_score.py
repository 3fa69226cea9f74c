"""Precision, recall, delay and false alarms of detectors on labelled series, by episode."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from bench.anomaly_series import FIRST, MINUTES, START, Fault, Labelled, stamps
from trunkline.config.anomalies import AnomalyRule
from trunkline.log.codec.columns import F64, Columns
from trunkline.log.codec.head import BlockHead
from trunkline.model import times
from trunkline.model.reading import Kind
from trunkline.processing.anomaly import AnomalyBook

#: An anomaly that begins so many minutes after a fault is still one of the fault: what follows a ramp's end, for example.
AFTER: Final = 30
_BATCH: Final = 60

#: First and last minute of an anomaly.
Episode = tuple[int, int]


class Marks(NamedTuple):
    """How a detector did.

    Attributes:
        faults: labelled.
        recall: share of them with an anomaly during the fault or shortly after.
        precision: share of anomalies that belong to a fault; NaN without any.
        delay: median minutes from a fault's beginning to its first anomaly; NaN where none was found.
        false_alarms: anomalies that belong to no fault, for each tag and day.
    """

    faults: int
    recall: float
    precision: float
    delay: float
    false_alarms: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 without any anomaly."""
        return 2 * self.precision * self.recall / (self.precision + self.recall) if self.recall else 0.0


def marks(found: Sequence[Sequence[Episode]], faults: Sequence[Sequence[Fault]]) -> Marks:
    """Compare the anomalies of each series with its faults; what is reported before the first fault can come is not counted."""
    caught = total = right = wrong = 0
    delays = []
    for episodes, labelled in zip(found, faults, strict=True):
        counted = [one for one in episodes if one[1] >= FIRST]
        for fault in labelled:
            mine = [begin for begin, end in counted if end >= fault.first and begin <= fault.last + AFTER]
            total += 1
            caught += bool(mine)
            if mine:
                delays.append(max(0, min(mine) - fault.first))
        for begin, end in counted:
            hit = any(end >= fault.first and begin <= fault.last + AFTER for fault in labelled)
            right, wrong = right + hit, wrong + (not hit)
    days = len(found) * (MINUTES - FIRST) / 1440
    return Marks(
        total,
        caught / total if total else float("nan"),
        right / (right + wrong) if right + wrong else float("nan"),
        float(np.median(delays)) if delays else float("nan"),
        wrong / days,
    )


def columns(tags: list[str], values: F64, first: int) -> Columns:
    """Return minutes of values, (minutes, series), as one block in order of time."""
    minutes, count = values.shape
    size = minutes * count
    time = np.repeat(stamps()[first : first + minutes], count)
    return Columns(
        heads=[BlockHead("bench", first * count + 1, (first + minutes) * count + 1, ())],
        block=np.zeros(size, np.int32),
        tags=tags,
        kinds=np.full(count, int(Kind.DOUBLE), np.int32),
        sources=["bench"],
        tag=np.tile(np.arange(count, dtype=np.int32), minutes),
        source=np.zeros(size, np.int32),
        seq=np.arange(first * count + 1, (first + minutes) * count + 1, dtype=np.int64),
        time=time,
        gateway_time=time,
        quality=np.zeros(size, np.uint16),
        number=values.reshape(-1),
        integer=np.zeros(size, np.int64),
        text={},
        absent=np.zeros(size, np.bool_),
    )


def watched(rule: AnomalyRule, labelled: Labelled) -> tuple[list[list[Episode]], F64]:
    """Run a rule over all series as the step does; return the anomalies of each path that it scores, and the scores, (minutes, paths)."""
    book = AnomalyBook([rule], dict.fromkeys(labelled.tags, ""), "UTC")
    minutes = len(labelled.values)
    paths = labelled.tags if not rule.half_space_trees else sorted({tag.rpartition(".")[0] for tag in labelled.tags})
    place = {path: number for number, path in enumerate(paths)}
    scores = np.full((minutes, len(paths)), np.nan)
    found: list[list[Episode]] = [[] for _ in paths]
    for first in range(0, minutes, _BATCH):
        batch = columns(labelled.tags, labelled.values[first : first + _BATCH], first)
        findings = book.evaluate(batch, int(batch.time[-1]))
        minute = (findings.scores.time - START) // times.MINUTE
        scores[np.minimum(minute, minutes - 1), findings.scores.tag] = findings.scores.value
        for event in findings.events:
            mine = found[place[f"{event.asset}.{event.tag}" if event.tag else event.asset]]
            at = (event.time - START) // times.MINUTE
            if event.type == "ANOMALY":
                mine.append((at, minutes))
            else:
                mine[-1] = (mine[-1][0], at)
    return found, scores


def by_limit(scores: F64, limit: float) -> list[list[Episode]]:
    """Return the anomalies of scores, (minutes, series), against a limit; what follows within two minutes is the same one."""
    found: list[list[Episode]] = []
    for series in scores.T:
        over = np.flatnonzero(series >= limit)
        if not len(over):
            found.append([])
            continue
        breaks = np.flatnonzero(np.diff(over) > 2)
        begins, ends = over[np.concatenate(([0], breaks + 1))], over[np.concatenate((breaks, [len(over) - 1]))]
        found.append(list(zip(begins.tolist(), ends.tolist(), strict=True)))
    return found


def best_limit(scores: F64, faults: Sequence[Sequence[Fault]]) -> tuple[float, Marks]:
    """Return the limit that does best in hindsight, by F1, and how it does."""
    usable = scores[FIRST:][np.isfinite(scores[FIRST:])]
    limits = np.unique(np.quantile(usable, 1 - np.logspace(-6, -1, 40)))
    tried = [(float(limit), marks(by_limit(scores, float(limit)), faults)) for limit in limits]
    return max(tried, key=lambda pair: pair[1].f1)
