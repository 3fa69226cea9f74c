"""A third party's package, for real: written by `trunkline sources new`, installed by pip from its wheel in a clean environment, and used.

The container is the one thing that cannot run here. What its Dockerfile starts and asks, word for word, runs as a process instead.
"""

import base64
import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from tests.gateway.isolation import engines
from tests.sources.support import PATIENCE, Environment

from trunkline.lab.ports import free_ports

ROOT = Path(__file__).parents[2]
NAME = "demo"
MODULE = "trunkline_demo"


@dataclass
class Package:
    """A package that was generated and installed.

    Attributes:
        environment: where it is installed.
        work: a folder to run commands in.
        folder: of the package, in it.
    """

    environment: Environment
    work: Path
    folder: Path

    @property
    def sources(self) -> Path:
        return self.folder / "src"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    work = tmp_path_factory.mktemp("third_party")
    environment = Environment(work / "environment")
    environment.must("trunkline", "sources", "new", NAME, cwd=work)
    folder = work / f"trunkline-{NAME}"
    environment.must("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", work / "wheels", folder, cwd=work)
    (wheel,) = (work / "wheels").iterdir()
    environment.must("python", "-m", "pip", "install", "--no-deps", wheel, cwd=work)
    return Package(environment, work, folder)


@pytest.fixture
def start(package: Package) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program of the environment; ended at the end."""
    running: list[subprocess.Popen[str]] = []

    def begin(*command: str, **variables: str) -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(
                [package.environment.programs / command[0], *command[1:]],
                cwd=package.work,
                env={**package.environment.variables, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_it_is_listed_beside_ours(package: Package) -> None:
    """W-56: found by its entry point."""
    lines = package.environment.must("trunkline", "sources", "list", "--json", cwd=package.work).splitlines()
    *found, summary = (json.loads(line) for line in lines)
    assert summary == {"sources": len(found), "broken": 0, "passed": True}
    by_name = {one["name"]: one for one in found}
    assert {NAME, "modbus", "mqtt", "opcua", "simulated"} <= set(by_name)
    mine = by_name[NAME]
    assert (mine["distribution"], mine["version"], mine["module"]) == (f"trunkline-{NAME}", "0.1.0", MODULE)
    assert (mine["can_write"], mine["can_browse"]) == (True, False)
    assert Path(mine["page"]).is_relative_to(package.environment.programs.parent)


def test_its_options_are_described(package: Package) -> None:
    """W-48: the table in its page and in the terminal is made from its model, and is as it is after a change of an option."""
    environment = package.environment
    shown = environment.must("trunkline", "sources", "show", NAME, cwd=package.work)
    for row in ("| `host` | text | required |", "| `channel` | text | required |", "| `poll_interval_ms` | integer from 1 | `1000` |"):
        assert row in shown
    page = package.sources / MODULE / "README.md"
    assert shown.partition("## Options\n\n")[2].partition("\n## Example")[0].strip() in page.read_text()
    copy = package.work / "README.md"
    copy.write_text(page.read_text().replace("| `channel` | text |", "| `channel` | number |"))
    environment.must("trunkline", "sources", "show", NAME, "--into", copy, cwd=package.work)
    assert copy.read_text() == page.read_text()


def test_check_accepts_its_example(package: Package) -> None:
    section = yaml.safe_load((package.sources / MODULE / "example.yaml").read_text())
    file = package.work / "site.yaml"
    file.write_text(yaml.safe_dump({"site": "plant-1", "gateways": [{"id": "gw1", "sources": [section]}]}))
    assert json.loads(package.environment.must("trunkline", "check", file, "--json", cwd=package.work).splitlines()[-1])["passed"]


def test_its_own_tests_pass(package: Package) -> None:
    """W-45, D-11: the contract of sources and the tests of the package, none left out."""
    said = package.environment.must("python", "-m", "pytest", package.folder, cwd=package.work)
    (passed,) = re.findall(r"=+ (\d+) passed in", said)
    assert int(passed) >= 25


def test_its_code_is_typed_and_tidy(package: Package) -> None:
    package.environment.must("python", "-m", "mypy", "--strict", "--cache-dir", package.work / "mypy", package.sources, cwd=package.work)
    rules = ["--isolated", "--select", "E,F,W,I,B,UP,RUF,PT,ANN", "--line-length", "140"]
    package.environment.must("python", "-m", "ruff", "check", *rules, ".", cwd=package.folder)
    package.environment.must("python", "-m", "ruff", "format", "--isolated", "--line-length", "140", "--check", ".", cwd=package.folder)


def test_our_run_of_the_contract_finds_it(package: Package) -> None:
    said = package.environment.must("python", "-m", "pytest", "--collect-only", "tests/sources/test_conformance.py", cwd=ROOT)
    for test in ("test_conforms[demo-", "test_conforms_under_faults[demo-", "test_has_every_file[demo]"):
        assert test in said


@pytest.mark.parametrize(
    ("file", "right", "wrong", "check"),
    [
        ("source.py", "self._context.now()", "0", "connects_reads_and_closes"),
        ("source.py", 'raise SourceUnavailable(f"{self._where}, ', 'raise RuntimeError(f"{self._where}, ', "notices_and_survives"),
        ("source.py", "(OSError, EOFError, ValueError, asyncio.LimitOverrunError)", "OSError", "stands_garbage"),
        ("source.py", "return CommandOutcome.UNKNOWN", "return CommandOutcome.DONE", "tells_no_outcome_of_a_write"),
        ("config.py", "longest wait for a connection", "wait for a connection", "has_every_file"),
        ("tests/harness.py", "class Harness", "class Device2", "connects_reads_and_closes"),
    ],
)
def test_a_defect_does_not_conform(package: Package, tmp_path: Path, file: str, right: str, wrong: str, check: str) -> None:
    """D-11: the run of the contract fails when the package is made worse, and says in which rule."""
    folder = tmp_path / "worse"
    shutil.copytree(package.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    worse = folder / "src" / MODULE / file
    text = worse.read_text()
    assert text.count(right) == 1
    worse.write_text(text.replace(right, wrong))
    # found before the package that is installed
    said = package.environment.run("python", "-m", "pytest", "-x", "-q", "-k", check, folder, cwd=tmp_path, PYTHONPATH=str(folder / "src"))
    assert said.returncode == 1, said.stdout
    assert re.search(rf"(FAILED|ERROR) \S*test_conformance\.py::\w*(\[demo-)?{check}", said.stdout), said.stdout


def words_of(dockerfile: str, instruction: str) -> list[str]:
    """Return the words of an instruction in its exec form."""
    (line,) = re.findall(rf"^{instruction}\b[^\[\n]*(\[.*\])$", dockerfile, re.MULTILINE)
    words: list[str] = json.loads(line)
    return words


def answer(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        text: str = reply.read().decode()
    return text


def healthy(port: int, process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait until the adapter is healthy and has read something."""
    deadline = time.monotonic() + PATIENCE
    health: dict[str, Any] = {}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            health = json.loads(answer(port, "/health"))
        except (urllib.error.URLError, ConnectionError):
            health = {}
        if health.get("status") == "healthy" and health["readings_per_sec"] > 0:
            return health
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f"never healthy: {health}\n{process.communicate()[0]}")


