"""Golden cases, one folder each: input.csv in the order of arrival, rule.yaml, and what comes out in expected.csv.

A row of input.csv without a tag is a look at the clock alone. `now` and `time` are seconds.
"""

import csv
import itertools
from pathlib import Path

import pytest
import yaml
from tests.processing.derive.support import Given, at, columns, definitions, step, told

from trunkline.config.tags import KINDS
from trunkline.model import quality
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Value, coerce

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def value(text: str, kind: Kind) -> Value:
    if text == "":
        return None
    return text if kind is Kind.TEXT else coerce(text == "true" if kind is Kind.BOOLEAN else float(text), kind)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path) -> None:
    rule = yaml.safe_load((case / "rule.yaml").read_text("utf-8"))
    kinds = {tag: KINDS[kind] for tag, kind in rule.get("kinds", {}).items()}
    one = step(definitions(yaml.safe_dump(rule["derived"])), kinds)
    found = []
    for now, batch in itertools.groupby(rows(case / "input.csv"), key=lambda row: float(row["now"])):
        given = []
        for row in batch:
            if row["tag"]:
                reading = value(row["value"], kinds.get(row["tag"], Kind.DOUBLE))
                given.append(Given(row["tag"], float(row["time"]), reading, Quality[row["quality"] or "GOOD"]))
        emitted = one.evaluate(columns(given, kinds), at(now)) if given else one.tick(at(now))
        found += [f"{now:g},{tag},{time:g},{_shown(answer)},{quality.name(grade)}" for tag, time, answer, grade in told(emitted)]
    assert found == [",".join(row.values()) for row in rows(case / "expected.csv")]


def _shown(answer: Value) -> str:
    if answer is None:
        return ""
    return str(answer).lower() if isinstance(answer, bool) else f"{answer:g}" if isinstance(answer, float) else str(answer)
