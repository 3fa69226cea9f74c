"""MQTT topic names and filters (MQTT 5.0, 4.7): checking, matching, covering, routing."""

from collections.abc import Iterable
from typing import Generic, TypeVar

LEVEL = "/"
ONE = "+"
REST = "#"
#: MQTT 5.0, 1.5.4: a UTF-8 string is at most this many bytes.
MAX_BYTES = 65_535

#: Topics remembered with their receivers. A device that invents topics must not fill the memory.
_REMEMBERED_TOPICS = 10_000

T = TypeVar("T")


def check_filter(text: str) -> str:
    """Return a topic filter unchanged. Raises ValueError saying what is wrong (MQTT 5.0, 4.7.1)."""
    if not text or len(text.encode()) > MAX_BYTES or "\0" in text:
        raise ValueError(f"a topic needs 1 to {MAX_BYTES} bytes and no null character")
    levels = text.split(LEVEL)
    for position, level in enumerate(levels):
        if REST in level and (level != REST or position != len(levels) - 1):
            raise ValueError(f"topic filter {text!r}: '#' must be alone in the last level, as in 'plant/#'")
        if ONE in level and level != ONE:
            raise ValueError(f"topic filter {text!r}: '+' must be alone in its level, as in 'plant/+/flow'")
    return text


def check_name(text: str) -> str:
    """Return a topic name unchanged. Raises ValueError if it is not one or holds wildcards."""
    check_filter(text)
    if has_wildcards(text):
        raise ValueError(f"{text!r} must be one topic: wildcards are only for subscriptions")
    return text


def has_wildcards(text: str) -> bool:
    """Tell whether a filter can match more than one topic."""
    return ONE in text or REST in text


def covers(wide: str, narrow: str) -> bool:
    """Tell whether every topic that `narrow` matches is matched by `wide`. A topic name is the filter that matches itself."""
    wide_levels, narrow_levels = wide.split(LEVEL), narrow.split(LEVEL)
    if narrow_levels[0].startswith("$") and wide_levels[0] in (ONE, REST):
        return False  # 4.7.2: wildcards at the start do not reach the broker's own topics
    for position, level in enumerate(wide_levels):
        if level == REST:
            return True  # 'a/#' also matches its parent 'a'
        if position >= len(narrow_levels) or narrow_levels[position] == REST:
            return False
        if level not in (ONE, narrow_levels[position]):
            return False
    return len(wide_levels) == len(narrow_levels)


def without_covered(filters: Iterable[str]) -> tuple[str, ...]:
    """Return the fewest of `filters` that still match the same topics, so that brokers do not send a message once per overlap."""
    distinct = sorted(set(filters))
    wild = [candidate for candidate in distinct if has_wildcards(candidate)]
    return tuple(one for one in distinct if not any(other != one and covers(other, one) for other in wild))


class Router(Generic[T]):
    """Finds the receivers of a topic among exact topics and filters."""

    def __init__(self, receivers: Iterable[tuple[str, T]]) -> None:
        """Take pairs of topic filter and receiver."""
        self._exact: dict[str, list[T]] = {}
        self._wild: list[tuple[str, T]] = []
        self._remembered: dict[str, tuple[T, ...]] = {}
        for topic_filter, receiver in receivers:
            if has_wildcards(topic_filter):
                self._wild.append((topic_filter, receiver))
            else:
                self._exact.setdefault(topic_filter, []).append(receiver)

    def receivers(self, topic: str) -> tuple[T, ...]:
        """Return everyone who wants the messages of `topic`, in the order of the configuration within each sort."""
        known = self._remembered.get(topic)
        if known is not None:
            return known
        found = (*self._exact.get(topic, ()), *(receiver for topic_filter, receiver in self._wild if covers(topic_filter, topic)))
        if len(self._remembered) >= _REMEMBERED_TOPICS:
            self._remembered.clear()
        self._remembered[topic] = found
        return found
