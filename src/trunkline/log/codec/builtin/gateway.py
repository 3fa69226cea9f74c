"""Records of the industrial gateway's vocabulary (gateway.md sections 4 and 6)."""

from typing import Final

from trunkline.log.codec.builtin.shapes import MICROS, Subject, default, may, must, record

#: Writers of version 1 and 2 of W-94, and the whole message of W-58 to W-62 as version 3.
TELEMETRY_READING_IDS: Final = (100, 101, 102)

_BASE = (must("asset_id", "string"), must("parameter", "string"), must("value", "double"), must("unit", "string"))
_QUALITY = default("quality", "string", "UNKNOWN")
_WHOLE = (
    may("classification", "string"),
    may("device_time", MICROS),
    may("gateway_time", MICROS),
    may("kafka_time", MICROS, "stays null: the record's timestamp says it (D-14)"),
    default("timezone", "string", "UTC"),
    default("adapter_id", "string", ""),
    default("adapter_version", "string", ""),
    default("pipeline_id", "string", ""),
    default("hostname", "string", ""),
    may("clock_skew_ms", "long", "gateway time minus device time (D-15)"),
    may("validation_failure_reason", "string"),
    may("gateway_id", "string"),
    may("message_id", "string"),
)

_ALARM_STATE = record(
    "AlarmState",
    "io.trunkline.gateway",
    "An alarm with its life cycle (W-64).",
    must("alarm_id", "string", "UUID"),
    must("asset_id", "string"),
    must("type", "string"),
    must("severity", "string", "CRITICAL, HIGH, MEDIUM, LOW or INFO"),
    must("state", "string", "ACTIVE, ACKNOWLEDGED, CLEARED or SUPPRESSED"),
    must("raised_at", MICROS),
    may("acked_at", MICROS),
    may("acked_by", "string"),
    may("cleared_at", MICROS),
    default("message", "string", ""),
    may("value", "double"),
    may("threshold", "double"),
    default("unit", "string", ""),
)

_DOC: Final = "A reading as gateways of the industrial vocabulary write it."

GATEWAY: Final = (
    Subject(
        "TelemetryReading",
        tuple(
            (number, record("TelemetryReading", "", _DOC, *fields))
            for number, fields in zip(TELEMETRY_READING_IDS, (_BASE, (*_BASE, _QUALITY), (*_BASE, _QUALITY, *_WHOLE)), strict=True)
        ),
    ),
    Subject("io.trunkline.gateway.AlarmState", ((110, _ALARM_STATE),)),
)
