"""`trunkline outbox resend` and `trunkline journal reduced`: the doors. What is promised: tests/gateway, resending and reduction."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.support import trunkline
from tests.gateway.edge_support import fill, positions, readings
from tests.gateway.test_reduction import kept_back, writer_of

from trunkline.config.loading import Site, load
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.outbox import Outbox, Poison
from trunkline.ledger.status import BufferStatus, GatewayStatus, LinkStatus, SourceStatus, encode_status
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Record, TopicPartition
from trunkline.model import times

SITE = """\
site: test
log: {partitions: 3}
gateways:
  - id: gw1
    link: {max_bytes_per_second: 64K, backlog_bytes_per_second: 8000, compression: zstd}
    sources:
      - {id: plc, type: simulated, tags: [{path: P.A.U1.FLOW}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return path


@pytest.fixture
def site(file: Path) -> Site:
    return load(file)


@pytest.fixture
def edge(site: Site) -> Iterator[Journal]:
    with open_edge_journal(site.config.log, site.data_dir, "gw1") as journal:
        yield journal


def test_the_link_of_a_site_file(site: Site) -> None:
    link = site.config.gateways[0].link
    assert (link.max_bytes_per_second, link.backlog_bytes_per_second, link.compression) == (65_536, 8000, "zstd")


async def test_resend_by_time_beside_a_running_forwarder(file: Path, site: Site, edge: Journal) -> None:
    """PD-10: resend by time range."""
    layout = layout_of(site.config.log)
    await fill(edge, layout, readings(0, 600))
    with closing(open_site_log(site.config.log, site.data_dir)) as log:
        asked = trunkline("outbox", "resend", file, "--gateway", "gw1", "--from", "1h", "--wait", "0")
        assert (asked.code, asked.text) == (0, "gw1 takes it as soon as it runs and its link is up")
        again = trunkline("outbox", "resend", file, "--gateway", "gw1", "--from", "1h")
        assert again.code == 3
        assert "has not taken the request before this one" in again.text
        forwarder = Forwarder(edge, lambda: open_site_log(site.config.log, site.data_dir), layout)
        forwarder.start()
        try:
            forwarder.pause(0.5)
            while len(positions(log, layout)) < 600:
                forwarder.pause(0.1)
            done = trunkline("outbox", "resend", file, "--gateway", "gw1", "--from", "1h", "--wait", "100", "--json")
            assert done.code == 0
            (said,) = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]  # the forwarder's own words beside it
            assert said["taken"]
            assert said["records"] == 3
        finally:
            forwarder.stop()
    assert [word in trunkline("outbox", "resend", "--help").out for word in ("--failed", "--record", "--from")] == [True] * 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "say what to send again"),
        (["--failed", "--from", "1h"], "say what to send again"),
        (["--failed", "--until", "1h"], "--until goes with --from"),
        (["--from", "yesterday"], "'yesterday' is no time"),
        (["--from", "1h", "--topic", "platform.log"], "choose from telemetry.raw, events.raw, alarms.raw"),
        (["--record", "telemetry.raw"], "write topic/partition@offset"),
    ],
)
def test_what_cannot_be_asked_for_is_told_with_its_mend(file: Path, edge: Journal, options: list[str], words: str) -> None:
    assert edge.id
    said = trunkline("outbox", "resend", file, "--gateway", "gw1", *options)
    assert said.code == 2
    assert words in said.text


def test_a_gateway_that_never_ran_has_nothing(file: Path) -> None:
    for command in (("outbox", "resend", file, "--gateway", "gw1", "--failed"), ("journal", "reduced", file, "--gateway", "gw1")):
        said = trunkline(*command)
        assert said.code == 2
        assert "has never run on this machine" in said.text


async def test_a_refused_record_is_shown_with_its_bytes_and_the_reason(file: Path, site: Site, edge: Journal, tmp_path: Path) -> None:
    """PD-4: FAILED rows can be inspected."""
    layout = layout_of(site.config.log)
    await fill(edge, layout, readings(0, 60))
    at = TopicPartition("telemetry.raw", 0)
    outbox = Outbox(edge)
    outbox.lane(at).poison = [Poison(0, 10, 5, "not in the schema")]
    edge.append_many({}, meta=outbox.meta())
    said = trunkline("outbox", "show", file, "--gateway", "gw1", "--record", "telemetry.raw/0@0", "--to", tmp_path / "record.bin")
    assert said.code == 0
    (told,) = said.documents
    assert (told["status"], told["tries"], told["reason"], told["headers"]) == ("FAILED", 10, "not in the schema", ["block"])
    assert (tmp_path / "record.bin").read_bytes() == edge.read(at, 0, 1)[0].value
    other = trunkline("outbox", "show", file, "--gateway", "gw1", "--record", "telemetry.raw/1@0")
    assert other.code == 2
    assert "telemetry.raw/1@0 is not set aside" in other.text


async def test_reduced_states_what_was_kept_back(file: Path, site: Site, edge: Journal) -> None:
    writer = writer_of(edge, layout_of(site.config.log))
    writer.start()
    await writer.submit(readings(0, 30), reduced=kept_back(70, 0.75))
    writer.stop()
    said = trunkline("journal", "reduced", file, "--gateway", "gw1", "--hours", "1000000")
    assert said.code == 0
    assert "plc: of 100 readings 30 were kept, 70 were within their tag's deadband; the furthest was 75.0% of it" in said.text
    *cells, summary = trunkline("journal", "reduced", file, "--gateway", "gw1", "--json").documents
    assert [(cell["source"], cell["came"], cell["kept"], cell["kept_back"]) for cell in cells] == [("plc", 100, 30, 70)]
    assert summary["sources"][0]["furthest"] == {"share": 0.75, "tag": "P.A.U1.FLOW"}


def test_status_tells_how_good_the_link_is(file: Path, site: Site) -> None:
    now = times.now()
    link = LinkStatus(
        "up", now, None, outages=3, down_s=500.0, down_24h_s=340.0, readings_per_s=1200.0, bytes_per_s=14_200.4, measured=True,
        max_bytes_per_s=65_536, drained_in_s=600.0, again=12,
    )  # fmt: skip
    source = SourceStatus("plc", "simulated", "connected", now, now, 9, 0, 1.0, None, 1, 0, reduced_total=70)
    report = GatewayStatus("gw1", "o", now, "1", [source], BufferStatus(5, 5, now, 10**10), link, [])
    with closing(open_site_log(site.config.log, site.data_dir)) as log:
        log.append(layout_of(site.config.log).gateway_status, [Record(encode_status(report), key=b"gw1")])
    said = trunkline("status", file)
    assert "gw1: 3 outages, 340 s down in 24 h; 1,200.0 readings/s, 14,200 of 65,536 bytes/s; nothing waits in 10 minutes" in said.text
    assert "12 records are sent again" in said.text
    assert "readings kept back by deadbands: plc 70" in said.text
    (told,) = [document for document in trunkline("status", file, "--json").documents if document.get("gateway") == "gw1"]
    assert (told["link"]["outages"], told["link"]["drained_in_s"], told["sources"][0]["reduced_total"]) == (3, 600.0, 70)
