"""What the plant's loop knows of a device, whatever its protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.lab.cable import Cable
from trunkline.lab.simulation import Booleans, Integers, Qualities, Snapshot
from trunkline.lab.vocabulary import ProtocolName, Unit


@dataclass(slots=True)
class Frame:
    """One cycle of the plant as its devices are to show it; row i is unit i.

    Attributes:
        snapshot: values, with faults applied.
        quality: uint16 (units, variables).
        clock_offset: int64 (units,), µs by which the unit's clock is wrong.
        unplugged: bool (units,), units that cannot be reached.
    """

    snapshot: Snapshot
    quality: Qualities
    clock_offset: Integers
    unplugged: Booleans


class Device(Protocol):
    """A server, or a publisher with its broker, that shows the units of one protocol.

    Attributes:
        protocol: which.
        cable: how it is reached.
        groups: its units, in the portions in which they are shown.
    """

    protocol: ProtocolName
    cable: Cable
    groups: Sequence[Sequence[Unit]]

    async def start(self) -> None:
        """Bring the device up; its cable is not plugged yet. Raises OSError, or RuntimeError saying why it cannot run."""
        ...

    async def show(self, group: int, frame: Frame, wall: int) -> None:
        """Write the truth of one group of units, then let the device show it. `wall` is the time of both, µs UTC."""
        ...

    async def stop(self) -> None:
        """Bring the device down; safe to call at any time, more than once."""
        ...


def groups_of(units: Sequence[Unit], size: int) -> list[Sequence[Unit]]:
    """Return `units` in portions of `size`."""
    return [units[start : start + size] for start in range(0, len(units), size)]
