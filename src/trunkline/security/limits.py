"""How often somebody may be wrong: failed logins per user and address (D-45, GD-4)."""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from trunkline.security.errors import TooManyAttempts

_MAX_KEYS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Failures allowed within `window` seconds before attempts are refused unseen.

    Attributes:
        window: seconds that a failure counts.
        pair: for one user from one address.
        address: for one address, whatever the user.
        user: for one user from anywhere: high, so that a stranger cannot easily lock somebody out.
    """

    window: float = 300.0
    pair: int = 5
    address: int = 20
    user: int = 50


class LoginLimiter:
    """Counts failures in memory, for at most 20,000 names and addresses: the oldest are forgotten first."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._failures: OrderedDict[Hashable, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, username: str, address: str) -> None:
        """Count an attempt as failed until `succeeded` says otherwise, so that many at once are no way around.

        Raises:
            TooManyAttempts: this login is not to be looked at now; it was not counted.
        """
        now = self._clock()
        with self._lock:
            keys = self._keys(username, address)
            waits = [
                failures[-allowed] + self._limits.window - now
                for key, allowed in keys
                if len(failures := self._current(key, now)) >= allowed
            ]
            if waits:
                raise TooManyAttempts(max(1, math.ceil(max(waits))))
            for key, allowed in keys:
                self._failures.setdefault(key, deque(maxlen=allowed)).append(now)
                self._failures.move_to_end(key)
            while len(self._failures) > _MAX_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, username: str, address: str) -> None:
        """Take this attempt back and forget the failures of this user at this address.

        Failures of the address stay: a valid user could otherwise reset them while guessing the passwords of others.
        """
        now = self._clock()
        with self._lock:
            self._failures.pop(("pair", username, address), None)
            for key in (("address", address), ("user", username)):
                if failures := self._current(key, now):
                    failures.pop()

    def _keys(self, username: str, address: str) -> tuple[tuple[Hashable, int], ...]:
        limits = self._limits
        return (("pair", username, address), limits.pair), (("address", address), limits.address), (("user", username), limits.user)

    def _current(self, key: Hashable, now: float) -> deque[float]:
        failures = self._failures.get(key)
        if failures is None:
            return deque()
        while failures and failures[0] <= now - self._limits.window:
            failures.popleft()
        if not failures:
            del self._failures[key]
        return failures
