"""Tests and fixtures that run the contract on the plugins that a test module names in `SOURCES`."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from trunkline.model.errors import Misconfigured
from trunkline.sources.port import plugin
from trunkline.sources.testing.conformance import CHECKS, CHECKS_WITH_FAULTS, files_are_complete, quiet
from trunkline.sources.testing.rig import Rig, harness_of

__all__ = ["harness", "pytest_generate_tests", "rig", "test_conforms", "test_conforms_under_faults", "test_has_every_file"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test of this module on every source that the test module names."""
    names: tuple[str, ...] = tuple(getattr(metafunc.module, "SOURCES", ()))
    if not names:
        raise pytest.UsageError(f"{metafunc.module.__name__} names no source: write SOURCES = ('name of the plugin',)")
    if metafunc.function is test_conforms:
        metafunc.parametrize("harness", names, indirect=True, scope="module")
    elif metafunc.function is test_conforms_under_faults:
        metafunc.parametrize("harness", [name for name in names if _can_unplug(name)], indirect=True, scope="module")
    elif metafunc.function is test_has_every_file:
        metafunc.parametrize("name", names)


def _can_unplug(name: str) -> bool:
    try:
        return bool(getattr(harness_of(name), "can_unplug", True))
    except (ImportError, AttributeError, Misconfigured):
        return True  # the checks tell what is wrong with it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The device of one plugin; started once, and plugged in again after every check."""
    device = harness_of(request.param)()
    await device.start()
    yield device
    await device.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def rig(
    harness: Any,  # noqa: ANN401 - the class is the plugin's
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Rig]:
    """A source that is not connected yet."""
    rig = Rig(plugin(request.node.callspec.params["harness"]), harness, tmp_path)
    yield rig
    await rig.close()
    quiet(caplog.get_records("call"), rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS)
async def test_conforms(rig: Rig, check: str) -> None:
    """Reading, writing, browsing, closing, turned clocks, refused batches, errors without secrets."""
    await CHECKS[check](rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS_WITH_FAULTS)
async def test_conforms_under_faults(rig: Rig, check: str) -> None:
    """Lost devices, reconnect storms, silence, slow answers, garbage; errors without secrets."""
    await CHECKS_WITH_FAULTS[check](rig)


def test_has_every_file(name: str) -> None:
    """A plugin folder always has the same files, its options are described as they are, and its example is a valid section."""
    files_are_complete(plugin(name))
