"""Which positions of which origin records cover that hold one reading each.

A record that a part of ours wrote says it in its header. What a third party wrote has its place in the log as identity, whatever numbers
are inside: origin `log:<topic>`, position = offset. So nobody else's wrong count can make a reading look like a repeat.
"""

from dataclasses import dataclass

import numpy as np

from trunkline.log.codec.columns import I32, I64
from trunkline.log.codec.head import HEADER, BlockHead, decode_head
from trunkline.log.port import StoredRecord
from trunkline.log.runs import Run, Runs
from trunkline.model.errors import CorruptData
from trunkline.model.identity import LOG_ORIGIN


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """Heads of readings that came one by one.

    Attributes:
        heads: without tallies.
        firsts: per head, the first record that it covers.
        block: per reading, index into `heads`.
        seq: per reading, its position.
    """

    heads: list[BlockHead]
    firsts: list[StoredRecord]
    block: I32
    seq: I64


def cover(records: Runs, places: I64, wrong: dict[int, str]) -> Covered:
    """Return heads, and each reading's head and position.

    A refused record that has a header of its own is left out: its header goes the way of the dead letter, which accounts for it.

    Args:
        records: in log order.
        places: per reading, the record that it came from; ascending.
        wrong: readings that are refused, by position; those whose header cannot be read are added.
    """
    covering = _Covering(len(places), wrong)
    bounds = places.searchsorted(records.starts).tolist()
    for number, run in enumerate(records.runs):
        start, end = bounds[number], bounds[number + 1]
        if start < end:
            own = places[start:end] - int(records.starts[number])
            if run.headers is None:
                covering.by_offset(run, own, slice(start, end))
            else:
                covering.by_header(run, own.tolist(), start)
    return covering.covered()


class _Covering:
    """Heads so far. A head grows as long as what follows in its partition is of its origin and meets it."""

    def __init__(self, readings: int, wrong: dict[int, str]) -> None:
        self._wrong = wrong
        self._numbers: dict[tuple[str, int, str], int] = {}
        self._origins: list[str] = []
        self._bounds: list[list[int]] = []
        self._firsts: list[StoredRecord] = []
        self._block = np.zeros(readings, np.int32)
        self._seq = np.zeros(readings, np.int64)

    def by_offset(self, run: Run, own: I64, rows: slice) -> None:
        """Take in readings of a run whose records have no headers; `own` are their places in it."""
        offsets = run.offsets if len(own) == len(run) else run.offsets[own]
        self._block[rows] = self._of_the_log(run, int(own[0]), int(offsets[-1]) + 1)
        self._seq[rows] = offsets

    def by_header(self, run: Run, own: list[int], row: int) -> None:
        """Take in readings of a run, one by one; they begin at `row`."""
        assert run.headers is not None
        for reading, place in enumerate(own, row):
            header = next((value for name, value in run.headers[place] if name == HEADER), None)
            if header is None:
                offset = int(run.offsets[place])
                self._block[reading], self._seq[reading] = self._of_the_log(run, place, offset + 1), offset
                continue
            head = self._head(header, reading)
            if head is None or reading in self._wrong:
                continue
            number = self._numbers.get((run.topic, run.partition, head.origin))
            if number is None or self._bounds[number][1] != head.lo:
                number = self._begin(run[place], head.origin, head.origin, head.lo)
            self._block[reading], self._seq[reading], self._bounds[number][1] = number, head.hi - 1, head.hi

    def covered(self) -> Covered:
        """Return what came of it."""
        heads = [BlockHead(origin, lo, hi, ()) for origin, (lo, hi) in zip(self._origins, self._bounds, strict=True)]
        return Covered(heads, self._firsts, self._block, self._seq)

    def _of_the_log(self, run: Run, place: int, hi: int) -> int:
        """Return the head of a partition's readings that are known by their offsets; it covers them up to `hi` now."""
        number = self._numbers.get((run.topic, run.partition, ""))
        if number is None:
            first = run[place]
            number = self._begin(first, "", f"{LOG_ORIGIN}{run.topic}", first.offset)
        self._bounds[number][1] = hi
        return number

    def _begin(self, first: StoredRecord, known_as: str, origin: str, lo: int) -> int:
        number = self._numbers[first.topic, first.partition, known_as] = len(self._firsts)
        self._origins.append(origin)
        self._bounds.append([lo, lo])
        self._firsts.append(first)
        return number

    def _head(self, header: bytes, reading: int) -> BlockHead | None:
        try:
            return decode_head(header)
        except CorruptData as error:
            self._wrong.setdefault(reading, str(error))
            return None
