"""What is installed, and what happens when a third party's package is broken."""

import importlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.support import trunkline
from tests.sources.support import PATIENCE, install
from tests.system.support import until

from trunkline.config import plugins as config_plugins
from trunkline.gateway.adapter import AdapterConfig, make_adapter
from trunkline.lab.ports import free_ports
from trunkline.model.errors import Misconfigured
from trunkline.sources.options import BEGIN, END
from trunkline.sources.port import plugin, plugins

SOUND = "from trunkline.sources.simulated import PLUGIN as ours\nfrom trunkline.sources.port import SourcePlugin\n"
#: name of the source -> (code of its module, what is said of it)
BROKEN = {
    "absent": ("import no_driver_of_that_name\n", "cannot be loaded: No module named 'no_driver_of_that_name'"),
    "leaving": ("raise SystemExit('buy a licence')\n", "cannot be loaded: buy a licence"),
    "speechless": ("raise RuntimeError\n", "cannot be loaded: RuntimeError"),
    "empty": ("", "has no attribute 'PLUGIN'"),
    "shapeless": ("PLUGIN = {'name': 'shapeless'}\n", "PLUGIN is a dict: make it a SourcePlugin"),
    "renamed": (f"{SOUND}PLUGIN = SourcePlugin('other', ours.config, ours.create)\n", "calls itself 'other'"),
    "unmodelled": (f"{SOUND}PLUGIN = SourcePlugin('unmodelled', dict, ours.create)\n", "derive it from SourceConfig"),
    "uncreated": (f"{SOUND}PLUGIN = SourcePlugin('uncreated', ours.config, None)\n", "give it the class of the source"),
    # a package that takes a name of ours changes nothing for a site that uses ours
    "modbus": (f"{SOUND}PLUGIN = SourcePlugin('modbus', ours.config, ours.create)\n", "trunkline has a source named 'modbus'"),
}
#: loads, and fails when a source is made
UNMAKEABLE = """
from typing import Literal
from trunkline.config.tags import SourceConfig
from trunkline.sources.port import SourcePlugin

class Config(SourceConfig):
    type: Literal["unmakeable"] = "unmakeable"

def create(config, context):
    raise ValueError("seven is unlucky")

PLUGIN = SourcePlugin("unmakeable", Config, create)
"""
OURS = {"modbus", "mqtt", "opcua", "simulated"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with broken packages."""
    folder = tmp_path_factory.mktemp("packages")
    for name, (code, _) in BROKEN.items():
        install(folder, f"broken_{name}", code, source=name)
    install(folder, "unmakeable", UNMAKEABLE)
    return folder


@pytest.fixture
def broken(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They are installed."""
    monkeypatch.syspath_prepend(str(place))
    importlib.invalidate_caches()
    config_plugins.source_model.cache_clear()
    yield
    config_plugins.source_model.cache_clear()


@pytest.mark.usefixtures("broken")
def test_broken_packages_are_shown_and_break_no_other() -> None:
    """W-56: each with whose it is and what is wrong; sound ones with what they can do and where their page is."""
    people = trunkline("sources", "list")
    machines = trunkline("sources", "list", "--json")
    *found, summary = machines.documents
    assert people.code == machines.code == 1
    assert summary == {"sources": len(found), "broken": len(BROKEN), "passed": False}
    wrong = {one["name"]: one for one in found if one["error"]}
    assert set(wrong) == set(BROKEN)
    for name, (_, says) in BROKEN.items():
        assert says in wrong[name]["error"]
        assert says in people.text
        assert (wrong[name]["distribution"], wrong[name]["version"]) == (f"broken_{name}", "1.0")
    sound = {one["name"]: one for one in found if not one["error"]}
    assert set(sound) >= OURS
    modbus = sound["modbus"]
    assert (modbus["distribution"], modbus["module"]) == ("trunkline", "trunkline.sources.modbus")
    assert (modbus["can_write"], modbus["can_browse"], sound["opcua"]["can_browse"]) == (True, False, True)
    assert modbus["summary"].startswith("Modbus TCP")
    assert Path(modbus["page"]).read_text().startswith("# Modbus source")


def adapter_of(name: str, folder: Path) -> AdapterConfig:
    source = {"type": name, "tags": [{"path": "A.B.C"}]}
    return AdapterConfig.model_validate({"pipeline_id": "a", "adapter_id": "b", "source": source, "output": {"data_dir": str(folder)}})


@pytest.mark.usefixtures("broken")
def test_who_needs_a_broken_package_is_told_why(tmp_path: Path) -> None:
    """W-56: who asks for the plugin, the command line, and an adapter of it; each in a sentence."""
    assert set(plugins()) >= OURS
    assert not set(plugins()) & (set(BROKEN) - OURS)
    assert plugin("modbus").config.__module__ == "trunkline.sources.modbus.config"
    for name, (_, says) in BROKEN.items():
        if name not in OURS:
            with pytest.raises(Misconfigured, match=r"cannot be (loaded|used)") as told:
                plugin(name)
            assert says in str(told.value)
            assert says in trunkline("sources", "show", name).text
            with pytest.raises(Misconfigured, match="cannot be"):
                make_adapter(adapter_of(name, tmp_path))
    with pytest.raises(Misconfigured, match="did you mean 'modbus'"):
        plugin("modbsu")


@pytest.mark.usefixtures("broken")
def test_check_names_the_line_of_a_source_that_is_broken_and_editors_get_their_schema(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("site: test\ngateways:\n  - id: gw1\n    sources:\n      - {id: a, type: shapeless}\n      - {id: b, type: absent}\n")
    said = trunkline("check", file)
    assert said.code == 1
    assert "site.yaml:5:" in said.text
    assert "'config' is no model of a source" in said.text
    assert "site.yaml:6:" in said.text
    assert BROKEN["absent"][1] in said.text
    schema = json.loads(trunkline("schema").out)
    known = schema["$defs"]["GatewayConfig"]["properties"]["sources"]["items"]["properties"]["type"]["enum"]
    assert set(known) >= OURS
    assert "absent" not in known


@pytest.fixture
def gateway(place: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a gateway of these sources, in a process beside the broken packages; ended at the end."""
    running: list[subprocess.Popen[str]] = []

    def begin(*sources: dict[str, Any], port: int = 0) -> subprocess.Popen[str]:
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump({"site": "test", "gateways": [{"id": "gw1", "admin_port": port, "sources": list(sources)}]}))
        command = [sys.executable, "-m", "trunkline.cli.entry", "run", "gateway", str(file), "--id", "gw1"]
        variables = {**os.environ, "PYTHONPATH": str(place)}
        running.append(subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


SIMULATED = {"id": "sim", "type": "simulated", "interval_ms": 20, "tags": [{"path": "A.B.C"}]}


def stopped_after_reading(process: subprocess.Popen[str], port: int, problems: list[str]) -> str:
    """Wait until a gateway reads and has no other problems than these, stop it in order, and return what it said."""

    def reads() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
                health = json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            health = {}
        return process.poll() is not None or (health.get("problems") == problems and health["readings_per_sec"] > 0)

    until(reads, f"it reads, and its problems are {problems}")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return said


def test_a_gateway_whose_own_sources_are_fine_runs_beside_broken_packages(gateway: Callable[..., subprocess.Popen[str]]) -> None:
    """W-56: a real process, with every broken package installed that there is here."""
    (port,) = free_ports(1)
    stopped_after_reading(gateway(SIMULATED, port=port), port, [])


def test_a_source_that_cannot_be_made_stops_no_other(gateway: Callable[..., subprocess.Popen[str]]) -> None:
    """W-39, W-56: its plugin fails on this section; it is shown as away, and the other source is read."""
    (port,) = free_ports(1)
    process = gateway({"id": "odd", "type": "unmakeable", "tags": [{"path": "A.B.D"}]}, SIMULATED, port=port)
    said = stopped_after_reading(process, port, ["source odd is away"])
    assert "source plugin 'unmakeable' could not make this source: ValueError: seven is unlucky" in said


@pytest.mark.parametrize("name", sorted(OURS))
def test_show_prints_options_and_example(name: str) -> None:
    said = trunkline("sources", "show", name)
    assert said.code == 0
    assert said.out.startswith(f"# Source `{name}`\n")
    assert "| `tags` | list, see below |" in said.out
    assert f"type: {name}" in said.out.partition("## Example")[2]
    (document,) = trunkline("sources", "show", name, "--json").documents
    assert document["options"]["properties"]["type"]["const"] == name
    assert document["example"] in said.out


def test_show_renews_the_table_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"# Mine\n\n{BEGIN}\nwhat was there before\n{END}\nThe end.\n")
    assert trunkline("sources", "show", "simulated", "--into", page).code == 0
    text = page.read_text()
    assert text.startswith(f"# Mine\n\n{BEGIN}\n\n| option | value |")
    assert "what was there before" not in text
    assert text.endswith(f"{END}\nThe end.\n")
    page.write_text("# Mine\n")
    said: Any = trunkline("sources", "show", "simulated", "--into", page)
    assert said.code == 2
    assert "has no place for the options: put" in said.text
    assert page.read_text() == "# Mine\n"
