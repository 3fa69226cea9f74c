"""Figures with a limit instead of a peer, where less is better: seconds, bytes, growth."""

import json
import statistics
import sys
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from bench.harness import machine


def at_most(
    name: str,
    value: float,
    unit: str,
    limit: float,
    *,
    conditions: dict[str, Any],
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
        runs: how many times it was measured.
        cpu_s: processor seconds of what was measured.
        rss_mb: its peak resident megabytes.
        passed: False if something else went wrong, whatever the value.
    """
    figure: dict[str, Any] = {
        "bench": name,
        "rate": round(value, 2),
        "unit": unit,
        "peer": None,
        "limit": limit,
        "ratio": round(value / limit, 3),
        "goal": 1.0,
        "passed": passed and value <= limit,
        "runs": runs,
        "cpu_s": round(cpu_s, 2),
        "rss_mb": round(rss_mb, 1),
        "conditions": machine() | conditions,
    }
    print(f"{name}: {value:,.2f} {unit}, limit {limit:g}{'' if passed else ', not in order'}", file=sys.stderr, flush=True)
    print(json.dumps(figure), flush=True)
    return figure


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the Theil-Sen slope of (x, y) points; 0 for fewer than two."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0
