"""The page about anomalies shows what the product says: its rules, names and facts."""

import re
from pathlib import Path
from typing import Final

import yaml
from tests.processing.anomaly.support import book, columns, judged, rule, series
from tests.processing.anomaly.test_assets import RULE, TAGS, pump

from trunkline.config.anomalies import DETECTORS, AnomalyRule, score_path

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (DOCS / "how-to" / "anomalies.md").read_text()


def test_the_rules_are_rules_and_make_the_scores_that_are_named() -> None:
    """E-56."""
    shown = re.search(r"^    anomalies:\n((?:      .*\n)+)", PAGE, re.MULTILINE)
    assert shown is not None
    rules = [AnomalyRule.model_validate(section) for section in yaml.safe_load(shown[0])["anomalies"]]
    assert [one.kind for one in rules] == ["cusum", "robust_z", "half_space_trees"]
    assert f"`{score_path(rules[0], 'PLANT01.AREA02.UNIT_05.FLOW_RATE')}`" in PAGE
    assert f"`{score_path(rules[2], 'PLANT01.AREA02.PUMP_1')}`" in PAGE


def test_the_facts_are_those_of_the_events() -> None:
    """E-73: an explanation with the evidence."""
    table = re.search(r"^\| attribute.*\n\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    named = {word for line in table[1].splitlines() for word in re.findall(r"`(\w+)`", line.split("|")[1])}
    values = [50.0 + number % 7 for number in range(5000)] + [90.0] * 50 + [50.0] * 200
    events = [
        event
        for kind in DETECTORS[:-1]
        for event in judged(rule(f"{kind}: {{learn: 86400}}"), series(values, every=300))[1]
        if event.type == "ANOMALY"
    ]
    events += book(RULE, tags=TAGS).evaluate(columns(pump(1300, range(1215, 1235))), 0).events[:1]
    assert {event.attributes["kind"] for event in events} == set(DETECTORS)
    facts = {name for event in events for name in event.attributes}
    assert named == facts - {"average_readings", "sigma", "season", "zone"}
    ended = judged(rule("robust_z: {learn: 3600}"), series(values[4000:], every=60))[1][-1]
    for name in ("seconds", "readings", "peak", "peak_time", "silent"):
        assert name in ended.attributes
        assert f"`{name}`" in PAGE


def test_pictures_are_there_and_every_detector_is_spoken_of() -> None:
    explained = (DOCS / "explanation" / "anomalies.md").read_text()
    for kind in DETECTORS:
        assert f"| `{kind}` |" in explained
        assert f"`{kind}" in PAGE
    for picture in re.findall(r"\.\./images/([\w-]+\.png)", PAGE):
        assert (DOCS / "images" / picture).read_bytes().startswith(b"\x89PNG")
