"""Times are UTC microseconds since 1970-01-01 as one integer (int64). Text is ISO 8601 with a zone, always."""

import time
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: No reading of a real plant is older; an earlier stamp is a clock that was never set.
EARLIEST = 946_684_800 * SECOND  # 2000-01-01T00:00:00Z
#: A stamp further ahead than this is a clock that is wrong (W-110, D-15).
FUTURE_TOLERANCE = 10 * SECOND


def now() -> int:
    """Return the present time in microseconds."""
    return time.time_ns() // 1000


def from_datetime(moment: datetime) -> int:
    """Return microseconds for an aware datetime.

    Raises:
        ValueError: the datetime has no zone (PD-27).
    """
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no zone: add 'Z' or an offset such as '+02:00'")
    return (moment - EPOCH) // timedelta(microseconds=1)


def to_datetime(us: int) -> datetime:
    """Return the aware UTC datetime of `us`. Raises OverflowError outside the years 1 to 9999."""
    return EPOCH + timedelta(microseconds=us)


def from_iso(text: str) -> int:
    """Parse ISO 8601 with a zone, for example '2026-11-21T13:00:00.5Z'. Raises ValueError."""
    return from_datetime(datetime.fromisoformat(text))


def to_iso(us: int) -> str:
    """Return ISO 8601 in UTC with microseconds: '2026-11-21T13:00:00.500000Z'."""
    return to_datetime(us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def hour_of(us: int) -> int:
    """Return the number of whole hours since the epoch: what the ledger counts by."""
    return us // HOUR
