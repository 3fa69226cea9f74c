"""What people say of a quality, instead of the rules: with author and reason, as an event that is kept like any other.

An override holds for readings that arrive after it, with times in its span. It is the one thing that makes a quality better than a device
or a rule says (D-17), so it is never silent: the event is the audit, the reading shows it, and it is counted like a broken rule.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
import numpy as np

from trunkline.log.codec.columns import BOOL, U16, Columns
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.tags import SEPARATOR

TYPE: Final = "QUALITY_OVERRIDE"
#: Said of readings: 'rules' withdraws what was said before.
Said = Literal["good", "uncertain", "bad", "rules"]
SAID: Final[tuple[Said, ...]] = ("good", "uncertain", "bad", "rules")
_QUALITIES: Final[dict[Said, Quality]] = {
    "good": Quality.GOOD_OVERRIDE,
    "uncertain": Quality.UNCERTAIN_SENSOR,
    "bad": Quality.BAD_OUT_OF_SERVICE,
}
#: How long after its span an override is still remembered, for late readings.
_KEPT: Final = 30 * times.DAY


class Override(msgspec.Struct, frozen=True, array_like=True):
    """One statement: what holds for readings of a tag with begin <= time < end (µs UTC)."""

    id: str
    tag: str
    begin: int
    end: int
    said: Said
    stated_at: int

    @classmethod
    def of(cls, event: Event) -> "Override | None":
        """Return what an event states; None for one that is no override, or not one of ours."""
        facts = event.attributes
        if event.type != TYPE or event.source or not event.actor:
            return None
        tag = f"{event.asset}{SEPARATOR}{event.tag}" if event.asset else event.tag
        try:
            return msgspec.convert((event.id, tag, facts.get("from"), facts.get("to"), facts.get("quality"), event.gateway_time), cls)
        except msgspec.ValidationError:
            return None


def override_event(tag: str, begin: int, end: int, said: Said, author: str, why: str, now: int) -> Event:
    """Return the event that states an override.

    Args:
        tag: path of the tag.
        begin: first time, µs UTC.
        end: first time after it.
        said: what holds.
        author: who says so.
        why: the reason, in words.
        now: present time, µs UTC.
    """
    asset, _, name = tag.rpartition(SEPARATOR)
    return Event(
        id=str(uuid7()),
        type=TYPE,
        time=now,
        gateway_time=now,
        asset=asset,
        tag=name,
        actor=author,
        text=f"{said} from {times.to_iso(begin)} to {times.to_iso(end)}: {why}",
        attributes={"quality": said, "from": begin, "to": end, "reason": why},
    )


class Overrides:
    """The statements in force, by tag; of two the later one holds."""

    def __init__(self) -> None:
        self._by_tag: dict[str, list[Override]] = {}
        self._touched: dict[str, Override | None] = {}

    def take(self, event: Event) -> None:
        """Take in what an event states, if it does."""
        one = Override.of(event)
        if one is not None and self._add(one):
            self._touched[one.id] = one

    def _add(self, one: Override) -> bool:
        known = self._by_tag.setdefault(one.tag, [])
        if any(other.id == one.id for other in known):
            return False
        known.append(one)
        known.sort(key=lambda other: (other.stated_at, other.id))
        return True

    def qualities(self, columns: Columns) -> tuple[BOOL, U16] | None:
        """Return for which readings something was said, and their qualities; None when there is nothing for any tag."""
        if not self._by_tag or not (named := [number for number, tag in enumerate(columns.tags) if tag in self._by_tag]):
            return None
        held, quality = np.zeros(len(columns), np.bool_), columns.quality.copy()
        for number in named:
            mine = columns.tag == number
            for one in self._by_tag[columns.tags[number]]:
                span = mine & (columns.time >= one.begin) & (columns.time < one.end)
                held[span] = one.said != "rules"
                if one.said != "rules":
                    quality[span] = _QUALITIES[one.said]
        held &= ~columns.absent | (quality >> q.SEVERITY_SHIFT == q.Severity.BAD)  # PD-26: only BAD may lack a value
        return held, quality

    def forget(self, now: int) -> None:
        """Forget statements whose span is long over."""
        for tag, known in list(self._by_tag.items()):
            for one in known:
                if one.end + _KEPT < now:
                    self._touched[one.id] = None
            left = [one for one in known if one.end + _KEPT >= now]
            if left:
                self._by_tag[tag] = left
            else:
                del self._by_tag[tag]

    def changed(self) -> dict[str, bytes | None]:
        """Return the statements made or forgotten since the last call."""
        touched, self._touched = self._touched, {}
        return {name: None if one is None else msgspec.msgpack.encode(one) for name, one in touched.items()}

    def entries(self) -> dict[str, bytes]:
        """Return every statement in force."""
        return {one.id: msgspec.msgpack.encode(one) for known in self._by_tag.values() for one in known}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take what `entries` returned."""
        for entry in entries.values():
            self._add(msgspec.msgpack.decode(entry, type=Override))
