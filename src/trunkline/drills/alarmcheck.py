"""Alarms that a drill fed, against the site's log and the historian."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from trunkline.drills.alarms import alarm
from trunkline.drills.plan import Plan
from trunkline.historian.reader import MAX_ROWS, Reader
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.head import BACKLOG
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.port import Log
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Category

_PAGE: Final = 1000
_END_OF_TIME: Final = times.from_iso("2200-01-01T00:00:00Z")


@dataclass(slots=True)
class AlarmDifference:
    """How the alarms that arrived differ from those that should have.

    Attributes:
        expected: alarms that the edge has taken in.
        stored: rows of the historian.
        lost: missing in the site's log or in the historian.
        doubled: more than once among the clean alarms of the site's log.
        invented: never fed.
        changed: stored with another content.
        disordered: after a later one of the same asset, in the site's log; live ones and those of a backlog each keep their order.
    """

    expected: int
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    changed: int = 0
    disordered: int = 0

    @property
    def wrong(self) -> list[str]:
        """What does not agree, in words."""
        names = {"lost": self.lost, "doubled": self.doubled, "invented": self.invented, "changed": self.changed}
        names["out of order"] = self.disordered
        return [f"{count} of {self.expected} alarms {name}" for name, count in names.items() if count]


def stored_alarms(reader: Reader) -> list[Event]:
    """Return every alarm that the historian holds."""
    rows, _ = reader.events(times.EARLIEST, _END_OF_TIME, category=Category.ALARM, limit=MAX_ROWS)
    return [event for event, _ in rows]


def compare_alarms(plan: Plan, count: int, rows: Sequence[Event], log: Log, layout: Layout) -> AlarmDifference:
    """Compare the first alarms of a plan with the site's clean alarms and with the historian's.

    Args:
        plan: of the drill.
        count: how many the edge has taken in.
        rows: what the historian holds.
        log: the site's.
        layout: names of its topics.
    """
    expected = {one.id: one for one in (alarm(plan, number) for number in range(count))}
    found = AlarmDifference(count)
    arrived = _arrived(log, layout, {id_: number for number, id_ in enumerate(expected)}, found)
    found.doubled = sum(times_seen - 1 for times_seen in arrived.values())
    stored = {event.id: msgspec.structs.replace(event, origin="") for event in rows}
    found.stored = len(rows)
    found.lost = sum(id_ not in arrived or id_ not in stored for id_ in expected)
    found.invented = len((arrived.keys() | stored.keys()) - expected.keys())
    found.changed = sum(id_ in stored and stored[id_] != one for id_, one in expected.items())
    return found


def _arrived(log: Log, layout: Layout, numbers: Mapping[str, int], found: AlarmDifference) -> Counter[str]:
    """Return how often each alarm is among the clean ones; count those that are out of order."""
    arrived: Counter[str] = Counter()
    latest: dict[tuple[str, bool], int] = {}
    schemas = RegistryClient()
    for topic in layout.topics(Category.ALARM, "clean"):
        for at, (first, _) in log.bounds(topic).items():
            offset = first
            while records := log.read(at, offset, _PAGE):
                offset = records[-1].offset + 1
                for record in records:
                    if not record.value:
                        continue  # in the place of one that was refused
                    event = decode_event_record(record, schemas)
                    arrived[event.id] += 1
                    if (number := numbers.get(event.id)) is not None:
                        way = (event.asset, record.header(BACKLOG) is not None)
                        found.disordered += number < latest.get(way, 0)
                        latest[way] = max(number, latest.get(way, 0))
    return arrived
