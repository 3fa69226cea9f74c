"""What deadbands kept back, counted so that it can be stated exactly: how many readings, and how far they were from what was told."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from trunkline.ledger.status import EdgeCount

#: First and third part of the journal's counters: what became of the readings, and why.
REDUCED: Final = "reduced"
DEADBAND: Final = "deadband"
#: Name of the journal's fact that holds, by source, the `Furthest` so far.
FURTHEST: Final = "edge.reduced"


class Furthest(msgspec.Struct, frozen=True):
    """The reading kept back that was furthest from the last one told of its tag.

    Attributes:
        share: its distance as a share of the tag's deadband: never more than 1.
        tag: its tag.
    """

    share: float = 0.0
    tag: str = ""


@dataclass(slots=True)
class Reduction:
    """Readings of one source that were kept back.

    Attributes:
        hours: how many, by the hour of their time in history.
        furthest: of them.
    """

    hours: Counter[int] = field(default_factory=Counter)
    furthest: Furthest = field(default_factory=Furthest)

    def note(self, tag: str, share: float, hour: int) -> None:
        """Take one reading into account."""
        self.hours[hour] += 1
        if share > self.furthest.share or not self.furthest.tag:
            self.furthest = Furthest(share, tag)


def further(one: Furthest, other: Furthest) -> Furthest:
    """Return the one that is further."""
    return other if other.share > one.share or not one.tag else one


def reduced_key(source: str, hour: int) -> tuple[str, ...]:
    """Return the journal's counter for what a source's deadbands kept back in an hour."""
    return (REDUCED, source, DEADBAND, str(hour))


def stored_furthest(fact: str | None) -> dict[str, Furthest]:
    """Return the journal's fact `FURTHEST`."""
    return msgspec.json.decode(fact, type=dict[str, Furthest]) if fact else {}


class Statement(msgspec.Struct, frozen=True):
    """What can be said of a source's telemetry since its journal was made.

    Attributes:
        came: readings that the device gave.
        kept: of them, those in the journal.
        kept_back: of them, those that were within their tag's deadband of the last one kept.
        furthest: of these.
    """

    source: str
    came: int
    kept: int
    kept_back: int
    furthest: Furthest

    @property
    def sentence(self) -> str:
        """The statement, for people."""
        said = f"{self.source}: of {self.came:,} readings {self.kept:,} were kept, {self.kept_back:,} were within their tag's deadband"
        if not self.kept_back:
            return said
        return f"{said}; the furthest was {self.furthest.share:.1%} of it from the reading kept before ({self.furthest.tag})"


def statements(cells: Iterable[EdgeCount], furthest: Mapping[str, Furthest]) -> list[Statement]:
    """Return what can be said of each source.

    Args:
        cells: the journal's counts of telemetry.
        furthest: by source.
    """
    kept: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for cell in cells:
        kept[cell.source] += cell.read
        back[cell.source] += cell.reduced
    return [
        Statement(source, kept[source] + back[source], kept[source], back[source], furthest.get(source, Furthest()))
        for source in sorted(kept)
    ]
