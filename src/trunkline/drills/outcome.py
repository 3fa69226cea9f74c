"""How a drill ended, as figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trunkline.drills.checking import Difference
from trunkline.drills.course import Course
from trunkline.drills.pictures import Picture
from trunkline.drills.plan import Plan
from trunkline.ledger.balance import Balance, unbalanced
from trunkline.model import times


class Figure(NamedTuple):
    """A line of a drill's page.

    Attributes:
        name: what was measured.
        value: as people read it.
        words: what it means.
    """

    name: str
    value: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Own:
    """What only this kind of drill measures and promises.

    Attributes:
        facts: for machines, beside the figures that every drill has.
        figures: the same for people.
        broken: promises that were not kept.
        pictures: after those that every drill has.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    broken: Sequence[str] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drill ended.

    Attributes:
        name: of the drill.
        plan: what was fed.
        course: what happened.
        difference: between what was fed and what is stored.
        balance: of the ledger.
        acknowledged: readings that the edge acknowledged.
        live: readings that were fed after the history.
        own: what only this drill measures.
        sabotage: the planted defect.
    """

    name: str
    plan: Plan
    course: Course
    difference: Difference
    balance: Balance
    acknowledged: int
    live: int
    own: Own = field(default_factory=Own)
    sabotage: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every promise was kept; with a planted defect, whether that was noticed."""
        sound = self.difference.clean and self.balance.balanced and not self.course.forgotten and not self.balance.totals["rejected"]
        kept = sound and not self.own.broken
        return not kept if self.sabotage else kept

    def _forgotten(self) -> list[str]:
        gone = self.course.forgotten
        return [f"{gone:,} readings were acknowledged and gone after a kill"] if gone else []

    def document(self) -> dict[str, Any]:
        """Return the figures as drills report them."""
        course, found = self.course, self.difference
        rate, peak, late = course.drain_rate, course.peak(), course.live_delay(0.99)
        used = [sample.memory for sample in course.samples if sample.memory]
        return {
            "drill": self.name,
            "seed": self.plan.seed,
            "days": round(self.plan.steps * self.plan.period_us / times.DAY, 4),
            "tags": len(self.plan.tags),
            "kills": course.kills,
            "cuts": sum(words == "cut" for _, words in course.marks),
            **self.own.facts,
            "readings": found.expected,
            "live_readings": self.live,
            "acknowledged": self.acknowledged,
            "stored": found.stored,
            "lost": found.lost + course.forgotten,
            "doubled": found.doubled,
            "invented": found.invented,
            "changed": found.changed,
            "dropped": found.dropped,
            "rejected": self.balance.totals["rejected"],
            "feed_rate": round((self.plan.steps * len(self.plan.tags)) / course.feed_seconds) if course.feed_seconds else None,
            "drain_rate": round(rate),
            "drain_of_peak": round(rate / peak, 2) if peak else None,
            "live_p99_s": round(late, 3) if late is not None else None,
            "memory_mb": round(max(used, default=0) / 1e6, 1),
            "disk_mb": {
                "before": round(course.baseline / 1e6, 1),
                "most": round(max((sample.disk for sample in course.samples), default=0) / 1e6, 1),
                "after": round(course.samples[-1].disk / 1e6, 1) if course.samples else None,
            },
            "ledger_balanced": self.balance.balanced,
            "problems": [*self._forgotten(), *self.own.broken, *unbalanced(self.balance), *found.examples],
            **({"sabotage": self.sabotage, "caught": self.passed} if self.sabotage else {}),
            "passed": self.passed,
        }
