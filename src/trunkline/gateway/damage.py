"""What damage to the edge journal took: the journal mends itself and goes on, so somebody has to say what is gone."""

from typing import Final

import structlog

from trunkline.log.journal.journal import Journal
from trunkline.log.journal.reading import Quarantined
from trunkline.model.events import Event
from trunkline.model.identity import uuid7

log = structlog.get_logger("trunkline.gateway")

_META: Final = "edge.damage_told"


def lost_ranges(journal: Journal) -> list[Quarantined]:
    """Return the ranges of offsets whose records cannot be read any more, oldest finding first."""
    return [one for one in journal.quarantined() if one.kind != "skipped"]


class DamageWatch:
    """Tells of each lost range once, over restarts.

    Args:
        journal: the edge journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._told = int(journal.meta(_META) or 0)
        self.lost: list[Quarantined] = []

    def look(self, now: int) -> Event | None:
        """Return an event that names what was found since the last one, or None. Raises RetryLater."""
        self.lost = lost_ranges(self._journal)
        fresh = self.lost[self._told :]
        if not fresh:
            return None
        for one in fresh:
            log.error(
                "records were lost to damage of the edge journal",
                topic=one.topic,
                partition=one.partition,
                first=one.first,
                next=one.next,
                reason=one.reason,
            )
        places = ", ".join(f"{one.topic}/{one.partition}@{one.first} to {one.next - 1}" for one in fresh)
        text = f"records were lost to damage of the edge journal: {places}"
        return Event(id=str(uuid7()), type="JOURNAL_DAMAGED", time=now, gateway_time=now, text=text, attributes={"ranges": len(fresh)})

    def tell(self) -> None:
        """Note that what `look` found is told. Raises RetryLater."""
        self._told = len(self.lost)
        self._journal.append_many({}, meta={_META: str(self._told)})
