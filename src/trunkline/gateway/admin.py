"""/health and /metrics on loopback (W-52, W-53), served by a small thread."""

import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from trunkline.gateway.deliveries import Deliveries
from trunkline.ledger.status import GatewayStatus
from trunkline.model import times

HealthReport = Callable[[], dict[str, Any]]


class StatusCollector(Collector):
    """Gateway status as Prometheus metrics; the names of W-53 for sources, `trunkline_` for the rest."""

    def __init__(self, status: Callable[[], GatewayStatus], deliveries: Deliveries) -> None:
        self._status = status
        self._deliveries = deliveries

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of one scrape."""
        status = self._status()
        readings = CounterMetricFamily("adapter_readings", "readings taken from the device", labels=["pipeline_id"])
        errors = CounterMetricFamily("adapter_errors", "failures of the source", labels=["pipeline_id", "type"])
        stale = GaugeMetricFamily("trunkline_source_stale_tags", "tags that fell silent", labels=["source"])
        connected = GaugeMetricFamily("trunkline_source_connected", "1 when connected", labels=["source"])
        skew = GaugeMetricFamily("trunkline_source_clock_skew_seconds", "how far the device's clock is behind", labels=["source"])
        furthest = GaugeMetricFamily(
            "trunkline_source_reduced_furthest_ratio",
            "distance from what was told of the furthest reading that a deadband kept back, as a share of the deadband",
            labels=["source"],
        )
        for source in status.sources:
            furthest.add_metric([source.id], source.reduced_furthest)
            skew.add_metric([source.id], source.clock_skew_us / times.SECOND)
            readings.add_metric([source.id], source.readings_total)
            errors.add_metric([source.id, "connection"], source.errors_total)
            stale.add_metric([source.id], source.stale_tags)
            connected.add_metric([source.id], source.state == "connected")
        yield from (readings, errors, stale, connected, skew, furthest)
        yield from _processes(status)
        yield GaugeMetricFamily("trunkline_edge_waiting_records", "records not forwarded yet", value=status.buffer.waiting)
        yield GaugeMetricFamily("trunkline_edge_bytes", "room in use by all but alarms, commands and notices", value=status.buffer.bytes)
        yield from _buffer(status)
        yield from _link(status)
        ledger = CounterMetricFamily("trunkline_edge_ledger", "readings by step", labels=["source", "category", "step"])
        totals: dict[tuple[str, str, str], int] = {}
        for cell in status.counts:
            for step in ("read", "forwarded", "dropped", "reduced"):
                key = (cell.source, cell.category, step)
                totals[key] = totals.get(key, 0) + getattr(cell, step)
        for key, count in sorted(totals.items()):
            ledger.add_metric(list(key), count)
        yield ledger
        yield from self._deliveries.metrics()


def _link(status: GatewayStatus) -> Iterator[Metric]:
    """Yield how good the link is."""
    one = status.link
    yield GaugeMetricFamily("trunkline_edge_link_up", "1 when the site log is reached", value=one.state == "up")
    drained = float("inf") if one.drained_in_s is None and status.buffer.waiting else one.drained_in_s or 0.0
    ceiling = float("inf") if one.max_bytes_per_s is None else one.max_bytes_per_s
    for name, text, value in (
        ("state_seconds", "how long it has been up, or down", max(0, status.at_us - one.since_us) / times.SECOND),
        ("down_last_day_seconds", "seconds down in the last 24 hours, since the start at most", one.down_24h_s),
        ("readings_per_second", "readings forwarded, on average over the last minute", one.readings_per_s),
        ("bytes_per_second", "bytes sent, on average over the last minute", one.bytes_per_s),
        ("max_bytes_per_second", "the ceiling; +Inf without one", ceiling),
        ("drained_in_seconds", "time until nothing waits at this rate; +Inf while it does not get less", drained),
        ("again_records", "records still to be sent once more, on demand", one.again),
    ):
        yield GaugeMetricFamily(f"trunkline_edge_link_{name}", text, value=value)
    for name, text, value in (
        ("outages", "how often it went down", one.outages),
        ("down_seconds", "seconds down", one.down_s),
        ("bytes", "bytes sent: what Kafka's client wrote after compression, else those of the records", one.bytes_total),
    ):
        yield CounterMetricFamily(f"trunkline_edge_link_{name}", text, value=value)


def _buffer(status: GatewayStatus) -> Iterator[Metric]:
    """Yield what tells how long store and forward still can (PD-31)."""
    one = status.buffer
    age = (status.at_us - one.oldest_waiting_us) / times.SECOND if one.oldest_waiting_us is not None else 0.0
    full = float("inf") if one.full_in_s is None else one.full_in_s
    for name, text, value in (
        ("oldest_waiting_seconds", "age of the oldest record not forwarded yet", age),
        ("disk_bytes", "bytes that the edge journal takes on its disk", one.disk_bytes),
        ("max_bytes", "bytes that it may take", one.max_bytes),
        ("reserved_bytes", "part of them that only alarms, commands and notices may use", one.reserved_bytes),
        ("full_in_seconds", "time until the oldest telemetry is given up at this rate; +Inf while nothing grows", full),
        ("disk_full", "1 when the disk itself was full at the last attempt", one.disk_full),
    ):
        yield GaugeMetricFamily(f"trunkline_edge_{name}", text, value=value)


def _processes(status: GatewayStatus) -> Iterator[Metric]:
    """Yield what isolated sources use."""
    memory = GaugeMetricFamily("trunkline_source_process_resident_bytes", "memory of an isolated source", labels=["source"])
    processor = GaugeMetricFamily("trunkline_source_process_cpu", "share of a processor that an isolated source uses", labels=["source"])
    restarts = CounterMetricFamily("trunkline_source_process_restarts", "starts after the first", labels=["source"])
    for source in status.sources:
        if source.process is not None:
            memory.add_metric([source.id], source.process.rss_bytes)
            processor.add_metric([source.id], source.process.cpu)
            restarts.add_metric([source.id], source.process.restarts)
    yield from (memory, processor, restarts)


class AdminServer:
    """Serves on 127.0.0.1 only.

    Args:
        port: 0 picks a free one; see `port` afterwards.
        health: makes the /health document; its 'status' other than 'unhealthy' answers 200, else 503.
        collector: source of /metrics.
    """

    def __init__(self, port: int, health: HealthReport, collector: Collector) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/health":
                        document = health()
                        code = HTTPStatus.SERVICE_UNAVAILABLE if document["status"] == "unhealthy" else HTTPStatus.OK
                        self._answer(code, "application/json", json.dumps(document).encode())
                    case "/metrics":
                        self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
                    case _:
                        self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /health and /metrics\n")

            def _answer(self, code: HTTPStatus, kind: str, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing: scrapes are not news."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="admin", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
