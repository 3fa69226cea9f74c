"""Numbers that survive a kill without ever being used twice."""

from pathlib import Path

import pytest

from trunkline.lab.state import AHEAD_SECONDS, Numbers, Reservation
from trunkline.model.errors import CorruptData


def reserve(path: Path) -> Reservation:
    return Reservation(path, cycles_per_second=10, messages_per_cycle=12, litres_per_second=34)


def test_a_killed_run_leaves_its_numbers_behind(tmp_path: Path) -> None:
    """Whatever a run used up to its kill, the next run begins beyond it."""
    path = tmp_path / "state.json"
    first = reserve(path)
    assert first.first == Numbers(cycle=0, message=1, litres=0)
    for ran in (1, 10, 601, 1500):
        for cycle in range(ran):
            first.use(first.first.cycle + cycle)
        second = reserve(path)
        assert second.first.cycle >= first.first.cycle + ran
        assert second.first.message >= first.first.message + ran * 12
        assert second.first.litres >= first.first.litres + ran * 3.4
        first = second


def test_reserving_is_rare(tmp_path: Path) -> None:
    """The file is written once for many cycles."""
    path = tmp_path / "state.json"
    reservation = reserve(path)
    reservation.use(0)
    before = path.stat().st_ino
    for cycle in range(1, int(10 * AHEAD_SECONDS)):
        reservation.use(cycle)
    assert path.stat().st_ino == before


def test_an_unreadable_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{")
    with pytest.raises(CorruptData, match="delete the file"):
        reserve(path)
