"""`anomaly.speed.*`: detectors over 10,000 tags on one core; `anomaly.detect.*`: what they find on labelled series (`anomaly_series`).

The peer of the speeds is river's own detector, one object a tag, which is asked and taught one reading at a time: `GaussianScorer` for
detectors of single series, bare `HalfSpaceTrees` for those of assets. The peer of what is found is a fixed limit on the value, the best one
in hindsight for each kind of fault: what an alarm limit could do at most.

With `--page FILE` the table of results goes into a page, between its marks; with `--plots FOLDER` a picture of each detector beside it.
"""

import argparse
import importlib
import math
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from bench.anomaly_plot import draw
from bench.anomaly_score import Marks, best_limit, columns, marks, watched
from bench.anomaly_series import FIRST, KINDS, MINUTES, Labelled, assets, singles
from bench.harness import SHORT, Work, bench, stopwatch, wanted
from bench.limits import at_least
from trunkline.config.anomalies import AnomalyRule
from trunkline.log.codec.columns import F64
from trunkline.processing.anomaly import AnomalyBook

TAGS: Final = 10_000
ASSETS: Final = 20
#: Readings of a tag in one batch, and batches.
DEEP: Final = 10
BATCHES: Final = 3 if SHORT else 10
RUNS: Final = 3
OF_EACH: Final = 2 if SHORT else 10
#: The defaults of the rules were chosen on series of seed 7.
SEED: Final = 2026
MARKS: Final = ("<!-- table: written by python -m bench.anomaly --page -->\n", "<!-- end of table -->")


class Row(NamedTuple):
    """A detector as it is judged.

    Attributes:
        name: of the figure and the picture.
        shown: for people.
        options: of the rule.
        meant: (group, fault) that it is for.
    """

    name: str
    shown: str
    options: dict[str, Any]
    meant: tuple[tuple[str, str], ...]


ROWS: Final = (
    Row("robust_z", "robust_z", {"robust_z": {}}, (("steady", "spike"), ("daily", "spike"))),
    Row("ewma", "ewma", {"ewma": {}}, (("steady", "shift"), ("steady", "drift"), ("steady", "noisy"))),
    Row("ewma_day", "ewma, season: day", {"ewma": {"season": "day"}}, (("daily", "shift"), ("daily", "drift"), ("daily", "mistimed"))),
    Row("cusum", "cusum", {"cusum": {}}, (("steady", "shift"), ("steady", "drift"))),
    Row("cusum_day", "cusum, season: day", {"cusum": {"season": "day"}}, (("daily", "shift"), ("daily", "drift"), ("daily", "mistimed"))),
    Row("seasonal", "seasonal", {"seasonal": {}}, (("steady", "spike"), ("daily", "spike"), ("steady", "noisy"), ("daily", "noisy"))),
)
FOREST: Final = Row(
    "half_space_trees", "half_space_trees, height: 10", {"half_space_trees": {"height": 10}, "clear_delay": 600}, (("asset", "mixed"),)
)


def rule(row: Row) -> AnomalyRule:
    """Return the rule of a row, on every tag."""
    return AnomalyRule.model_validate({"id": "bench", "tags": ["**"], **row.options})


# --- speed


def _on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _speed(row: Row, tags: list[str], values: F64, deep: int) -> Work:
    _on_one_core()
    book = AnomalyBook([rule(row)], dict.fromkeys(tags, ""), "Europe/Oslo")
    batches = [columns(tags, values[first : first + deep], first) for first in range(0, len(values), deep)]
    book.evaluate(batches[0], int(batches[0].time[-1]))  # trees grow with the first looks
    with stopwatch() as watch:
        for batch in batches[1:]:
            book.evaluate(batch, int(batch.time[-1]))
            book.changed()
    return Work(values.size - len(batches[0]), watch.seconds)


def _river(name: str) -> Any:  # noqa: ANN401 - river has no types
    return getattr(importlib.import_module("river.anomaly"), name)


