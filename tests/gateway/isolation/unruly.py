"""A third party's source plugin that misbehaves on order: installed for a test as a package of its own, so that a process can load it."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

_MODULE = """
import asyncio, ctypes, os, time
from typing import Literal

from trunkline.config.tags import SourceConfig
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Reading
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourcePlugin


class UnrulyConfig(SourceConfig):
    type: Literal["unruly"] = "unruly"
    password: str = ""
    # what goes wrong, in which call, after so many reads; 'marker' is a file that is written when it is about to happen
    fault: str = ""
    at: Literal["create", "connect", "read", "write", "close", "ack"] = "read"
    after: int = 3
    pause: float = 0.02
    marker: str = ""


class Unruly:
    def __init__(self, config, context):
        self._config, self._context = config, context
        self._reads = 0
        self._leak = []
        if config.at == "create":
            time.sleep(600)

    async def connect(self):
        self._reads = 0
        self._password = self._context.resolve_secret(self._config.password)
        await self._misbehave("connect")

    async def read(self):
        await asyncio.sleep(self._config.pause)
        self._reads += 1
        if self._reads > self._config.after:
            await self._misbehave("read")
        now = self._context.now()
        readings = [Reading(tag.path, float(self._reads), 0, now, now) for tag in self._config.tags]

        async def ack():
            self._note("ack")
            await self._misbehave("ack")

        async def nack(why):
            self._note(f"nack {why}")

        return ReadBatch(readings, ack=ack, nack=nack)

    async def write(self, command):
        await self._misbehave("write")
        return CommandOutcome.DONE

    async def browse(self, at):
        return [BrowseNode("a", "A", "double", False), BrowseNode("b", "B", "", True)]

    async def close(self):
        await self._misbehave("close")

    def _note(self, word):
        if self._config.marker:
            with open(self._config.marker, "a") as file:
                file.write(word + "\\n")

    async def _misbehave(self, call):
        if call != self._config.at:
            return
        fault = self._config.fault
        if fault:
            self._note(f"{fault} {os.getpid()}")
        if fault == "segfault":
            ctypes.string_at(0)
        elif fault == "exit":
            os._exit(7)
        elif fault == "hang":
            time.sleep(600)
        elif fault == "spin":
            while True:
                pass
        elif fault == "burn":
            until = time.monotonic() + 600
            while time.monotonic() < until:
                sum(range(20_000))
                await asyncio.sleep(0)
        elif fault == "leak":
            while True:
                self._leak.append(bytearray(os.urandom(1_000) * 1_000))
                await asyncio.sleep(0.01)
        elif fault == "gulp":
            self._leak.append(b"x" * 4_000_000_000)
        elif fault == "garble":
            for number in range(3, 64):
                try:
                    os.write(number, b"\\xff" * 64)
                except OSError:
                    pass
            await asyncio.sleep(600)
        elif fault == "flood":
            for number in range(5_000):
                print(f"line {number}")
        elif fault == "tell":
            print("the password is " + self._password)
            os._exit(9)
        elif fault == "defect":
            raise ValueError("frame too short")
        elif fault == "away":
            raise SourceUnavailable("the device does not answer")
        elif fault == "wrong":
            raise SourceMisconfigured("no such unit id")


PLUGIN = SourcePlugin("unruly", UnrulyConfig, Unruly, can_write=True, can_browse=True)
"""


def install(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the plugin for this process and for those that it starts."""
    (directory / "unruly_source.py").write_text(dedent(_MODULE))
    meta = directory / "unruly_source-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: unruly-source\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[trunkline.sources]\nunruly = unruly_source\n")
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.setenv("PYTHONPATH", str(directory))
    monkeypatch.delitem(sys.modules, "unruly_source", raising=False)
