"""What the forwarder's deliveries tell a scrape."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from trunkline.gateway.deliveries import Deliveries


def scrape(deliveries: Deliveries) -> dict[tuple[str, str], float]:
    """Return the samples by name and the value of their label, through the text that a scraper gets."""

    class Source(Collector):
        def collect(self) -> Iterator[Metric]:
            return deliveries.metrics()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Source())
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(sample.name, "".join(sample.labels.values())): sample.value for family in families for sample in family.samples}


def test_quantiles_and_totals_by_topic() -> None:
    """Issue 4, item 5: producer latency p50, p95, p99 and throughput per topic."""
    deliveries = Deliveries()
    for milliseconds in range(100, -1, -1):
        deliveries.note("a" if milliseconds % 2 else "b", 3, 10, milliseconds / 1000)
    told = scrape(deliveries)
    name = "trunkline_edge_append_seconds"
    assert [told[name, part] for part in ("0.5", "0.95", "0.99")] == [0.05, 0.095, 0.099]
    assert (told[f"{name}_count", ""], round(told[f"{name}_sum", ""], 6)) == (101, 5.05)
    assert told["trunkline_edge_forwarded_records_total", "a"] == 150
    assert told["trunkline_edge_forwarded_bytes_total", "b"] == 510


def test_quantiles_are_those_of_the_newest_appends() -> None:
    deliveries = Deliveries()
    for seconds in (9.0, 0.25):
        for _ in range(1000):
            deliveries.note("a", 1, 1, seconds)
    assert set(deliveries.quantiles().values()) == {0.25}


def test_nothing_was_delivered_yet() -> None:
    told = scrape(Deliveries())
    assert told == {("trunkline_edge_append_seconds_count", ""): 0.0, ("trunkline_edge_append_seconds_sum", ""): 0.0}
