"""Commands: what is sent, and when it is DONE."""

import asyncio
from pathlib import Path

import pytest

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Value
from trunkline.sources.mqtt.tests.broker import Broker
from trunkline.sources.port import CommandOutcome, WriteCommand
from trunkline.sources.sparkplug import codec
from trunkline.sources.sparkplug.datatypes import DataType
from trunkline.sources.sparkplug.tests.edge import EdgeNode
from trunkline.sources.sparkplug.tests.support import Listener, connected, source_on, take, until, wait_for
from trunkline.sources.sparkplug.tests.test_source import running

TYPES: list[tuple[int, str, Value, Value]] = [
    (DataType.INT8, "integer", 0, -128),
    (DataType.INT16, "double", 0, -3.0),
    (DataType.UINT32, "integer", 0, 2**32 - 1),
    (DataType.INT64, "integer", 0, -(2**63)),
    (DataType.UINT64, "integer", 0, 2**63 - 1),
    (DataType.FLOAT, "double", 0.0, 0.1),
    (DataType.DOUBLE, "double", 0.0, 12.1),
    (DataType.BOOLEAN, "boolean", False, True),
    (DataType.STRING, "text", "", "löschen"),
    (DataType.DATETIME, "integer", 0, 1_795_266_000_500_000),
    (DataType.DATETIME, "text", 0, "2026-11-21T13:00:00.500000Z"),
]


@pytest.mark.parametrize("aliases", [True, False])
@pytest.mark.parametrize("device", ["", "pump"])
async def test_what_is_written_is_confirmed_by_the_edge_node(broker: Broker, tmp_path: Path, device: str, aliases: bool) -> None:
    """Every data type, to edge node and device, by alias and by name: DONE is the edge node's word, not the broker's."""
    metrics: dict[str, dict[str, tuple[int, Value]]] = {"": {}, "pump": {}}
    tags = []
    for number, (datatype, kind, first, _) in enumerate(TYPES):
        metrics[device][f"Out/{number}"] = (datatype, first)
        place = {"device": device} if device else {}
        tags.append({"path": f"P.OUT_{number}", "node": "edge-1", "metric": f"Out/{number}", "kind": kind, "writable": True, **place})
    options = {"id": f"types-{device or 'node'}-{aliases}".lower(), "tags": tags}
    async with running(broker, metrics, aliases=aliases) as edge, connected(broker, tmp_path, **options) as source:
        await take(source, len(TYPES))
        for number, (datatype, kind, _, value) in enumerate(TYPES):
            assert await source.write(WriteCommand(f"P.OUT_{number}", value)) is CommandOutcome.DONE, (datatype, kind)
        topic, payload = edge.commands[-1]
        assert topic == (edge.topic("DCMD", device) if device else edge.topic("NCMD"))
        (metric,) = codec.decode(payload).metrics
        assert (metric.name is None, metric.alias is None) == (aliases, not aliases)
        confirmed, _ = await take(source, len(TYPES))
        assert [one.tag for one in confirmed] == [f"P.OUT_{number}" for number in range(len(TYPES))], "the confirmations are readings, too"


async def test_commands_are_sent_as_the_standard_asks(broker: Broker, tmp_path: Path) -> None:
    """[tck-id-topics-ncmd-mqtt]: 'QoS equal to 0 and retain equal to false'."""
    with Listener(broker.port, "spBv1.0/plant/NCMD/#") as listener:
        async with running(broker), connected(broker, tmp_path, id="standard") as source:
            await take(source, 2)
            assert await source.write(WriteCommand("P.FLOW", 2.5)) is CommandOutcome.DONE
    assert [(topic, qos, retained) for topic, _, qos, retained in listener.heard] == [("spBv1.0/plant/NCMD/edge-1", 0, False)] * 2


