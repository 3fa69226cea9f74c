"""Readings as blocks, written and read by the real codec, and books over them."""

from collections.abc import Iterable
from functools import cache

import yaml

from trunkline.config.alarms import AlarmsConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec import columns as codec
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.slots import TagSlot
from trunkline.log.codec.writer import write_blocks
from trunkline.log.port import StoredRecord
from trunkline.model import times
from trunkline.model.alarms import Lifecycle
from trunkline.model.events import Event
from trunkline.model.reading import Kind, Reading, Value
from trunkline.processing.alarms import AlarmBook

T0 = times.from_iso("2026-01-01T12:00:00Z")
S = times.SECOND
FLOW = "PLANT01.AREA02.UNIT_05.FLOW_RATE"
FLOW_SP = "PLANT01.AREA02.UNIT_05.FLOW_SP"
RUNNING = "PLANT01.AREA02.UNIT_05.RUNNING"
MODE = "PLANT01.AREA02.UNIT_05.MODE"
TAGS = {
    FLOW: TagConfig(path=FLOW, unit="m³/h"),
    FLOW_SP: TagConfig(path=FLOW_SP, unit="m³/h"),
    RUNNING: TagConfig(path=RUNNING, kind="boolean"),
    MODE: TagConfig(path=MODE, kind="text"),
}

#: (tag, value, seconds after T0, quality)
Row = tuple[str, Value, float, int]


def columns(rows: Iterable[Row], tags: dict[str, TagConfig] = TAGS) -> Columns:
    items = []
    for tag, value, second, quality in rows:
        kind = tags[tag].value_kind if tag in tags else Kind.DOUBLE
        moment = T0 + round(second * S)
        items.append((TagSlot.of(tag, "plc", kind, 1), Reading(tag, value, quality, moment, moment)))
    if not items:
        return codec.decode([])
    (record,), _ = write_blocks("gw", 0, {0: 0}, items)
    return codec.decode([StoredRecord("t", 0, 0, T0, record.key, record.value, record.headers)])


def flow(*values: tuple[float, float | None], quality: int = 0) -> Columns:
    return columns((FLOW, value, second, quality) for second, value in values)


@cache
def settings(text: str) -> AlarmsConfig:
    return AlarmsConfig.model_validate(yaml.safe_load(text))


def book(text: str) -> AlarmBook:
    """A book of definitions in YAML, one `- {…}` a line."""
    return AlarmBook(settings("definitions:\n" + text), TAGS)


def life(event: Event) -> Lifecycle:
    found = Lifecycle.of(event)
    assert found is not None
    return found


def steps(events: Iterable[Event]) -> list[tuple[float, str, str]]:
    """(seconds after T0, what happened, state)."""
    return [((event.time - T0) / S, life(event).transition, life(event).state.value) for event in events]
