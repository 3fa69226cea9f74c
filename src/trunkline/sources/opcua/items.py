"""Items: the variables to ask for. Tags that name elements of one array share an item, so the array travels once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from asyncua import ua

from trunkline.config.tags import Deadband
from trunkline.model.reading import Kind, Reading
from trunkline.sources.opcua.addresses import NodeAddress
from trunkline.sources.opcua.config import OpcUaTag
from trunkline.sources.opcua.stack import node_id
from trunkline.sources.opcua.values import sample

T = TypeVar("T")


class TagSlot(NamedTuple):
    """A tag that an item feeds, with the array element it takes."""

    path: str
    kind: Kind
    element: int | None


@dataclass(slots=True)
class Item:
    """One variable of the server and the tags it feeds.

    Attributes:
        address: where the server keeps it.
        deadband: what the server filters, None for nothing.
        slots: the tags.
    """

    address: NodeAddress
    deadband: Deadband | None
    slots: list[TagSlot] = field(default_factory=list)

    def node_id(self, namespaces: Sequence[str]) -> ua.NodeId:
        """Return the NodeId for a server with this namespace table. Raises UnknownNamespace."""
        return node_id(self.address.identifier, self.address.index(namespaces))

    def readings(self, data: ua.DataValue, now: int) -> tuple[list[Reading], bool]:
        """Return a reading for each tag, and whether the server says that its queue overflowed before this value."""
        found: list[Reading] = []
        overflow = False
        for path, kind, element in self.slots:
            value, quality, source_time, overflow = sample(data, kind, element)
            found.append(Reading(path, value, quality, source_time, now))
        return found, overflow

    def bad(self, quality: int, now: int) -> list[Reading]:
        """Return a reading without value for each tag: the server cannot serve this variable."""
        return [Reading(slot.path, None, quality, None, now) for slot in self.slots]


def items_of(tags: Sequence[OpcUaTag]) -> list[Item]:
    """Group tags by variable and server-side deadband, in the order of the configuration."""
    found: dict[tuple[str, Deadband | None], Item] = {}
    for tag in tags:
        item = found.setdefault((tag.node, tag.server_deadband), Item(NodeAddress.parse(tag.node), tag.server_deadband))
        item.slots.append(TagSlot(tag.path, tag.value_kind, tag.element))
    return list(found.values())


def is_bad(status: int) -> bool:
    """Return whether a StatusCode says that the operation failed."""
    return status >> 31 == 1


def batches(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield runs of at most `size`."""
    for start in range(0, len(things), size):
        yield things[start : start + size]
