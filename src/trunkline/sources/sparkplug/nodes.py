"""An edge node as its births describe it (Eclipse Sparkplug 3.0.0, 6.4, NBIRTH and DBIRTH)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from trunkline.sources.sparkplug.codec import Metric, Payload
from trunkline.sources.sparkplug.readings import TagReader


class KnownMetric(NamedTuple):
    """A metric as its birth announced it."""

    name: str
    datatype: int | None
    alias: int | None


@dataclass(slots=True)
class Birth:
    """The metrics of an edge node or a device since its last birth."""

    metrics: dict[str, KnownMetric] = field(default_factory=dict)
    aliases: dict[int, KnownMetric] = field(default_factory=dict)

    @classmethod
    def of(cls, payload: Payload) -> "Birth":
        """Take what a birth announces. [tck-id-topics-nbirth-metric-reqs]: 'every metric the Edge Node will ever report on'."""
        birth = cls()
        for metric in payload.metrics:
            if metric.name is not None:
                known = KnownMetric(metric.name, metric.datatype, metric.alias)
                birth.metrics[metric.name] = known
                if metric.alias is not None:
                    birth.aliases[metric.alias] = known
        return birth

    def find(self, metric: Metric) -> KnownMetric | None:
        """Return what is known of a metric of a data message; aliases mean what the birth says, never what an earlier one said."""
        if metric.name is not None:
            return self.metrics.get(metric.name)
        return None if metric.alias is None else self.aliases.get(metric.alias)


@dataclass(slots=True)
class Node:
    """An edge node.

    Attributes:
        id: edge node id.
        tags: readers of its tags by device ('' for the edge node itself) and metric.
        online: whether it was born and has not died since.
        dead: whether it died and was not born since.
        doubted: when it counts as dead unless it is heard before; infinity while nothing speaks against it.
        bd_seq: number that its death certificate will carry.
        next_seq: sequence number of its next message.
        births: by device, '' for the edge node itself.
        wanted: why its births are wanted again; empty when they are not.
        asked: when they were last asked for.
    """

    id: str
    tags: dict[str, dict[str, list[TagReader]]] = field(default_factory=dict)
    online: bool = False
    dead: bool = False
    doubted: float = math.inf
    bd_seq: int | None = None
    next_seq: int = 0
    births: dict[str, Birth] = field(default_factory=dict)
    wanted: str = ""
    asked: float = -math.inf

    def readers(self, device: str | None = None) -> Iterator[TagReader]:
        """Yield the readers of a device, or of everything."""
        for owner, metrics in self.tags.items():
            if device is None or owner == device:
                for readers in metrics.values():
                    yield from readers
