"""What the site log acknowledged: records and bytes by topic, and how long its appends took."""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric

QUANTILES: Final = (0.5, 0.95, 0.99)
#: Quantiles are those of so many appends, the newest.
_RECENT: Final = 1000


class Deliveries:
    """Counts appends. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._appends = 0
        self._seconds = 0.0
        self._records: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def note(self, topic: str, records: int, size: int, seconds: float) -> None:
        """Take over one append that was acknowledged.

        Args:
            topic: where to.
            records: how many.
            size: bytes of their values.
            seconds: from the call until all copies that must have it had it.
        """
        with self._lock:
            self._recent.append(seconds)
            self._appends += 1
            self._seconds += seconds
            self._records[topic] += records
            self._bytes[topic] += size

    def quantiles(self) -> dict[float, float]:
        """Return seconds that so large a part of the newest appends did not exceed; nothing before the first append."""
        with self._lock:
            ordered = sorted(self._recent)
        return {part: ordered[int(part * (len(ordered) - 1) + 0.5)] for part in QUANTILES} if ordered else {}

    def metrics(self) -> Iterator[Metric]:
        """Yield everything for one scrape."""
        quantiles = self.quantiles()
        name = "trunkline_edge_append_seconds"
        took = Metric(name, f"time until the site log acknowledged an append; quantiles of the newest {_RECENT}", "summary")
        records = CounterMetricFamily("trunkline_edge_forwarded_records", "records acknowledged by the site log", labels=["topic"])
        size = CounterMetricFamily("trunkline_edge_forwarded_bytes", "bytes of their values", labels=["topic"])
        for part, seconds in quantiles.items():
            took.add_sample(name, {"quantile": str(part)}, seconds)
        with self._lock:
            took.add_sample(f"{name}_count", {}, self._appends)
            took.add_sample(f"{name}_sum", {}, self._seconds)
            for topic, count in sorted(self._records.items()):
                records.add_metric([topic], count)
                size.add_metric([topic], self._bytes[topic])
        yield from (took, records, size)
