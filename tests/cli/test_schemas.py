"""`trunkline schemas` and `trunkline run registry`: the real role in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.support import trunkline

from trunkline.lab.ports import free_ports

V1 = {"type": "record", "name": "Flow", "fields": [{"name": "value", "type": "double"}]}
V2 = {**V1, "fields": [*V1["fields"], {"name": "unit", "type": "string", "default": ""}]}
BAD = {**V1, "fields": [{"name": "value", "type": "string"}]}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, schema in (("v1", V1), ("v2", V2), ("bad", BAD)):
        (tmp_path / f"{name}.avsc").write_text(json.dumps(schema))
    (tmp_path / "broken.avsc").write_text('{"type":"recrod"}')
    (tmp_path / "site.yaml").write_text("site: demo\n")
    return tmp_path


def test_check_of_files_says_the_place_and_the_mend(files: Path) -> None:
    good = trunkline("schemas", "check", files / "v2.avsc", "--against", files / "v1.avsc")
    assert (good.code, good.documents[0]["compatible"]) == (0, True)
    bad = trunkline("schemas", "check", files / "bad.avsc", "--against", files / "v1.avsc", "--level", "BACKWARD")
    assert (bad.code, bad.documents[0]["compatible"]) == (1, False)
    assert "Flow.value: double was written, which is no string" in bad.text
    broken = trunkline("schemas", "check", files / "broken.avsc")
    assert broken.code == 2
    assert "there is no type 'recrod'" in broken.text


def test_built_in_schemas_are_shown_without_a_registry(files: Path) -> None:
    listed = trunkline("schemas", "list", files / "site.yaml", "--json")
    assert {"subject": "io.trunkline.Reading", "versions": [1], "ids": [2], "level": "FULL_TRANSITIVE"} in listed.documents
    shown = trunkline("schemas", "show", files / "site.yaml", "TelemetryReading", "--version", "1")
    assert [one["name"] for one in json.loads(shown.out)["fields"]] == ["asset_id", "parameter", "value", "unit"]
    assert "CRC-64-AVRO" in shown.text
    assert trunkline("schemas", "show", files / "site.yaml", "TelemetryReading", "--version", "9").code == 1
    assert trunkline("schemas", "register", files / "site.yaml", "flow-value", files / "v1.avsc").code == 2


@pytest.fixture
def site(files: Path) -> Iterator[Path]:
    (port,) = free_ports(1)
    file = files / "site.yaml"
    file.write_text(f"site: demo\nregistry: {{port: {port}, authentication: basic}}\n")
    role = subprocess.Popen([sys.executable, "-m", "trunkline.cli.entry", "run", "registry", file], stderr=subprocess.DEVNULL)
    try:
        while trunkline("schemas", "list", file).code == 3 and role.poll() is None:
            time.sleep(0.05)
        assert role.poll() is None
        yield file
    finally:
        os.kill(role.pid, signal.SIGTERM)
        assert role.wait(30) in {0, -signal.SIGTERM}


def test_register_check_and_show_with_a_running_registry(site: Path) -> None:
    folder = site.parent
    made = trunkline("schemas", "register", site, "flow-value", folder / "v1.avsc")
    assert made.documents == [{"subject": "flow-value", "id": 1000}]
    assert trunkline("schemas", "check", folder / "v2.avsc", "--site", site, "--subject", "flow-value").code == 0
    assert trunkline("schemas", "check", folder / "bad.avsc", "--site", site, "--subject", "flow-value").code == 1
    refused = trunkline("schemas", "register", site, "flow-value", folder / "bad.avsc")
    assert refused.code == 1
    assert "Keep the type" in refused.text
    assert json.loads(trunkline("schemas", "show", site, "1000").out) == V1
    listed = trunkline("schemas", "list", site, "--json").documents
    assert {"subject": "flow-value", "versions": [1], "ids": [1000], "level": "FULL_TRANSITIVE"} in listed
    credential = folder / "data" / "secrets" / "schema-registry"
    assert credential.stat().st_mode & 0o077 == 0
