"""Anomaly rules in the site file: what is accepted, and what is wrong with the rest, with place and mend."""

import importlib.util
from typing import Any

import pytest
from pydantic import ValidationError
from tests.config.conftest import SiteWriter

from trunkline.config.anomalies import AnomalyRule, Cusum
from trunkline.config.loading import check, load
from trunkline.config.problems import Problem, render
from trunkline.model.tags import TagPattern

SITE = """\
site: a
gateways:
  - id: g
    sources:
      - id: s
        type: meter
        tags: [{path: P.A.PRESSURE, node: 1}, {path: P.A.STATE, kind: text, node: 2}]
"""


def found(problems: list[Problem], path: str) -> Problem:
    matching = [problem for problem in problems if problem.path == path]
    assert len(matching) == 1, render(problems)
    return matching[0]


def test_nothing_is_watched_unless_the_file_says_so(site_file: SiteWriter) -> None:
    """E-56: off until switched on."""
    assert load(site_file(SITE)).config.anomalies == ()


def test_a_detector_without_options_has_its_defaults(site_file: SiteWriter) -> None:
    (rule,) = load(site_file(SITE + "anomalies:\n  - id: drift\n    tags: ['**.PRESSURE']\n    cusum:\n")).config.anomalies
    assert rule.kind == "cusum"
    assert rule.detector == Cusum()


@pytest.mark.parametrize(
    ("rule", "path", "message", "mend"),
    [
        ("{id: r, tags: [P.A.PRESURE], ewma: {}}", "anomalies[0].tags[0]", "and no tag is called so", "did you mean 'P.A.PRESSURE'"),
        ("{id: r, tags: [P.A.STATE], ewma: {}}", "anomalies[0].tags[0]", "has no numbers (text)", "double or integer"),
        ("{id: r, tags: ['**'], ewma: {}}\n  - {id: r, tags: ['**'], cusum: {}}", "anomalies[1].id", "first in line 9", "id of its own"),
        ("{id: r, tags: ['**']}", "anomalies[0]", "'r' has no detector", "exactly one of robust_z"),
        ("{id: r, tags: ['**'], ewma: {}, cusum: {}}", "anomalies[0]", "has ewma and cusum", "exactly one of"),
        ("{id: r, tags: ['**'], ewma: {wight: 0.1}}", "anomalies[0].ewma.wight", "unknown key 'wight'", "did you mean 'weight'"),
        ("{id: r, tags: ['**'], ewma: {season: day, target: 1, sigma: 1}}", "anomalies[0].ewma", "leave nothing to learn", ""),
        ("{id: r, tags: [p.a], ewma: {}}", "anomalies[0].tags[0]", "'p.a' is no pattern of tag paths", "PLANT01.**.PRESSURE"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_mend(site_file: SiteWriter, rule: str, path: str, message: str, mend: str) -> None:
    problem = found(check(site_file(f"{SITE}anomalies:\n  - {rule}\n")), path)
    assert message in problem.message
    assert mend in f"{problem.message} {problem.mend}"
    assert problem.line >= 9


def test_the_name_of_scores_is_no_longer_than_a_tag(site_file: SiteWriter) -> None:
    text = SITE.replace("PRESSURE", "P" * 80) + f"anomalies:\n  - {{id: {'x' * 60}, tags: ['**'], ewma: {{}}}}\n"
    assert "give the rule a shorter id" in found(check(site_file(text)), "anomalies[0].tags[0]").mend


def test_a_missing_package_is_told_before_the_start(site_file: SiteWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is installed where tests run: its absence is made by asking for a module under another name."""
    find = importlib.util.find_spec
    path = site_file(f"{SITE}anomalies:\n  - {{id: r, tags: ['**'], half_space_trees: {{}}}}\n")
    assert not [problem for problem in check(path) if problem.path.startswith("anomalies")]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: find("no_such_module" if name == "river" else name, package)
    )
    problem = found(check(path), "anomalies[0].half_space_trees")
    assert "trunkline[anomaly]" in problem.mend


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("P.*.FLOW", ["P.A.FLOW"], ["P.FLOW", "P.A.B.FLOW", "P.A.FLOW.X"]),
        ("P.**.FLOW", ["P.FLOW", "P.A.FLOW", "P.A.B.FLOW"], ["Q.FLOW", "P.A.OVERFLOW"]),
        ("**", ["P", "P.A.FLOW"], []),
        ("P.PUMP_*.F*W", ["P.PUMP_1.FLOW", "P.PUMP_.FW"], ["P.PUMP.FLOW", "P.PUMP_1.FLOWS"]),
        ("P.A-1.FLOW", ["P.A-1.FLOW"], ["P.AX1.FLOW"]),
    ],
)
def test_patterns_stand_for_paths(pattern: str, matches: list[str], others: list[str]) -> None:
    assert [path for path in (*matches, *others) if TagPattern(pattern).matches(path)] == matches


def test_limits_of_options() -> None:
    wrong: dict[str, dict[str, Any]] = {
        "robust_z": {"readings": 5},
        "ewma": {"weight": 0},
        "cusum": {"reset": 0},
        "seasonal": {"season": "year"},
    }
    for kind, options in wrong.items():
        with pytest.raises(ValidationError):
            AnomalyRule.model_validate({"id": "r", "tags": ["**"], kind: options})
