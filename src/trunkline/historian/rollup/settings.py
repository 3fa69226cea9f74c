"""What the site file says of each series' rollups, by id."""

from collections.abc import Mapping, Sequence

import numpy as np

from trunkline.config.rollups import RollupsConfig
from trunkline.historian.rollup.summary import Ways
from trunkline.historian.rollup.tiers import BY_NAME, FINE, Tier
from trunkline.model import times


class Settings:
    """Answers for series by id. What a tag's settings are follows from the first entry of `rollups.tags` that says something of it.

    Args:
        config: the section `rollups` of the site file.
    """

    def __init__(self, config: RollupsConfig) -> None:
        self.config = config
        self._hold: dict[int, int] = {}
        self._rollover: dict[int, float] = {}
        self._fine: dict[Tier, set[int]] = {tier: set() for tier in FINE}

    def add(self, tags: Mapping[int, str]) -> None:
        """Learn of new series."""
        for series, tag in tags.items():
            said = self.config.of(tag)
            self._hold[series] = round(said.hold_seconds * times.SECOND)
            self._rollover[series] = np.nan if said.counter is None else said.counter.rollover or np.inf
            for name in said.tiers:
                self._fine[BY_NAME[name]].add(series)

    def words(self, series: int) -> str:
        """Return in words how a series is summarised, for comparing with how it was."""
        fine = ",".join(tier.title for tier in FINE if series in self._fine[tier])
        return f"hold {self._hold[series]} rollover {self._rollover[series]} tiers {fine}"

    def ways(self, series: Sequence[int]) -> Ways:
        """Return how these series are summarised."""
        hold = np.fromiter((self._hold[one] for one in series), np.int64, len(series))
        return Ways(hold, np.fromiter((self._rollover[one] for one in series), np.float64, len(series)))

    def knows(self, series: int) -> bool:
        """Return whether this is a series with numbers."""
        return series in self._hold

    def fine(self, tier: Tier, series: Sequence[int]) -> list[int]:
        """Return which of these series have buckets of a fine tier."""
        wanted = self._fine[tier]
        return [one for one in series if one in wanted]
