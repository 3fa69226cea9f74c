"""Hours of the day and of the week as the clocks of a time zone show them."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from trunkline.log.codec.columns import I64
from trunkline.model import times

#: Hours that a season has.
HOURS: Final = {"none": 1, "day": 24, "week": 168}
#: Offsets of zones change at whole quarters of an hour of UTC only.
_QUARTER: Final = 15 * times.MINUTE


def hour_of(time: I64, zone: str, season: str) -> I64:
    """Return the hour of each time within its season: from 0 for midnight, of Monday for a week; 0 where there is no season.

    Args:
        time: µs UTC.
        zone: IANA name.
        season: 'none', 'day' or 'week'.
    """
    if season == "none":
        return np.zeros(len(time), np.int64)
    quarters, place = np.unique(time // _QUARTER, return_inverse=True)
    known: I64 = np.array([_hour(quarter, zone) for quarter in quarters.tolist()], np.int64)
    return known[place] % HOURS[season]


@lru_cache(maxsize=4096)
def _hour(quarter: int, zone: str) -> int:
    moment = datetime.fromtimestamp(quarter * _QUARTER // times.SECOND, UTC).astimezone(ZoneInfo(zone))
    return moment.weekday() * 24 + moment.hour
