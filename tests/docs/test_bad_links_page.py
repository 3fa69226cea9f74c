"""The page about bad links shows what the product says: its options, metrics, commands and figures."""

import re
import shlex
from pathlib import Path

import yaml
from prometheus_client.metrics_core import Metric
from tests.cli.support import trunkline

from trunkline.config.site import GatewayConfig
from trunkline.gateway import pacing
from trunkline.gateway.admin import StatusCollector
from trunkline.gateway.deliveries import Deliveries
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus, SourceStatus

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "bad-links.md").read_text()


def collected(link: LinkStatus, waiting: int = 0) -> dict[str, list[tuple[dict[str, str], float]]]:
    source = SourceStatus("plc", "simulated", "connected", 1, 1, 9, 0, 1.0, None, 1, 0, reduced_total=4, reduced_furthest=0.9)
    counts = [EdgeCount("plc", "telemetry", 7, 5, 5, 0, 4), EdgeCount("plc", "telemetry", 8, 1, 1, 0, 2)]
    status = GatewayStatus("gw1", "o", 9_000_000, "1", [source], BufferStatus(waiting, 2, 1, 3), link, counts)
    metrics: list[Metric] = list(StatusCollector(lambda: status, Deliveries()).collect())
    return {metric.name: [(sample.labels, sample.value) for sample in metric.samples] for metric in metrics}


def test_the_section_is_one_of_the_site_file() -> None:
    shown = re.search(r"^    gateways:\n((?:      .*\n)+)", PAGE, re.MULTILINE)
    assert shown is not None
    (section,) = yaml.safe_load(shown[0])["gateways"]
    assert GatewayConfig.model_validate(section).link.compression == "zstd"


def test_metrics_exist_and_say_what_is_known() -> None:
    link = LinkStatus("up", 2_000_000, None, outages=3, down_s=500.0, down_24h_s=340.0, bytes_per_s=1420.0, bytes_total=10**6, again=2)
    known = collected(link, waiting=5)
    shown = {name.removesuffix("_total") for name in re.findall(r"`(trunkline_\w+)`", PAGE)}
    assert len(shown) == 15
    assert shown <= known.keys()
    assert known["trunkline_edge_link_state_seconds"] == [({}, 7.0)]
    assert known["trunkline_edge_link_outages"] == [({}, 3)]
    assert known["trunkline_edge_link_down_last_day_seconds"] == [({}, 340.0)]
    assert known["trunkline_edge_link_bytes"] == [({}, 10**6)]
    assert known["trunkline_edge_link_max_bytes_per_second"] == known["trunkline_edge_link_drained_in_seconds"] == [({}, float("inf"))]
    assert collected(link)["trunkline_edge_link_drained_in_seconds"] == [({}, 0.0)]
    reduced = {"source": "plc", "category": "telemetry", "step": "reduced"}
    assert (reduced, 6) in known["trunkline_edge_ledger"]
    assert known["trunkline_source_reduced_furthest_ratio"] == [({"source": "plc"}, 0.9)]


def test_figures_are_those_of_the_product() -> None:
    assert (pacing.FIRST_BYTES, pacing.SLOW_SECONDS, pacing.LONGEST_SECONDS) == (16 << 10, 2.0, 6.0)
    assert "begin with 16 kB" in PAGE
    assert "more than two seconds beyond its round trip or six in" in PAGE


def test_commands_are_there_with_their_options() -> None:
    commands = [shlex.split(line)[1:] for line in re.findall(r"^    (trunkline .*SITE.*)$", PAGE, re.MULTILINE)]
    assert [" ".join(command[:2]) for command in commands] == ["status SITE.yaml", "journal reduced", "outbox resend", "outbox resend"]
    for command in commands:
        said = trunkline(*("no-such-file.yaml" if word == "SITE.yaml" else word for word in command))
        assert said.code == 2
        assert "no-such-file.yaml" in said.text, "the site file is all that is wrong"
