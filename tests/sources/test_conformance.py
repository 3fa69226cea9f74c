"""Runs the contract of sources on every installed plugin."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.sources import conformance
from tests.sources.conformance import CHECKS, CHECKS_WITH_FAULTS
from tests.sources.rig import Rig, harness_of

from trunkline.sources.port import plugin, plugins


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The device of one plugin; started once, and plugged in again after every check."""
    device = harness_of(request.param)()
    await device.start()
    yield device
    await device.stop()


def _isolated(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.callspec.params.get("isolated", False))


@pytest_asyncio.fixture(loop_scope="module")
async def rig(harness: Any, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Rig]:
    """A source that is not connected yet."""
    rig = Rig(plugin(request.node.callspec.params["harness"]), harness, tmp_path, isolated=_isolated(request))
    yield rig
    await rig.close()
    conformance.quiet(caplog.get_records("call"), rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("harness", sorted(plugins()), indirect=True)
async def test_conforms(rig: Rig, check: str) -> None:
    """W-43, W-45, W-48, P-96: reading, writing, browsing, closing, turned clocks, refused batches, errors without secrets."""
    await CHECKS[check](rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS_WITH_FAULTS)
@pytest.mark.parametrize("harness", conformance.with_faults(), indirect=True)
async def test_conforms_under_faults(rig: Rig, check: str) -> None:
    """W-43, W-45, P-96: lost devices, reconnect storms, silence, slow answers, garbage; errors without secrets."""
    await CHECKS_WITH_FAULTS[check](rig)


#: A source that pushes, one that is polled and one without a device: between them they use all of the way to the process and back.
ISOLATED = ("modbus", "mqtt", "simulated")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("isolated", [True], ids=["isolated"])
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("harness", ISOLATED, indirect=True)
async def test_conforms_in_a_process_of_its_own(rig: Rig, check: str, isolated: bool) -> None:
    """W-36, W-45, D-7: `isolate: process` is not seen from outside."""
    await CHECKS[check](rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("isolated", [True], ids=["isolated"])
@pytest.mark.parametrize("check", CHECKS_WITH_FAULTS)
@pytest.mark.parametrize("harness", [name for name in ISOLATED if name in conformance.with_faults()], indirect=True)
async def test_conforms_under_faults_in_a_process_of_its_own(rig: Rig, check: str, isolated: bool) -> None:
    """W-36, W-45, D-7: lost devices, silence and garbage behind a process are what they are without one."""
    await CHECKS_WITH_FAULTS[check](rig)


@pytest.mark.parametrize("name", sorted(plugins()))
def test_has_every_file(name: str) -> None:
    """A plugin folder always has the same files, and its example is a valid section."""
    conformance.files_are_complete(plugin(name))
