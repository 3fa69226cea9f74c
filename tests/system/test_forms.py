"""A site that writes its readings one by one: as Avro records or as the plant's envelopes, from the gateway to history."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.system.support import RunningSite

from trunkline.lab.kafka import Cluster
from trunkline.lab.ports import free_ports
from trunkline.log.following import partitions_of
from trunkline.log.unpack import form_of
from trunkline.supervisor.wiring import conninfo, embedded_server, site_log

SITE = """\
site: plant01
log: {{layout: isa95, partitions: 2, form: {form}, {engine}}}
api: {{port: {api}}}
gateways:
  - id: node-042
    admin_port: {admin}
    sources:
      - id: sim
        type: simulated
        interval_ms: 50
        tags:
          - {{path: PLANT01.AREA02.UNIT_05.FLOW_RATE, unit: m³/h, signal: {{shape: sine}}}}
          - {{path: PLANT01.AREA02.UNIT_05.PRESSURE, unit: bar, max: 57, signal: {{shape: sine, period: 2}}}}
          - {{path: PLANT01.AREA02.UNIT_05.COUNT, kind: integer, signal: {{shape: counter}}}}
          - {{path: PLANT01.AREA02.UNIT_05.MODE, kind: text, signal: {{shape: cycle}}}}
"""


@pytest.fixture(params=["journal", "kafka"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Settings of the log: the embedded one, and a broker of its own."""
    if request.param == "journal":
        yield "engine: journal"
        return
    with Cluster(tmp_path / "kafka") as cluster:
        yield f"engine: kafka, bootstrap: '{cluster.bootstrap}', insecure: true, profile: development"


@pytest.mark.timeout(200)
@pytest.mark.parametrize("form", ["single", "json"])
def test_a_site_of_single_records(tmp_path: Path, form: str, engine: str) -> None:
    """P-8, P-72, PD-11: raw and clean topics hold the form; all is stored, what is refused is accounted for, and the ledger balances."""
    api, admin = free_ports(2)
    file = tmp_path / "site.yaml"
    file.write_text(SITE.format(form=form, api=api, admin=admin, engine=engine))
    with RunningSite(file).start("--for", "4", "--json") as plant:
        code, output = plant.finish()
        site = plant.site
    summary = json.loads(output)
    assert (code, summary["passed"]) == (0, True), summary
    ledger = summary["ledger"]
    assert (ledger["balanced"], ledger["missing"], ledger["surplus"]) == (True, 0, 0)
    assert summary["stored"] > 50
    assert summary["rejected"] > 0, "half of the pressure's wave is beyond its range"
    with embedded_server(site), psycopg.connect(conninfo(site)) as database:
        rows = database.execute("SELECT DISTINCT node_id, unit_of_measure FROM plant.telemetry WHERE tag = 'FLOW_RATE'").fetchall()
        assert rows == [(42, "m³/h")]
        ids = database.execute("SELECT count(*), count(DISTINCT event_id), count(event_id) FROM reading").fetchone()
        assert ids is not None
        stored = ids[0]
        assert ids[1:] == ((stored, stored) if form == "json" else (0, 0))
    with site_log(site) as log:
        for stage in ("raw", "clean"):
            forms: Counter[str] = Counter()
            for topic in (f"scada.l{2 if stage == 'raw' else 3}.telemetry.{name}" for name in ("flow", "pressure", "other")):
                for at, (first, _) in partitions_of(log, topic).items():
                    forms.update(form_of(record) for record in log.read(at, first, 10_000))
            assert set(forms) <= {form, "block"}, "a block tells what was refused, and nothing else"
            assert forms[form] == stored + (summary["rejected"] if stage == "raw" else 0)
