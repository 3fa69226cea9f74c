"""`trunkline status` of a site on Kafka, seen by the principal that runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.support import trunkline
from tests.log.behaviour import eventually

from trunkline.cli.kafka_cluster import secure
from trunkline.config.loading import load
from trunkline.lab.kafka import Cluster

SITE = """\
site: plant
log:
  engine: kafka
  bootstrap: %s
  profile: development
  partitions: 2
  security: {username: site, password: "${secret:kafka-site}", ca: %s}
gateways: [{id: g1}]
"""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One secured broker for this module: its topics have the names of a site's."""
    directory = tmp_path_factory.mktemp("brokers")
    with Cluster(directory, 1, secure(directory, 1)) as cluster:
        yield cluster


def test_status(brokers: Cluster, tmp_path: Path) -> None:
    """Issue 4, item 5: the cluster's state in `trunkline status`; a principal without the right to settings and disks sees it too."""
    assert brokers.security is not None
    site = tmp_path / "site.yaml"
    site.write_text(SITE % (brokers.bootstrap, brokers.security.ca))
    load(site).secrets.put("kafka-admin", brokers.security.admin.password)
    assert trunkline("topics", "apply", site).code == 0

    # new rights and topics reach a busy broker a little later
    eventually(lambda: trunkline("status", site).text.endswith("away: supervisor, g1: no report"))
    said = trunkline("status", site, "--json")
    whole = said.documents[-1]
    assert (said.code, whole["away"]) == (1, ["supervisor", "g1: no report"])
    kafka = whole["kafka"]
    assert (kafka["brokers"], kafka["brokers_away"], kafka["faults"]) == ([1], [], [])
    assert (kafka["under_replicated"], kafka["under_min_isr"], kafka["offline"]) == ([], [], [])
    assert {"validate", "historian"} == {one["group"] for one in kafka["groups"]}
    people = trunkline("status", site)
    assert f"kafka: 1 brokers; {kafka['partitions']} partitions: 0 under-replicated, 0 under min ISR, 0 offline" in people.text
    assert "kafka: validate reads telemetry.raw: 0 records behind, no position yet" in people.text
