"""The offshore tutorial, word by word: every command runs against the radio and the gateway started as it says."""

import shlex
import signal
import subprocess
from collections.abc import Iterator

import pytest
from tests.docs.support import ROOT, blocks, run, stage, untested, with_free_ports
from tests.system.support import PATIENCE, RunningSite, until

PAGE = ROOT / "docs" / "tutorial" / "offshore.md"
SITE = "examples/offshore/site.yaml"
PORT = "/tmp/trunkline-xbee"
GATEWAY = "gateway:gw-offshore"


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """The two commands that stay in the background; the serial port is one of this test alone."""
    folder = tmp_path_factory.mktemp("offshore")
    port = folder / "trunkline-xbee"
    file = stage(folder, SITE, with_free_ports((ROOT / SITE).read_text().replace(PORT, str(port))))
    radio = subprocess.Popen(shlex.split(untested(PAGE)[0].replace(PORT, str(port))), cwd=folder, stderr=subprocess.DEVNULL)
    try:
        until(port.is_symlink, "the radio's port is there")
        with RunningSite(file).start() as running:
            until(lambda: flowing(running), "the radio has been read and stored")
            yield running
    finally:
        radio.send_signal(signal.SIGTERM)
        radio.wait(PATIENCE)


def flowing(well: RunningSite) -> bool:
    """What a reader sees before going on: the source is connected, and history has the pressure."""
    status = run(well, f".venv/bin/trunkline status {SITE}")
    read = run(well, f".venv/bin/trunkline read {SITE} OFFSHORE.FIELD_A.WELL_12.PRESSURE --from 1m")
    return status.returncode == read.returncode == 0


def test_the_tutorial_is_tested_at_all() -> None:
    """W-91: what the page shows is what is run here."""
    assert len(blocks(PAGE)) == 5
    assert untested(PAGE) == [f".venv/bin/trunkline lab xbee --link {PORT}\n", f".venv/bin/trunkline up {SITE}\n"]
    shown = PAGE.read_text().split("```yaml\n")[1].split("```")[0]
    site = (ROOT / SITE).read_text()
    for line in shown.splitlines():
        assert line.strip().rstrip("}") in site


@pytest.mark.parametrize("number", range(len(blocks(PAGE))))
def test_every_block_succeeds(well: RunningSite, number: int) -> None:
    """W-91, in their order: a page is read from the top."""
    restarts = well.role(GATEWAY).restarts
    block = blocks(PAGE)[number]
    result = run(well, block)
    assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"
    if "status" in block and "kill" not in block:
        assert "xbee" in result.stderr, result.stderr
        assert "balanced" in result.stderr
    if "kill -9" in block:
        until(lambda: well.role(GATEWAY).restarts > restarts, "the gateway's restarts go up by one")


def test_the_site_is_the_one_of_the_requirement() -> None:
    """W-91: offshore_well_12, psi, valid 0 to 500."""
    (pressure,) = [line for line in (ROOT / SITE).read_text().splitlines() if "WELL_12.PRESSURE" in line]
    for word in ("unit: psi", "min: 0", "max: 500", "offshore_well_12"):
        assert word in pressure
