"""Figures with a limit: seconds, bytes, growth, where less is better, and rates that must be reached where there is no peer."""

import json
import statistics
import sys
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

from bench.harness import machine


class Peer(NamedTuple):
    """What a figure is compared with beside its limit, measured in the same run and unit."""

    name: str
    value: float


def at_most(
    name: str,
    value: float,
    unit: str,
    limit: float,
    *,
    conditions: dict[str, Any],
    peer: Peer | None = None,
    runs: int = 1,
    cpu_s: float = 0.0,
    rss_mb: float = 0.0,
    passed: bool = True,
) -> dict[str, Any]:
    """Print a figure that must not be above its limit, and return it.

    Args:
        name: dotted name.
        value: measured; the median where there were several runs.
        unit: of value and limit.
        limit: highest value that passes.
        conditions: facts about the load, printed along with the machine.
        peer: if there is one, ratio and goal refer to it, else to the limit.
        runs: how many times it was measured.
        cpu_s: processor seconds of what was measured.
        rss_mb: its peak resident megabytes.
        passed: False if something else went wrong, whatever the value.
    """
    compared = limit if peer is None else peer.value
    figure: dict[str, Any] = {
        "bench": name,
        "rate": round(value, 2),
        "unit": unit,
        **_beside(peer),
        "limit": limit,
        "ratio": round(value / compared, 3),
        "goal": round(limit / compared, 3),
        "passed": passed and value <= limit,
        **_cost(runs, cpu_s, rss_mb),
        "conditions": machine() | conditions,
    }
    return _told(figure, in_order=passed)


def at_least(
    name: str, rate: float, unit: str, limit: float, *, conditions: dict[str, Any], runs: int = 1, cpu_s: float = 0.0, rss_mb: float = 0.0
) -> dict[str, Any]:
    """Print a rate that must reach its limit, and return it. Arguments as in `at_most`."""
    figure: dict[str, Any] = {
        "bench": name,
        "rate": round(rate, 2),
        "unit": unit,
        "peer": None,
        "limit": limit,
        "ratio": round(rate / limit, 3),
        "goal": 1.0,
        "passed": rate >= limit,
        **_cost(runs, cpu_s, rss_mb),
        "conditions": machine() | conditions,
    }
    return _told(figure, in_order=True)


def _beside(peer: Peer | None) -> dict[str, Any]:
    return {"peer": None} if peer is None else {"peer": peer.name, "peer_rate": round(peer.value, 2)}


def _cost(runs: int, cpu_s: float, rss_mb: float) -> dict[str, Any]:
    return {"runs": runs, "cpu_s": round(cpu_s, 2), "rss_mb": round(rss_mb, 1)}


def _told(figure: dict[str, Any], *, in_order: bool) -> dict[str, Any]:
    note = "" if in_order else ", not in order"
    print(f"{figure['bench']}: {figure['rate']:,} {figure['unit']}, limit {figure['limit']:,g}{note}", file=sys.stderr, flush=True)
    print(json.dumps(figure), flush=True)
    return figure


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the Theil-Sen slope of (x, y) points; 0 for fewer than two."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0
