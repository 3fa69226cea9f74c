"""Writing to command topics, and browsing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Value
from trunkline.sources.mqtt.browsing import describe
from trunkline.sources.mqtt.tests.broker import Broker, Device
from trunkline.sources.mqtt.tests.support import connected, source_on
from trunkline.sources.port import BrowseNode, CommandOutcome, WriteCommand


def _tag(kind: str, **options: Any) -> dict[str, Any]:
    return {"path": "P.SETPOINT", "topic": "echo/value", "kind": kind, "command_topic": "echo/value", **options}


@pytest.mark.parametrize(
    ("kind", "value"), [("double", 12.5), ("integer", -(2**63)), ("boolean", True), ("boolean", False), ("text", "löschen")]
)
@pytest.mark.parametrize("member", ["", "setpoint"])
async def test_what_is_written_comes_back(broker: Broker, tmp_path: Path, kind: str, value: Value, member: str) -> None:
    """A written value is published plain or as a member of a JSON object, without loss."""
    tag = _tag(kind, command_value=member, **({"value": "$.setpoint"} if member else {}))
    async with connected(broker, tmp_path, id="echo", tags=[tag], persistent=False) as source:
        assert await source.write(WriteCommand("P.SETPOINT", value)) is CommandOutcome.DONE
        batch = await source.read()
        assert [reading.value for reading in batch.readings] == [value]


async def test_what_cannot_be_written(broker: Broker, tmp_path: Path) -> None:
    tags = [_tag("integer"), {"path": "P.READ", "topic": "other"}]
    async with connected(broker, tmp_path, id="refusing", tags=tags) as source:
        for wrong in ("text", 1.5, 2**63, None):
            assert await source.write(WriteCommand("P.SETPOINT", wrong)) is CommandOutcome.REFUSED
        for unknown in ("P.READ", "P.NONE"):
            with pytest.raises(SourceMisconfigured, match="command_topic"):
                await source.write(WriteCommand(unknown, 1))
    with pytest.raises(SourceUnavailable, match="not connected"):
        await source.write(WriteCommand("P.SETPOINT", 1))


async def test_an_unanswered_write_is_unknown(tmp_path: Path) -> None:
    """A timeout is UNKNOWN, never 'failed': the broker may have taken the message."""
    with Broker() as broker:
        async with connected(broker, tmp_path, tags=[_tag("integer")], timeout=0.5) as source:
            broker.freeze()
            assert await source.write(WriteCommand("P.SETPOINT", 1)) is CommandOutcome.UNKNOWN
            broker.thaw()


async def test_a_write_over_a_breaking_connection_is_unknown(tmp_path: Path) -> None:
    with Broker() as broker:
        async with connected(broker, tmp_path, tags=[_tag("integer")]) as source:
            broker.freeze()
            writing = asyncio.create_task(source.write(WriteCommand("P.SETPOINT", 1)))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(broker.kill)
            assert await writing is CommandOutcome.UNKNOWN


async def test_browsing_lists_topics_and_members(broker: Broker, device: Device, tmp_path: Path) -> None:
    """Topics seen in a short time, with the members of JSON payloads; the reading session is left alone."""
    await device.publish("browse/plain", "12.5", retain=True)
    await device.publish("browse/deep/json", '{"a":{"b c":1},"list":[{"on":true}],"none":null,"name":"x"}', retain=True)
    source = source_on(broker.port, tmp_path, id="browsing")
    assert await source.browse("browse") == [
        BrowseNode("browse/deep/json#$.a['b c']", "a['b c']", "integer"),
        BrowseNode("browse/deep/json#$.list[*].on", "on", "boolean"),
        BrowseNode("browse/deep/json#$.name", "name", "text"),
        BrowseNode("browse/plain", "plain", "double"),
    ]


def test_browsing_is_bounded() -> None:
    assert len(describe("t", b"[" + b"1," * 10_000 + b"1]")) == 1
    assert len(describe("t", b"{" + b",".join(b'"m%d":1' % number for number in range(10_000)) + b"}")) == 200
    assert describe("t/u", b"\xff") == [BrowseNode("t/u", "u", "text")]
