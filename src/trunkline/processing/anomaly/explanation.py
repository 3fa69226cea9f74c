"""What is told of an anomaly: one event when it begins, with the evidence, and one when it ends."""

import hashlib
from typing import Final, NamedTuple

import numpy as np

from trunkline.config.anomalies import AnomalyRule
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import content_uuid
from trunkline.model.reading import Value
from trunkline.model.tags import SEPARATOR
from trunkline.processing.anomaly.episodes import Turn

#: Types of the two events.
BEGUN: Final = "ANOMALY"
ENDED: Final = "ANOMALY_CLEARED"

_NAMES: Final = {
    "robust_z": "robust z-score",
    "ewma": "EWMA chart",
    "cusum": "CUSUM chart",
    "seasonal": "seasonal profile",
    "half_space_trees": "half-space trees",
}


class Evidence(NamedTuple):
    """What the reading that began an anomaly was and should have been.

    Attributes:
        value: the reading; of half-space trees the value of the tag that contributes most.
        expected, low, high: the usual value and the band around it, in the tag's unit.
        score: of the reading.
        tags: what contributes, most first, with its share.
        facts: what the detector adds.
    """

    value: float
    expected: float
    low: float
    high: float
    score: float
    tags: dict[str, float]
    facts: dict[str, Value]


def begun(rule: AnomalyRule, series: str, unit: str, start: int, evidence: Evidence, now: int) -> Event:
    """Return the event of an anomaly that began; `series` is the path of the tag, or of the asset for half-space trees."""
    main = next(iter(evidence.tags))
    shown = f" {unit}" if unit else ""
    text = (
        f"{main} is {evidence.value:.6g}{shown}, usual are {evidence.expected:.6g} ({evidence.low:.6g} to {evidence.high:.6g}): "
        f"{_NAMES[rule.kind]} {evidence.score:.3g}, limit {rule.detector.threshold:g}"
    )
    attributes: dict[str, Value] = {
        "rule": rule.id,
        "kind": rule.kind,
        "value": evidence.value,
        "expected": evidence.expected,
        "low": evidence.low,
        "high": evidence.high,
        "score": evidence.score,
        "threshold": rule.detector.threshold,
        "unit": unit,
        "tags": ", ".join(f"{tag} {share:.0%}" for tag, share in evidence.tags.items()),
        **evidence.facts,
    }
    return _event(rule, series, BEGUN, start, start, text, attributes, now)


def ended(rule: AnomalyRule, series: str, turn: Turn, row: np.void, now: int) -> Event:
    """Return the event of an anomaly that ended, with its highest score; `row` is its row of `episodes`."""
    silent, seconds, peak = turn.kind == "silent", max(0, turn.time - turn.start) / times.SECOND, float(row["peak"])
    why = "no GOOD reading came any more" if silent else "the score is low again"
    text = f"after {seconds:.0f} s {why}; highest {_NAMES[rule.kind]} {peak:.3g}, limit {rule.detector.threshold:g}"
    attributes: dict[str, Value] = {
        "rule": rule.id,
        "kind": rule.kind,
        "began": turn.start,
        "seconds": seconds,
        "peak": peak,
        "peak_time": int(row["peak_time"]),
        "readings": int(row["readings"]),
        "silent": silent,
        "threshold": rule.detector.threshold,
    }
    return _event(rule, series, ENDED, turn.start, turn.time, text, attributes, now)


def _event(rule: AnomalyRule, series: str, kind: str, start: int, time: int, text: str, attributes: dict[str, Value], now: int) -> Event:
    if rule.half_space_trees:
        asset, name = series, ""
    else:
        asset, _, name = series.rpartition(SEPARATOR)
    return Event(
        id=_identity(rule, series, start, kind, time),
        type=kind,
        time=time,
        gateway_time=now,
        asset=asset,
        tag=name,
        text=text,
        attributes=attributes,
        correlation_id=_identity(rule, series, start, "", start),
    )


def _identity(rule: AnomalyRule, series: str, start: int, kind: str, time: int) -> str:
    digest = hashlib.blake2b(f"{rule.id}|{series}|{start}|{kind}".encode(), digest_size=16).digest()
    return str(content_uuid(time, digest))
