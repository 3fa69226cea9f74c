"""Memory of a burst goes back to the system."""

import subprocess
import sys

BURST = """
import psutil
from trunkline.historian.memory import give_back
me, size = psutil.Process(), 32_000
buffers = [bytearray(size) for _ in range(3000)]  # each too small to be mapped on its own
kept = buffers[::100]  # one in a hundred stays, so that the heap cannot shrink from its end
full = me.memory_info().rss
del buffers
give_back()
assert all(len(one) == size for one in kept)
print(full - me.memory_info().rss)
"""


def test_a_burst_does_not_stay_the_size_of_the_process() -> None:
    """Issue 3, memory: what a backlog needed is given back, even where something small lives on in between."""
    given = int(subprocess.run([sys.executable, "-c", BURST], capture_output=True, text=True, check=True).stdout)
    assert given > 0.9 * 3000 * 32_000
