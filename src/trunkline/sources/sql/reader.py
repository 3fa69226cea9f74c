"""From a query to batches: what is new since the last one, and what is told of rows that make no sense. Runs in a thread."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import msgspec

from trunkline.model.errors import SourceMisconfigured
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading, Value
from trunkline.sources.decoding import Undecodable, checked_value, parse_text
from trunkline.sources.sql.config import SqlConfig
from trunkline.sources.sql.databases import Database, Result, Since
from trunkline.sources.tables import Column, Getter, TableDecoder

_log = logging.getLogger(__name__)

UNDECODABLE: Final = "ROW_UNDECODABLE"
#: Readings of one batch; enough for one durable write, few enough to hold in memory.
_MOST_READINGS: Final = 10_000
#: Rows of a query without a cursor, and rows that share a cursor's value.
_MOST_ROWS: Final = 100_000
_MAX_TEXT_BYTES: Final = 65_536


class Checkpoint(msgspec.Struct, frozen=True, tag="sql"):
    """Where reading stands: the last row's value of the cursor's column."""

    cursor: str
    since: int | float | str


@dataclass(slots=True)
class Taken:
    """What one run took."""

    rows: int = 0
    more: bool = False
    readings: list[Reading] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    checkpoint: str | None = None


class RowReader:
    """Runs the query of one source for what is new.

    Attributes:
        undecodable: rows, or cells of them, that made no sense since the start.
    """

    def __init__(self, config: SqlConfig, database: Database, now: Callable[[], int], checkpoint: str | None) -> None:
        """Prepare. Raises SourceMisconfigured if the checkpoint is of another cursor, or of another kind of source."""
        self.undecodable = 0
        self._config = config
        self._database = database
        self._now = now
        self._since: Since = config.start
        columns = 1 if config.long else max(1, len(config.tags))
        self._most_rows = max(1, _MOST_READINGS // columns)
        if checkpoint is not None:
            try:
                stored = msgspec.json.decode(checkpoint, type=Checkpoint)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise SourceMisconfigured(
                    f"source {config.id} stored its place as another type of source: give the SQL source an id of its own"
                ) from None
            if stored.cursor != config.cursor:
                raise SourceMisconfigured(
                    f"source {config.id} has read by {stored.cursor!r} up to {stored.since!r}, not by {config.cursor!r}: set 'cursor' "
                    "back, or give the source another id and a 'start'"
                )
            self._since = stored.since

    def check(self) -> Taken:
        """Take nothing, but see that the query runs and gives every column. Raises SourceUnavailable, SourceMisconfigured."""
        with self._database.run(self._since) as result:
            self._decoder(result)
        return Taken()

    def take(self) -> Taken:
        """Return the next rows. Raises SourceUnavailable, SourceMisconfigured."""
        with self._database.run(self._since) as result:
            decoder = self._decoder(result)
            rows, more = self._rows(result)
        taken = Taken(len(rows), more)
        self._decode(rows, result.columns, decoder, taken)
        if rows and self._config.cursor:
            taken.checkpoint = msgspec.json.encode(Checkpoint(self._config.cursor, self._since)).decode()
        return taken

    def _rows(self, result: Result) -> tuple[list[tuple[Any, ...]], bool]:
        """Return a batch of rows, and whether there are more; those that share the cursor's value stay together."""
        if not self._config.cursor:
            rows = result.fetch(_MOST_ROWS + 1)
            if len(rows) > _MOST_ROWS:
                raise SourceMisconfigured(f"the query gives more than {_MOST_ROWS} rows: give 'cursor', so that only new ones are read")
            return rows, False
        place = result.columns.index(self._config.cursor)
        rows = result.fetch(self._most_rows)
        more = len(rows) == self._most_rows
        while more and (following := result.fetch(1)) and following[0][place] == rows[-1][place]:
            rows += following
            if len(rows) > _MOST_ROWS:
                raise SourceMisconfigured(f"more than {_MOST_ROWS} rows have the same {self._config.cursor}: choose another 'cursor'")
        self._since = _last(rows, place, self._config.cursor, self._since)
        return rows, more

    def _decoder(self, result: Result) -> TableDecoder:
        def find(column: Column) -> Getter:
            known = column in result.columns if isinstance(column, str) else column <= len(result.columns)
            if not known:
                given = ", ".join(result.columns)
                raise SourceMisconfigured(f"the query gives no column {column!r}, but {given}: mend 'query' or the column")
            place = column - 1 if isinstance(column, int) else result.columns.index(column)
            return lambda row: row[place]

        if self._config.cursor:
            find(self._config.cursor)
        return TableDecoder(self._config, find, _value)

    def _decode(self, rows: Sequence[tuple[Any, ...]], columns: Sequence[str], decoder: TableDecoder, taken: Taken) -> None:
        faults = 0
        first: tuple[tuple[Any, ...], str] | None = None
        for row in rows:
            readings, why = decoder.decode(row, self._now())
            taken.readings += readings
            if why:
                faults += 1
                first = first or (row, why)
        if first is not None:
            self.undecodable += faults
            taken.events.append(self._fault(*first, columns, faults))

    def _fault(self, row: tuple[Any, ...], why: str, columns: Sequence[str], faults: int) -> Event:
        """Return one event for all rows of a batch that make no sense, so that garbage does not flood."""
        where = f"{self._config.cursor} = {row[columns.index(self._config.cursor)]}" if self._config.cursor else f"row {row!r:.200}"
        others = f" ({faults - 1} more rows of this batch make no sense)" if faults > 1 else ""
        _log.warning("source %s: %s: %s%s", self._config.id, where, why, others)
        now = self._now()
        attributes: dict[str, Value] = {"row": where, "rows": faults, "reason": why}
        return Event(
            id=str(uuid7()), type=UNDECODABLE, time=now, gateway_time=now, text=f"{where}: {why}{others}", quality=Quality.BAD_DECODING,
            attributes=attributes,
        )  # fmt: skip


def _last(rows: Sequence[tuple[Any, ...]], place: int, cursor: str, since: Since) -> Since:
    """Return the last row's value of the cursor as it is stored. Raises SourceMisconfigured if it does not grow."""
    if not rows:
        return since
    found = [row[place] for row in rows]
    if any(value is None for value in found):
        raise SourceMisconfigured(f"a row has no {cursor}: add 'AND {cursor} IS NOT NULL' to the query")
    # how texts are ordered is the database's to say
    if any(not isinstance(later, str) and later < earlier for earlier, later in pairwise(found)):
        raise SourceMisconfigured(f"the rows do not come in the order of {cursor}: add 'ORDER BY {cursor}' to the query")
    last = found[-1]
    if isinstance(last, datetime | date):
        return last.isoformat()
    return last if isinstance(last, int | float | str) and not isinstance(last, bool) else str(last)


def _value(raw: object, kind: Kind) -> Value:
    """Return a cell as a value of a kind. Raises Undecodable."""
    match raw:
        case Decimal() if kind is Kind.INTEGER and raw.is_finite() and raw == raw.to_integral_value():
            raw = int(raw)
        case Decimal():
            raw = str(raw) if kind is Kind.TEXT else float(raw)
        case str() if kind is not Kind.TEXT:
            raw = parse_text(raw, kind)
        case datetime() | date() | time_of_day() if kind is Kind.TEXT:
            raw = raw.isoformat()
        case UUID() if kind is Kind.TEXT:
            raw = str(raw)
        case bytes() | memoryview():
            raise Undecodable("bytes are no value")
    return checked_value(raw, kind, _MAX_TEXT_BYTES)
