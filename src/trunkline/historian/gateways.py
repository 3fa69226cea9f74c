"""What gateways report of themselves: health, and their side of the ledger."""

from collections.abc import Iterable
from typing import Any

import psycopg

from trunkline.historian import statements
from trunkline.historian.counts import LedgerCounts
from trunkline.ledger.status import GatewayStatus, encode_status
from trunkline.model import times
from trunkline.model.reading import Category

_CATEGORIES = {category.name.lower(): category for category in Category}


def store_statuses(cursor: psycopg.Cursor[Any], statuses: Iterable[GatewayStatus], counts: LedgerCounts) -> None:
    """Keep each gateway's newest report, and add its counts to those that the flush will carry into the ledger."""
    for status in statuses:
        cursor.execute(statements.NAME_ORIGIN, (status.origin, status.gateway))
        cursor.execute(statements.WRITE_STATUS, (status.gateway, times.to_datetime(status.at_us), encode_status(status).decode()))
        row = cursor.execute(statements.READ_ORIGIN, (status.origin,)).fetchone()
        assert row is not None, "just named"
        feeds: dict[str, int] = {}
        for source in sorted({count.source for count in status.counts}):
            cursor.execute(statements.ADD_FEED, (row[0], source))
            found = cursor.execute(statements.READ_FEED, (row[0], source)).fetchone()
            assert found is not None, "just made"
            feeds[source] = found[0]
        for count in status.counts:
            if count.category in _CATEGORIES:
                counts.tell(feeds[count.source], _CATEGORIES[count.category], count)
