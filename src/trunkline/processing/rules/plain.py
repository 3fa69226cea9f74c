"""Rules without memory of their own: range, rate of change, duplicate, clock skew."""

import numpy as np

from trunkline.config.rules import ClockSkewRule, DuplicateRule, RangeRule, RateRule
from trunkline.log.codec.columns import BOOL
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.processing.rules.batch import Batch, Hit


class Memoryless:
    """What such rules have in common: there is nothing to keep."""

    def grow(self, slots: int) -> None:
        """Nothing is kept."""

    def dump(self, slot: int) -> list[float | int | bytes] | None:  # noqa: ARG002 - of the port
        """Nothing is kept."""
        return None

    def load(self, slot: int, state: list[float | int | bytes]) -> None:
        """Nothing is kept."""


class Range(Memoryless):
    """W-126: bounds are inclusive unless set otherwise (D-32); a reading that its device calls BAD is not judged again."""

    def __init__(self, rule: RangeRule) -> None:
        self._rule = rule
        self._low = -np.inf if rule.min is None else rule.min
        self._high = np.inf if rule.max is None else rule.max

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings outside."""
        outside = (batch.value < self._low) | (batch.value > self._high)
        if self._rule.exclusive:
            outside |= (batch.value == self._low) | (batch.value == self._high)
        hit = batch.take(np.flatnonzero(outside & (batch.quality >> q.SEVERITY_SHIFT < q.Severity.BAD)))

        def words(one: int) -> str:
            number = hit.value[one]
            side, end = ("below", self._low) if number <= self._low else ("above", self._high)
            return f"{number:g} is {'at or ' * self._rule.exclusive}{side} {end:g}"

        return Hit(self._rule, hit.position, words) if len(hit) else None


class Rate(Memoryless):
    """W-127, D-32: the change from the newest earlier reading, per second of the device's time; late readings are left alone."""

    def __init__(self, rule: RateRule) -> None:
        self._rule = rule

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings that changed too fast."""
        measured = batch.measured()
        with np.errstate(invalid="ignore"):
            rate = np.abs(measured.value - measured.before_value) / ((measured.time - measured.before_time) / times.SECOND)
        rows = np.flatnonzero(rate > self._rule.max_rate)
        hit, fast = measured.take(rows), rate[rows]
        most = self._rule.max_rate
        return Hit(self._rule, hit.position, lambda one: f"{fast[one]:.4g} a second; {most:g} is believable") if len(hit) else None


class Duplicate(Memoryless):
    """W-128: another reading with the stamp of the newest one."""

    def __init__(self, rule: DuplicateRule) -> None:
        self._rule = rule

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings whose stamp is taken."""
        hit = batch.take(np.flatnonzero(batch.time == batch.before_time))
        return Hit(self._rule, hit.position, lambda one: f"{times.to_iso(int(hit.time[one]))} has a reading already") if len(hit) else None


class ClockSkew(Memoryless):
    """Difference of source time and gateway time."""

    def __init__(self, rule: ClockSkewRule) -> None:
        self._rule = rule
        self._ahead = _micros(rule.ahead_seconds)
        self._behind = _micros(rule.behind_seconds)

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings whose source's clock is off."""
        ahead = batch.time - batch.gateway_time
        off: BOOL = (ahead > self._ahead) | (-ahead > self._behind)
        hit, skew = batch.take(np.flatnonzero(off)), ahead[off] / times.SECOND

        def words(one: int) -> str:
            return f"source time is {abs(skew[one]):.1f} s {'ahead of' if skew[one] > 0 else 'behind'} the gateway's"

        return Hit(self._rule, hit.position, words) if len(hit) else None


def _micros(seconds: float | None) -> int:
    return np.iinfo(np.int64).max if seconds is None else int(seconds * times.SECOND)
