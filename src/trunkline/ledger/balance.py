"""Does the ledger close? Counts of every hop against each other, by gateway, source, class and hour.

    read      = waiting + forwarded + dropped
    forwarded = stored + rejected + deduplicated + in transit

The edge's counts arrive through the log and are a few seconds older than the historian's, while data is flowing. What was forwarded by
then must be settled or in transit by now, whatever moves meanwhile: `missing` above 0 is a loss at any time. The opposite, more settled
than was ever read, is told apart from mere haste only once the edge's counts speak of everything and nothing moves (`quiet`), or the hour
is over; until then what is settled or in transit counts as read, for so much must have been.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from trunkline.ledger.coverage import Range
from trunkline.model import times
from trunkline.model.identity import LOG_ORIGIN

#: Gateway under which readings sent again from the dead letters are stored; nothing reads them anew.
REPLAY_ORIGIN: Final = "deadletter"


class Cell(NamedTuple):
    """What the ledger counts by."""

    gateway: str
    source: str
    category: str
    hour: int


class Counts(msgspec.Struct, frozen=True):
    """One cell's counts at every hop.

    Attributes:
        read: made durable at the edge.
        forwarded: acknowledged by the site log.
        dropped: given up at the edge by the overflow policy.
        stored: written by the historian.
        rejected: refused by validation; in a dead-letter topic.
        deduplicated: repeats dropped by validation.
        repeats: resent records dropped by the historian because their range was known; for information.
        removed: stored, then taken away on purpose by retention or a correction.
        kept: recounted in the historian's tables; None when it was not recounted.
    """

    read: int = 0
    forwarded: int = 0
    dropped: int = 0
    stored: int = 0
    rejected: int = 0
    deduplicated: int = 0
    repeats: int = 0
    removed: int = 0
    kept: int | None = None


class Row(msgspec.Struct, frozen=True):
    """One cell, closed or not.

    Attributes:
        waiting: at the edge, not forwarded yet.
        in_transit: in the site log, not settled yet.
        missing: forwarded, but neither settled nor in transit, or stored and no longer there.
        surplus: settled more often than read.
    """

    gateway: str
    source: str
    category: str
    hour_us: int
    read: int
    waiting: int
    forwarded: int
    dropped: int
    stored: int
    rejected: int
    deduplicated: int
    repeats: int
    in_transit: int
    missing: int
    surplus: int
    balanced: bool


class Hole(msgspec.Struct, frozen=True):
    """Journal positions of a partition that never arrived although later ones did, and were not given up on record."""

    gateway: str
    partition: int
    lo: int
    hi: int


class Balance(msgspec.Struct, frozen=True):
    """The whole ledger at one moment."""

    balanced: bool
    at_us: int
    quiet: bool
    totals: dict[str, int]
    rows: list[Row]
    holes: list[Hole]


#: The counts of a row that add up over rows.
SUMMED: Final = (
    "read",
    "waiting",
    "forwarded",
    "dropped",
    "stored",
    "rejected",
    "deduplicated",
    "repeats",
    "in_transit",
    "missing",
    "surplus",
)


def balance(
    counts: Mapping[Cell, Counts],
    in_transit: Mapping[Cell, int],
    holes: Iterable[tuple[str, int, Range]],
    at_us: int,
    *,
    up_to_date: bool,
) -> Balance:
    """Balance the ledger.

    Args:
        counts: every cell's counts.
        in_transit: readings in the site log behind the historian's positions, by cell, taken after `counts`.
        holes: (gateway, partition, range) of positions that were skipped.
        at_us: present time.
        up_to_date: whether the edge's counts are younger than everything that they forwarded.
    """
    moving = sum(in_transit.values()) + sum(max(0, one.read - one.forwarded - one.dropped) for one in counts.values())
    quiet = moving == 0 and up_to_date
    rows = [
        _row(cell, counts.get(cell, Counts()), in_transit.get(cell, 0), quiet=quiet, at_us=at_us)
        for cell in sorted({*counts, *in_transit}, key=lambda cell: (-cell.hour, cell))
    ]
    totals: Counter[str] = Counter(dict.fromkeys(SUMMED, 0))
    for row in rows:
        for name in SUMMED:
            totals[name] += getattr(row, name)
    found = [Hole(gateway, partition, hole.lo, hole.hi) for gateway, partition, hole in holes]
    return Balance(all(row.balanced for row in rows) and not found, at_us, quiet, dict(totals), rows, found)


def _row(cell: Cell, one: Counts, in_transit: int, *, quiet: bool, at_us: int) -> Row:
    settled = one.stored + one.rejected + one.deduplicated
    lost = max(0, one.forwarded - settled - in_transit)
    gone = surplus = 0
    if one.kept is not None:
        there = one.stored - one.removed
        gone, surplus = max(0, there - one.kept), max(0, one.kept - there)
    read, forwarded = one.read, one.forwarded
    if cell.gateway == REPLAY_ORIGIN or cell.gateway.startswith(LOG_ORIGIN):
        read = forwarded = settled + in_transit
    elif quiet or times.hour_of(at_us) > cell.hour + 1:
        surplus += max(0, settled + in_transit - read)
    else:
        forwarded = max(forwarded, settled + in_transit)
        read = max(read, forwarded + one.dropped)
    missing = lost + gone
    return Row(
        gateway=cell.gateway,
        source=cell.source,
        category=cell.category,
        hour_us=cell.hour * times.HOUR,
        read=read,
        waiting=max(0, read - forwarded - one.dropped),
        forwarded=forwarded,
        dropped=one.dropped,
        stored=one.stored,
        rejected=one.rejected,
        deduplicated=one.deduplicated,
        repeats=one.repeats,
        in_transit=in_transit,
        missing=missing,
        surplus=surplus,
        balanced=missing == 0 and surplus == 0,
    )


def unbalanced(result: Balance) -> Sequence[str]:
    """Return one sentence for each cell and hole that does not close, naming gateway, source and hour."""
    words: list[str] = []
    for row in result.rows:
        if not row.balanced:
            what = f"{row.missing:,} missing" if row.missing else f"{row.surplus:,} too many"
            words.append(
                f"gateway {row.gateway}, source {row.source or '-'}, {row.category}, hour {times.to_iso(row.hour_us)[:13]}: {what}"
            )
    words += [
        f"gateway {hole.gateway}, partition {hole.partition}: positions {hole.lo:,} to {hole.hi - 1:,} never arrived"
        for hole in result.holes
    ]
    return words
