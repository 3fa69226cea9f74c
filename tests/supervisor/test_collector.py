"""Issue 4, figures: a million small records that come and go leave the collector of cycles asleep."""

import subprocess
import sys

PROBE = """
import gc
from trunkline.supervisor.collector import set_collector
runs = []
set_collector()
gc.callbacks.append(lambda phase, _: runs.append(phase))
for _ in range(1_000):
    records = [(number, []) for number in range(1_000)]
print(len(runs), gc.get_freeze_count() > 1_000)
for _ in range(20_000):
    knot = []
    knot.append(knot)
print(len(runs) > 0, gc.get_count()[0] < 6_000)
"""


def test_records_that_come_and_go_are_not_looked_at_and_knots_are_freed() -> None:
    told = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["0", "True", "True", "True"]
