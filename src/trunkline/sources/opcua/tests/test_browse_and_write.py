"""Browsing gives addresses that can be put into the site file; writing keeps the variable's type and says honestly what happened."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Value
from trunkline.sources.opcua.tests.proxy import Proxy
from trunkline.sources.opcua.tests.server import URI, DeviceServer
from trunkline.sources.opcua.tests.support import Connected, first_of, read_until, settings, tag
from trunkline.sources.opcua.writing import fit
from trunkline.sources.port import CommandOutcome, WriteCommand

TYPE = ua.VariantType


@pytest.fixture
async def proxy(device: DeviceServer) -> AsyncIterator[Proxy]:
    between = Proxy(("127.0.0.1", device.port))
    await between.start()
    yield between
    await between.stop()


async def test_browse_gives_addresses_kinds_and_branches(device: DeviceServer, connected: Connected) -> None:
    for name, value, kind in (
        ("B.Double", 1.0, TYPE.Double),
        ("B.Int", 1, TYPE.Int16),
        ("B.Bool", True, TYPE.Boolean),
        ("B.Text", "a", TYPE.String),
        ("B.Bytes", b"a", TYPE.ByteString),
    ):
        device.add(name, value, kind)
    async with connected(settings(device.endpoint, [])) as source:
        top = {node.name: node for node in await source.browse("")}
        assert {name: top[name].kind for name in ("B.Double", "B.Int", "B.Bool", "B.Text", "B.Bytes")} == {
            "B.Double": "double",
            "B.Int": "integer",
            "B.Bool": "boolean",
            "B.Text": "text",
            "B.Bytes": "",
        }
        assert top["B.Double"].address == f"nsu={URI};s=B.Double"
        assert not top["B.Double"].branch
        assert (top["Server"].address, top["Server"].branch, top["Server"].kind) == ("i=2253", True, "")
        server = {node.name: node for node in await source.browse("i=2253")}
        assert server["ServerStatus"].branch  # a structured variable with its parts below
        status = {node.name: node for node in await source.browse(server["ServerStatus"].address)}
        assert (status["State"].kind, status["StartTime"].kind) == ("integer", "text")
        for wrong in ("nonsense", "nsu=http://no.example/;i=1", "ns=2;s=NoSuchNode"):
            with pytest.raises(SourceMisconfigured):
                await source.browse(wrong)


async def test_write_keeps_the_type_of_the_variable(device: DeviceServer, connected: Connected) -> None:
    """The value arrives as the type that the variable has, and is read back."""
    written: dict[str, tuple[TYPE, Any, str, Value]] = {
        "W.Double": (TYPE.Double, 1.0, "double", 2.5),
        "W.Float": (TYPE.Float, 1.0, "double", 2.0),
        "W.UInt16": (TYPE.UInt16, 1, "integer", 65535),
        "W.Int64": (TYPE.Int64, 1, "integer", -(2**63)),
        "W.Bool": (TYPE.Boolean, False, "boolean", True),
        "W.Text": (TYPE.String, "off", "text", "läuft"),
    }
    tags = [tag(f"P.{name[2:].upper()}", device.add(name, start, kind, writable=True), k) for name, (kind, start, k, _) in written.items()]
    async with connected(settings(device.endpoint, tags)) as source:
        await first_of(source, *(one["path"] for one in tags))
        for one, (kind, _, _, value) in zip(tags, written.values(), strict=True):
            path = one["path"]
            assert await source.write(WriteCommand(path, value)) is CommandOutcome.DONE
            found = await read_until(source, lambda readings: readings[-1:] != [])
            assert [(reading.tag, reading.value) for reading in found] == [(path, value)]
            node = device.node(one["node"].partition(";s=")[2], 2)
            served = await asyncio.to_thread(device.run, node.read_data_value())
            assert served.Value is not None
            assert served.Value.VariantType == kind


async def test_write_refused(device: DeviceServer, connected: Connected) -> None:
    """A value that does not fit is not sent; what the server refuses is REFUSED; what cannot be written at all is a misconfiguration."""
    tags = [
        tag("P.SMALL", device.add("R.Small", 1, TYPE.SByte, writable=True), "integer"),
        tag("P.LOCKED", device.add("R.Locked", 1.0)),
        tag("P.GONE", "ns=2;s=NoSuchNode"),
        tag("P.ARRAY", device.add("R.Array", [1.0, 2.0], writable=True)),
        tag("P.ELEMENT", f"nsu={URI};s=R.Array", element=1),
        tag("P.BYTES", device.add("R.Bytes", b"a", TYPE.ByteString, writable=True), "text"),
        tag("P.NOWHERE", "nsu=http://no.example/;i=1"),
    ]
    async with connected(settings(device.endpoint, tags)) as source:
        for value in (128, 1.5, "1", None):
            assert await source.write(WriteCommand("P.SMALL", value)) is CommandOutcome.REFUSED
        assert await source.write(WriteCommand("P.LOCKED", 2.0)) is CommandOutcome.REFUSED
        for path in ("P.GONE", "P.ARRAY", "P.ELEMENT", "P.BYTES", "P.NOWHERE", "P.OTHER"):
            with pytest.raises(SourceMisconfigured):
                await source.write(WriteCommand(path, 1.0))
    with pytest.raises(SourceUnavailable):
        await source.write(WriteCommand("P.SMALL", 1))


async def test_write_without_an_answer_is_unknown(
    device: DeviceServer, proxy: Proxy, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout is UNKNOWN, never 'failed': the device may have acted."""
    node = device.add("U.Flow", 1.0, writable=True)
    config = settings(
        f"opc.tcp://127.0.0.1:{proxy.port}", [tag("P.A", node)], timeout=0.5, watchdog_interval=100, mode="poll", poll_interval=100
    )
    async with connected(config) as source:
        await first_of(source, "P.A")
        session = source._session
        request = session.request

        async def freeze_before_writing(asked: object, *rest: Any, **options: Any) -> Any:
            if isinstance(asked, ua.WriteRequest):
                await proxy.freeze()
            return await request(asked, *rest, **options)

        monkeypatch.setattr(session, "request", freeze_before_writing)
        assert await source.write(WriteCommand("P.A", 2.0)) is CommandOutcome.UNKNOWN
        await proxy.plug()


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (255, TYPE.Byte, True),
        (256, TYPE.Byte, False),
        (-1, TYPE.UInt64, False),
        (2**64 - 1, TYPE.UInt64, True),
        (3.0, TYPE.Int32, True),
        (3.5, TYPE.Int32, False),
        (1e39, TYPE.Float, False),
        (1e39, TYPE.Double, True),
        (float("nan"), TYPE.Double, False),
        (2, TYPE.Boolean, False),
        (1, TYPE.Boolean, True),
        (1.0, TYPE.String, False),
        ("an", TYPE.LocalizedText, True),
        (None, TYPE.Double, False),
    ],
)
def test_fit(value: Value, kind: TYPE, fits: bool) -> None:
    assert (fit(value, kind) is not None) == fits


@given(st.integers(), st.sampled_from([TYPE.SByte, TYPE.Byte, TYPE.Int16, TYPE.UInt16, TYPE.Int32, TYPE.UInt32, TYPE.Int64, TYPE.UInt64]))
def test_fit_never_changes_a_number(value: int, kind: TYPE) -> None:
    variant = fit(value, kind)
    assert variant is None or (variant.Value, variant.VariantType) == (value, kind)
