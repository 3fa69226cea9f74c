"""`trunkline check`: malformed site files, each with the line, the place, what is wrong and the mend."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.cli.support import trunkline

HEAD = "site: test\ngateways:\n  - id: gw1\n    sources:\n"
SIM = f"{HEAD}      - id: sim\n        type: simulated\n        tags:\n"


def one(section: str) -> str:
    return f"{HEAD}      - {{id: a, {section}}}\n"


MALFORMED = {
    "empty": ("", 1, "", "the file is empty", "start with 'site: plant-1'"),
    "a list": ("- site\n", 1, "", "a site file is a section of keys", "start with 'site: plant-1'"),
    "a tab": ("site: test\n\ttitle: x\n", 2, "", "a tab indents this line", "indent with spaces"),
    "an open bracket": ("site: test\ntitle: [1, 2\n", 3, "", "not valid YAML", "close every bracket and quote"),
    "a NUL": ("site: te\x00st\n", 1, "", "control characters are not allowed", "remove the character"),
    "a misspelt key": ("site: test\nhistorain: {}\n", 2, "historain", "unknown key", "did you mean 'historian'?"),
    "a site's name": ("site: My Plant\n", 1, "site", "must be lower-case", "try 'my-plant'"),
    "a zone": ("site: test\ntimezone: Mars/Olympus\n", 2, "timezone", "unknown time zone", "use an IANA name"),
    "a port": ("site: test\napi: {port: 70000}\n", 2, "api.port", "70000 must be less than or equal to 65535", ""),
    "a port twice": (
        "site: test\napi: {port: 9000}\ngateways: [{id: g, admin_port: 9000}]\n",
        3,
        "gateways[0].admin_port",
        "port 9000 is taken by api.port",
        "give each its own port",
    ),
    "two gateways": (
        "site: test\ngateways:\n  - id: gw1\n  - id: gw1\n",
        4,
        "gateways[1].id",
        "gateway id 'gw1' is given twice; first in line 3",
        "would shut each other out",
    ),
    "two sources": (
        f"{SIM}          - {{path: A.B.C}}\n      - {{id: sim, type: simulated}}\n",
        9,
        "gateways[0].sources[1].id",
        "source id 'sim' is given twice; first in line 5",
        "an id of its own",
    ),
    "two tags": (
        f"{SIM}          - {{path: A.B.C}}\n          - {{path: A.B.C}}\n",
        9,
        "gateways[0].sources[0].tags[1].path",
        "tag A.B.C is given twice; first in line 8",
        "rename or remove one",
    ),
    "a protocol": (one("type: modbsu"), 5, "gateways[0].sources[0].type", "no source plugin named 'modbsu'", "did you mean 'modbus'?"),
    "a tag's path": (f"{SIM}          - {{path: flow rate}}\n", 8, "gateways[0].sources[0].tags[0].path", "tag path", "try 'FLOW_RATE'"),
    "a range": (
        f"{SIM}          - {{path: A.B.C, min: 5, max: 1}}\n",
        8,
        "gateways[0].sources[0].tags[0]",
        "min (5) must be below max (1)",
        "",
    ),
    "not a number": (f"{SIM}          - {{path: A.B.C, min: .nan}}\n", 8, "gateways[0].sources[0].tags[0].min", "finite", "nor .nan"),
    "a deadband": (f"{SIM}          - {{path: A.B.C, deadband: {{percent: 1}}}}\n", 8, "gateways[0].sources[0].tags[0]", "needs 'min'", ""),
    "a Modbus address": (
        one('type: modbus, host: h, tags: [{path: A.B.C, address: "holdin:0", format: float32}]'),
        5,
        "gateways[0].sources[0].tags[0]",
        "unknown address 'holdin:0'",
        "use 'holding:100'",
    ),
    "a Modbus host": (
        one('type: modbus, tags: [{path: A.B.C, address: "holding:0", format: float32}]'),
        5,
        "gateways[0].sources[0]",
        "needs 'host': the name or address",
        "",
    ),
    "an OPC UA node": (
        one('type: opcua, endpoint: "opc.tcp://h:4840", tags: [{path: A.B.C, node: flow}]'),
        5,
        "gateways[0].sources[0].tags[0].node",
        "'flow' is not a NodeId",
        "ns=2;i=1001",
    ),
    "an OPC UA endpoint": (
        one('type: opcua, endpoint: "http://h", tags: [{path: A.B.C, node: "ns=2;s=x"}]'),
        5,
        "gateways[0].sources[0].endpoint",
        "must look like opc.tcp://192.0.2.10:4840",
        "",
    ),
    "an MQTT topic": (
        one('type: mqtt, host: h, tags: [{path: A.B.C, topic: "a/#/b"}]'),
        5,
        "gateways[0].sources[0].tags[0].topic",
        "'#' must be alone in the last level",
        "",
    ),
    "a JSONPath": (
        one('type: mqtt, host: h, tags: [{path: A.B.C, topic: a, value: "$["}]'),
        5,
        "gateways[0].sources[0].tags[0].value",
        "is not a JSONPath such as '$.value'",
        "",
    ),
    "a secret that is missing": (
        "site: test\nhistorian: {dsn: '${secret:dsn}'}\n",
        2,
        "historian.dsn",
        "no such file or directory",
        "put the value into it",
    ),
    "a data directory that is a file": (
        "site: test\ndata_dir: site.yaml/data\n",
        2,
        "data_dir",
        "site.yaml is not a directory",
        "choose a directory",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_explained(tmp_path: Path, name: str) -> None:
    """For people and for machines: file, line, place, what is wrong, the mend; exit status 1."""
    text, line, path, message, mend = MALFORMED[name]
    file = tmp_path / "site.yaml"
    file.write_text(text)
    people = trunkline("check", file)
    assert (people.code, people.out) == (1, "")
    assert re.search(rf"{re.escape(str(file))}:{line}:\d+: error:", people.text)
    assert message in people.text
    assert mend in people.text
    machines = trunkline("check", file, "--json")
    *problems, summary = machines.documents
    assert machines.code == 1
    assert summary["file"] == str(file)
    assert summary["passed"] is False
    assert summary["errors"] == sum(problem["severity"] == "error" for problem in problems) >= 1
    found = next(problem for problem in problems if problem["severity"] == "error")
    assert (found["file"], found["line"], found["path"]) == (str(file), line, path)
    assert message in found["message"]
    assert mend in found["mend"]


@pytest.mark.parametrize("command", ["up", "status", "ledger", "doctor"])
def test_no_command_starts_from_a_malformed_file(tmp_path: Path, command: str) -> None:
    """Every command names the same problems, with exit status 2, and leaves no data directory behind."""
    file = tmp_path / "site.yaml"
    file.write_text("site: test\nhistorain: {}\ntimezone: Mars/Olympus\n")
    said = trunkline(command, file)
    assert (said.code, said.out) == (2, "")
    assert "did you mean 'historian'?" in said.text
    assert "unknown time zone 'Mars/Olympus'" in said.text
    assert not (tmp_path / "data").exists()


def test_a_secret_written_out_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(one("type: mqtt, host: h, username: u, password: hunter22, tags: [{path: A.B.C, topic: a}]"))
    for options in ([], ["--json"]):
        said = trunkline("check", file, *options)
        assert said.code == 1
        assert "hunter22" not in said.text + said.out
        assert "(not shown)" in said.text + said.out


@pytest.mark.parametrize(("name", "message"), [("none.yaml", "No such file"), ("", "directory")])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    said = trunkline("check", tmp_path / name)
    assert said.code == 1
    assert message in said.text


def test_the_schema_describes_the_plant_that_the_lab_writes(tmp_path: Path) -> None:
    """Editors complete and check with it; what it accepts, `check` accepts."""
    file = tmp_path / "site.yaml"
    assert trunkline("lab", "site", "--units", "3", "-o", file).code == 0
    said = trunkline("schema")
    assert said.code == 0
    schema = json.loads(said.out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    document = yaml.safe_load(file.read_text())
    assert list(validator.iter_errors(document)) == []
    document["historain"] = {}
    assert list(validator.iter_errors(document)) != []
    good = trunkline("check", file, "--json")
    assert good.code == 0
    assert good.documents[-1]["passed"] is True
