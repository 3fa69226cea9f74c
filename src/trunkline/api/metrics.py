"""Figures about the API itself, in the Prometheus text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class Metrics:
    """Counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "trunkline_api_requests", "answers by route and status", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "trunkline_api_request_seconds",
            "time to answer",
            ("route",),
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self._registry,
        )
        self.clients = Gauge("trunkline_api_live_clients", "open live connections", registry=self._registry)
        self.frames = Counter("trunkline_api_live_frames", "frames sent to live clients", registry=self._registry)
        self.values = Counter("trunkline_api_live_values", "values sent to live clients", registry=self._registry)
        self.tags = Gauge("trunkline_api_live_tags", "tags with a live value", registry=self._registry)
        self.readings = Counter("trunkline_api_live_readings", "readings taken from the site log", registry=self._registry)
        self.damaged = Counter("trunkline_api_live_damaged_records", "records of the log that could not be read", registry=self._registry)
        self.delay = Gauge("trunkline_api_live_delay_seconds", "age of the newest reading when it became visible", registry=self._registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        # a made-up method must not make a series of its own
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self._registry)
