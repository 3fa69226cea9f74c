"""Replacing segments by others with the same readings, or fewer: one transaction, counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from trunkline.historian import statements
from trunkline.historian.pgbinary import COPY_HEADER, COPY_TRAILER
from trunkline.historian.segments import Packed, Readings, copy_rows, cut
from trunkline.model.errors import RetryLater

#: Columns of a segment to be replaced: where its row is, whether its series has whole numbers, and the columns of `Packed`.
TAKEN: Final = """
    g.tableoid::int8, g.ctid::text, s.kind IN (1, 2), g.series_id, g.feed_id, g.hour, g.n, g.scale, g.t0, g.t1, g.t_off, g.d, g.v, g.i, g.q,
    g.ids
"""
#: First statement of every rewriting transaction: of two at once, the later would not see what the earlier put in place.
ONE_REWRITER: Final = "SELECT pg_advisory_xact_lock(7211, 4)"
_DELETE: Final = """
    DELETE FROM segment g USING unnest(%s::int8[], %s::text[]) AS old (part, place)
    WHERE g.tableoid = old.part::oid AND g.ctid = old.place::tid
"""


@dataclass(slots=True)
class Taken:
    """A segment whose row this transaction has locked."""

    part: int
    place: str
    whole: bool
    segment: Packed

    def readings(self) -> Readings:
        """Return its readings."""
        return self.segment.unpack(whole=self.whole)


def take(cursor: psycopg.Cursor[Any], query: str, parameters: Mapping[str, Any]) -> list[Taken]:
    """Return the segments of a query of `TAKEN` columns that ends in FOR UPDATE."""
    rows = cursor.connection.cursor(binary=True).execute(query, parameters).fetchall()
    return [Taken(part, place, whole, Packed(*packed)) for part, place, whole, *packed in rows]


def replace(cursor: psycopg.Cursor[Any], old: list[Taken], new: Readings) -> int:
    """Delete segments and insert these readings instead; return how many segments there are now.

    Raises:
        RetryLater: a row was gone although it was locked; the transaction must not be committed.
    """
    if old:
        deleted = cursor.execute(_DELETE, ([one.part for one in old], [one.place for one in old])).rowcount
        if deleted != len(old):
            raise RetryLater(f"{len(old)} segments were to be replaced, {deleted} were there")
    segments = cut(new)
    if len(segments):
        with cursor.copy(statements.COPY_SEGMENTS) as copy:
            copy.write(COPY_HEADER + copy_rows(segments) + COPY_TRAILER)
    return len(segments)
