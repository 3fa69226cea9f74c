"""What `trunkline doctor` finds on this machine."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway.isolation import engines
from tests.gateway.isolation.engines import AWAY, DENIED, IMAGE
from tests.system.disks import read_only

from trunkline.config.loading import load
from trunkline.supervisor.doctor import Finding, examine


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in findings}


def test_every_finding_that_is_not_fine_says_what_to_do(tmp_path: Path) -> None:
    """D-15: the clock is looked at, too."""
    findings = examine(None, tmp_path)
    assert {one.check for one in findings} == {
        *("python", "sqlite", "packages", "mqtt broker", "clock", "isolation", "containers", "disk", "fsync"),
    }
    assert all(one.mend for one in findings if one.verdict != "ok")
    assert by_check(findings)["python"].verdict == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("offset", "verdict"), [("0.004", "ok"), ("1.5", "warning")])
def test_the_clocks_offset_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: str, verdict: str) -> None:
    """W-105. No time service can run here: a program of chronyc's name prints what its manual shows."""
    chronyc = tmp_path / "chronyc"
    chronyc.write_text(f"#!/bin/sh\necho '7F,ntp,3,0.0,{offset},0.1,0.1,1.0,0.0,0.0,0.1,0.1,64.0,Normal'\n")
    chronyc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = by_check(examine(None, tmp_path / "data"))["clock"]
    assert (found.verdict, found.detail) == (verdict, f"{float(offset) * 1000:,.1f} ms off, says chrony")


SITE = """
site: test
gateways:
  - id: gw1
    sources:
      - {id: apart, type: simulated, isolate: container, container: {image: "%s", runtime: docker}, tags: [{path: P.A.T}]}
"""


@pytest.mark.parametrize(
    ("image", "refused", "verdict", "detail", "mend"),
    [
        (IMAGE, "", "ok", "docker 28.2.2 answers, with root's rights, which whoever may use its socket has", ""),
        ("example/absent:2.0", "", "error", "no image example/absent:2.0 on this machine", "docker pull example/absent:2.0"),
        (IMAGE, AWAY, "error", "docker does not answer", "start it ('systemctl start docker')"),
        (IMAGE, DENIED, "error", "may not talk to docker", "rootless"),
    ],
)
def test_it_tells_whether_containers_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, refused: str, verdict: str, detail: str, mend: str
) -> None:
    """D-7. No engine can run here: a program of its client's name answers in its words."""
    docker = engines.install(tmp_path, monkeypatch)
    if refused:
        docker.refuse(refused)
    file = tmp_path / "site.yaml"
    file.write_text(SITE % image)
    found = [one for one in examine(load(file), tmp_path) if one.check == "containers"][-1]
    assert found.verdict == verdict
    assert detail in found.detail
    assert mend in found.mend
    without = by_check(examine(None, tmp_path))["containers"]
    assert without.verdict == "ok"


def test_a_directory_that_does_not_exist_yet_is_looked_at_from_above(tmp_path: Path) -> None:
    assert str(tmp_path) in by_check(examine(None, tmp_path / "a" / "b"))["disk"].detail


def test_ports_in_use_are_named(tmp_path: Path, taken: int) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(f"site: test\napi: {{port: {taken}}}\ngateways: [{{id: gw1}}]\n")
    found = by_check(examine(load(file), tmp_path))[f"port {taken}"]
    assert (found.verdict, found.detail) == ("warning", "api: in use")
    assert "change the port in the site file" in found.mend


def test_a_read_only_disk_is_an_error(tmp_path: Path) -> None:
    """Modes mean nothing to a superuser; a read-only mount does."""
    with read_only(tmp_path / "disk") as where:
        found = by_check(examine(None, where / "data"))
    assert found["disk"].verdict == "error"
    assert "cannot be written" in found["disk"].detail
    assert "fsync" not in found