def _scorers(values: F64) -> Work:
    _on_one_core()
    scorers = [_river("GaussianScorer")(grace_period=1) for _ in range(values.shape[1])]
    rows = values.tolist()
    with stopwatch() as watch:
        for row in rows:
            for scorer, value in zip(scorers, row, strict=True):
                scorer.score_one(None, value)
                scorer.learn_one(None, value)
    return Work(values.size, watch.seconds)


def _forests(tags: Sequence[str], values: F64) -> Work:
    _on_one_core()
    options = rule(FOREST).half_space_trees
    assert options is not None
    each = values.shape[1] // ASSETS
    names = list(tags[:each])
    model = _river("HalfSpaceTrees")
    forests = [model(options.trees, options.height, options.window, seed=7) for _ in range(ASSETS)]
    rows = (values / 100).reshape(len(values), ASSETS, each).tolist()
    for forest in forests:
        forest.learn_one(dict(zip(names, rows[0][0], strict=True)))
    with stopwatch() as watch:
        for row in rows:
            for forest, point in zip(forests, row, strict=True):
                features = dict(zip(names, point, strict=True))
                forest.score_one(features)
                forest.learn_one(features)
    return Work(values.size, watch.seconds)


def speeds() -> bool:
    """Measure the wanted speeds; return whether their goals were met."""
    chance = np.random.default_rng(SEED)
    passed = True
    for row in ROWS:
        name = f"anomaly.speed.{row.name}"
        if wanted(name):
            tags = [f"P.A{number // 100}.U{number // 10 % 10}.T{number % 10}" for number in range(TAGS)]
            values = chance.normal(50, 5, (BATCHES * DEEP, TAGS))
            conditions = {"tags": TAGS, "batch": TAGS * DEEP, "readings": values.size, "cores_used": 1}
            ours, theirs = partial(_speed, row, tags, values, DEEP), partial(_scorers, values)
            peer = ("river-gaussian-scorer", theirs)
            goal = 0.5 if row.name == "robust_z" else 1.0
            passed &= bench(name, "readings/s", ours, peer=peer, goal=goal, runs=RUNS, conditions=conditions)["passed"]
    name = f"anomaly.speed.{FOREST.name}"
    if wanted(name):
        tags = [f"P.ASSET.U{asset}.T{place}" for asset in range(ASSETS) for place in range(5)]
        values = chance.normal(50, 5, (BATCHES * DEEP, len(tags)))
        row = FOREST._replace(options={"half_space_trees": {"every": 60, "learn": 240}})
        conditions = {"tags": len(tags), "assets": ASSETS, "readings": values.size, "cores_used": 1}
        theirs = partial(_forests, tags, values)
        ours = partial(_speed, row, tags, values, DEEP)
        passed &= bench(name, "readings/s", ours, peer=("river-bare", theirs), goal=0.5, runs=RUNS, conditions=conditions)["passed"]
    return passed


# --- what is found


def kinds_of(group: str) -> tuple[str, ...]:
    """Return the kinds of faults that series of a group have."""
    return {"asset": ("mixed",), "daily": KINDS, "steady": KINDS[:-1]}[group]


def judged(row: Row, labelled: Labelled) -> tuple[dict[tuple[str, str], Marks], F64]:
    """Return how a detector does by group and kind, with 'none' for series without faults, and its scores."""
    found, scores = watched(rule(row), labelled)
    if row is FOREST:
        faults = [labelled.faults[3 * number] for number in range(len(found))]
        return {("asset", "mixed"): marks(found, faults)}, scores
    table = {}
    for group in ("steady", "daily"):
        for kind in (*kinds_of(group), "none"):
            mine = _mine(labelled, group, kind)
            table[group, kind] = marks([found[place] for place in mine], [labelled.faults[place] for place in mine])
    return table, scores


