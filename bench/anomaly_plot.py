"""Pictures of detectors at work: a series with its faults, the score below it, and when an anomaly was told."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from bench.anomaly_series import FIRST, Labelled
from trunkline.config.anomalies import AnomalyRule
from trunkline.log.codec.columns import F64

mpl.use("Agg")
from matplotlib import pyplot as plt

_BEFORE, _AFTER = 480, 480
_GREY, _BLUE, _RED = "#8a8f98", "#2b6cb0", "#c53030"


def draw(rule: AnomalyRule, labelled: Labelled, scores: F64, shown: tuple[str, str], file: Path) -> None:
    """Draw the first fault of the first series of a group and kind.

    Args:
        rule: the detector's.
        labelled: the series.
        scores: of the rule, (minutes, paths).
        shown: group and kind.
        file: PNG to write.
    """
    group, kind = shown
    found = (number for number, faults in enumerate(labelled.faults) if faults and faults[0].kind == kind)
    place = next(number for number in found if labelled.group[number] == group)
    fault = labelled.faults[place][0]
    forest = rule.half_space_trees is not None
    here = slice(max(FIRST, fault.first - _BEFORE), fault.last + _AFTER)
    hours = (np.arange(here.start, here.stop) - fault.first) / 60
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 3.6), sharex=True, height_ratios=(3, 2), layout="constrained")
    for number in range(place, place + 3) if forest else (place,):
        upper.plot(hours, labelled.values[here, number], color=_BLUE, lw=0.8, alpha=1 - 0.3 * (number - place))
    score = scores[here, place // 3 if forest else place]
    lower.plot(hours, np.minimum(score, 4 * rule.detector.threshold), color=_GREY, lw=0.8, marker="." if forest else "", ms=2)
    lower.axhline(rule.detector.threshold, color=_RED, lw=0.8, ls="--")
    over = np.flatnonzero(score >= rule.detector.threshold)
    if len(over):
        upper.axvline(hours[over[0]], color=_RED, lw=1)
    for axes in (upper, lower):
        axes.axvspan(0, max((fault.last - fault.first) / 60, 0.05), color="#f6e05e", alpha=0.4, lw=0)
        axes.spines[["top", "right"]].set_visible(False)
    upper.set_ylabel("values" if forest else "value")
    lower.set_ylabel("score")
    lower.set_xlabel("hours from the beginning of the fault")
    upper.set_title(f"{rule.kind}: {kind}{' in a daily series' if group == 'daily' else ''}", loc="left", fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)
    plt.close(figure)
