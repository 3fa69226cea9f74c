"""An OPC UA server with one folder a plant, area and unit, and one variable a tag.

NodeIds are `nsu=urn:trunkline:lab:plant;s=<tag path>`, for example `s=PLANT01.AREA01.UNIT_02.FLOW_RATE`. Every value has a source time and
a status: Good, Uncertain near an end of the range, Bad_OutOfRange beyond it (then without a value, OPC UA Part 4, 7.7.1), and
Bad_NoCommunication while the unit is unplugged. A value is written when it, or its status, changed. No security: loopback only.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple, cast

from asyncua import ua
from asyncua.server.server import Server

from trunkline.lab.cable import Cable
from trunkline.lab.device import Frame, groups_of
from trunkline.lab.truth import Sample, TruthWriter
from trunkline.lab.vocabulary import MODE, MODES, PLANT, RUNNING, TAGS, TOTAL, VARIABLES, ProtocolName, Unit
from trunkline.model import times
from trunkline.model.quality import Quality, Severity, severity, to_opcua
from trunkline.model.reading import Kind, Value

NAMESPACE = "urn:trunkline:lab:plant"
PATH = "/trunkline/lab"
UNITS_PER_GROUP = 16

_VARIANT = {
    Kind.DOUBLE: ua.VariantType.Double,
    Kind.INTEGER: ua.VariantType.Int64,
    Kind.BOOLEAN: ua.VariantType.Boolean,
    Kind.TEXT: ua.VariantType.String,
}
_BLANK: dict[Kind, Value] = {Kind.DOUBLE: 0.0, Kind.INTEGER: 0, Kind.BOOLEAN: False, Kind.TEXT: ""}


def _node_id(path: str, namespace: int) -> ua.NodeId:
    return ua.NodeId(cast("ua.String", path), cast("ua.Int16", namespace))


def _date_time(us: int) -> ua.DateTime:
    return cast("ua.DateTime", times.to_datetime(us))


class _Variable(NamedTuple):
    node: ua.NodeId
    type: ua.VariantType


class OpcUaDevice:
    """The plant's OPC UA server."""

    protocol: ProtocolName = ProtocolName.OPCUA

    def __init__(self, units: Sequence[Unit], port: int, truth: TruthWriter) -> None:
        self.groups: Sequence[Sequence[Unit]] = groups_of(units, UNITS_PER_GROUP)
        self.cable = Cable(port)
        self._truth = truth
        self._server: Server | None = None
        self._variables: dict[int, dict[str, _Variable]] = {}
        self._shown: dict[int, dict[str, tuple[Value, int]]] = {unit.index: {} for unit in units}
        self._status = {code: ua.StatusCode(ua.UInt32(to_opcua(code))) for code in Quality}

    async def start(self) -> None:
        """Build the address space and listen on a port of its own."""
        # It warns that nothing is encrypted, which is meant: the lab listens on loopback only.
        logging.getLogger("asyncua.server.server").setLevel(logging.ERROR)
        server = Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://{Cable.HOST}:0{PATH}")
        server.set_server_name("Trunkline lab plant")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.set_application_uri("urn:trunkline:lab:server")
        await self._build(server, await server.register_namespace(NAMESPACE))
        await server.start()
        self._server = server
        if server.bserver is None:
            raise RuntimeError("the OPC UA server did not start")
        self.cable.inner = server.bserver.port

    async def _build(self, server: Server, namespace: int) -> None:
        folders = {"": server.nodes.objects}

        async def folder(path: str) -> None:
            above, _, name = path.rpartition(".")
            if path not in folders:
                folders[path] = await folders[above].add_folder(_node_id(path, namespace), ua.QualifiedName(name, namespace))

        await folder(PLANT)
        for unit in (unit for group in self.groups for unit in group):
            await folder(f"{PLANT}.{unit.area}")
            await folder(unit.path)
            variables = self._variables[unit.index] = {}
            for tag in TAGS:
                variant = _VARIANT[tag.kind]
                node = await folders[unit.path].add_variable(
                    _node_id(f"{unit.path}.{tag.name}", namespace),
                    ua.QualifiedName(tag.name, namespace),
                    ua.Variant(_BLANK[tag.kind], variant),
                    datatype=ua.NodeId(ua.Int32(variant.value)),
                )
                variables[tag.name] = _Variable(node.nodeid, variant)

    async def show(self, group: int, frame: Frame, wall: int) -> None:
        """Write the truth of what changed in one group of units, then write it to the server."""
        samples = [sample for unit in self.groups[group] if (sample := self._changed(unit, frame, wall)).v]
        self._truth.write(samples)
        by_path = {unit.path: unit for unit in self.groups[group]}
        for sample in samples:
            await self._write(by_path[sample.a], sample)

    def _changed(self, unit: Unit, frame: Frame, wall: int) -> Sample:
        """Return what of a unit a subscriber does not know yet: a value or status other than the one shown."""
        row, snapshot, shown = unit.index, frame.snapshot, self._shown[unit.index]
        codes = frame.quality[row].tolist()
        now: dict[str, tuple[Value, int]] = {
            **{variable.name: (value, code) for variable, value, code in zip(VARIABLES, snapshot.values[row].tolist(), codes, strict=True)},
            RUNNING: (bool(snapshot.running[row]), 0),
            TOTAL: (int(snapshot.total[row]), 0),
            MODE: (MODES[int(snapshot.mode[row])], 0),
        }
        sample = Sample(w=wall, p=ProtocolName.OPCUA, c=snapshot.cycle, a=unit.path, t=wall + int(frame.clock_offset[row]), v={}, q={})
        for name, (value, code) in now.items():
            told = Quality.BAD_COMMS_LOST if frame.unplugged[row] else code
            pair = (None if severity(told) is Severity.BAD else value, int(told))
            if shown.get(name) != pair:
                shown[name] = pair
                sample.v[name] = pair[0]
                if told:
                    sample.q[name] = int(told)
        return sample

    async def _write(self, unit: Unit, sample: Sample) -> None:
        if self._server is None:
            return
        source_time, server_time = _date_time(sample.t), _date_time(sample.w)
        for name, value in sample.v.items():
            variable = self._variables[unit.index][name]
            await self._server.write_attribute_value(
                variable.node,
                ua.DataValue(
                    Value=ua.Variant(value, variable.type) if value is not None else ua.Variant(None, ua.VariantType.Null),
                    StatusCode=self._status[Quality(sample.q.get(name, 0))],
                    SourceTimestamp=source_time,
                    ServerTimestamp=server_time,
                ),
            )

    async def stop(self) -> None:
        """Stop listening."""
        if self._server:
            server, self._server = self._server, None
            await server.stop()
