"""Records of the petroleum vocabulary (petroleum.md sections 4 and 8; ED-15, ED-16), with its names; times are milliseconds."""

from typing import Final

from trunkline.log.codec.builtin.shapes import MILLIS, Declaration, Subject, array, default, enum, may, must, record
from trunkline.log.codec.compatibility import Level

TELEMETRY_RAW_IDS: Final = (200, 201)

_SCADA: Final = "com.scadaerp.scada"
_WELL_TESTING: Final = "com.scadaerp.welltesting"
_PRODUCTION: Final = "com.scadaerp.production"
_SYSTEM: Final = "com.scadaerp.system"
_VALUE: Final = ["double", "long", "boolean", "string", "null"]
_PROTOCOLS: Final = ("MODBUS", "OPCUA", "MQTT")
_SEVERITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW")

_LATER_PROTOCOLS = enum("Protocol", *_PROTOCOLS, "SPARKPLUG", "IEC104", "XBEE", "HTTP", "OTHER", default="OTHER")

_RAW_1 = (
    must("timestamp", "long"),
    must("deviceId", "string"),
    must("tagId", "string"),
    must("value", "double"),
    must("quality", "int"),
    must("sourceProtocol", enum("Protocol", *_PROTOCOLS)),
)
_RAW_2 = (
    must("timestamp", MILLIS, "time of the measurement"),
    must("deviceId", "string"),
    must("tagId", "string"),
    must("value", _VALUE),
    must("quality", "int", "192 good, 64 uncertain, 0 bad"),
    must("sourceProtocol", _LATER_PROTOCOLS),
    may("sourceTimestamp", MILLIS, "as the device says it"),
    may("gatewayTimestamp", MILLIS),
    may("statusCode", "long", "OPC UA status code, 32 bits unsigned"),
    default("tenantId", "string", "default"),
    default("siteId", "string", ""),
    default("sequence", "long", -1),
    default("bootEpoch", "long", 0),
)
_ALARM_1 = (
    must("timestamp", "long"),
    must("alarmId", "string"),
    must("deviceId", "string"),
    must("tagId", "string"),
    must("severity", enum("Severity", *_SEVERITIES)),
    must("message", "string"),
    must("value", "double"),
    must("threshold", "double"),
)
_STATE = enum("State", "RAISED", "ACKNOWLEDGED", "CLEARED", "SHELVED", default="RAISED")
_ALARM_2 = (
    must("timestamp", MILLIS),
    *_ALARM_1[1:4],
    must("severity", enum("Severity", *_SEVERITIES, default="CRITICAL")),
    must("message", "string"),
    must("value", ["double", "null"]),
    must("threshold", ["double", "null"]),
    default("state", _STATE, "RAISED"),
    default("priority", "int", 0),
    default("ruleId", "string", ""),
    may("previousState", "State"),
    may("raisedAt", MILLIS),
    may("acknowledgedAt", MILLIS),
    may("clearedAt", MILLIS),
    may("shelvedAt", MILLIS),
    default("tenantId", "string", "default"),
)
_VALIDATED = (
    *_RAW_2,
    must("qualityStatus", enum("QualityStatus", "GOOD", "UNCERTAIN", "BAD", default="UNCERTAIN")),
    default("reasonCodes", array("string"), []),
    may("engineeringValue", "double"),
    default("unit", "string", ""),
    must("validatedAt", MILLIS),
    default("rulesVersion", "string", ""),
)
_COMMAND = (
    must("commandId", "string"),
    must("deviceId", "string"),
    must("tagId", "string"),
    must("value", _VALUE),
    must("requestedBy", "string"),
    may("approvedBy", "string"),
    must("requestedAt", MILLIS),
    must("expiresAt", MILLIS, "checked at the gateway: never executed later (ED-14)"),
    default("interlockIds", array("string"), []),
)
_RESULT = (
    must("commandId", "string"),
    must("deviceId", "string"),
    must("tagId", "string"),
    must("result", enum("Result", "ACCEPTED", "REJECTED", "EXECUTED", "FAILED", "EXPIRED", "UNKNOWN", default="UNKNOWN")),
    must("at", MILLIS),
    may("readBack", ["double", "long", "boolean", "string"]),
    default("reason", "string", ""),
)
#: E-76: what every domain event begins with.
_ENVELOPE = (
    must("eventId", "string", "UUID"),
    must("occurredAt", MILLIS),
    must("recordedAt", MILLIS),
    must("tenantId", "string"),
    must("wellId", "string"),
    must("actor", "string"),
    default("correlationId", "string", ""),
    default("schemaVersion", "int", 1),
)
_TEST_CREATED = (
    *_ENVELOPE,
    must("testId", "string"),
    must("type", enum("TestType", "PRODUCTION", "FLOW_AFTER_FLOW", "ISOCHRONAL", "BUILD_UP", "OTHER", default="OTHER")),
    must("plannedStart", MILLIS),
    must("plannedHours", "double"),
    may("separator", "string"),
    may("chokeSize", "double"),
    may("liftMethod", "string"),
    must("requestedBy", "string"),
)
_TEST_COMPLETED = (
    *_ENVELOPE,
    must("testId", "string"),
    must("startedAt", MILLIS),
    must("endedAt", MILLIS),
    must("realHours", "double"),
    *(may(name, "double") for name in ("oilRate", "waterRate", "gasRate", "tubingPressure", "casingPressure")),
    *(may(name, "double") for name in ("flowingBottomholePressure", "reservoirPressure", "bubblePointPressure", "temperature")),
    default("units", {"type": "map", "values": "string"}, {}, "unit by field"),
    must("accepted", "boolean"),
    may("rejectionReason", "string"),
)
_POINT = record("CurvePoint", "", "A point of the inflow curve.", must("pwf", "double"), must("q", "double"))
_IPR = (
    *_ENVELOPE,
    must("testId", "string"),
    must("method", enum("Method", "VOGEL", "LINEAR", "COMPOSITE", "FETKOVICH", "OTHER", default="OTHER")),
    may("reservoirPressure", "double"),
    may("bubblePointPressure", "double"),
    may("flowingBottomholePressure", "double"),
    may("testRate", "double"),
    may("productivityIndex", "double"),
    may("qMax", "double"),
    may("fetkovichC", "double"),
    may("fetkovichN", "double"),
    default("curve", array(_POINT), []),
    may("r2", "double"),
    default("warnings", array("string"), []),
    must("calculatorVersion", "string"),
)
_DAILY = (
    *_ENVELOPE,
    must("productionDate", {"type": "int", "logicalType": "date"}, "the site's production day"),
    must("timeZone", "string"),
    *(may(name, "double") for name in ("oilVolume", "waterVolume", "gasVolume")),
    must("hoursOn", "double"),
    must("measuredOrAllocated", enum("Basis", "MEASURED", "ALLOCATED", "UNKNOWN", default="UNKNOWN")),
    may("deferredOil", "double"),
    may("percentGood", "double"),
    may("testId", "string"),
    must("revision", "int", "a correction is a new revision, never an overwrite"),
)
_WELL_STATES: Final = ("PRODUCING", "SHUT_IN", "TESTING", "WORKOVER", "DOWN", "ABANDONED", "UNKNOWN")
_STATUS_CHANGED = (
    *_ENVELOPE,
    must("from", enum("WellStatus", *_WELL_STATES, default="UNKNOWN")),
    must("to", "WellStatus"),
    default("reasonCode", "string", ""),
    must("since", MILLIS),
    must("source", enum("ChangeSource", "OPERATOR", "RULE", "UNKNOWN", default="UNKNOWN")),
)
_AUDIT = (
    must("eventId", "string"),
    must("occurredAt", MILLIS),
    must("tenantId", "string"),
    must("actor", "string"),
    must("action", "string"),
    must("objectType", "string"),
    must("objectId", "string"),
    may("before", "string", "JSON, never credentials"),
    may("after", "string", "JSON, never credentials"),
    default("sourceAddress", "string", ""),
    must("result", "string"),
    default("previousHash", "string", "", "chain: hash of the record before"),
)
_ACTIVITY = (
    must("eventId", "string"),
    must("occurredAt", MILLIS),
    must("tenantId", "string"),
    must("user", "string"),
    default("loginId", "string", ""),
    must("action", "string"),
    default("page", "string", ""),
    may("durationMs", "long"),
)


