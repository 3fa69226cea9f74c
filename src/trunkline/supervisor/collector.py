"""Python's collector of cycles, set for processes through which millions of records a minute pass."""

import gc
from typing import Final

#: Containers made and not freed again until the youngest are looked at. A role makes a thousand messages or tuples in one call of a
#: library and frees them in the next: at Python's own 700, a sixth of the historian's time went into looking at them.
_YOUNGEST: Final = 5_000


def set_collector() -> None:
    """Look for cycles seldom, and never among what the modules of a role hold for good. For a process of its own."""
    gc.set_threshold(_YOUNGEST)
    gc.freeze()
