"""Golden cases of alarms: a folder each with what came in, the definitions, and what they say (docs/how-to/alarms.md)."""

import csv
from pathlib import Path
from typing import get_args

import pytest
import yaml
from tests.processing.alarms.feed import life

from trunkline.config.alarms import AlarmsConfig, Kind
from trunkline.config.tags import KINDS, TagConfig
from trunkline.model import times
from trunkline.model.events import Alarm, Event
from trunkline.processing.alarms import AlarmBook
from trunkline.processing.history import batches, kind_of, read_csv

CASES = sorted((Path(__file__).parent / "cases").iterdir())


def definitions(case: Path) -> AlarmsConfig:
    return AlarmsConfig.model_validate(yaml.safe_load((case / "rule.yaml").read_text()))


def transitions(case: Path, size: int) -> list[Event]:
    """What comes of the readings, and of 3 s without more."""
    rows = read_csv(case / "input.csv")
    names = {kind: name for name, kind in KINDS.items()}
    values = {row.tag: [one.value for one in rows if one.tag == row.tag] for row in rows}
    tags = {tag: TagConfig(path=tag, kind=names[kind_of(found)]) for tag, found in values.items()}  # type: ignore[arg-type]
    book, now = AlarmBook(definitions(case), tags), max(row.time for row in rows)
    found = [event for batch in batches(rows, size) for event in book.evaluate(batch, now)]
    return sorted([*found, *book.tick(now + 3 * times.SECOND)], key=lambda event: event.time)


def table(events: list[Event]) -> list[dict[str, str]]:
    return [
        {
            "time": times.to_iso(event.time),
            "alarm": life(event).rule,
            "severity": event.severity.name if isinstance(event, Alarm) else "INFO",
            "transition": life(event).transition,
            "state": life(event).state.value,
            "value": str(event.value) if isinstance(event, Alarm) and event.value is not None else "",
            "live": "yes" if life(event).live else "no",
        }
        for event in events
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    """W-133, W-134, P-42 to P-47, E-73, G-43, GD-16: transitions are as expected, however the readings are cut into batches."""
    with (case / "expected.csv").open(newline="") as file:
        expected = list(csv.DictReader(file))
    assert expected, "a case in which nothing is raised proves nothing"
    for size in (1, 3, 1_000_000):
        assert table(transitions(case, size)) == expected


def test_every_kind_of_alarm_has_a_case() -> None:
    shown = {definition.kind for case in CASES for definition in definitions(case).definitions}
    assert shown == set(get_args(Kind))