SITE = """
site: plant-1
log: {partitions: 2}
gateways:
  - id: gw1
    admin_port: %(port)d
    sources:
      - {id: boiler, type: demo, isolate: container, container: {image: "%(image)s"}, host: 127.0.0.1, port: %(device)d,
         poll_interval_ms: 50, tags: [{path: PLANT01.BOILERS.BOILER_1.STEAM_FLOW, unit: t/h, channel: flow, time: gateway}]}
"""


def test_its_image_serves_a_gateway(
    package: Package, start: Callable[..., subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-36, W-45, D-7: `isolate: container` with the environment that its image would have; a program stands in for Docker."""
    docker = engines.install(tmp_path, monkeypatch, python=package.environment.programs / "python")
    device_port, port = free_ports(2)
    device = start("python", "-m", f"{MODULE}.tests.device", "--port", str(device_port))
    assert device.stdout is not None
    assert device.stdout.readline() == f"listening on 127.0.0.1:{device_port}\n"
    file = tmp_path / "site.yaml"
    file.write_text(SITE % {"port": port, "image": engines.IMAGE, "device": device_port})
    path = f"{tmp_path / 'programs'}:{package.environment.variables['PATH']}"
    gateway = start("trunkline", "run", "gateway", str(file), "--id", "gw1", PATH=path)
    deadline, count = time.monotonic() + PATIENCE, 0
    while count < 10 and time.monotonic() < deadline and gateway.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            found = re.findall(r'^adapter_readings_total\{pipeline_id="boiler"\} (\d+)', answer(port, "/metrics"), re.MULTILINE)
            count = int(found[0]) if found else 0
        time.sleep(0.1)
    assert list(docker.containers()) == ["trunkline-gw1-boiler"]
    gateway.send_signal(signal.SIGTERM)
    said, _ = gateway.communicate(timeout=PATIENCE)
    assert count >= 10, said
    assert gateway.returncode == 0, said
    assert docker.containers() == {}


def test_its_container_keeps_the_adapter_contract(package: Package, start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """W-45 to W-48, W-52 to W-56, D-6, D-11: CONFIG_JSON, /health, /metrics, JSON logs, SIGTERM; memory below the sample's limit.

    No container runs here: the commands of the Dockerfile do, in the environment that its image would have, with other ports.
    """
    device_port, port = free_ports(2)
    device = start("python", "-m", f"{MODULE}.tests.device", "--port", str(device_port))
    assert device.stdout is not None
    assert device.stdout.readline() == f"listening on 127.0.0.1:{device_port}\n"
    section = yaml.safe_load((package.sources / MODULE / "example.yaml").read_text())
    source = {key: value for key, value in section.items() if key != "id"} | {"port": device_port, "poll_interval_ms": 50}
    document = {
        "pipeline_id": "boiler",
        "adapter_id": f"adapter-{NAME}-001",
        "admin_port": port,
        "source": source,
        "output": {"data_dir": str(tmp_path / "data"), "log": {"partitions": 2}},
    }
    dockerfile = (package.folder / "Dockerfile").read_text()
    variable = base64.b64encode(json.dumps(document).encode()).decode()
    adapter = start(*words_of(dockerfile, "ENTRYPOINT"), CONFIG_JSON=variable)
    health = healthy(port, adapter)
    assert health["last_reading_at"].endswith("Z")
    assert health["errors_last_minute"] == 0
    probe = [word.replace(":8080/", f":{port}/") for word in words_of(dockerfile, "HEALTHCHECK")]
    assert any(f":{port}/" in word for word in probe)
    package.environment.must(*probe, cwd=package.work)
    metrics = answer(port, "/metrics")
    (counted,) = re.findall(r'^adapter_readings_total\{pipeline_id="boiler"\} (\d+)', metrics, re.MULTILINE)
    assert int(counted) >= 3
    for name in ("adapter_readings_total", "adapter_errors_total"):
        assert f"# HELP {name} " in metrics
        assert f"# TYPE {name} counter" in metrics
    assert psutil.Process(adapter.pid).memory_info().rss < 256 * 2**20
    (stop,) = re.findall(r"^STOPSIGNAL (\w+)$", dockerfile, re.MULTILINE)
    adapter.send_signal(signal.Signals[stop])
    said, _ = adapter.communicate(timeout=PATIENCE)
    assert adapter.returncode == 0, said
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events[-1] == "gateway has stopped"
    refused = package.environment.run(*probe, cwd=package.work)
    assert refused.returncode != 0
