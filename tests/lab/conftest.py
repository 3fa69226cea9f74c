"""Fixtures of the lab's tests."""

from collections.abc import Iterator

import pytest
from tests.lab.harness import PlantProcess, spared_ports


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantProcess]:
    """A plant of seven units with a cycle of 100 ms; tests that need its endpoints use `read_endpoints`."""
    process = PlantProcess(tmp_path_factory.mktemp("plant"), "--units", "7", "--period-ms", "100", *spared_ports())
    process.start()
    yield process
    process.close()
