"""Which requests to send for a set of tags. Pure: no I/O, no state.

A request names one table of one unit, a first register and a size. The plan is the fewest requests that cover every tag, none over the
device's limit and none reading over a longer gap than allowed.
"""

from collections.abc import Iterable
from typing import NamedTuple

from trunkline.sources.registers.address import Table


class Place(NamedTuple):
    """The registers (or coils) of one tag; `member` is the caller's number for it."""

    unit: int
    table: Table
    start: int
    size: int
    member: int

    @property
    def end(self) -> int:
        """One beyond the last register."""
        return self.start + self.size


class Request(NamedTuple):
    """One read, and the tags that it brings, in order of their start."""

    unit: int
    table: Table
    start: int
    size: int
    places: tuple[Place, ...]


class Limits(NamedTuple):
    """What the device takes in one request, and how many unused registers may be read over."""

    registers: int = 125
    coils: int = 2000
    gap: int = 0

    def of(self, table: Table) -> int:
        """Return the largest size of one request."""
        return self.coils if table.is_bits else self.registers


def _key(place: Place) -> tuple[int, str, int, int]:
    return place.unit, place.table.value, place.start, place.size


def coalesce(places: Iterable[Place], limits: Limits) -> list[Request]:
    """Return the fewest requests that cover all places.

    Taking places by their start and closing a request only when the next place does not fit is optimal: a later place that would still
    fit begins no earlier than the one that did not, so the following request has room for it.

    Args:
        places: any order; a place may not be longer than the limit of its table.
        limits: of the device.
    """
    requests: list[Request] = []
    run: list[Place] = []
    end = 0
    for place in sorted(places, key=_key):
        first = run[0] if run else place
        fits = place.end - first.start <= limits.of(place.table) and place.start - end <= limits.gap
        if run and not (fits and (place.unit, place.table) == (first.unit, first.table)):
            requests.append(_request(run))
            run = []
        end = max(end, place.end) if run else place.end
        run.append(place)
    if run:
        requests.append(_request(run))
    return requests


def _request(places: list[Place]) -> Request:
    first = places[0]
    return Request(first.unit, first.table, first.start, max(place.end for place in places) - first.start, tuple(places))


def halve(request: Request) -> tuple[Request, Request] | None:
    """Return the two halves of a refused request, or None when all its tags share the same registers and it cannot be narrowed."""
    starts = sorted({place.start for place in request.places})
    if len(starts) < 2:
        return None
    middle = starts[len(starts) // 2]
    return (
        _request([place for place in request.places if place.start < middle]),
        _request([place for place in request.places if place.start >= middle]),
    )
