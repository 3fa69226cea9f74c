"""The newest reading of every tag, and its one encoding that all clients share."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from trunkline.api.values import wire
from trunkline.log.codec.columns import Columns
from trunkline.model.reading import Value

_encode = msgspec.json.Encoder().encode


class LiveValue(NamedTuple):
    """A tag's newest reading; times in µs UTC."""

    tag: str
    value: Value
    quality: int
    time: int
    gateway_time: int


class LiveCache:
    """Newest by time in history, so that a backlog that arrives late does not show old values as new. Used by one thread."""

    def __init__(self) -> None:
        self._values: dict[str, LiveValue] = {}
        self._encoded: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, tag: str) -> bool:
        return tag in self._values

    def get(self, tag: str) -> LiveValue | None:
        """Return the newest reading of a tag, or None."""
        return self._values.get(tag)

    def under(self, prefix: str) -> Iterator[LiveValue]:
        """Yield the newest readings of every tag at or below a path; '' is the top."""
        for tag, value in self._values.items():
            if is_under(tag, prefix):
                yield value

    def put(self, values: Iterable[LiveValue]) -> list[str]:
        """Take over what is not older than what is there; return the tags that changed."""
        changed = []
        for value in values:
            known = self._values.get(value.tag)
            if known is None or known.time < value.time or (known.time == value.time and known != value):
                self._values[value.tag] = value
                self._encoded.pop(value.tag, None)
                changed.append(value.tag)
        return changed

    def fill(self, values: Iterable[LiveValue]) -> list[str]:
        """Take over what history knows and the log has not told yet; return the tags that changed."""
        return self.put(value for value in values if (known := self._values.get(value.tag)) is None or known.time < value.time)

    def encoded(self, tag: str) -> bytes:
        """Return `[tag, v, q, t, gateway_t]` as JSON. The tag must have a value."""
        found = self._encoded.get(tag)
        if found is None:
            value = self._values[tag]
            found = self._encoded[tag] = _encode((tag, wire(value.value), value.quality, value.time, value.gateway_time))
        return found


def is_under(tag: str, prefix: str) -> bool:
    """Return whether a tag is at or below a path of the tree; '' is the top."""
    return not prefix or tag == prefix or tag.startswith(f"{prefix}.")


def newest(columns: Columns) -> list[LiveValue]:
    """Return the newest reading of each tag among columns: the latest in time, and of equal times the last written."""
    if not len(columns):
        return []
    order = np.lexsort((np.arange(len(columns)), columns.time, columns.tag))
    tags = columns.tag[order]
    last = np.flatnonzero(np.append(tags[1:] != tags[:-1], True))
    return [
        LiveValue(
            columns.tags[int(columns.tag[place])],
            columns.value(place),
            int(columns.quality[place]),
            int(columns.time[place]),
            int(columns.gateway_time[place]),
        )
        for place in order[last].tolist()
    ]
