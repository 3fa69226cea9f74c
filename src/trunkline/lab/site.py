"""Writes a site file that reads the whole lab plant through its three protocols, with comments for a newcomer.

The text is laid out by hand, one tag a line, because people are meant to read it. Its sections are checked against the real models of the
source plugins in the tests; the lab itself does not know them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trunkline.config.site import LabConfig
from trunkline.lab.control import HOST
from trunkline.lab.modbus_device import MODE_BYTES, PRESSURE_SCALE, REGISTERS_PER_UNIT, TEMPERATURE_SCALE, UNITS_PER_PLC
from trunkline.lab.mqtt_device import topic_of
from trunkline.lab.opcua_device import NAMESPACE, PATH
from trunkline.lab.vocabulary import MODE, PROTOCOLS, RUNNING, TAGS, TOTAL, ProtocolName, TagSpec, Unit, plant_units
from trunkline.model.reading import Kind

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_KINDS = {Kind.INTEGER: "integer", Kind.BOOLEAN: "boolean", Kind.TEXT: "text"}
#: Tags of an OPC UA server that speak only when they change: hours of silence are no fault.
_SELDOM = frozenset({RUNNING, MODE})

_REGISTERS: dict[str, tuple[int, dict[str, object]]] = {
    "FLOW_RATE": (0, {"format": "float32"}),
    "PRESSURE": (2, {"format": "int16", "scale": PRESSURE_SCALE}),
    "TEMPERATURE": (3, {"format": "int16", "scale": TEMPERATURE_SCALE}),
    "VIBRATION": (4, {"format": "float32", "word_order": "CDAB"}),
    TOTAL: (6, {"format": "int64"}),
    MODE: (10, {"format": f"string({MODE_BYTES})"}),
}


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What to write.

    Attributes:
        lab: units, period and ports of the plant.
        site, title: of the site.
        data_dir: where the site keeps everything.
        api_port: of the page.
        deadbands: whether some tags report only what moved; without, every reading is kept, as a checker wants it.
        kafka_ports: where the lab's brokers of Apache Kafka listen, as many as it has; without any the log is the embedded journal.
    """

    lab: LabConfig
    site: str = "lab-plant"
    title: str = "Demonstration plant"
    data_dir: str = "data"
    api_port: int = 8400
    deadbands: bool = True
    kafka_ports: tuple[int, ...] = ()


