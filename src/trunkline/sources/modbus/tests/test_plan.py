from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trunkline.sources.modbus.plan import Limits, Place, Request, coalesce, halve
from trunkline.sources.registers.address import Table

HOLDING, COIL = Table.HOLDING, Table.COIL


def places(*spans: tuple[int, int], unit: int = 1, table: Table = HOLDING) -> list[Place]:
    return [Place(unit, table, start, size, member) for member, (start, size) in enumerate(spans)]


def asked(requests: list[Request]) -> list[tuple[int, int]]:
    return [(request.start, request.size) for request in requests]


def test_neighbours_are_read_together() -> None:
    assert asked(coalesce(places((102, 2), (100, 2), (104, 1)), Limits())) == [(100, 5)]


def test_a_hole_is_read_over_only_when_allowed() -> None:
    spans = places((100, 1), (103, 1))
    assert asked(coalesce(spans, Limits(gap=1))) == [(100, 1), (103, 1)]
    assert asked(coalesce(spans, Limits(gap=2))) == [(100, 4)]


def test_a_value_is_never_torn_between_two_requests() -> None:
    assert asked(coalesce(places(*((2 * at, 2) for at in range(63))), Limits(registers=125))) == [(0, 124), (124, 2)]


def test_a_short_value_within_a_long_one_does_not_end_it() -> None:
    assert asked(coalesce(places((0, 4), (1, 1), (4, 1)), Limits())) == [(0, 5)]


def test_units_and_tables_are_asked_apart() -> None:
    mixed = places((0, 1)) + places((1, 1), unit=2) + places((1, 1), table=COIL) + places((1, 1))
    assert sorted((one.unit, one.table.value, one.start, one.size) for one in coalesce(mixed, Limits())) == [
        (1, "coil", 1, 1),
        (1, "holding", 0, 2),
        (2, "holding", 1, 1),
    ]


def test_nothing_to_read_is_no_request() -> None:
    assert coalesce([], Limits()) == []


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), min_size=1, max_size=12)
limits = st.builds(Limits, st.integers(4, 12), st.integers(4, 12), st.integers(0, 5))


@given(spans, limits, st.sampled_from([HOLDING, COIL]))
def test_every_place_is_covered_within_the_limits(given_spans: list[tuple[int, int]], limit: Limits, table: Table) -> None:
    """Issue requirement: the fewest requests within device limits, no tag forgotten."""
    wanted = places(*given_spans, table=table)
    requests = coalesce(wanted, limit)
    assert sorted(place.member for request in requests for place in request.places) == list(range(len(wanted)))
    for request in requests:
        assert request.size <= limit.of(table)
        assert all(request.start <= place.start and place.end <= request.start + request.size for place in request.places)
        covered = sorted({register for place in request.places for register in range(place.start, place.end)})
        assert all(after - before - 1 <= limit.gap for before, after in pairwise(covered))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), min_size=1, max_size=7), limits)
def test_there_is_no_plan_with_fewer_requests(given_spans: list[tuple[int, int]], limit: Limits) -> None:
    wanted = places(*given_spans)
    assert len(coalesce(wanted, limit)) == fewest(wanted, limit)


def fewest(wanted: list[Place], limit: Limits) -> int:
    """Try every assignment of places to requests."""

    def allowed(group: list[Place]) -> bool:
        covered = sorted({register for place in group for register in range(place.start, place.end)})
        gaps = (after - before - 1 for before, after in pairwise(covered))
        return covered[-1] - covered[0] < limit.registers and all(gap <= limit.gap for gap in gaps)

    best = len(wanted)

    def assign(rest: list[Place], groups: list[list[Place]]) -> None:
        nonlocal best
        if len(groups) >= best and rest:
            return
        if not rest:
            if all(map(allowed, groups)):
                best = min(best, len(groups))
            return
        for group in groups:
            group.append(rest[0])
            assign(rest[1:], groups)
            group.pop()
        assign(rest[1:], [*groups, [rest[0]]])

    assign(wanted, [])
    return best


@given(spans, limits)
def test_halving_ends_with_single_addresses_and_loses_none(given_spans: list[tuple[int, int]], limit: Limits) -> None:
    wanted = places(*given_spans)
    pending = coalesce(wanted, limit)
    single = []
    while pending:
        request = pending.pop()
        halves = halve(request)
        if halves is None:
            assert len({place.start for place in request.places}) == 1
            single.append(request)
        else:
            assert all(half.size <= request.size and half.places for half in halves)
            pending.extend(halves)
    assert sorted(place.member for request in single for place in request.places) == list(range(len(wanted)))
