"""Readings as columns for the tests of anomaly rules."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import yaml

from trunkline.config.anomalies import AnomalyRule
from trunkline.log.codec.columns import F64, Columns
from trunkline.log.codec.head import BlockHead
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Kind
from trunkline.processing.anomaly import AnomalyBook, Findings

TAG: Final = "PLANT01.AREA01.UNIT_1.PRESSURE"
SCORES: Final = f"{TAG}_ANOMALY_R"
START: Final = times.from_iso("2026-01-05T00:00:00Z")  # a Monday

#: Tag, time in µs, value, quality.
Row = tuple[str, int, float | None, int]


def columns(rows: Sequence[Row], first: int = 1, origin: str = "edge-1") -> Columns:
    """Return readings as the step gets them: one block of one origin, positions from `first`."""
    tags = sorted({row[0] for row in rows})
    count = len(rows)
    return Columns(
        heads=[BlockHead(origin, first, first + count, ())],
        block=np.zeros(count, np.int32),
        tags=tags,
        kinds=np.full(len(tags), int(Kind.DOUBLE), np.int32),
        sources=["plc"],
        tag=np.array([tags.index(row[0]) for row in rows], np.int32),
        source=np.zeros(count, np.int32),
        seq=np.arange(first, first + count, dtype=np.int64),
        time=np.array([row[1] for row in rows], np.int64),
        gateway_time=np.array([row[1] for row in rows], np.int64),
        quality=np.array([row[3] for row in rows], np.uint16),
        number=np.array([np.nan if row[2] is None else row[2] for row in rows], np.float64),
        integer=np.zeros(count, np.int64),
        text={},
        absent=np.array([row[2] is None for row in rows], np.bool_),
    )


def series(values: Sequence[float] | F64, tag: str = TAG, every: float = 60.0, start: int = START) -> list[Row]:
    """Return GOOD readings of a tag at regular times."""
    return [(tag, start + int(number * every * times.SECOND), float(value), 0) for number, value in enumerate(values)]


def rule(text: str, **more: Any) -> AnomalyRule:
    """Return the rule 'r' on every tag with a detector written as in the site file, for example 'cusum: {slack: 0.5}'."""
    return AnomalyRule.model_validate({"id": "r", "tags": ["**"], **yaml.safe_load(text), **more})


def book(*rules: AnomalyRule, tags: Mapping[str, str] | None = None, zone: str = "UTC") -> AnomalyBook:
    """Return a book on `TAG`, or the tags given, with their units."""
    return AnomalyBook(rules, tags or {TAG: "bar"}, zone)


def scores_of(found: Findings, path: str = SCORES) -> dict[int, float]:
    """Return the scores of one series by time."""
    place = list(found.scores.tags).index(path)
    mine = found.scores.tag == place
    return dict(zip(found.scores.time[mine].tolist(), found.scores.value[mine].tolist(), strict=True))


def judged(the_rule: AnomalyRule, rows: Sequence[Row], **given: Any) -> tuple[list[float], list[Event]]:
    """Return the scores of `TAG`, in the order of time, and the events of one batch."""
    found = book(the_rule, **given).evaluate(columns(rows), rows[-1][1])
    return list(scores_of(found).values()), found.events
