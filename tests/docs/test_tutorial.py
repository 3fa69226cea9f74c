"""The tutorial, word by word: every command that it marks as tested runs against a plant started as it says."""

from collections.abc import Iterator

import pytest
from tests.docs.support import ROOT, blocks, run, stage, untested, with_free_ports
from tests.system.support import RunningSite, until

PAGE = ROOT / "docs" / "tutorial" / "first-plant.md"
SITE = "examples/plant/site.yaml"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A folder that looks like the repository to the commands: the site file, and the programs in .venv/bin."""
    file = stage(tmp_path_factory.mktemp("tutorial"), SITE, with_free_ports((ROOT / SITE).read_text()))
    with RunningSite(file).start() as running:
        until(lambda: flowing(running), "every source has been read and stored")
        yield running


def flowing(plant: RunningSite) -> bool:
    """What a reader sees before going on: every source gives readings, and history has the tag that the tutorial reads."""
    status = run(plant, f".venv/bin/trunkline status {SITE}")
    read = run(plant, f".venv/bin/trunkline read {SITE} PLANT01.AREA01.UNIT_01.FLOW_RATE --from 1m")
    return status.returncode == read.returncode == 0


def test_the_tutorial_is_tested_at_all() -> None:
    assert len(blocks(PAGE)) >= 7
    assert untested(PAGE) == ["make up\n"]


@pytest.mark.parametrize("number", range(len(blocks(PAGE))))
def test_every_block_succeeds(plant: RunningSite, number: int) -> None:
    """In their order: a page is read from the top."""
    restarts = plant.role("historian").restarts
    block = blocks(PAGE)[number]
    result = run(plant, block)
    assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"
    if "kill -9" in block:
        until(lambda: plant.role("historian").restarts > restarts, "the historian's restarts go up by one")
