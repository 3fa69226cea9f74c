"""Whether everything that the API needs is there, and since when."""

import threading

from trunkline.model import times


class Health:
    """Named faults; none is 'ok'. Thread-safe."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}
        self._since = times.now()
        self._lock = threading.Lock()

    def tell(self, part: str, fault: str | None) -> None:
        """Take over a part's state: None when it works."""
        with self._lock:
            before = bool(self._faults)
            if fault is None:
                self._faults.pop(part, None)
            else:
                self._faults[part] = fault
            if before != bool(self._faults):
                self._since = times.now()

    @property
    def status(self) -> str:
        """'ok' or 'degraded'."""
        return "degraded" if self._faults else "ok"

    @property
    def since_us(self) -> int:
        """When the status last changed."""
        return self._since
