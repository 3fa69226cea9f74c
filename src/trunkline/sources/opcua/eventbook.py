"""What is known of events beyond one session: which were taken, which are not durable yet, which conditions are of interest.

A refresh after a reconnect, or after a restart of the gateway, repeats what was told before. The book knows it again: conditions
stand in the source's checkpoint, which the gateway stores in the same transaction as the events themselves.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from trunkline.model.events import Event
from trunkline.model.reading import Value

#: Events whose identity is remembered: one that comes by two notifiers is taken once.
KNOWN_EVENTS = 20_000
#: Conditions that are remembered; the oldest of more is forgotten, and told anew by the next refresh.
HELD_CONDITIONS = 5_000

_log = logging.getLogger(__name__)


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """A condition that is of interest, as its last event left it.

    Attributes:
        notifier: where it was heard of last, as the site file names it.
        id, time, type, asset, tag: of that event.
        state: of the alarm; empty for a condition that is none.
        severity: 1 to 1000.
        attributes: what tells the condition.
    """

    notifier: str
    id: str
    time: int
    type: str
    severity: int
    state: str = ""
    asset: str = ""
    tag: str = ""
    attributes: dict[str, Value] = {}


class Entry(NamedTuple):
    """An event on its way, and what it makes of its condition: held, or let go (None)."""

    event: Event
    condition: str = ""
    held: Held | None = None


_codec = msgspec.json.Decoder(dict[str, Held])


class EventBook:
    """One for each source, whatever sessions come and go.

    Attributes:
        held: the conditions of interest, by condition and branch, as far as events were taken.
        told: faults that were told once and still hold.
    """

    def __init__(self, checkpoint: Callable[[], str | None]) -> None:
        self.held: dict[str, Held] = {}
        self.told: set[str] = set()
        self._checkpoint = checkpoint
        self._handed: dict[str, Held] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[str, Entry] = {}

    def begin(self) -> list[Entry]:
        """Start from what is durable; return what was taken and is not durable yet, to be handed over first."""
        self.go_back()
        self.held = dict(self._handed)
        waiting = list(self._waiting.values())
        for entry in waiting:
            _apply(self.held, entry)
        return waiting

    def knows(self, event_id: str, condition: str) -> bool:
        """Return whether an event was taken before; `condition` is the one it is of."""
        held = self.held.get(condition)
        return event_id in self._known or (held is not None and held.id == event_id)

    def take(self, entry: Entry) -> None:
        """Note an event that is on its way to the gateway."""
        self._know(entry.event.id)
        self._waiting[entry.event.id] = entry
        _apply(self.held, entry)

    def heard_again(self, condition: str, notifier: str) -> None:
        """Note by which notifier a condition came last."""
        if (held := self.held.get(condition)) is not None and held.notifier != notifier:
            self.held[condition] = msgspec.structs.replace(held, notifier=notifier)

    def hand_over(self, entries: Sequence[Entry]) -> str | None:
        """Return the checkpoint to store with these events, None if they change none."""
        changed = [entry for entry in entries if entry.condition]
        for entry in changed:
            _apply(self._handed, entry)
        return msgspec.json.encode(self._handed).decode() if changed else None

    def durable(self, entries: Iterable[Entry]) -> None:
        """Note that the gateway has these events on disk."""
        for entry in entries:
            self._waiting.pop(entry.event.id, None)

    def go_back(self) -> None:
        """What was handed over could not be stored: the next checkpoint builds on what is durable."""
        text = self._checkpoint()
        try:
            self._handed = _codec.decode(text) if text else {}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning("the conditions of interest cannot be read (%s): the next refresh tells them anew", error)
            self._handed = {}

    def _know(self, event_id: str) -> None:
        self._known[event_id] = None
        if len(self._known) > KNOWN_EVENTS:
            self._known.popitem(last=False)


def _apply(conditions: dict[str, Held], entry: Entry) -> None:
    if not entry.condition:
        return
    conditions.pop(entry.condition, None)
    if entry.held is not None:
        conditions[entry.condition] = entry.held
        if len(conditions) > HELD_CONDITIONS:
            del conditions[next(iter(conditions))]
