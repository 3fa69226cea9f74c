"""What the reader hands out."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from trunkline.historian.segments import BOOL, F64, I64, U16
from trunkline.ledger.balance import Cell, Counts
from trunkline.ledger.coverage import Range
from trunkline.log.port import Positions
from trunkline.model.reading import Kind, Value


@dataclass(frozen=True, slots=True)
class Tag:
    """A series as people know it."""

    tag: str
    kind: Kind
    unit: str
    description: str
    min: float | None
    max: float | None
    gateway: str
    source: str


@dataclass(frozen=True, slots=True)
class TagPage:
    """Tags in order of their path. `next` is the cursor of the next page, None on the last."""

    tags: list[Tag]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Node:
    """One step down the tree. `branch` says that there is more below; `tags` counts everything from here on."""

    name: str
    path: str
    branch: bool
    tags: int


@dataclass(frozen=True, slots=True)
class LatestValue:
    """The newest reading of a tag, by time in history (µs UTC)."""

    tag: str
    kind: Kind
    value: Value
    quality: int
    time: int
    gateway_time: int


@dataclass(slots=True)
class Raw:
    """Readings of one tag in order of time.

    Attributes:
        time: µs UTC.
        quality: 16 bits.
        number: of double tags; NaN when absent.
        integer: of integer and boolean tags; 0 when absent.
        text: of text tags.
        absent: True where there is no value.
        truncated: more readings exist in the time asked for than the limit let through.
        event_ids: those that readings came with, None for a reading without one; None when they were not asked for or there are none.
    """

    tag: str
    kind: Kind
    unit: str
    time: I64
    quality: U16
    number: F64
    integer: I64
    text: list[str | None]
    absent: BOOL
    truncated: bool = False
    event_ids: list[UUID | None] | None = None

    def __len__(self) -> int:
        return len(self.time)

    def values(self) -> list[Value]:
        """Return the values as Python objects, None where there is none."""
        found: list[Value]
        match self.kind:
            case Kind.TEXT:
                return list(self.text)
            case Kind.DOUBLE:
                found = list(self.number.tolist())
            case Kind.INTEGER:
                found = list(self.integer.tolist())
            case Kind.BOOLEAN:
                found = [bool(value) for value in self.integer.tolist()]
        for place in np.flatnonzero(self.absent).tolist():
            found[place] = None
        return found


@dataclass(slots=True)
class Chart:
    """Buckets that have readings, ascending.

    Attributes:
        width: of every bucket, µs; buckets start at whole multiples of it.
        time: bucket starts, µs UTC.
        n: readings.
        bad: readings that are not GOOD.
        min, max, avg: of readings with a finite value that are not BAD; NaN where there is none.
        resolution: what most of it was made of: 'raw', or the tier of rollups ('1min', '1h'). The figures are the same.
    """

    tag: str
    kind: Kind
    unit: str
    width: int
    time: I64
    n: I64
    bad: I64
    min: F64
    max: F64
    avg: F64
    resolution: str = "raw"

    @property
    def readings(self) -> int:
        """Readings in all buckets."""
        return int(self.n.sum())

    @property
    def good_percent(self) -> float:
        """Share of GOOD readings; 100 when there are none."""
        return 100.0 * (1 - int(self.bad.sum()) / self.readings) if self.readings else 100.0


@dataclass(frozen=True, slots=True)
class ValueAt:
    """The value of a tag at a time.

    Attributes:
        time: the time asked for, µs UTC.
        from_time: of the reading it comes from: the last one not after `time`.
    """

    tag: str
    kind: Kind
    value: Value
    quality: int
    time: int
    from_time: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One cell of the ledger, by origin. `kept` is what the tables hold when they were counted anew, else None."""

    origin: str
    cell: Cell
    counts: Counts


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """Everything the ledger needs, of one moment.

    Attributes:
        counts: by cell; origins of one gateway are summed up.
        positions: log positions of the data counted.
        gateways: gateway of each origin.
        holes: (gateway, partition, range) of journal positions that were skipped.
    """

    counts: dict[Cell, Counts]
    positions: Positions
    gateways: dict[str, str]
    holes: list[tuple[str, int, Range]]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A cell whose tables do not hold what the ledger says: `expected` is stored less removed."""

    cell: Cell
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that was taken out of history on purpose."""

    id: int
    at: int
    kind: str
    actor: str
    reason: str
    tag: str
    from_time: int
    to_time: int
    records: int
