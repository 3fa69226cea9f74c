"""The historian's side of the ledger: counts kept while writing, and the same counted anew."""

from dataclasses import dataclass
from typing import Any

import msgspec

from trunkline.historian import queries
from trunkline.historian.db import Connection
from trunkline.historian.readings import Discrepancy, LedgerRow, LedgerSnapshot
from trunkline.ledger.balance import REPLAY_ORIGIN, Cell, Counts
from trunkline.ledger.coverage import Range
from trunkline.log.port import TopicPartition
from trunkline.model import times
from trunkline.model.identity import LOG_ORIGIN
from trunkline.model.reading import Category

_ALL_HOURS = (0, 2**31 - 1)


@dataclass(frozen=True, slots=True)
class _Key:
    origin: str
    cell: Cell


def ledger(connection: Connection, from_time: int, to_time: int) -> list[LedgerRow]:
    """Return the cells of the hours that touch [from_time, to_time), µs UTC."""
    rows = _counts(connection, times.hour_of(from_time), times.hour_of(to_time - 1))
    return [LedgerRow(key.origin, key.cell, counts) for key, counts in rows.items()]


def snapshot(connection: Connection, *, recount: bool) -> LedgerSnapshot:
    """Return the whole ledger of one moment."""
    by_key = _counts(connection, *_ALL_HOURS)
    if recount:
        kept = _kept(connection)
        by_key = {key: msgspec.structs.replace(by_key.get(key, Counts()), kept=kept.get(key, 0)) for key in dict.fromkeys([*by_key, *kept])}
    cells: dict[Cell, Counts] = {}
    for key, counts in by_key.items():
        cells[key.cell] = _sum(cells[key.cell], counts) if key.cell in cells else counts
    positions = {TopicPartition(topic, partition): position for topic, partition, position in _rows(connection, queries.POSITIONS)}
    gateways = {origin: gateway or origin for origin, gateway in _rows(connection, queries.ORIGINS)}
    return LedgerSnapshot(cells, positions, gateways, holes(connection))


def audit(connection: Connection) -> list[Discrepancy]:
    """Return the cells whose tables do not hold what the ledger says."""
    return [
        Discrepancy(cell, counts.stored - counts.removed, counts.kept or 0)
        for cell, counts in snapshot(connection, recount=True).counts.items()
        if counts.stored - counts.removed != (counts.kept or 0)
    ]


def holes(connection: Connection) -> list[tuple[str, int, Range]]:
    """Return (gateway, partition, range) of positions that never arrived.

    Dead letters sent again come in any order, and offsets of a log may skip numbers: no holes there.
    """
    rows = _rows(connection, queries.HOLES, ([REPLAY_ORIGIN],))
    found = [(gateway or origin, partition, Range(lo, hi)) for origin, gateway, _, partition, lo, hi in rows]
    return [hole for hole in found if not hole[0].startswith(LOG_ORIGIN)]


def _counts(connection: Connection, first: int, last: int) -> dict[_Key, Counts]:
    return {_key(*row[:5]): Counts(*row[5:]) for row in _rows(connection, queries.LEDGER, (first, last))}


def _kept(connection: Connection) -> dict[_Key, int]:
    return {_key(*row[:5]): row[5] for row in _rows(connection, queries.RECOUNT)}


def _key(origin: str, gateway: str, source: str, category: int, hour: int) -> _Key:
    return _Key(origin, Cell(gateway or origin, source, Category(category).name.lower(), hour))


def _sum(one: Counts, other: Counts) -> Counts:
    names = [name for name in Counts.__struct_fields__ if name != "kept"]
    kept = None if one.kept is None and other.kept is None else (one.kept or 0) + (other.kept or 0)
    return Counts(**{name: getattr(one, name) + getattr(other, name) for name in names}, kept=kept)


def _rows(connection: Connection, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:  # noqa: ANN401 - as psycopg takes them
    return connection.execute(query, parameters).fetchall()
