"""Half-space trees over the tags of an asset."""

import importlib
import math
from typing import Any

import numpy as np
import pytest
from river.anomaly import HalfSpaceTrees as River
from tests.processing.anomaly.support import START, Row, book, columns, rule, scores_of

from trunkline.config.anomalies import HalfSpaceTrees
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.processing.anomaly.forest import Forest

PUMP = "PLANT01.AREA01.PUMP_1"
TAGS = {f"{PUMP}.CURRENT": "A", f"{PUMP}.FLOW": "m³/h"}
RULE = rule("half_space_trees: {trees: 10, height: 6, window: 300, every: 60, learn: 36000, threshold: 6}", tags=["**"])


def pump(minutes: int, blocked: range = range(0)) -> list[Row]:
    """A pump that runs every other hour; blocked, it draws its current and moves nothing. Either value is usual by itself."""
    chance = np.random.default_rng(5)
    rows: list[Row] = []
    for minute in range(minutes):
        running = minute // 60 % 2 == 0
        at = START + minute * times.MINUTE
        flow = 100.0 if running and minute not in blocked else 0.0
        rows.append((f"{PUMP}.CURRENT", at, (30.0 if running else 1.0) + float(chance.normal(0, 0.3)), 0))
        rows.append((f"{PUMP}.FLOW", at + times.SECOND, flow + float(chance.normal(0, 1)), 0))
    return rows


def test_a_combination_that_was_not_there_before_is_found_and_explained() -> None:
    """E-73: evidence names the tags that contribute, most first."""
    blocked = range(1215, 1235)
    found = book(RULE, tags=TAGS).evaluate(columns(pump(1300, blocked)), START)
    begin, end = found.events
    assert (begin.type, begin.asset, begin.tag) == ("ANOMALY", PUMP, "")
    assert START + 1215 * times.MINUTE < begin.time <= START + 1218 * times.MINUTE
    assert end.type == "ANOMALY_CLEARED"
    assert START + 1235 * times.MINUTE <= end.time <= START + 1238 * times.MINUTE
    assert begin.attributes["window_readings"] == 300
    shares = dict(part.rsplit(" ", 1) for part in str(begin.attributes["tags"]).split(", "))
    assert set(shares) == set(TAGS)
    assert sum(int(share.rstrip("%")) for share in shares.values()) == pytest.approx(100, abs=1)
    scores = scores_of(found, f"{PUMP}.ANOMALY_R")
    assert max(score for time, score in scores.items() if time < begin.time) < 6


def test_the_surprise_is_rivers_own_answer() -> None:
    """The trees are river's: same seed, same points, same answer, before and after a restart in the midst of a window."""
    options = HalfSpaceTrees(trees=5, height=5, window=40, seed=3)
    theirs: Any = River(n_trees=5, height=5, window_size=40, seed=3)
    theirs.learn_one({"a": 0.5, "b": 0.5})
    for tree in theirs.trees:
        for node in tree.iter_dfs():
            node.l_mass = 0
    theirs.counter = 0
    ours = Forest(options, ["a", "b"])
    points = np.random.default_rng(1).uniform(0, 1, (150, 2)).tolist()
    for number, point in enumerate(points):
        if number in {25, 100}:
            kept = ours.masses()
            turned = ours.turned
            ours = Forest(options, ["a", "b"])
            ours.restore(*kept, turned=turned)
        features = dict(zip("ab", point, strict=True))
        expected = theirs.score_one(features)
        surprise = ours.surprise(point)
        assert surprise is None if number < 40 else math.isclose(1 - math.exp(-(surprise or 0)), expected)
        theirs.learn_one(features)
        ours.learn(point)


def test_a_look_is_void_while_a_tag_is_silent_or_bad() -> None:
    """E-73: only on GOOD values: nothing is said of an asset of which one tag is not known."""
    rows = [row if not (row[0].endswith("FLOW") and row[1] > START + 1100 * times.MINUTE) else (*row[:3], 0x8000) for row in pump(1300)]
    scores = scores_of(book(RULE, tags=TAGS).evaluate(columns(rows), START), f"{PUMP}.ANOMALY_R")
    last = max(scores)
    assert START + 1105 * times.MINUTE <= last <= START + 1112 * times.MINUTE, "max_age is ten minutes"


def test_each_asset_has_trees_of_its_own() -> None:
    other = {path.replace("PUMP_1", "PUMP_2"): unit for path, unit in TAGS.items()}
    blocked: list[Row] = [
        (tag.replace("PUMP_1", "PUMP_2"), time, value, grade) for tag, time, value, grade in pump(1300, range(1215, 1235))
    ]
    rows = sorted([*pump(1300), *blocked], key=lambda row: row[1])
    events = book(RULE, tags=TAGS | other).evaluate(columns(rows), START).events
    assert {event.asset for event in events} == {PUMP.replace("PUMP_1", "PUMP_2")}


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """River is installed where tests run: its absence is made by an import that fails as it would."""
    real = importlib.import_module

    def importing(name: str, package: str | None = None) -> Any:
        if name.startswith("river"):
            raise ModuleNotFoundError("No module named 'river'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", importing)
    with pytest.raises(Misconfigured, match=r"pip install 'trunkline\[anomaly\]'"):
        book(RULE, tags=TAGS)
    book(rule("cusum: {}"), tags=TAGS)


def test_trees_that_would_grow_otherwise_are_learnt_anew() -> None:
    """Masses of other splits, as of another version of river, are not filled into trees that they do not fit."""
    the_book = book(RULE, tags=TAGS)
    the_book.evaluate(columns(pump(1000)), START)
    entries = the_book.entries()
    key = f"learnt|r|{PUMP}"
    (watch,) = the_book._watches
    table = watch.tables()[1]
    table.rows["shape"][0] ^= 1
    entries[key] = dict(table.entries())[key]
    fresh = book(RULE, tags=TAGS)
    fresh.restore(entries)
    assert key not in fresh.entries()
    again = fresh.evaluate(columns(pump(1300)[2000:], 2001), START)
    assert len(again.scores.value) == 0
