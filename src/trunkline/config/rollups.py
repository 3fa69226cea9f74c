"""Rollups: statistics of tags over seconds, minutes, hours and days (docs/how-to/rollups.md)."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from trunkline.config.tags import Model, Seconds
from trunkline.model.tags import TagPattern

FineTier = Literal["1s", "10s"]
TierName = Literal["1s", "10s", "1min", "1h", "1day"]


def _pattern(text: str) -> str:
    TagPattern(text)
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
#: W-71 to W-74.
RETENTION_DAYS: Final[dict[TierName, float | None]] = {"1s": 7.0, "10s": 30.0, "1min": 90.0, "1h": 730.0, "1day": None}


class Counter(Model):
    """A tag that counts up, such as a flow totaliser: its rollups have the increase."""

    rollover: float | None = Field(
        None, gt=0, description="what it counts to before it begins at 0 again, for example 65536; empty: it is reset"
    )


class TagRollups(Model):
    """What some tags want otherwise than the rest."""

    tags: tuple[Pattern, ...] = Field(min_length=1, description="paths or patterns: '*' within one level, '**' for any number of levels")
    hold_seconds: Seconds | None = Field(None, description="how long a reading of these tags holds when no other follows")
    counter: Counter | None = Field(None, description="the tags count up: rollups have their increase as 'total'")
    tiers: tuple[FineTier, ...] = Field(
        (), description="finer buckets to keep as well, worth their room where several readings fall into one"
    )


class Said(Model):
    """What holds for one tag."""

    hold_seconds: float
    counter: Counter | None
    tiers: tuple[FineTier, ...]


class RollupsConfig(Model):
    """Statistics of every numeric tag over minutes, hours and days, and over 1 s and 10 s where `tags` asks for them."""

    grace_seconds: float = Field(10.0, ge=0, le=3600, description="how long after its end a bucket waits for readings on their way")
    repair_seconds: float = Field(
        30.0, ge=0, le=86_400, description="how long late readings are gathered until the hours and days that they change are made anew"
    )
    hold_seconds: Seconds = Field(
        600.0, description="how long a reading holds when no other follows: longer than the longest usual silence"
    )
    publish: bool = Field(True, description="put every new and revised bucket on the topic of its tier, where the layout has one")
    retention_days: dict[TierName, float | None] = Field(
        RETENTION_DAYS, description="how long the buckets of each tier are kept, by name of the tier; empty keeps them for ever"
    )
    tags: tuple[TagRollups, ...] = Field((), description="what some tags want otherwise; the first entry that says something decides it")

    def days(self, tier: TierName) -> float | None:
        """Return how many days a tier's buckets are kept; None for ever."""
        return self.retention_days.get(tier, RETENTION_DAYS[tier])

    def of(self, tag: str) -> Said:
        """Return what holds for one tag."""
        mine = [entry for entry in self.tags if any(TagPattern(text).matches(tag) for text in entry.tags)]
        hold = next((entry.hold_seconds for entry in mine if entry.hold_seconds is not None), self.hold_seconds)
        counter = next((entry.counter for entry in mine if entry.counter is not None), None)
        return Said(hold_seconds=hold, counter=counter, tiers=next((entry.tiers for entry in mine if entry.tiers), ()))
