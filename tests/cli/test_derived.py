"""`trunkline derived try` on a real history."""

from pathlib import Path

import pytest
from tests.cli.support import trunkline
from tests.historian.conftest import conninfo, server
from tests.processing.derive.support import LAYOUT, at
from tests.processing.derive.test_ledger import Plant, historian

from trunkline.log.journal.journal import Journal
from trunkline.model import times

__all__ = ["conninfo", "server"]

_SITE = """
site: a
historian: {{dsn: "{dsn}"}}
gateways:
  - id: gw
    sources:
      - id: plc
        type: simulated
        tags: [{{path: P.A.U.A, unit: "m³/h"}}, {{path: P.A.U.B, unit: "m³/h"}}, {{path: P.A.U.NEW, unit: bar}}]
derived:
  - {{path: P.A.U.TOTAL, calc: A + B, unit: "m³/h"}}
"""


@pytest.fixture
def site(tmp_path: Path, conninfo: str) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(_SITE.format(dsn=conninfo))
    with Journal(tmp_path / "journal.db") as log:
        log.create(LAYOUT.catalogue(times.DAY * 36_500))
        plant = Plant(log)
        plant.read(10)
        plant.validate()
        with historian(log, conninfo):
            plant.report()
    return file


def test_inputs_result_and_unit(site: Path) -> None:
    when = times.to_iso(at(4.5))
    shown = trunkline("derived", "try", "A * 2 + B", "--home", "P.A.U", "--at", when, "--site", str(site), "--json")
    assert shown.code == 0, shown.text
    first, second, result = shown.documents
    assert first == {"tag": "P.A.U.A", "unit": "m³/h", "value": 4.0, "quality": "GOOD", "time": times.to_iso(at(4)), "age_s": 0.5}
    assert (second["tag"], second["value"]) == ("P.A.U.B", 3.0)
    assert (result["value"], result["unit"], result["at"]) == (11.0, "m³/h", when)
    known = trunkline("derived", "try", "P.A.U.TOTAL", "--at", when, "--site", str(site))
    assert known.code == 0
    assert "7 m³/h" in known.text
    waiting = trunkline("derived", "try", "P.A.U.NEW > 3", "--at", when, "--site", str(site))
    assert waiting.code == 0
    assert "never seen" in waiting.text
    assert "no value" in waiting.text


@pytest.mark.parametrize(
    ("calc", "told"),
    [
        ("P.A.U.A + P.A.U.NEW", "m³/h and bar do not go together"),
        ("P.A.U.A +", "column 10"),
        ("P.A.U.AA * 2", "did you mean P.A.U.A?"),
    ],
)
def test_what_is_wrong(tmp_path: Path, calc: str, told: str) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(_SITE.format(dsn="host=/nowhere"))
    shown = trunkline("derived", "try", calc, "--site", str(file))
    assert shown.code == 2
    assert told in shown.text
