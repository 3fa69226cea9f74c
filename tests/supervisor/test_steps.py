"""Which steps a site has."""

from pathlib import Path

from trunkline.config.loading import load
from trunkline.supervisor.steps import evaluating_steps, groups
from trunkline.supervisor.supervisor import role_commands

SITE = """
site: s
gateways:
  - id: g
    sources:
      - {id: practice, type: simulated, tags: [{path: P.A.FLOW, unit: m³/h}, {path: P.A.POWER, unit: kW}]}
"""
MEANING = """
alarms: {}
derived: [{path: P.A.DOUBLE, calc: "2 * FLOW", unit: m³/h}]
anomalies: [{id: odd, tags: [P.A.FLOW], robust_z: {}}]
notifications:
  channels: [{id: hook, type: webhook, url: "http://127.0.0.1:9/", secret: "${HOOK_KEY}"}]
"""


def test_a_site_without_meaning_has_no_more_processes_than_before(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    site = load(tmp_path / "site.yaml")
    assert evaluating_steps(site) == []
    assert not {"evaluate", "notify"} & role_commands(site).keys()
    assert groups(site) == ["validate", "historian"]


def test_every_step_is_made_and_what_it_has_not_read_is_kept(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE + MEANING)
    site = load(tmp_path / "site.yaml")
    assert [make().name for make in evaluating_steps(site)] == ["derive", "alarms", "anomaly"]
    assert {"evaluate", "notify"} <= role_commands(site).keys()
    assert groups(site) == ["validate", "historian", "derive", "alarms", "anomaly", "notify"]
    assert [path for path, entry in site.tags().items() if entry.gateway != "g"] == ["P.A.DOUBLE", "P.A.FLOW_ANOMALY_ODD"]
