"""The platform's own records (design: one way through the house)."""

from typing import Final

from trunkline.log.codec.builtin.shapes import MICROS, Subject, array, default, enum, may, must, record
from trunkline.log.codec.schemas import ALARM, ALARM_ID, BLOCK, BLOCK_ID, EVENT, EVENT_ID, SINGLE, SINGLE_ID

_NAMESPACE: Final = "io.trunkline"
_VALUE: Final = ["boolean", "long", "double", "string"]

_COMMAND = record(
    "Command",
    _NAMESPACE,
    "A write to a device: never replayed, refused once it has expired.",
    must("id", "string", "UUIDv7"),
    must("tag", "string", "tag path written to"),
    must("value", _VALUE),
    must("requested_at", MICROS),
    must("expires_at", MICROS, "a gateway that reads it later refuses it"),
    must("idempotency_key", "string", "a repeat under the same key is executed once"),
    must("requested_by", "string"),
    default("approved_by", "string", ""),
    default("interlocks", array("string"), [], "conditions that the gateway checks before it writes"),
    may("selected_at", MICROS, "when the point was selected, where select-before-operate is demanded"),
)

_RESULT = record(
    "CommandResult",
    _NAMESPACE,
    "What came of a command. UNKNOWN is a timeout: the device may or may not have done it.",
    must("command_id", "string"),
    must("tag", "string"),
    must("outcome", enum("Outcome", "DONE", "REFUSED", "UNKNOWN", default="UNKNOWN")),
    must("at", MICROS),
    must("gateway", "string"),
    default("reason", "string", ""),
    may("read_back", _VALUE, "the value read after the write"),
)

_ROLLUP = record(
    "Rollup",
    _NAMESPACE,
    "Statistics of one tag in one window (W-63, W-131, W-132). Count, sum and squared deviation merge into longer windows (D-18).",
    must("tag", "string"),
    default("unit", "string", ""),
    must("window_start", MICROS),
    must("window_end", MICROS, "exclusive"),
    default("revision", "int", 0, "late data closes a window again; the greatest revision counts"),
    must("count", "long"),
    may("avg", "double"),
    may("min", "double"),
    may("max", "double"),
    may("stddev", "double"),
    may("p50", "double"),
    may("p95", "double"),
    may("p99", "double"),
    default("sum", "double", 0.0),
    default("squared_deviation", "double", 0.0, "sum of squared distances from the average"),
    may("sketch", "bytes", "quantile sketch, where percentiles of longer windows are wanted"),
    must("good_samples", "long"),
    default("suspect_samples", "long", 0),
    default("uncertain_samples", "long", 0),
    default("bad_samples", "long", 0),
    may("pct_good", "double"),
)

_LONGS: Final = array("long")
_DOUBLES: Final = array("double")

ROLLUP_BLOCK_ID: Final = 9
ROLLUP_BLOCK: Final = record(
    "RollupBlock",
    _NAMESPACE,
    "New and revised buckets of one width and partition, column by column: position i of every column speaks of bucket i.",
    must("width", "string", "1s, 10s, 1min, 1h or 1day"),
    must("tags", array("string"), "tag paths used in this block"),
    must("units", array("string"), "per tag"),
    must("tag", _LONGS, "index into tags"),
    must("window_start", _LONGS, "µs UTC"),
    must("window_end", _LONGS, "exclusive"),
    must("revision", _LONGS, "0 first; of one bucket the greatest counts"),
    must("count", _LONGS, "readings"),
    must("uncertain_samples", _LONGS),
    must("bad_samples", _LONGS),
    must("valued", _LONGS, "readings that the statistics speak of: with a finite value and not BAD"),
    must("good_us", _LONGS, "µs in which the value was GOOD (OPC UA Part 13, DurationGood)"),
    must("uncertain_us", _LONGS),
    must("bad_us", _LONGS),
    must("valued_us", _LONGS, "µs that tw_avg speaks of"),
    must("avg", _DOUBLES, "NaN here and below where there is none"),
    must("m2", _DOUBLES, "sum of squared distances from avg: merges into longer windows (D-18)"),
    must("tw_avg", _DOUBLES, "time-weighted"),
    must("min", _DOUBLES),
    must("min_time", _LONGS, "0 here and below where there is none"),
    must("max", _DOUBLES),
    must("max_time", _LONGS),
    must("first", _DOUBLES),
    must("first_time", _LONGS),
    must("last", _DOUBLES),
    must("last_time", _LONGS),
    must("p50", _DOUBLES),
    must("p95", _DOUBLES),
    must("p99", _DOUBLES),
    must("total", _DOUBLES, "increase of a counter"),
)

_STATUS = record(
    "GatewayStatus",
    _NAMESPACE,
    "What a gateway tells of itself (D-20), for readers outside the platform.",
    must("gateway", "string"),
    must("origin", "string", "id of its edge journal"),
    must("at", MICROS),
    must("version", "string"),
    must("link", "string", "way to the site log: up or down"),
    must("waiting", "long", "records not forwarded yet"),
    must("buffer_bytes", "long"),
    must("buffer_max_bytes", "long"),
    may("oldest_waiting", MICROS),
    default(
        "sources",
        array(
            record(
                "SourceStatus",
                "",
                "One source.",
                must("id", "string"),
                must("type", "string"),
                must("state", "string", "connecting, connected, backing_off, misconfigured or stopped"),
                must("since", MICROS),
                may("last_reading", MICROS),
                must("readings_total", "long"),
                must("errors_total", "long"),
                default("error", "string", ""),
            )
        ),
        [],
    ),
)

PLATFORM: Final = (
    Subject("io.trunkline.ReadingBlock", ((BLOCK_ID, BLOCK),)),
    Subject("io.trunkline.Reading", ((SINGLE_ID, SINGLE),)),
    Subject("io.trunkline.Event", ((EVENT_ID, EVENT),)),
    Subject("io.trunkline.Alarm", ((ALARM_ID, ALARM),)),
    Subject("io.trunkline.Command", ((5, _COMMAND),)),
    Subject("io.trunkline.CommandResult", ((6, _RESULT),)),
    Subject("io.trunkline.Rollup", ((7, _ROLLUP),)),
    Subject("io.trunkline.GatewayStatus", ((8, _STATUS),)),
    Subject("io.trunkline.RollupBlock", ((ROLLUP_BLOCK_ID, ROLLUP_BLOCK),)),
)
