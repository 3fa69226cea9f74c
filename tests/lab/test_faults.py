"""What each fault does to values, times and connections."""

import numpy as np
import pytest

from trunkline.lab.faults import FaultBoard, FaultKind
from trunkline.lab.simulation import Simulation, Snapshot
from trunkline.lab.vocabulary import FLOW, PRESSURE, VARIABLES, ProtocolName, plant_units
from trunkline.model import times

UNITS = plant_units(6)
FIRST, SECOND, THIRD = (unit.path for unit in UNITS[:3])
NOW = 1_795_000_000 * times.SECOND


def cycles(board: FaultBoard, count: int, every: int = times.SECOND) -> list[Snapshot]:
    simulation = Simulation(UNITS, 7)
    snapshots = [simulation.step() for _ in range(count)]
    for index, snapshot in enumerate(snapshots):
        board.apply(snapshot, NOW + index * every)
    return snapshots


PLAIN = cycles(FaultBoard(UNITS), 200)


def difference(snapshots: list[Snapshot]) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    return np.array([s.values - p.values for s, p in zip(snapshots, PLAIN, strict=False)])


def test_freeze_keeps_everything_as_it_is() -> None:
    board = FaultBoard(UNITS)
    board.add(FaultKind.FREEZE, FIRST, now=NOW)
    snapshots = cycles(board, 200)
    assert all((s.values[0] == snapshots[0].values[0]).all() for s in snapshots)
    assert {int(s.total[0]) for s in snapshots} == {int(PLAIN[0].total[0])}
    assert not difference(snapshots)[:, 1:].any()


def test_freeze_of_one_tag() -> None:
    board = FaultBoard(UNITS)
    board.add(FaultKind.FREEZE, f"{FIRST}.TOTAL", now=NOW)
    snapshots = cycles(board, 50)
    assert {int(s.total[0]) for s in snapshots} == {int(PLAIN[0].total[0])}
    assert not difference(snapshots).any()


def test_drift_grows_with_time() -> None:
    """Ten percent of the range a minute, seen after half a minute: five percent."""
    board = FaultBoard(UNITS)
    board.add(FaultKind.DRIFT, f"{SECOND}.PRESSURE", now=NOW, amount=10.0)
    moved = difference(cycles(board, 31))
    assert moved[30, 1, PRESSURE] == pytest.approx(0.05 * VARIABLES[PRESSURE].span)
    moved[:, 1, PRESSURE] = 0
    assert not moved.any()


def test_noise_scatters_by_its_seed() -> None:
    def noisy(seed: int | None) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
        board = FaultBoard(UNITS)
        fault = board.add(FaultKind.NOISE, "PLANT01.AREA01", now=NOW, amount=3.0, seed=seed)
        assert seed is None or fault.seed == seed
        return difference(cycles(board, 200))

    one = noisy(11)
    assert np.array_equal(one, noisy(11))
    assert not np.array_equal(one, noisy(12))
    assert one[:, :, FLOW].std() == pytest.approx(3 * VARIABLES[FLOW].noise, rel=0.1)


def test_spikes_are_rare_and_large() -> None:
    board = FaultBoard(UNITS)
    board.add(FaultKind.SPIKES, "mqtt", now=NOW, amount=10.0, seed=5)
    moved = difference(cycles(board, 200))
    hit = np.abs(moved[:, 2]) > 1e-9
    assert 0.05 < hit.mean() < 0.15
    assert np.abs(moved[:, 2, FLOW][hit[:, FLOW]]) == pytest.approx(VARIABLES[FLOW].span / 2)
    assert not moved[:, [0, 1, 3, 4]].any()


def test_clocks_and_plugs() -> None:
    board = FaultBoard(UNITS)
    board.add(FaultKind.CLOCK, "opcua", now=NOW, amount=-3600)
    board.add(FaultKind.CLOCK, THIRD, now=NOW, amount=2.5)
    assert board.clock_offset.tolist() == [0, -3600 * times.SECOND, 2_500_000, 0, -3600 * times.SECOND, 0]
    board.add(FaultKind.UNPLUG, FIRST, now=NOW)
    board.add(FaultKind.UNPLUG, "opcua", now=NOW)
    assert board.unplugged.tolist() == [True] + [False] * 5
    assert [board.link(protocol) for protocol in ProtocolName] == [None, FaultKind.UNPLUG, None]
    board.add(FaultKind.SILENCE, "all", now=NOW)
    assert [board.link(protocol) for protocol in ProtocolName] == [FaultKind.SILENCE, FaultKind.UNPLUG, FaultKind.SILENCE]


def test_clearing_and_expiry() -> None:
    board = FaultBoard(UNITS)
    board.add(FaultKind.CLOCK, "mqtt", now=NOW, amount=5)
    drift = board.add(FaultKind.DRIFT, FIRST, now=NOW, seconds=10)
    noise = board.add(FaultKind.NOISE, FIRST, now=NOW)
    assert board.expire(NOW + 9 * times.SECOND) == []
    assert board.expire(NOW + 10 * times.SECOND) == [drift]
    assert board.clear(target=FIRST) == [noise]
    assert len(board.clear()) == 1
    assert not board.clock_offset.any()
    assert board.faults == []


@pytest.mark.parametrize(
    ("kind", "target", "amount", "words"),
    [
        (FaultKind.DRIFT, "PLANT01.AREA01.UNIT_99", None, "nothing here is called"),
        (FaultKind.DRIFT, "PLANT01.AREA01.UNIT_0", None, "nothing here is called"),
        (FaultKind.SILENCE, FIRST, None, "whole protocol"),
        (FaultKind.UNPLUG, f"{FIRST}.PRESSURE", None, f"use '{FIRST}'"),
        (FaultKind.CLOCK, "mqtt", None, "needs an amount"),
        (FaultKind.CLOCK, "modbus", 5.0, "no clock"),
        (FaultKind.CLOCK, FIRST, 5.0, "no clock"),
    ],
)
def test_what_does_not_fit_is_refused(kind: FaultKind, target: str, amount: float | None, words: str) -> None:
    board = FaultBoard(UNITS)
    with pytest.raises(ValueError, match=words):
        board.add(kind, target, now=NOW, amount=amount)
    assert board.faults == []
