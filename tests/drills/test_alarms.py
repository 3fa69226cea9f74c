"""What a drill says of alarms is known from their numbers alone, and what is wrong with those that arrived is seen."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trunkline.drills.alarmcheck import compare_alarms
from trunkline.drills.alarms import alarm
from trunkline.drills.plan import Plan, built_in_tags
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.head import BACKLOG
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Alarm
from trunkline.model.reading import Category

PLAN = Plan("edge-1", built_in_tags(3), 7, times.SECOND, times.from_iso("2026-01-01T00:00:00Z"), 10, False, 50_000)
LAYOUT = Layout("gateway", 3)
CLEAN = LAYOUT.topics(Category.ALARM, "clean")[0]
FED = [alarm(PLAN, number) for number in range(30)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.db") as journal:
        journal.create(LAYOUT.catalogue())
        yield journal


def arrive(log: Journal, alarms: list[Alarm], *, backlog: bool = False) -> None:
    headers = ((BACKLOG, b"1"),) if backlog else ()
    log.append(CLEAN, [Record(encode_event(one), one.asset.encode(), headers) for one in alarms])


def test_alarms_differ_by_number_and_seed() -> None:
    """One that is taken for another is seen; the same number is the same alarm."""
    assert alarm(PLAN, 4) == FED[4]
    assert len({one.id for one in FED}) == len(FED)
    assert alarm(msgspec.structs.replace(PLAN, seed=8), 4) != FED[4]
    assert FED[4].time - FED[3].time == PLAN.alarm_us


def test_all_is_well(log: Journal) -> None:
    """Live alarms pass those of a backlog; each way keeps its order."""
    arrive(log, FED[20:])
    arrive(log, FED[:20], backlog=True)
    found = compare_alarms(PLAN, len(FED), [msgspec.structs.replace(one, origin="edge") for one in FED], log, LAYOUT)
    assert found.wrong == []
    assert (found.expected, found.stored) == (30, 30)


def test_what_is_wrong_is_seen(log: Journal) -> None:
    """W-102: one lost on the way, one only in the database lost, one doubled, one changed, one invented, one late."""
    arrive(log, [*FED[:3], *FED[4:10], FED[9], *FED[12:], FED[10], FED[11], alarm(PLAN, 99)])
    rows = [msgspec.structs.replace(one, text="no alarm of mine") if one is FED[5] else one for one in FED[1:]]
    found = compare_alarms(PLAN, len(FED), rows, log, LAYOUT)
    same_asset = len({one.asset for one in FED}) == 1
    assert same_asset
    assert (found.lost, found.doubled, found.changed, found.invented, found.disordered) == (2, 1, 1, 1, 2)
    assert len(found.wrong) == 5