def site_text(plan: SitePlan) -> str:
    """Return the site file as YAML."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: SitePlan) -> Iterator[str]:
    lab = plan.lab
    units = plant_units(lab.units)
    yield f"# A plant of {lab.units} simulated units, read over Modbus TCP, OPC UA and MQTT."
    yield f"# Written by: trunkline lab site --units {lab.units} --period-ms {lab.period_ms}"
    yield "# Start it with: trunkline up site.yaml      Check a change with: trunkline check site.yaml"
    yield ""
    yield f"site: {_scalar(plan.site)}"
    yield f"title: {_scalar(plan.title)}"
    yield "timezone: UTC             # zone in which people read times; everything is stored in UTC"
    yield f"data_dir: {_scalar(plan.data_dir)}            # journals, history and secrets; relative to this file"
    yield ""
    yield "api:"
    yield "  host: 127.0.0.1         # this machine only"
    yield f"  port: {plan.api_port}              # the page is at http://127.0.0.1:{plan.api_port}"
    yield ""
    yield from _kafka(plan)
    yield "# Simulated devices that 'trunkline up' starts beside the site. A real site has no such section."
    yield "lab:"
    yield f"  units: {lab.units}"
    yield f"  seed: {lab.seed}                 # the same seed gives the same values"
    yield f"  period_ms: {lab.period_ms}         # every unit has new values this often"
    yield f"  modbus_port: {lab.modbus_port}"
    yield f"  opcua_port: {lab.opcua_port}"
    yield f"  mqtt_port: {lab.mqtt_port}"
    yield f"  truth: {_scalar(lab.truth)}               # file for everything the devices showed, for checkers; empty writes none"
    if plan.kafka_ports:
        yield f"  kafka_brokers: {len(plan.kafka_ports)}        # real brokers, run beside the devices"
    yield ""
    yield from _ALARMS
    yield "gateways:"
    yield "  # A gateway is a process close to its devices. It journals every reading before anything else happens to it."
    yield "  - id: gw-plant"
    yield "    buffer:"
    yield "      max_bytes: 2000000000  # room for what waits while the site log cannot be reached"
    yield "    sources:"
    own = {protocol: [unit for unit in units if unit.protocol is protocol] for protocol in PROTOCOLS}
    yield from _modbus(plan, own[ProtocolName.MODBUS])
    yield from _opcua(plan, own[ProtocolName.OPCUA])
    yield from _mqtt(plan, own[ProtocolName.MQTT])


def _kafka(plan: SitePlan) -> Iterator[str]:
    if not plan.kafka_ports:
        return
    yield "# The site log is Apache Kafka. Everything else in this file is as for the embedded journal."
    yield "log:"
    yield "  engine: kafka"
    yield f"  bootstrap: {','.join(f'{HOST}:{port}' for port in plan.kafka_ports)}"
    if len(plan.kafka_ports) == 1:
        yield "  profile: development    # one copy of each record: for trials"
        yield "  insecure: true          # plain text, for brokers on this machine only"
    else:
        yield "  profile: production     # three copies, of which two must be there"
        yield "  security:"
        yield "    username: site"
        yield "    password: ${secret:kafka-site}"
        yield f"    ca: {plan.data_dir}/kafka/ca/ca.pem"
    yield ""


_ALARMS = (
    "# Alarms after ISA-18.2: what the devices report themselves has a life here, and these definitions add what they do not report.",
    "# See them with: trunkline alarms list site.yaml      All kinds: docs/how-to/alarms.md",
    "alarms:",
    "  definitions:",
    "    - id: vibration-trip",
    '      tags: ["**.VIBRATION"]',
    "      kind: high-high",
    "      limit: 8.5",
    "      deadband: 0.5",
    "      on_delay: 1             # seconds that it must last",
    "      consequence: bearing damage within hours",
    "      response: reduce the speed, and have the bearing looked at",
    "    - id: temperature-jump",
    '      tags: ["**.TEMPERATURE"]',
    "      kind: rate",
    "      limit: 60               # °C a second",
    "      direction: up",
    "      ack: not                # nobody has to acknowledge it",
    "    - id: no-flow-signal",
    '      tags: ["**.FLOW_RATE"]',
    "      kind: stale",
    "      silence: 30             # seconds without a reading; try: trunkline lab fault unplug modbus",
    "",
)


def _silence(lab: LabConfig) -> dict[str, object]:
    """Return how long a source may be silent, where the period makes the defaults too short."""
    return {"stale_after": 3 * lab.period_ms / 1000, "lost_after": 20 * lab.period_ms / 1000} if lab.period_ms > 3000 else {}


def _modbus(plan: SitePlan, units: list[Unit]) -> Iterator[str]:
    for plc in range((len(units) + UNITS_PER_PLC - 1) // UNITS_PER_PLC):
        if plc == 0:
            yield "      # PLCs on Modbus TCP: values are polled. A PLC has no clock, so the gateway's stamps the readings (time: gateway)."
            yield "      # It says nothing of quality either: the ranges (min, max) decide. Pressure and temperature are scaled integers."
        yield from _source(
            f"plc-{plc + 1:02d}",
            "modbus",
            {
                "host": HOST,
                "port": plan.lab.modbus_port,
                "unit_id": plc + 1,
                "poll_interval_ms": plan.lab.period_ms,
                "max_gap": 2,
                **_silence(plan.lab),
            },
        )
        for place, unit in enumerate(units[plc * UNITS_PER_PLC : (plc + 1) * UNITS_PER_PLC]):
            for tag in TAGS:
                yield _tag(plan, unit, tag, {**_register(tag, place), "time": "gateway"})


def _register(tag: TagSpec, place: int) -> dict[str, object]:
    if tag.name == RUNNING:
        return {"address": f"coil:{place}"}
    offset, options = _REGISTERS[tag.name]
    return {"address": f"holding:{REGISTERS_PER_UNIT * place + offset}", **options}


def _opcua(plan: SitePlan, units: list[Unit]) -> Iterator[str]:
    if not units:
        return
    publishing = min(0.5, max(0.1, plan.lab.period_ms / 1000))
    options: dict[str, object] = {
        "endpoint": f"opc.tcp://{HOST}:{plan.lab.opcua_port}{PATH}",
        "publishing_interval": publishing,
        "sampling_interval": 0,
        # changes between two publishes, twenty times over, so that a slow moment loses nothing
        "queue_size": max(100, round(20 * publishing * 1000 / plan.lab.period_ms)),
        **_silence(plan.lab),
    }
    yield "      # An OPC UA server: it sends what changes, with its own time and status. Nodes are named by namespace URI, which"
    yield "      # survives a server that numbers its namespaces anew. RUNNING and MODE change seldom, so they may be silent for long."
    yield from _source("opcua-server", "opcua", options)
    for unit in units:
        for tag in TAGS:
            seldom: dict[str, object] = {"stale_after": 86_400} if tag.name in _SELDOM else {}
            yield _tag(plan, unit, tag, {"node": f"nsu={NAMESPACE};s={unit.path}.{tag.name}", **seldom})


def _mqtt(plan: SitePlan, units: list[Unit]) -> Iterator[str]:
    yield "      # Devices that publish JSON to an MQTT broker; the events and alarms of all units come this way too. The session is"
    yield "      # persistent: what is published while the gateway is away waits at the broker. 3.1.1 is what every broker speaks."
    options: dict[str, object] = {"host": HOST, "port": plan.lab.mqtt_port, "protocol": "3.1.1", "subscribe": ["plant/#"]}
    yield from _source("mqtt-broker", "mqtt", {**options, **_silence(plan.lab)}, tags=False)
    yield "        events:"
    for channel in ("event", "alarm"):
        yield f"          - {{topic: {_scalar(f'plant/+/+/+/{channel}')}}}"
    if units:
        yield "        tags:"
    for unit in units:
        topic = topic_of(unit.path, "telemetry")
        for tag in TAGS:
            at = f"$.values.{tag.name}"
            yield _tag(plan, unit, tag, {"topic": topic, "value": f"{at}.value", "quality": f"{at}.quality", "timestamp": "$.time"})


def _source(name: str, kind: str, options: Mapping[str, object], *, tags: bool = True) -> Iterator[str]:
    yield f"      - id: {name}"
    yield f"        type: {kind}"
    for key, value in options.items():
        yield f"        {key}: {_value(value)}"
    if tags:
        yield "        tags:"


def _tag(plan: SitePlan, unit: Unit, tag: TagSpec, where: Mapping[str, object]) -> str:
    options: dict[str, object] = {"path": f"{unit.path}.{tag.name}", **where}
    if tag.kind in _KINDS:
        options["kind"] = _KINDS[tag.kind]
    if tag.unit:
        options["unit"] = tag.unit
    if tag.low is not None and tag.high is not None:
        options |= {"min": tag.low, "max": tag.high}
    if plan.deadbands:
        options |= _DEADBANDS.get(tag.name, {})
    options["description"] = tag.description
    return "          - {" + ", ".join(f"{key}: {_value(value)}" for key, value in options.items()) + "}"


_DEADBANDS: dict[str, dict[str, object]] = {
    "PRESSURE": {"deadband": {"absolute": 0.05}, "max_silence": 30},
    "VIBRATION": {"deadband": {"percent": 0.5}, "max_silence": 30},
}


def _value(value: object) -> str:
    match value:
        case str():
            return _scalar(value)
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return "[" + ", ".join(_value(item) for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
        case _:
            return json.dumps(value)


def _scalar(text: str) -> str:
    """Return text as YAML, in quotes unless it is a plain word."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT else json.dumps(text, ensure_ascii=False)
