"""Decoding many records at once although a few of them are broken.

The decoder takes thousands of records in one call and tells of a broken one only that it is there. What it says of one record alone is the
judgement; everything here is about asking it seldom.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np

from trunkline.log.codec.columns import I64
from trunkline.model.errors import CorruptData

T = TypeVar("T")

#: A call costs as much as decoding some hundred records, so this many are tried together before they are halved.
_PIECE: Final = 512
#: Of the records of one schema, those whose length fewer than one in this many have are the first to suspect: most damage changes it.
_RARE: Final = 200


def read_sound(
    read: Callable[[Sequence[bytes], I64], T], values: Sequence[bytes], arrived: I64
) -> tuple[list[tuple[T, I64]], dict[int, str]]:
    """Decode all records that can be decoded.

    Args:
        read: decodes records, all or none; raises CorruptData.
        values: of records.
        arrived: per record, its own time, µs.

    Returns:
        What was decoded, each with the places it is from, and the reason for each place that cannot be decoded.
    """
    search = _Search(read, values, arrived)
    search.run()
    return search.found, search.broken


@dataclass(slots=True)
class _Search(Generic[T]):
    read: Callable[[Sequence[bytes], I64], T]
    values: Sequence[bytes]
    arrived: I64
    found: list[tuple[T, I64]] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)

    def run(self) -> None:
        """Try all; then all but the suspects; then what is left piece by piece."""
        places = np.arange(len(self.values))
        if self._fault(places) is None:
            return
        if len(places) > _PIECE:
            size = np.fromiter(map(len, self.values), np.int64, len(self.values))
            rare = np.bincount(size)[size] * _RARE < len(self.values)
            if rare.any() and not rare.all() and self._fault(np.flatnonzero(~rare)) is None:
                places = np.flatnonzero(rare)
        for piece in np.split(places, range(_PIECE, len(places), _PIECE)):
            self._halve(piece)

    def _halve(self, places: I64) -> None:
        """Decode, and where that fails find the broken records by halving."""
        fault = self._fault(places)
        if fault is None:
            return
        if len(places) == 1:
            self.broken[int(places[0])] = fault
            return
        middle = len(places) // 2
        self._halve(places[:middle])
        self._halve(places[middle:])

    def _fault(self, places: I64) -> str | None:
        """Decode the records at these places, all or none; return what is wrong."""
        values, arrived = self.values, self.arrived
        if len(places) < len(values):
            values, arrived = [values[place] for place in places.tolist()], arrived[places]
        try:
            self.found.append((self.read(values, arrived), places))
        except CorruptData as error:
            return str(error)
        return None