async def test_a_write_without_confirmation_is_unknown(broker: Broker, tmp_path: Path) -> None:
    """A timeout is UNKNOWN, never 'failed'; what comes meanwhile is read afterwards."""
    async with running(broker, echo=False) as edge, connected(broker, tmp_path, id="unknown", timeout=0.5) as source:
        await take(source, 2)
        writing = asyncio.create_task(source.write(WriteCommand("P.FLOW", 2.5)))
        await asyncio.to_thread(_until_commanded, edge)
        edge.measure("", "Flow", 3.5)
        edge.measure("pump", "Speed", 7)
        assert await writing is CommandOutcome.UNKNOWN
        readings, _ = await take(source, 2)
        assert [one.value for one in readings] == [3.5, 7]


async def test_a_write_while_reading_goes_on(broker: Broker, tmp_path: Path) -> None:
    async with running(broker) as edge, connected(broker, tmp_path, id="both") as source:
        await take(source, 2)
        reading = asyncio.create_task(until(source, "P.PUMP.SPEED", 99))
        for value in range(20):
            assert await source.write(WriteCommand("P.FLOW", float(value))) is CommandOutcome.DONE
        edge.measure("pump", "Speed", 99)
        readings, _ = await reading
        assert [one.value for one in readings] == [*map(float, range(20)), 99]


async def test_what_cannot_be_written(broker: Broker, tmp_path: Path) -> None:
    """Refused where the value does not fit, an error with its mend where the configuration is wrong, nothing sent in either case."""
    metrics: dict[str, dict[str, tuple[int, Value]]] = {
        "": {"Small": (DataType.INT8, 0), "Table": (DataType.DATASET, None), "Mode": (DataType.STRING, "")}
    }
    small = {"path": "P.SMALL", "node": "edge-1", "metric": "Small", "kind": "integer", "writable": True}
    tags = [
        small,
        {**small, "path": "P.READ", "writable": False},
        {**small, "path": "P.TABLE", "metric": "Table"},
        {**small, "path": "P.NONE", "metric": "None"},
        {**small, "path": "P.WRONG", "metric": "Mode"},
        {**small, "path": "P.AWAY", "node": "edge-2"},
    ]
    async with running(broker, metrics) as edge, connected(broker, tmp_path, id="refusing", tags=tags) as source:
        await take(source, 4)
        for wrong in (128, 1.5, "text", None):
            assert await source.write(WriteCommand("P.SMALL", wrong)) is CommandOutcome.REFUSED
        assert await source.write(WriteCommand("P.WRONG", 1)) is CommandOutcome.REFUSED
        for unknown in ("P.READ", "P.NO_TAG"):
            with pytest.raises(SourceMisconfigured, match="writable: true"):
                await source.write(WriteCommand(unknown, 1))
        with pytest.raises(
            SourceMisconfigured, match=r"tag P\.TABLE, metric 'Table' of edge-1: values of data type DATASET cannot be written"
        ):
            await source.write(WriteCommand("P.TABLE", 1))
        for away in ("P.NONE", "P.AWAY"):
            with pytest.raises(SourceUnavailable, match="is in no birth"):
                await source.write(WriteCommand(away, 1))
        assert [topic for topic, _ in edge.commands] == [edge.topic("NCMD")], "only its births were asked for"
    with pytest.raises(SourceUnavailable, match="not connected"):
        await source_on(broker.port, tmp_path).write(WriteCommand("P.FLOW", 1.0))


async def test_a_write_over_a_breaking_connection_is_unknown(tmp_path: Path) -> None:
    with Broker() as broker:
        async with running(broker, echo=False) as edge, connected(broker, tmp_path) as source:
            await take(source, 2)
            writing = asyncio.create_task(source.write(WriteCommand("P.FLOW", 2.5)))
            await asyncio.to_thread(_until_commanded, edge)
            await asyncio.to_thread(broker.kill)
            assert await writing is CommandOutcome.UNKNOWN


def _until_commanded(edge: EdgeNode) -> None:
    wait_for(lambda: len(edge.commands) >= 2, "the command did not come")
