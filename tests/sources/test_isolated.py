"""The contract of sources, kept from a process or a container of its own as well. A program stands in for Docker: no engine can run here.

A source that pushes, one that is polled and one without a device: between them they use all of the way to the process and back.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.gateway.isolation.engines import IMAGE, install
from typing_extensions import override

from trunkline.config.tags import Container, SourceConfig
from trunkline.gateway.isolation.proxy import IsolatedSource
from trunkline.sources.port import Source, SourceContext, plugin
from trunkline.sources.testing.conformance import CHECKS, CHECKS_WITH_FAULTS, quiet
from trunkline.sources.testing.rig import Rig
from trunkline.sources.testing.suite import harness

__all__ = ["harness"]


class IsolatedRig(Rig):
    """A rig whose source lives in a process of its own."""

    @override
    def make(self, config: SourceConfig, context: SourceContext) -> Source:
        return IsolatedSource(config, context)

    @override
    async def restart(self) -> None:
        before = self._source
        await super().restart()
        await end(before)

    @override
    async def close(self) -> None:
        await super().close()
        await end(self._source)


class ContainerRig(IsolatedRig):
    """A rig whose source lives in a container of its own."""

    @override
    def make(self, config: SourceConfig, context: SourceContext) -> Source:
        return super().make(config.model_copy(update={"isolate": "container", "container": Container(image=IMAGE)}), context)


async def end(source: Source | None) -> None:
    """End the process of a source."""
    if isinstance(source, IsolatedSource):
        await source.end()


@pytest_asyncio.fixture(loop_scope="module")
async def rig(harness: Any, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[IsolatedRig]:
    """A source that is not connected yet."""
    rig = IsolatedRig(plugin(request.node.callspec.params["harness"]), harness, tmp_path)
    yield rig
    await rig.close()
    quiet(caplog.get_records("call"), rig)


@pytest_asyncio.fixture(loop_scope="module")
async def contained(
    harness: Any,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[ContainerRig]:
    """A source that is not connected yet."""
    docker = install(tmp_path, monkeypatch)
    rig = ContainerRig(plugin(request.node.callspec.params["harness"]), harness, tmp_path / "folder")
    rig.directory.mkdir()
    yield rig
    await rig.close()
    assert docker.containers() == {}
    assert bool(docker.commands("run")) == (rig._source is not None)
    quiet(caplog.get_records("call"), rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("harness", ["modbus", "mqtt", "simulated"], indirect=True)
async def test_conforms_in_a_process_of_its_own(rig: IsolatedRig, check: str) -> None:
    """W-36, W-45, D-7: `isolate: process` is not seen from outside."""
    await CHECKS[check](rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS_WITH_FAULTS)
@pytest.mark.parametrize("harness", ["modbus", "mqtt"], indirect=True)
async def test_conforms_under_faults_in_a_process_of_its_own(rig: IsolatedRig, check: str) -> None:
    """W-36, W-45, D-7: lost devices, silence and garbage behind a process are what they are without one."""
    await CHECKS_WITH_FAULTS[check](rig)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("harness", ["modbus"], indirect=True)
async def test_conforms_in_a_container_of_its_own(contained: ContainerRig, check: str) -> None:
    """W-36, W-45, D-7: `isolate: container` is not seen from outside either."""
    await CHECKS[check](contained)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("harness", ["file"], indirect=True)
async def test_checkpoints_reach_the_process(rig: IsolatedRig) -> None:
    """W-16, P-117: a source that can go back reads nothing again that is durable, and everything that is not."""
    await CHECKS["goes_on_behind_its_checkpoint"](rig)
    assert rig.checkpoint is not None