def _mine(labelled: Labelled, group: str, kind: str) -> list[int]:
    return [place for place, tag in enumerate(labelled.tags) if labelled.group[place] == group and f".{kind.upper()}_" in f"{tag}_"]


def fixed(labelled: Labelled) -> dict[tuple[str, str], Marks]:
    """Return how the best fixed limit does: distance from the mean of the learnt days, in their deviations."""
    past = labelled.values[:FIRST]
    scores = np.abs(labelled.values - past.mean(axis=0)) / past.std(axis=0)
    table = {}
    for group in dict.fromkeys(labelled.group):
        for kind in kinds_of(group):
            mine = [place for place, one in enumerate(labelled.group) if one == group] if group == "asset" else _mine(labelled, group, kind)
            table[group, kind] = best_limit(scores[:, mine], [labelled.faults[place] for place in mine])[1]
    return table


def _f1(table: dict[tuple[str, str], Marks], of: Sequence[tuple[str, str]]) -> float:
    return float(np.mean([table[one].f1 for one in of]))


def detections(page: Path | None, plots: Path | None) -> bool:
    """Judge the wanted detectors; return whether each does better than a fixed limit at what it is for."""
    lines: list[str] = []
    passed = True
    for rows, labelled in ((ROWS, singles(SEED, OF_EACH)), ((FOREST,), assets(SEED, 2 * OF_EACH))):
        if not any(wanted(f"anomaly.detect.{row.name}") for row in rows):
            continue
        limit = fixed(labelled)
        for row in rows:
            table, scores = judged(row, labelled)
            figure = at_least(
                f"anomaly.detect.{row.name}",
                _f1(table, row.meant),
                "F1",
                max(_f1(limit, row.meant), 0.01),
                conditions={
                    "faults": [f"{group} {kind}" for group, kind in row.meant],
                    "minutes": MINUTES,
                    "series": len(labelled.tags),
                    "false_alarms_per_tag_and_day": round(float(np.mean([one.false_alarms for one in table.values()])), 4),
                },
            )
            passed &= figure["passed"]
            lines += [_line(row.shown, group, table) for group in dict.fromkeys(group for group, _ in table)]
            print(lines[-1], file=sys.stderr)
            if plots is not None:
                draw(rule(row), labelled, scores, row.meant[-1], plots / f"anomaly-{row.name.replace('_', '-')}.png")
        lines += [_line("fixed limit, the best in hindsight", group, limit) for group in dict.fromkeys(labelled.group)]
    if page is not None:
        _write(page, lines)
    return passed


_COLUMNS: Final = (*KINDS, "mixed")


def _line(shown: str, group: str, table: dict[tuple[str, str], Marks]) -> str:
    cells = [_cell(table.get((group, kind))) for kind in _COLUMNS]
    of_group = [one for (other, _), one in table.items() if other == group]
    return f"| {shown} | {group} | {' | '.join(cells)} | {np.mean([one.false_alarms for one in of_group]):.3f} |"


def _cell(one: Marks | None) -> str:
    if one is None:
        return ""
    if not one.recall:
        return "0"
    delay = "" if math.isnan(one.delay) else f", {one.delay:.0f} min"
    return f"{one.recall:.2f} / {one.precision:.2f}{delay}"


def _write(page: Path, lines: Sequence[str]) -> None:
    before, _, rest = page.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    head = f"| detector | series | {' | '.join(_COLUMNS)} | false alarms per tag and day |\n|{' --- |' * (len(_COLUMNS) + 3)}\n"
    page.write_text(before + MARKS[0] + head + "\n".join(lines) + "\n" + MARKS[1] + after)


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="bench.anomaly")
    parser.add_argument("--only", choices=("speed", "detect"))
    parser.add_argument("--page", type=Path)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    passed = arguments.only == "detect" or speeds()
    passed &= arguments.only == "speed" or detections(arguments.page, arguments.plots)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
