"""Benches in their short form run to their end. A missed goal is no failure here: goals are for an idle machine."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(310)
@pytest.mark.parametrize("figure", ["journal", "path.journal", "validate"])
def test_a_bench_runs_to_its_end(figure: str) -> None:
    """What a figure is measured with does not break unnoticed."""
    command = [sys.executable, "-m", "bench", "--short", "--only", figure]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    *figures, summary = map(json.loads, done.stdout.splitlines())
    assert summary["figures"] == len(figures) > 0, done.stderr
    assert set(summary["failed"]) <= {one["bench"] for one in figures}, done.stderr
    for one in figures:
        assert one["rate"] > 0
        assert one["ratio"] > 0
