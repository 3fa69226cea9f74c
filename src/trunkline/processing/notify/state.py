"""What the router remembers, entry by entry, so that each can be committed with what it led to."""

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from trunkline.model.events import AlarmSeverity
from trunkline.model.notifications import Item
from trunkline.processing.notify.transition import Transition


class Told(msgspec.Struct, frozen=True):
    """A channel that was told of one alarm by itself, under which key, and whom it was for."""

    channel: str
    dedup_key: str
    people: tuple[str, ...]


class Open(msgspec.Struct, kw_only=True):
    """An alarm that stands.

    Attributes:
        raised: the transition by which it was raised, raised again or got worse, whichever came last.
        acknowledged: whether somebody said that they know.
        told: channels told of it by itself; those hear of its end.
        escalate_at: µs UTC at which it is escalated; None when it is not, or was.
    """

    raised: Transition
    acknowledged: bool = False
    told: list[Told] = []
    escalate_at: int | None = None


class Hold(msgspec.Struct, kw_only=True):
    """Repeats of one asset and type are held back (W-144).

    Attributes:
        until: µs UTC at which it ends.
        severity: the worst told; anything worse passes.
        repeats: raises held back so far.
        waiting: occurrences that are told at its end if they still stand.
    """

    until: int
    severity: AlarmSeverity
    repeats: int = 0
    waiting: list[str] = []


class Digest(msgspec.Struct, kw_only=True):
    """What is collected for a channel and people until `due` (W-143); `gone` came and went meanwhile."""

    channel: str
    people: tuple[str, ...]
    due: int
    items: dict[str, Item] = {}
    gone: int = 0


class Minute(msgspec.Struct, kw_only=True):
    """What a channel got within a minute, and what is kept for the summary at its end: by occurrence, with whom it is for."""

    end: int
    sent: int = 0
    items: dict[str, Item] = {}
    people: dict[str, list[tuple[str, ...]]] = {}
    gone: int = 0


T = TypeVar("T", Open, Hold, Digest, Minute)


class Entries(Generic[T]):
    """Entries of one kind by name, which know what changed.

    Args:
        prefix: of their names beside entries of other kinds.
        kind: their type.
    """

    def __init__(self, prefix: str, kind: type[T]) -> None:
        self.prefix: Final = prefix
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self._entries: dict[str, T] = {}
        self._changed: set[str] = set()

    def get(self, name: str) -> T | None:
        """Return an entry; call `put` after changing it."""
        return self._entries.get(name)

    def put(self, name: str, entry: T) -> None:
        """Keep an entry."""
        self._entries[name] = entry
        self._changed.add(name)

    def pop(self, name: str) -> T | None:
        """Forget an entry and return it."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._changed.add(name)
        return entry

    def items(self) -> list[tuple[str, T]]:
        """Return every entry by name, so that they may change meanwhile: the order is the same after a restart."""
        return sorted(self._entries.items())

    def changed(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield what changed since the last call, encoded; None for what is gone."""
        for name in self._changed:
            entry = self._entries.get(name)
            yield self.prefix + name, None if entry is None else msgspec.msgpack.encode(entry)
        self._changed = set()

    def encoded(self) -> Iterator[tuple[str, bytes]]:
        """Yield everything, encoded."""
        for name, entry in self._entries.items():
            yield self.prefix + name, msgspec.msgpack.encode(entry)

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take back everything of this kind."""
        self._entries = {
            name.removeprefix(self.prefix): self._decoder.decode(entry) for name, entry in entries.items() if name.startswith(self.prefix)
        }
        self._changed = set()