def _subject(name: str, namespace: str, doc: str, first_id: int, *versions: tuple[Declaration, ...]) -> Subject:
    """ED-5: backward-transitive, for readers are upgraded first (ED-15)."""
    made = tuple((first_id + step, record(name, namespace, doc, *fields)) for step, fields in enumerate(versions))
    return Subject(f"{namespace}.{name}", made, Level.BACKWARD_TRANSITIVE)


PETROLEUM: Final = (
    _subject("TelemetryRaw", _SCADA, "A reading as it came from the device (E-41).", TELEMETRY_RAW_IDS[0], _RAW_1, _RAW_2),
    _subject("Alarm", _SCADA, "An alarm of a device (E-43).", 205, _ALARM_1, _ALARM_2),
    _subject("TelemetryValidated", _SCADA, "A reading with its verdict (E-77).", 210, _VALIDATED),
    _subject("Command", _SCADA, "A write to a device (E-78).", 215, _COMMAND),
    _subject("CommandResult", _SCADA, "What came of a command (E-78).", 220, _RESULT),
    _subject("WellTestCreated", _WELL_TESTING, "A well test was planned (E-79).", 225, _TEST_CREATED),
    _subject("WellTestCompleted", _WELL_TESTING, "A well test is done (E-80).", 230, _TEST_COMPLETED),
    _subject("IPRCalculated", _WELL_TESTING, "An inflow curve was calculated (E-81).", 235, _IPR),
    _subject("DailyProduction", _PRODUCTION, "A well's day (E-84).", 240, _DAILY),
    _subject("WellStatusChanged", _PRODUCTION, "A well changed its state (E-86).", 245, _STATUS_CHANGED),
    _subject("AuditLog", _SYSTEM, "Who did what (E-87).", 250, _AUDIT),
    _subject("UserActivity", _SYSTEM, "What users opened, without what they typed (E-88).", 255, _ACTIVITY),
)
