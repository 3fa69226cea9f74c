"""Whatever is done to a scan as columns is what would have been done to its readings one by one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.config.tags import TagConfig
from trunkline.gateway.conditioning import Conditioned, Conditioner
from trunkline.log.codec.writer import Rows, TagSlot, write_blocks, write_rows
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading
from trunkline.model.scan import Roster, Scan

NOW = times.from_iso("2026-01-01T00:00:00Z")
S = times.SECOND
KINDS = {"P.D0": "double", "P.D1": "double", "P.I": "integer", "P.B": "boolean", "P.T": "text"}
FAST = Roster(("P.D1", "P.I", "P.D0"), (Kind.DOUBLE, Kind.INTEGER, Kind.DOUBLE))
SLOW = Roster(("P.B", "P.T"), (Kind.BOOLEAN, Kind.TEXT))
BOTH = Roster(("P.D0", "P.T", "P.I"), (Kind.DOUBLE, Kind.TEXT, Kind.INTEGER))


def conditioner(**options: object) -> Conditioner:
    tags = [TagConfig.model_validate({"path": path, "kind": kind, **options}) for path, kind in KINDS.items()]
    slots = [(tag, TagSlot.of(tag.path, "plc", tag.value_kind, 2)) for tag in tags]
    return Conditioner(slots, stale_after=10, lost_after=60, started=NOW)


@st.composite
def scans(draw: st.DrawFn, roster: Roster, now: int) -> Scan:
    def several(kinds: tuple[Kind, ...], values: st.SearchStrategy[object]) -> list[object]:
        count = sum(kind in kinds for kind in roster.kinds)
        return draw(st.lists(values, min_size=count, max_size=count))

    n = len(roster.tags)
    graded = draw(st.booleans())
    quality = draw(st.lists(st.sampled_from([0, 0, Quality.UNCERTAIN_STALE, Quality.BAD_TIMEOUT]), min_size=n, max_size=n))
    gone = [grade == Quality.BAD_TIMEOUT or (grade == Quality.UNCERTAIN_STALE and draw(st.booleans())) for grade in quality]
    return Scan(
        roster,
        np.full(n, now),
        np.array(several((Kind.DOUBLE,), st.floats()), np.float64),
        np.array(several((Kind.INTEGER, Kind.BOOLEAN), st.integers(0, 1)), np.int64),
        [str(text) for text in several((Kind.TEXT,), st.sampled_from(["", "läuft"]))],
        np.array(quality) if graded else None,
        np.array(gone) if graded and any(gone) else None,
    )


def blocks(given: list[Conditioned] | Rows) -> object:
    if not len(given):
        return []
    return write_rows("o", 3, {}, [given]) if isinstance(given, Rows) else write_blocks("o", 3, {}, given)


@settings(deadline=None)
@given(st.data())
def test_columns_end_as_the_same_blocks(data: st.DataObject) -> None:
    """D-16, D-17, PD-26, W-105, W-108, and silence told once: with gaps, a clock that is set back, other readings in between."""
    options = {"time": data.draw(st.sampled_from(["gateway", "device"]))}
    columns, single = conditioner(**options), conditioner(**options)
    now = NOW
    for _ in range(data.draw(st.integers(1, 8))):
        now += data.draw(st.sampled_from([0, 1, 4, 9, 11, 70])) * S
        columns.clock_doubted = single.clock_doubted = data.draw(st.booleans())
        match data.draw(st.sampled_from(["scan", "scan", "scan", "scan", "readings", "alive", "silence"])):
            case "scan":
                scan = data.draw(scans(data.draw(st.sampled_from([FAST, SLOW, BOTH])), now))
                assert blocks(columns.take_scan(scan, alive=False, now=now)) == blocks(single.take(scan, alive=False, now=now))
            case "readings":
                readings = [Reading("P.D0", 5.0, 0, now, now), Reading("P.NOSUCH", 5.0, 0, now, now)]
                assert _said(columns.take(readings, alive=False, now=now)) == _said(single.take(readings, alive=False, now=now))
            case "alive":
                assert columns.take((), alive=True, now=now) == single.take((), alive=True, now=now)
            case _:
                assert _said(columns.silent(now, NOW)) == _said(single.silent(now, NOW))
        assert columns.stale == single.stale
    assert _said(columns.silent(now + 3600 * S, NOW)) == _said(single.silent(now + 3600 * S, NOW))


def _said(marks: list[Conditioned]) -> dict[str, str]:
    return {slot.path: repr(reading) for slot, reading in marks}


def one_scan(value: float, now: int, **more: object) -> Scan:
    return Scan(Roster(("P.D0",), (Kind.DOUBLE,)), np.array([now]), np.array([value]), **more)  # type: ignore[arg-type]  # of any test


def test_a_scan_without_deadbands_stays_columns() -> None:
    taken = conditioner(time="gateway").take_scan(one_scan(1.5, NOW), alive=False, now=NOW)
    assert isinstance(taken, Rows)
    assert (len(taken), taken.quality, taken.absent) == (1, None, None)


def test_deadbands_and_unknown_tags_are_looked_at_one_by_one() -> None:
    banded = conditioner(time="gateway", deadband={"absolute": 1.0})
    assert [len(banded.take_scan(one_scan(value, NOW), alive=False, now=NOW)) for value in (1.0, 1.5, 3.0)] == [1, 0, 1]
    assert banded.suppressed == 1
    plain = conditioner(time="gateway")
    stranger = Scan(Roster(("P.D0", "P.NOSUCH"), (Kind.DOUBLE, Kind.DOUBLE)), np.array([NOW, NOW]), np.array([1.0, 2.0]))
    taken = plain.take_scan(stranger, alive=False, now=NOW)
    assert isinstance(taken, list)
    assert [slot.path for slot, _ in taken] == ["P.D0"]
    assert plain.unknown_tags == 1
    other = Scan(Roster(("P.I",), (Kind.DOUBLE,)), np.array([NOW]), np.array([1.5]))
    taken = plain.take_scan(other, alive=False, now=NOW)
    assert isinstance(taken, list)
    assert [(reading.value, reading.quality) for _, reading in taken] == [(None, Quality.BAD_TYPE)]
