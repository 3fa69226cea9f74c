"""A step with readings around it: blocks in, blocks out, as the log has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from trunkline.config.derived import DerivedConfig
from trunkline.log.codec import columns as codec
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.reading import Category, Kind, Reading, Value
from trunkline.processing.author import Emitted
from trunkline.processing.derive import DeriveStep

LAYOUT = Layout("gateway", 2)
RAW = LAYOUT.topic(Category.TELEMETRY, "raw")
CLEAN = LAYOUT.topic(Category.TELEMETRY, "clean")
START = times.from_iso("2026-01-01T12:00:00Z")
HOME = "P.A.U"
_KINDS = {float: Kind.DOUBLE, int: Kind.INTEGER, bool: Kind.BOOLEAN, str: Kind.TEXT, type(None): Kind.DOUBLE}


class Given(NamedTuple):
    """A reading: tag below the home asset, seconds after the start, value, quality."""

    tag: str
    second: float
    value: Value
    quality: int = 0


def at(second: float) -> int:
    return START + round(second * times.SECOND)


def definitions(text: str) -> list[DerivedConfig]:
    """Derived tags from YAML; paths are below the home asset."""
    return [DerivedConfig.model_validate({**one, "path": f"{HOME}.{one['path']}"}) for one in yaml.safe_load(text)]


def step(derived: Sequence[DerivedConfig], kinds: Mapping[str, Kind] | None = None, origin: str = "origin-1") -> DeriveStep:
    known = {f"{HOME}.{tag}": kind for tag, kind in (kinds or {}).items()}
    return DeriveStep(LAYOUT, derived, {**known, **{one.path: one.tag.value_kind for one in derived}}, origin)


def columns(readings: Iterable[Given], kinds: Mapping[str, Kind] | None = None, origin: str = "gw") -> Columns:
    """Readings as validation hands them on, each in a block of its own so that their order is kept."""
    records = []
    for seq, (tag, second, value, quality) in enumerate(readings):
        path = f"{HOME}.{tag}"
        slot = TagSlot.of(path, "plc", (kinds or {}).get(tag, _KINDS[type(value)]), LAYOUT.telemetry_partitions)
        reading = Reading(path, value, quality, at(second), at(second))
        records += write_blocks(origin, seq, {}, [(slot, reading)])[0]
    return codec.decode([stored(record) for record in records])


def stored(record: Record, offset: int = 0, topic: str = CLEAN) -> StoredRecord:
    return StoredRecord(topic, record.partition or 0, offset, START, record.key, record.value, record.headers)


def told(emitted: Iterable[Emitted]) -> list[tuple[str, float, Any, int]]:
    """What was emitted: tag, second, value, quality, in the order of their numbers."""
    found = codec.decode([stored(one.record, topic=RAW) for one in emitted if one.topic == RAW])
    order = sorted(range(len(found)), key=lambda place: int(found.seq[place]))
    assert len({int(found.seq[place]) for place in order}) == len(order)
    return [
        (
            found.tags[found.tag[place]].removeprefix(f"{HOME}."),
            (int(found.time[place]) - START) / times.SECOND,
            found.value(place),
            int(found.quality[place]),
        )
        for place in order
    ]
