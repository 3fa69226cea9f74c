"""When the skew of a device's clock is told, and when that it is over (W-109, W-110, D-15). Pure."""

from typing import Final, NamedTuple

from trunkline.gateway.conditioning import SKEW_ALERT, SKEW_MARK
from trunkline.model import times


class Told(NamedTuple):
    """What is to be told: the type of the event and its text."""

    kind: str
    text: str


class SkewWatch:
    """Tells once that readings are marked (over 5 s), once that somebody must mend the clock (over 10 s), and once that it is over.

    Which of the two clocks is wrong it cannot know; a step of the gateway's own is told beside it (`CLOCK_STEP`).

    It is over below half of the limit for marking, so that a skew about the limit is not told again and again.
    """

    _LEVELS: Final = ((SKEW_ALERT, 2), (SKEW_MARK, 1))

    def __init__(self, source: str) -> None:
        self._source = source
        self._level = 0

    def look(self, skew: int) -> Told | None:
        """Return what is to be told of a skew in µs, if anything."""
        level = next((level for limit, level in self._LEVELS if abs(skew) > limit), 0)
        seconds = skew / times.SECOND
        if level > self._level:
            self._level = level
            if level == 2:
                return Told("CLOCK_SKEW", f"the clock of {self._source} is {seconds:.1f} s off the gateway's: check NTP on both")
            return Told("CLOCK_SKEW_MARKED", f"the clock of {self._source} is {seconds:.1f} s off the gateway's: its readings are marked")
        if self._level and abs(skew) < SKEW_MARK // 2:
            self._level = 0
            return Told("CLOCK_SKEW_CLEARED", f"the clock of {self._source} agrees with the gateway's again, {seconds:.1f} s off")
        return None
