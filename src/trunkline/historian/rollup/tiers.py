"""Tiers: how long the buckets of a rollup are, and where days begin."""

from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np

from trunkline.historian.segments import I64
from trunkline.model import times

TierName = Literal["1s", "10s", "1min", "1h", "1day"]


class Tier(IntEnum):
    """A length of bucket, as the tables number them."""

    SECOND = 1
    TEN_SECONDS = 2
    MINUTE = 3
    HOUR = 4
    DAY = 5

    @property
    def title(self) -> TierName:
        """Its name for people, in commands and in SQL."""
        return _NAMES[self]

    @property
    def width(self) -> int:
        """µs of a bucket. A day has 23 to 25 hours where the clocks change: see `day_of` and `day_after`."""
        return _WIDTHS[self]


_NAMES: Final[dict[Tier, TierName]] = {
    Tier.SECOND: "1s",
    Tier.TEN_SECONDS: "10s",
    Tier.MINUTE: "1min",
    Tier.HOUR: "1h",
    Tier.DAY: "1day",
}
_WIDTHS: Final[dict[Tier, int]] = {
    Tier.SECOND: times.SECOND,
    Tier.TEN_SECONDS: 10 * times.SECOND,
    Tier.MINUTE: times.MINUTE,
    Tier.HOUR: times.HOUR,
    Tier.DAY: times.DAY,
}
BY_NAME: Final[dict[str, Tier]] = {name: tier for tier, name in _NAMES.items()}
#: Made only where the site file asks for them: at one reading a second or less the readings themselves are smaller.
FINE: Final = (Tier.SECOND, Tier.TEN_SECONDS)


def day_of(zone: ZoneInfo, time: int) -> int:
    """Return when the day of this time began in that zone, both in µs UTC."""
    local = times.to_datetime(time).astimezone(zone)
    return _midnight(zone, datetime(local.year, local.month, local.day))  # noqa: DTZ001 - wall clock on purpose


def day_after(zone: ZoneInfo, day: int) -> int:
    """Return the beginning of the day after the one that begins at `day`: 23 to 25 hours later."""
    local = times.to_datetime(day).astimezone(zone)
    return _midnight(zone, datetime(local.year, local.month, local.day) + timedelta(days=1))  # noqa: DTZ001 - wall clock on purpose


def _midnight(zone: ZoneInfo, day: datetime) -> int:
    """Return the first moment of a calendar day: where clocks leap over midnight, or strike it twice, that is not always 00:00."""
    return times.from_datetime(day.replace(tzinfo=zone, fold=0))


def starts(tier: Tier, zone: ZoneInfo, from_time: int, to_time: int) -> I64:
    """Return the starts of the buckets that touch from_time <= time < to_time, and the end of the last one behind them, µs UTC."""
    if tier is not Tier.DAY:
        low = from_time // tier.width * tier.width
        return low + tier.width * np.arange(max(1, -(-(to_time - low) // tier.width)) + 1)
    found = [day_of(zone, from_time)]
    while found[-1] < to_time or len(found) == 1:
        found.append(day_after(zone, found[-1]))
    return np.array(found, np.int64)


def ends(tier: Tier, zone: ZoneInfo, begins: I64) -> I64:
    """Return where buckets that begin at these times end, µs UTC."""
    if tier is not Tier.DAY:
        return np.asarray(begins + tier.width)
    days, place = np.unique(begins, return_inverse=True)
    return np.array([day_after(zone, day) for day in days.tolist()], np.int64)[place]
