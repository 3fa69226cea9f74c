"""Quality of a reading: one small integer in OPC UA's shape.

A quality is the upper 16 bits of an OPC UA StatusCode (OPC UA Part 4, 7.39): two bits of severity, two reserved, twelve of sub-code.
The four short codes of plant ingestion (P-13, PD-26), IEC 61850 validity (D-17) and every protocol map to and from it with the tables
below. Reasons that OPC UA does not name use sub-codes from 0xF00 and are sent to OPC UA clients as the nearest standard code.
"""

from enum import IntEnum

SEVERITY_SHIFT = 14


class Severity(IntEnum):
    """The two leading bits of a quality."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Quality(IntEnum):
    """Named qualities. Any other 16-bit value is legal too and keeps what the device said."""

    GOOD = 0x0000
    GOOD_OVERRIDE = 0x0096
    GOOD_CLAMPED = 0x0030

    UNCERTAIN = 0x4000
    UNCERTAIN_STALE = 0x4090  # Uncertain_LastUsableValue: the source is silent
    UNCERTAIN_INITIAL = 0x4092  # Uncertain_InitialValue
    UNCERTAIN_SENSOR = 0x4093  # Uncertain_SensorNotAccurate
    UNCERTAIN_RANGE = 0x4094  # Uncertain_EngineeringUnitsExceeded
    UNCERTAIN_NO_SOURCE_TIME = 0x4F01
    UNCERTAIN_CLOCK_SKEW = 0x4F02
    UNCERTAIN_SUSPECT_RATE = 0x4F03
    UNCERTAIN_GAP = 0x4F04
    UNCERTAIN_SIMULATED = 0x4F05
    UNCERTAIN_TIME = 0x4F06  # measured some time after its stamp: the gateway hung between request and answer
    UNCERTAIN_FROZEN = 0x4F07
    UNCERTAIN_SPIKE = 0x4F08
    UNCERTAIN_IMPLAUSIBLE = 0x4F09  # contradicts other tags

    BAD = 0x8000
    BAD_DECODING = 0x8007
    BAD_TIMEOUT = 0x800A
    BAD_COMMS_LOST = 0x8031  # Bad_NoCommunication: silent for longer than the tag may be
    BAD_WAITING = 0x8032  # Bad_WaitingForInitialData
    BAD_UNKNOWN_ADDRESS = 0x8034  # Bad_NodeIdUnknown
    BAD_OUT_OF_RANGE = 0x803C
    BAD_TYPE = 0x8074  # Bad_TypeMismatch
    BAD_CONFIGURATION = 0x8089
    BAD_NOT_CONNECTED = 0x808A
    BAD_DEVICE_FAULT = 0x808B
    BAD_SENSOR_FAULT = 0x808C
    BAD_OUT_OF_SERVICE = 0x808D
    BAD_NOT_FINITE = 0x8F01
    BAD_TIME = 0x8F02
    BAD_SUSPECT_RATE = 0x8F03
    BAD_FROZEN = 0x8F07
    BAD_SPIKE = 0x8F08
    BAD_IMPLAUSIBLE = 0x8F09


#: Reasons of our own and the OPC UA code that stands for them outside.
NEAREST_OPCUA: dict[int, int] = {
    Quality.UNCERTAIN_NO_SOURCE_TIME: Quality.UNCERTAIN,
    Quality.UNCERTAIN_CLOCK_SKEW: Quality.UNCERTAIN,
    Quality.UNCERTAIN_SUSPECT_RATE: Quality.UNCERTAIN_SENSOR,
    Quality.UNCERTAIN_GAP: Quality.UNCERTAIN_STALE,
    Quality.UNCERTAIN_SIMULATED: Quality.UNCERTAIN,
    Quality.UNCERTAIN_TIME: Quality.UNCERTAIN,
    Quality.UNCERTAIN_FROZEN: Quality.UNCERTAIN_SENSOR,
    Quality.UNCERTAIN_SPIKE: Quality.UNCERTAIN_SENSOR,
    Quality.UNCERTAIN_IMPLAUSIBLE: Quality.UNCERTAIN_SENSOR,
    Quality.BAD_NOT_FINITE: Quality.BAD_SENSOR_FAULT,
    Quality.BAD_TIME: Quality.BAD_DEVICE_FAULT,
    Quality.BAD_SUSPECT_RATE: Quality.BAD_SENSOR_FAULT,
    Quality.BAD_FROZEN: Quality.BAD_SENSOR_FAULT,
    Quality.BAD_SPIKE: Quality.BAD_SENSOR_FAULT,
    Quality.BAD_IMPLAUSIBLE: Quality.BAD_SENSOR_FAULT,
}

#: The four short codes of plant ingestion (P-13): OOR is BAD or UNCERTAIN with an out-of-range reason (PD-26).
_OUT_OF_RANGE = frozenset({Quality.BAD_OUT_OF_RANGE, Quality.UNCERTAIN_RANGE})
_FROM_SHORT = {
    "GOOD": Quality.GOOD,
    "UNCERTAIN": Quality.UNCERTAIN,
    "SUSPECT": Quality.UNCERTAIN_SUSPECT_RATE,  # gateway vocabulary (W-123)
    "UNKNOWN": Quality.UNCERTAIN,  # D-17
    "BAD": Quality.BAD,
    "OOR": Quality.BAD_OUT_OF_RANGE,
}

_IEC61850_FROM_SEVERITY = {Severity.GOOD: "good", Severity.UNCERTAIN: "questionable", Severity.BAD: "invalid"}
_IEC61850_TO_QUALITY = {
    "good": Quality.GOOD,
    "questionable": Quality.UNCERTAIN,
    "invalid": Quality.BAD,
    "reserved": Quality.BAD,
}

_REASONS: dict[int, str] = {
    Quality.GOOD: "good",
    Quality.GOOD_OVERRIDE: "manual value",
    Quality.GOOD_CLAMPED: "clamped",
    Quality.UNCERTAIN: "uncertain",
    Quality.UNCERTAIN_STALE: "stale",
    Quality.UNCERTAIN_INITIAL: "initial value",
    Quality.UNCERTAIN_SENSOR: "sensor not accurate",
    Quality.UNCERTAIN_RANGE: "near or beyond the range",
    Quality.UNCERTAIN_NO_SOURCE_TIME: "no source time",
    Quality.UNCERTAIN_CLOCK_SKEW: "clock skew",
    Quality.UNCERTAIN_SUSPECT_RATE: "suspect rate of change",
    Quality.UNCERTAIN_GAP: "after a gap",
    Quality.UNCERTAIN_SIMULATED: "simulated",
    Quality.UNCERTAIN_TIME: "time known roughly",
    Quality.UNCERTAIN_FROZEN: "frozen",
    Quality.UNCERTAIN_SPIKE: "spike",
    Quality.UNCERTAIN_IMPLAUSIBLE: "contradicts other tags",
    Quality.BAD: "bad",
    Quality.BAD_DECODING: "cannot be decoded",
    Quality.BAD_TIMEOUT: "timeout",
    Quality.BAD_COMMS_LOST: "communication lost",
    Quality.BAD_WAITING: "waiting for first value",
    Quality.BAD_UNKNOWN_ADDRESS: "address unknown to the device",
    Quality.BAD_OUT_OF_RANGE: "out of range",
    Quality.BAD_TYPE: "wrong type",
    Quality.BAD_CONFIGURATION: "configuration error",
    Quality.BAD_NOT_CONNECTED: "not connected",
    Quality.BAD_DEVICE_FAULT: "device fault",
    Quality.BAD_SENSOR_FAULT: "sensor fault",
    Quality.BAD_OUT_OF_SERVICE: "out of service",
    Quality.BAD_NOT_FINITE: "not a finite number",
    Quality.BAD_TIME: "impossible time",
    Quality.BAD_SUSPECT_RATE: "impossible rate of change",
    Quality.BAD_FROZEN: "frozen",
    Quality.BAD_SPIKE: "spike",
    Quality.BAD_IMPLAUSIBLE: "contradicts other tags",
}


def severity(quality: int) -> Severity:
    """Return GOOD, UNCERTAIN or BAD. The reserved bit pattern 3 counts as BAD."""
    return Severity(min(quality >> SEVERITY_SHIFT, Severity.BAD))


def worse(one: int, other: int) -> int:
    """Return the worse of two qualities; the first wins a tie. Quality can only get worse on its way (D-17)."""
    return other if severity(other) > severity(one) else one


def reason(quality: int) -> str:
    """Return the reason in words; an unnamed code gives its severity and number."""
    known = _REASONS.get(quality)
    return known if known is not None else f"{severity(quality).name.lower()} 0x{quality:04X}"


def name(quality: int) -> str:
    """Return the symbolic name, for example 'BAD_COMMS_LOST', or '0x8123' for an unnamed code."""
    try:
        return Quality(quality).name
    except ValueError:
        return f"0x{quality:04X}"


def to_short(quality: int) -> str:
    """Return one of GOOD, UNCERTAIN, BAD, OOR (P-13)."""
    return "OOR" if quality in _OUT_OF_RANGE else severity(quality).name


def from_short(code: str) -> Quality:
    """Return the quality of a short code of either vocabulary. Raises ValueError naming the code."""
    try:
        return _FROM_SHORT[code.upper()]
    except KeyError:
        raise ValueError(f"unknown quality {code!r}: use one of {', '.join(_FROM_SHORT)}") from None


def to_opcua(quality: int) -> int:
    """Return the 32-bit OPC UA StatusCode; our own reasons become the nearest standard code."""
    return NEAREST_OPCUA.get(quality, quality) << 16


def from_opcua(status_code: int) -> int:
    """Return the quality of a 32-bit StatusCode; info bits (overflow, limits) are dropped."""
    return (status_code >> 16) & 0xCFFF


def to_iec61850(quality: int) -> str:
    """Return the IEC 61850-7-3 validity: good, questionable or invalid."""
    return _IEC61850_FROM_SEVERITY[severity(quality)]


def from_iec61850(validity: str) -> Quality:
    """Return the quality of an IEC 61850-7-3 validity. Raises ValueError naming it."""
    try:
        return _IEC61850_TO_QUALITY[validity]
    except KeyError:
        raise ValueError(f"unknown validity {validity!r}: use one of {', '.join(_IEC61850_TO_QUALITY)}") from None
