"""What validation remembers of each tag: columns that grow with the tags seen."""

import hashlib
from typing import Final

import numpy as np

from trunkline.config.tags import TagConfig
from trunkline.log.codec.columns import F64, I64, Columns

#: Readings remembered for recognising repeats; two generations of this many.
_GENERATION: Final = 100_000
_NEVER: Final = np.iinfo(np.int64).min
_NO_ID: Final = bytes(16)
_MIX_A = np.uint64(0x9E3779B97F4A7C15)
_MIX_B = np.uint64(0xC2B2AE3D27D4EB4F)


class TagMemory:
    """Limits and last readings by tag, as columns; `places` maps a batch's tags to them.

    Attributes:
        known: whether the site file has the tag.
        low, high, max_rate: limits; infinite where there are none.
        last_time: time of the newest reading, µs; very negative before the first.
        last_value: value of the newest numeric reading; NaN before the first.
        interval: usual distance of readings, µs; NaN until enough were seen.
        seen: how many readings were taken into `interval`.
        reports_always: whether every reading is reported (no deadband), so that silence is a gap.
    """

    def __init__(self, tags: dict[str, TagConfig]) -> None:
        self._configs = tags
        self._place: dict[str, int] = {}
        self._capacity = 0
        self.known = np.empty(0, np.bool_)
        self.low: F64 = np.empty(0, np.float64)
        self.high: F64 = np.empty(0, np.float64)
        self.max_rate: F64 = np.empty(0, np.float64)
        self.last_time: I64 = np.empty(0, np.int64)
        self.last_value: F64 = np.empty(0, np.float64)
        self.interval: F64 = np.empty(0, np.float64)
        self.seen: I64 = np.empty(0, np.int64)
        self.reports_always = np.empty(0, np.bool_)
        self.fingerprint = np.empty(0, np.uint64)
        self._recent: set[int] = set()
        self._older: set[int] = set()
        self._recent_ids: dict[bytes, int] = {}
        self._older_ids: dict[bytes, int] = {}

    def places(self, tags: list[str]) -> I64:
        """Return each tag's place, making room for new ones."""
        return np.fromiter((self._place_of(tag) for tag in tags), np.int64, len(tags))

    def _place_of(self, tag: str) -> int:
        place = self._place.get(tag)
        if place is None:
            place = self._place[tag] = len(self._place)
            if place >= self._capacity:
                self._grow(max(64, self._capacity * 2))
            config = self._configs.get(tag)
            self.known[place] = config is not None
            self.fingerprint[place] = int.from_bytes(hashlib.blake2b(tag.encode(), digest_size=8).digest(), "little")
            if config is not None:
                self.low[place] = -np.inf if config.min is None else config.min
                self.high[place] = np.inf if config.max is None else config.max
                self.max_rate[place] = np.inf if config.max_rate is None else config.max_rate
                self.reports_always[place] = config.deadband is None
        return place

    def _grow(self, capacity: int) -> None:
        for name, default in (
            ("known", False),
            ("low", -np.inf),
            ("high", np.inf),
            ("max_rate", np.inf),
            ("last_time", _NEVER),
            ("last_value", np.nan),
            ("interval", np.nan),
            ("seen", 0),
            ("reports_always", False),
            ("fingerprint", 0),
        ):
            old = getattr(self, name)
            new = np.full(capacity, default, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
        self._capacity = capacity

    def prints(self, columns: Columns, places: I64) -> list[int]:
        """Return a 64-bit fingerprint of (tag, time, value) for each reading."""
        value = columns.number.view(np.uint64) ^ columns.integer.view(np.uint64)
        if columns.text:
            value = value.copy()
            for place, word in columns.text.items():
                value[place] ^= np.uint64(int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little"))
        with np.errstate(over="ignore"):
            mixed = (self.fingerprint[places] ^ (columns.time.view(np.uint64) * _MIX_A)) * _MIX_B
            mixed ^= (value ^ columns.quality) * _MIX_A
        result: list[int] = mixed.tolist()
        return result

    def is_repeat(self, fingerprint: int) -> bool:
        """Return whether the reading was seen lately."""
        return fingerprint in self._recent or fingerprint in self._older

    def remember(self, prints: list[int]) -> None:
        """Remember readings; the oldest generation is forgotten when there are too many."""
        self._recent.update(prints)
        if len(self._recent) > _GENERATION:
            self._older, self._recent = self._recent, set()

    def other_content(self, ids: list[bytes], prints: list[int]) -> list[int]:
        """Return the places of event ids that are known with another fingerprint, and remember the others; zeros are no id."""
        found = []
        for place, (event_id, fingerprint) in enumerate(zip(ids, prints, strict=True)):
            if event_id == _NO_ID:
                continue
            known = self._recent_ids.get(event_id, self._older_ids.get(event_id))
            if known is None:
                self._recent_ids[event_id] = fingerprint
            elif known != fingerprint:
                found.append(place)
        if len(self._recent_ids) > _GENERATION:
            self._older_ids, self._recent_ids = self._recent_ids, {}
        return found
