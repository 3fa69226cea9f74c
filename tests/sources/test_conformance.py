"""Runs the contract of sources on every installed plugin."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.sources import conformance
from tests.sources.conformance import CHECKS, Rig

from trunkline.sources.port import plugin, plugins


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The device of one plugin; started once, and plugged in again after every check."""
    device = conformance.harness_of(request.param)()
    await device.start()
    yield device
    await device.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("harness", "check"), conformance.cases(), indirect=["harness"])
async def test_conforms(harness: Any, check: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """W-43, W-45, W-48, P-96: reconnect storms, silence, garbage, slow answers, turned clocks, writes, errors without secrets."""
    rig = Rig(plugin(request.node.callspec.params["harness"]), harness, tmp_path)
    try:
        await CHECKS[check][0](rig)
    finally:
        await rig.close()
    conformance.quiet(caplog.records, rig)


@pytest.mark.parametrize("name", sorted(plugins()))
def test_has_every_file(name: str) -> None:
    """A plugin folder always has the same files, and its example is a valid section."""
    conformance.files_are_complete(plugin(name))


@pytest.mark.parametrize("name", sorted(plugins()))
def test_refuses_unknown_keys(name: str) -> None:
    """A misspelt option is an error with its name."""
    conformance.unknown_keys_are_refused(plugin(name))
