"""Golden cases: a folder with the rule, the readings, and what has to come of them (input.csv, rule.yaml, expected.csv).

`input.csv` has tag, time, value and quality; an empty value is none. `expected.csv` has what begins and ends, with the facts that matter.
`python -m tests.processing.anomaly.test_cases CASE...` writes what comes of a case today, to be read before it is kept.
"""

import csv
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.processing.anomaly.support import Row, columns

from trunkline.config.anomalies import AnomalyRule
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.processing.anomaly import AnomalyBook

CASES: Final = Path(__file__).parent / "cases"
_FACTS: Final = ("value", "expected", "low", "high", "score", "tags", "seconds", "readings", "peak")
_HEAD: Final = ["time", "type", "asset", "tag", *_FACTS]


def read_input(case: Path) -> list[Row]:
    with (case / "input.csv").open(newline="") as file:
        return [
            (row["tag"], times.from_iso(row["time"]), float(row["value"]) if row["value"] else None, Quality[row["quality"]].value)
            for row in csv.DictReader(file)
        ]


def outcome(case: Path) -> list[dict[str, str]]:
    """Return the events of a case as the rows of `expected.csv`."""
    definition = yaml.safe_load((case / "rule.yaml").read_text())
    rows = read_input(case)
    tags = dict.fromkeys(dict.fromkeys(row[0] for row in rows), "bar")
    book = AnomalyBook([AnomalyRule.model_validate(definition)], tags, "UTC")
    return [_row(event) for event in book.evaluate(columns(rows), rows[-1][1]).events]


def _row(event: Event) -> dict[str, str]:
    facts = {name: _text(event.attributes.get(name, "")) for name in _FACTS}
    return {"time": times.to_iso(event.time), "type": event.type, "asset": event.asset, "tag": event.tag, **facts}


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_case_comes_out_as_it_should(case: str) -> None:
    """E-56, E-73."""
    with (CASES / case / "expected.csv").open(newline="") as file:
        assert outcome(CASES / case) == list(csv.DictReader(file))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with (CASES / name / "expected.csv").open("w", newline="") as out:
            writer = csv.DictWriter(out, _HEAD, lineterminator="\n")
            writer.writeheader()
            writer.writerows(outcome(CASES / name))
