"""Topics of an edge with a Kafka of its own: which are mirrored to the centre, and how much disk each may have (W-99, D-20, D-23)."""

from typing import Final

from trunkline.config.edge import EdgeKafka
from trunkline.log.kafka.plan import COPIES, FOREVER, KafkaTopic, settings
from trunkline.log.layouts.spec import TopicSpec
from trunkline.log.topics import Layout
from trunkline.model.reading import Category

#: Kafka deletes whole segments, so a partition's limit is cut into this many.
_PIECES: Final = 10
_LEAST_SEGMENT: Final = 1 << 20
_LARGEST_SEGMENT: Final = 1 << 30
#: Shares of the disk in percent (W-102: logs are the least valuable, then events, then readings). What remains is for topics without a
#: limit, for the segments that are being written and for Kafka's own.
_TELEMETRY: Final = 75
_EVENTS: Final = 10
_LOGS: Final = 5


def mirrored(layout: Layout) -> tuple[TopicSpec, ...]:
    """Return the topics that go from the edge to the centre: what gateways write, and dead letters (D-20).

    What is made of them, `telemetry.clean` or rollups for example, is made at the centre.
    """
    return tuple(spec for spec in layout.specs() if "mirror" in spec.writers)


def returned(layout: Layout) -> tuple[TopicSpec, ...]:
    """Return the topics that come from the centre: what the historian has stored, so that edge journals may let it go (P-67)."""
    return tuple(spec for spec in layout.specs() if "mirror" in spec.readers)


def edge_topics(layout: Layout, edge: EdgeKafka) -> list[KafkaTopic]:
    """Return the topics of the edge's own broker: one copy, bounded by bytes and never by hours (D-19).

    Kafka counts bytes by partition, so each class of topics has its share of the disk, split over its partitions (D-23). Alarms, dead
    letters and notices have no limit (W-102).
    """
    specs = (*mirrored(layout), *returned(layout))
    partitions = {
        share: sum(layout.partitions_of(spec) for spec in specs if _share(spec) == share) for share in (_TELEMETRY, _EVENTS, _LOGS)
    }
    return [_topic(spec, layout, edge.disk_bytes, partitions) for spec in specs]


def _topic(spec: TopicSpec, layout: Layout, disk: int, partitions: dict[int, int]) -> KafkaTopic:
    copies, in_sync = COPIES["development"]
    own = settings(spec, in_sync) | {"retention.ms": FOREVER}
    if share := _share(spec):
        limit = disk * share // 100 // partitions[share]
        own["retention.bytes"] = str(limit)
        own["segment.bytes"] = str(min(_LARGEST_SEGMENT, max(_LEAST_SEGMENT, limit // _PIECES)))
    return KafkaTopic(spec.name, layout.partitions_of(spec), copies, own)


def _share(spec: TopicSpec) -> int:
    """Return the percentage of the disk that the topics of this one's class have together; 0 has no limit."""
    if spec.carries == (Category.TELEMETRY, "raw"):
        return _TELEMETRY
    if spec.carries == (Category.EVENT, "raw"):
        return _EVENTS
    return _LOGS if spec.carries is None and spec.form == "json" else 0
