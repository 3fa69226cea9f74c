from hypothesis import given
from hypothesis import strategies as st

from trunkline.ledger.coverage import Coverage, Range

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=20)


@given(ranges, st.integers(0, 80), st.integers(0, 20))
def test_coverage_equals_a_set_of_positions(added: list[tuple[int, int]], lo: int, length: int) -> None:
    """PD-6: gaps and repeats are counted by position."""
    coverage = Coverage(added)
    model = {position for start, end in added for position in range(start, end)}
    assert {position for start, end in coverage.ranges for position in range(start, end)} == model
    wanted = set(range(lo, lo + length))
    assert coverage.covers(lo, lo + length) == (wanted <= model)
    assert coverage.overlaps(lo, lo + length) == bool(wanted & model)
    assert (lo in coverage) == (lo in model)
    assert coverage.reach(lo) == next(position for position in range(lo, 200) if position not in model)
    end = max(model, default=-1) + 1
    assert coverage.end == end
    assert {position for start, stop in coverage.holes() for position in range(start, stop)} == set(range(end)) - model
    assert all(one.hi < other.lo for one, other in zip(coverage.ranges, coverage.ranges[1:], strict=False))


def test_ranges_that_meet_become_one() -> None:
    coverage = Coverage([(0, 10), (20, 30), (10, 20)])
    assert coverage.ranges == (Range(0, 30),)
    assert coverage.holes() == ()
