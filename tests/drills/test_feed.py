"""What a drill feeds is known from positions alone."""

import numpy as np
import pytest

from trunkline.drills.feed import CHUNK, Feed
from trunkline.log.codec.slots import TagSlot
from trunkline.model import times
from trunkline.model.reading import Kind

START = times.from_iso("2026-01-01T00:00:00Z")
LIVE = times.from_iso("2026-01-09T00:00:00Z")
KINDS = (Kind.DOUBLE, Kind.BOOLEAN, Kind.TEXT, Kind.INTEGER, Kind.DOUBLE)


def feed(steps: int = 10_000, live: int | None = LIVE, seed: int = 7) -> Feed:
    slots = [TagSlot.of(f"P.T{number}", "plc", kind, 4) for number, kind in enumerate(KINDS)]
    return Feed(slots, seed, times.SECOND, START, steps, live)


@pytest.mark.parametrize("first", [0, 1, 777])
def test_rows_hold_what_single_tags_are_said_to_have(first: int) -> None:
    """The edge is given the same values that the checker works out."""
    one = feed()
    rows = one.rows(first, one.at_once)
    step = np.arange(first, first + one.at_once)
    assert len(rows) == one.at_once * len(KINDS) <= CHUNK
    assert rows.time.reshape(-1, len(KINDS)).tolist() == np.tile(one.time(step), (len(KINDS), 1)).T.tolist()
    assert rows.numbers.reshape(-1, 2).T.tolist() == [one.number(0, step).tolist(), one.number(4, step).tolist()]
    assert rows.integers.reshape(-1, 2).T.tolist() == [one.integer(1, step).tolist(), one.integer(3, step).tolist()]
    assert rows.texts == one.text(2, step)
    assert set(one.integer(1, step).tolist()) == {0, 1}


def test_values_differ_by_tag_step_and_seed() -> None:
    """A reading in the wrong place is seen."""
    step = np.arange(5000)
    values = feed().number(0, step)
    assert len(set(values.tolist())) > 2000
    assert np.count_nonzero(values == feed().number(4, step)) < 50
    assert np.count_nonzero(values == feed(seed=8).number(0, step)) < 200


def test_live_steps_begin_when_it_is_said() -> None:
    """What comes after history has times of its own, and none before they are known."""
    one = feed(steps=10)
    assert one.time(np.array([9, 10, 11])).tolist() == [START + 9 * times.SECOND, LIVE, LIVE + times.SECOND]
    assert one.rows(10, 1, LIVE + 5).gateway_time.tolist() == [LIVE + 5] * len(KINDS)
    unknown = feed(steps=10, live=None)
    assert unknown.moment(9) == START + 9 * times.SECOND
    with pytest.raises(ValueError, match="nobody has said yet"):
        unknown.time(np.array([10]))
