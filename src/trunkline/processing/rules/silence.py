"""A tag that says nothing for too long, found by a timer (D-34).

Two clocks are at work. How long a silence was, once it is over, the readings' own times tell: a backlog that comes late leaves no gap.
Whether one goes on, only the clock of whoever waits can tell: it is counted from the arrival of the last reading, and after a start anew.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from trunkline.config.rules import GapRule
from trunkline.log.codec.columns import I64
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import content_uuid
from trunkline.model.quality import Quality
from trunkline.model.reading import Value
from trunkline.model.tags import SEPARATOR
from trunkline.processing.rules.batch import NEVER, Batch, Hit, grown

#: What a gateway writes while a device is silent: no reading of the device.
_NOT_HEARD = np.array([Quality.UNCERTAIN_STALE, Quality.BAD_COMMS_LOST, Quality.BAD_NOT_CONNECTED, Quality.BAD_WAITING], np.uint16)


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence longer than allowed.

    Attributes:
        rule: the rule that it breaks.
        slot: number of the tag among those with rules.
        since: time of the last reading before it, µs UTC.
        lasts: µs so far, or in all.
        until: time of the reading that ended it; None while it goes on.
    """

    rule: GapRule
    slot: int
    since: int
    lasts: int
    until: int | None

    def event(self, tag: str, now: int) -> Event:
        """Return what is told of it (W-66); the same silence always has the same ids, those of its two ends are correlated."""
        allowed = int(self.rule.allowed_seconds * times.SECOND)
        asset, _, name = tag.rpartition(SEPARATOR)
        usual = self.rule.expected_seconds or self.rule.allowed_seconds
        attributes: dict[str, Value] = {
            "rule": self.rule.id,
            "ongoing": self.until is None,
            "expected_interval_ms": int(usual * 1000),
            "actual_gap_ms": self.lasts // 1000,
        }
        if self.rule.expected_seconds is not None:
            attributes["missing_samples"] = max(0, round(self.lasts / (usual * times.SECOND)) - 1)
        begun = content_uuid(self.since + allowed, self._digest(tag, "begun"))
        ended = content_uuid(self.until or 0, self._digest(tag, "ended"))
        word = "no reading since" if self.until is None else "readings again, the last before was at"
        return Event(
            id=str(begun if self.until is None else ended),
            correlation_id=str(begun),
            type="GAP",
            time=self.since + allowed if self.until is None else self.until,
            gateway_time=now,
            asset=asset,
            tag=name,
            text=f"{word} {times.to_iso(self.since)}: {self.lasts / times.SECOND:.1f} s; {self.rule.allowed_seconds:g} s are allowed",
            attributes=attributes,
        )

    def _digest(self, tag: str, end: str) -> bytes:
        return hashlib.sha256(f"{tag}|{self.rule.id}|{self.since}|{end}".encode()).digest()


class Ended(Hit):
    """Readings that ended a silence; the silences in the same order."""

    silences: list[Silence]


class Timer:
    """Remembers of each tag when it was last heard, and whether its silence was told."""

    def __init__(self, rule: GapRule) -> None:
        self._rule = rule
        self._allowed = int(rule.allowed_seconds * times.SECOND)
        self._heard: I64 = np.empty(0, np.int64)
        self._told = np.empty(0, np.bool_)
        self._arrived: I64 = np.empty(0, np.int64)
        self._changed: set[int] = set()

    def grow(self, slots: int) -> None:
        """Make room for so many tags."""
        self._heard = grown(self._heard, slots, NEVER)
        self._told = grown(self._told, slots, 0)
        self._arrived = grown(self._arrived, slots, 0)

    def judge(self, batch: Batch) -> Ended | None:
        """Return the readings that ended a silence."""
        heard = batch.take(np.flatnonzero((batch.time > batch.before_time) & ~np.isin(batch.quality, _NOT_HEARD)))
        if not len(heard):
            return None
        first, slot = heard.first, heard.slot
        before = np.empty_like(heard.time)
        before[1:] = heard.time[:-1]
        before[first] = self._heard[slot[first]]
        lasts = heard.time - before
        told = first & self._told[slot]
        rows = np.flatnonzero((before != NEVER) & ((lasts > self._allowed) | told))
        self._changed.update(slot[told].tolist())
        last = np.append(first[1:], True)
        self._heard[slot[last]] = heard.time[last]
        self._told[slot[last]] = False
        self._arrived[slot[last]] = heard.time[last] if batch.now is None else batch.now
        if not len(rows):
            return None
        ended = heard.take(rows)
        found = zip(ended.slot.tolist(), before[rows].tolist(), lasts[rows].tolist(), ended.time.tolist(), strict=True)
        hit = Ended(self._rule, ended.position, lambda one: _words(hit.silences[one]))
        hit.silences = [Silence(self._rule, *each) for each in found]
        return hit

    def tick(self, now: int) -> list[Silence]:
        """Return the silences that have become too long. The first call after a start sets the clock of tags known from before."""
        self._arrived[(self._arrived == 0) & (self._heard != NEVER)] = now
        overdue = np.flatnonzero((self._heard != NEVER) & ~self._told & (now - self._arrived > self._allowed)).tolist()
        self._told[overdue] = True
        self._changed.update(overdue)
        return [Silence(self._rule, slot, int(self._heard[slot]), now - int(self._arrived[slot]), None) for slot in overdue]

    def changed(self) -> set[int]:
        """Return the tags whose silence was told, or ended after it was told, since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def dump(self, slot: int) -> list[float | int | bytes]:
        """Return what is remembered of a tag."""
        return [int(self._heard[slot]), int(self._told[slot])]

    def load(self, slot: int, state: list[float | int | bytes]) -> None:
        """Take what `dump` returned."""
        self._heard[slot], self._told[slot] = state


def _words(silence: Silence) -> str:
    return f"silent for {silence.lasts / times.SECOND:.1f} s; {silence.rule.allowed_seconds:g} s are allowed"
