"""The contract is able to fail: sources with a planted defect do not pass."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Reading
from trunkline.sources.port import CommandOutcome, ReadBatch, SourceContext, SourcePlugin, WriteCommand
from trunkline.sources.simulated import PLUGIN
from trunkline.sources.simulated.config import SimulatedConfig
from trunkline.sources.simulated.source import SimulatedSource
from trunkline.sources.simulated.tests.harness import Harness
from trunkline.sources.testing.conformance import CHECKS, waits_in_silence
from trunkline.sources.testing.rig import Rig


class _Secretive(Harness):
    secrets = {"${secret:x}": "canary"}  # noqa: RUF012 - as a harness has it


class _Pluggable(Harness):
    async def freeze(self) -> None:
        return


class _WrongKind(SimulatedSource):
    async def read(self) -> ReadBatch:
        batch = await super().read()
        return ReadBatch([Reading(one.tag, str(one.value), one.quality, one.source_time, one.gateway_time) for one in batch.readings])


class _WrongClock(SimulatedSource):
    async def read(self) -> ReadBatch:
        batch = await super().read()
        return ReadBatch([Reading(one.tag, one.value, one.quality, one.source_time, 0) for one in batch.readings])


class _Deaf(SimulatedSource):
    async def read(self) -> ReadBatch:
        reading = asyncio.ensure_future(super().read())
        while not reading.done():
            try:
                await asyncio.wait((reading,))
            except asyncio.CancelledError:
                await asyncio.sleep(3600)
        return reading.result()


class _Talkative(SimulatedSource):
    async def write(self, command: WriteCommand) -> CommandOutcome:
        raise SourceMisconfigured("the password canary is wrong")


class _Speechless(SimulatedSource):
    async def write(self, command: WriteCommand) -> CommandOutcome:
        raise SourceMisconfigured


class _Spinning(SimulatedSource):
    async def read(self) -> ReadBatch:
        await asyncio.sleep(0)
        return await super().read() if self._context.gateway == "never" else ReadBatch()


class _Undeclared(SimulatedSource):
    async def read(self) -> ReadBatch:
        raise ValueError("frame too short")


class _OnceOnly(SimulatedSource):
    closed = False

    async def connect(self) -> None:
        if self.closed:
            raise RuntimeError("event loop is closed")
        await super().connect()

    async def close(self) -> None:
        self.closed = self._signals is not None
        await super().close()


class _Forgetful(SimulatedSource):
    async def write(self, command: WriteCommand) -> CommandOutcome:
        if command.tag.startswith("NO."):
            return await super().write(command)
        return CommandOutcome.DONE


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.sources.testing.rig.PATIENCE", 1.0)
    monkeypatch.setattr("trunkline.sources.testing.conformance.PATIENCE", 1.0)


def _rig(defective: type[SimulatedSource], harness: type[Harness], tmp_path: Path) -> Rig:
    def create(config: SimulatedConfig, context: SourceContext) -> SimulatedSource:
        return defective(config, context)

    return Rig(SourcePlugin("simulated", PLUGIN.config, create, can_write=True), harness(), tmp_path)


@pytest.mark.parametrize(
    ("defective", "check"),
    [
        (_WrongKind, "connects_reads_and_closes"),
        (_WrongClock, "connects_reads_and_closes"),
        (_Undeclared, "connects_reads_and_closes"),
        (_OnceOnly, "starts_from_nothing_after_close"),
        (_Talkative, "writes_or_says_why_not"),
        (_Speechless, "writes_or_says_why_not"),
        (_Forgetful, "writes_or_says_why_not"),
        (_Deaf, "read_can_be_cancelled"),
    ],
)
async def test_a_planted_defect_is_caught(defective: type[SimulatedSource], check: str, tmp_path: Path) -> None:
    rig = _rig(defective, _Secretive, tmp_path)
    with pytest.raises((AssertionError, TypeError, ValueError, RuntimeError, TimeoutError)):
        await CHECKS[check](rig)
    await rig.close()


async def test_a_hot_loop_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = _rig(_Spinning, _Pluggable, tmp_path)

    async def works(*_: Any) -> None:
        return

    monkeypatch.setattr(rig, "works", works)
    with pytest.raises(AssertionError, match="hot loop"):
        await waits_in_silence(rig)
    await rig.close()


def test_an_error_that_shows_a_secret_is_caught(tmp_path: Path) -> None:
    """P-96: the check looks into causes, too."""
    rig = _rig(SimulatedSource, _Secretive, tmp_path)
    error = SourceUnavailable("the broker does not answer")
    rig.note(error)
    error.__cause__ = ValueError("canary")
    with pytest.raises(AssertionError, match="secret"):
        rig.note(error)
