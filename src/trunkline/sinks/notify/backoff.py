"""How long to wait before the next attempt: longer after each failure up to a limit, and never in step with others."""

import random
from typing import Final

_FIRST: Final = 1.0
_MOST: Final = 60.0


class Backoff:
    """Waits of one outage.

    Args:
        first: seconds after the first failure.
        most: the longest wait that we choose ourselves, seconds.
        chance: for the jitter.
    """

    def __init__(self, first: float = _FIRST, most: float = _MOST, chance: random.Random | None = None) -> None:
        self._first = first
        self._most = most
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, hides nothing
        self._failures = 0

    def failed(self, asked: float | None = None) -> float:
        """Return the seconds to wait after one more failure: at least those that the receiver asked for."""
        self._failures += 1
        longest = min(self._most, self._first * 2.0 ** min(self._failures - 1, 30))
        return max(asked or 0.0, longest * self._chance.uniform(0.5, 1.0))

    def reset(self) -> None:
        """It works again."""
        self._failures = 0
