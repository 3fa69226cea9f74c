"""The plant that the lab simulates: its units, variables, events and alarms with the figures of the requirements (P-36 to P-47).

Every unit has four measured variables and three tags of other kinds (RUNNING, TOTAL, MODE), so that every kind of value crosses every
protocol. Units are dealt to the protocols in turn: the 1st speaks Modbus, the 2nd OPC UA, the 3rd MQTT, the 4th Modbus again.
"""

from dataclasses import dataclass
from enum import StrEnum

from trunkline.model.events import AlarmSeverity
from trunkline.model.reading import Kind

PLANT = "PLANT01"
UNITS_PER_AREA = 10
MODES = ("AUTO", "MANUAL", "CASCADE")

#: P-39: a reading this near to an end of its range is UNCERTAIN.
EDGE = 0.05


class ProtocolName(StrEnum):
    """The protocols of the lab, in the order in which units are dealt to them."""

    MODBUS = "modbus"
    OPCUA = "opcua"
    MQTT = "mqtt"


PROTOCOLS = tuple(ProtocolName)


@dataclass(frozen=True, slots=True)
class Variable:
    """A measured variable of a unit.

    Attributes:
        name: last part of the tag path.
        unit: engineering unit.
        setpoint: where the walk is pulled back to.
        low, high: physical limits; a value beyond them is out of range.
        noise: standard deviation of the value around its setpoint.
        description: for people.
    """

    name: str
    unit: str
    setpoint: float
    low: float
    high: float
    noise: float
    description: str

    @property
    def span(self) -> float:
        """Width of the range."""
        return self.high - self.low


VARIABLES = (
    Variable("FLOW_RATE", "m³/h", 50.0, 0.0, 120.0, 5.0, "volume flow"),  # P-36
    Variable("PRESSURE", "bar", 12.0, 0.0, 30.0, 1.5, "discharge pressure"),  # P-37
    Variable("TEMPERATURE", "°C", 180.0, -20.0, 400.0, 8.0, "process temperature"),  # P-38
    Variable("VIBRATION", "mm/s", 2.5, 0.0, 20.0, 0.3, "bearing vibration, RMS velocity"),  # PD-28
)
FLOW, PRESSURE, TEMPERATURE, VIBRATION = range(len(VARIABLES))

RUNNING, TOTAL, MODE = "RUNNING", "TOTAL", "MODE"


@dataclass(frozen=True, slots=True)
class TagSpec:
    """What a tag of a unit is, whatever the protocol.

    Attributes:
        name: last part of the tag path.
        kind: kind of its values.
        unit: engineering unit; may be empty.
        low, high: range; None where there is none.
        description: for people.
    """

    name: str
    kind: Kind
    unit: str
    low: float | None
    high: float | None
    description: str


TAGS = (
    *(TagSpec(v.name, Kind.DOUBLE, v.unit, v.low, v.high, v.description) for v in VARIABLES),
    TagSpec(RUNNING, Kind.BOOLEAN, "", None, None, "unit is running"),
    TagSpec(TOTAL, Kind.INTEGER, "L", None, None, "totalised volume, a counter that never goes back"),
    TagSpec(MODE, Kind.TEXT, "", None, None, "control mode: AUTO, MANUAL or CASCADE"),
)
TAG_NAMES = tuple(tag.name for tag in TAGS)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of the plant.

    Attributes:
        index: 0 for the first unit of the plant.
        area: 'AREA01'.
        name: 'UNIT_01' to 'UNIT_10' within its area.
        protocol: what its device speaks.
        position: its place among the units of its protocol, from 0.
    """

    index: int
    area: str
    name: str
    protocol: ProtocolName
    position: int

    @property
    def path(self) -> str:
        """Asset path, for example 'PLANT01.AREA01.UNIT_01'."""
        return f"{PLANT}.{self.area}.{self.name}"


def plant_units(count: int) -> tuple[Unit, ...]:
    """Return the units of a plant of `count` units, in order."""
    return tuple(
        Unit(
            index=index,
            area=f"AREA{index // UNITS_PER_AREA + 1:02d}",
            name=f"UNIT_{index % UNITS_PER_AREA + 1:02d}",
            protocol=PROTOCOLS[index % len(PROTOCOLS)],
            position=index // len(PROTOCOLS),
        )
        for index in range(count)
    )


@dataclass(frozen=True, slots=True)
class EventSpec:
    """An operational event (P-40, P-41).

    Attributes:
        type: SCREAMING_SNAKE.
        chance: probability in each cycle of each unit.
        text: a sentence for people.
    """

    type: str
    chance: float
    text: str


EVENTS = (
    EventSpec("UNIT_START", 0.005, "start-up"),
    EventSpec("UNIT_STOP", 0.005, "shut-down"),
    EventSpec("MODE_CHANGE", 0.02, "control mode changed"),
    EventSpec("SETPOINT_CHANGE", 0.05, "operator adjusted a setpoint"),
    EventSpec("MAINTENANCE", 0.002, "maintenance window entered or left"),
)


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """A disturbance and the alarm that the device raises for it (P-42 to P-47, PD-28).

    The chance drives an injected disturbance that carries the variable beyond the limit, so that the readings show what the alarm says.

    Attributes:
        type: SCREAMING_SNAKE.
        severity: ISA-18.2 priority.
        chance: probability that the disturbance begins, in each cycle of each unit.
        variable: index into `VARIABLES`; None when the instrument itself fails.
        limit: the limit crossed; None for the instrument fault.
        margin: the least and the greatest distance by which the disturbance passes the limit; negative below it.
    """

    type: str
    severity: AlarmSeverity
    chance: float
    variable: int | None
    limit: float | None
    margin: tuple[float, float]


ALARMS = (
    AlarmSpec("HIGH_FLOW", AlarmSeverity.MEDIUM, 0.008, FLOW, 95.0, (0.5, 15.0)),
    AlarmSpec("LOW_PRESSURE", AlarmSeverity.HIGH, 0.005, PRESSURE, 2.0, (-0.1, -1.5)),
    AlarmSpec("HIGH_TEMP", AlarmSeverity.HIGH, 0.004, TEMPERATURE, 320.0, (1.0, 40.0)),
    AlarmSpec("CRITICAL_TEMP", AlarmSeverity.CRITICAL, 0.001, TEMPERATURE, 380.0, (0.5, 15.0)),
    AlarmSpec("VIBRATION_HIGH", AlarmSeverity.MEDIUM, 0.006, VIBRATION, 7.1, (0.2, 6.0)),
    AlarmSpec("INSTRUMENT_FAULT", AlarmSeverity.LOW, 0.003, None, None, (0.0, 0.0)),
)
