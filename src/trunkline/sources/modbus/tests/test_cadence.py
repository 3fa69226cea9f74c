import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sources.modbus.cadence import Cadence


def test_a_quick_scan_keeps_the_grid() -> None:
    cadence = Cadence(1.0, start=100.0)
    for expected in (101.0, 102.0, 103.0):
        cadence.advance(cadence.due + 0.3)
        assert cadence.due == expected
    assert cadence.missed == 0


def test_late_scans_are_counted_and_not_made_up_for() -> None:
    """W-51: a scan that takes longer than the interval does not pile up work."""
    cadence = Cadence(1.0, start=0.0)
    cadence.advance(3.5)
    assert (cadence.due, cadence.missed) == (4.0, 3)


def test_a_scan_due_this_moment_is_not_missed() -> None:
    cadence = Cadence(1.0, start=0.0)
    cadence.advance(1.0)
    assert (cadence.due, cadence.missed) == (1.0, 0)


@given(st.floats(0.001, 3600), st.floats(0, 1e6), st.lists(st.floats(0, 10_000), max_size=50))
def test_due_times_lie_on_the_grid_and_every_tick_is_a_scan_or_missed(interval: float, start: float, durations: list[float]) -> None:
    cadence = Cadence(interval, start)
    for scans, duration in enumerate(durations, start=1):
        now = cadence.due + duration
        cadence.advance(now)
        assert cadence.due >= now - interval * 1e-6
        ticks = (cadence.due - start) / interval
        assert ticks == pytest.approx(scans + cadence.missed)
