"""Golden cases of quality rules: a folder each with what came in, the rules, and what they say (docs/how-to/quality-rules.md)."""

import csv
from pathlib import Path

import pytest

from trunkline.config.definitions import read_definitions
from trunkline.config.site import ValidationConfig
from trunkline.config.tags import KINDS, TagConfig
from trunkline.model import times
from trunkline.processing.history import batches, kind_of, read_csv
from trunkline.processing.rules.ruleset import KINDS as WORKED
from trunkline.processing.trial import Finding, run

CASES = sorted((Path(__file__).parent / "cases").iterdir())


def findings(case: Path, size: int) -> list[Finding]:
    rows = read_csv(case / "input.csv")
    names = {kind: name for name, kind in KINDS.items()}
    tags = {row.tag: TagConfig(path=row.tag, kind=names[kind_of([one.value for one in rows if one.tag == row.tag])]) for row in rows}
    found = run(read_definitions(case / "rule.yaml"), tags, ValidationConfig(), batches(rows, size), max(row.time for row in rows))
    return sorted(found, key=lambda one: (one.tag, one.time))


def table(found: list[Finding]) -> list[dict[str, str]]:
    return [
        {
            "time": times.to_iso(one.time),
            "tag": one.tag,
            "value": "" if one.value is None else str(one.value),
            "verdict": one.verdict,
            "kept": "yes" if one.kept else "no",
            "rules": " ".join(rule for rule, _ in one.reasons),
        }
        for one in found
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    """W-122 to W-129, E-72, D-32, D-33: verdicts are as expected, and the same however the readings are cut into batches."""
    with (case / "expected.csv").open(newline="") as file:
        expected = list(csv.DictReader(file))
    assert expected, "a case in which nothing is found proves nothing"
    for size in (1, 7, 1_000_000):
        assert table(findings(case, size)) == expected


def test_every_kind_of_rule_has_a_case() -> None:
    shown = {rule.kind for case in CASES for rule in read_definitions(case / "rule.yaml").rules}
    assert shown == set(WORKED)
