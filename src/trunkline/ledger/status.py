"""What a gateway tells the site: health, and its side of the ledger (JSON records on `Layout.gateway_status`, key: gateway id)."""

import msgspec

from trunkline.model.errors import CorruptData


class EdgeCount(msgspec.Struct, frozen=True):
    """Totals of one source and hour since the journal was created: absolute, so that telling twice changes nothing.

    Attributes:
        source: source id.
        category: 'telemetry', 'event' or 'alarm'.
        hour: `times.hour_of` of the time in history; 0 for impossible times.
        read: records made durable at the edge.
        forwarded: records that the site log has acknowledged.
        dropped: records given up by the overflow policy.
        reduced: readings that the device gave beside those of `read` and that deadbands kept back.
    """

    source: str
    category: str
    hour: int
    read: int
    forwarded: int
    dropped: int
    reduced: int = 0


class ProcessStatus(msgspec.Struct, frozen=True):
    """The process of an isolated source.

    Attributes:
        pid: process id.
        rss_bytes: resident memory.
        cpu: share of one processor that it used lately.
        restarts: how often it was started again since the gateway runs.
    """

    pid: int
    rss_bytes: int
    cpu: float
    restarts: int


class SourceStatus(msgspec.Struct, frozen=True):
    """State of one source.

    Attributes:
        state: waiting (for its turn to connect, while the gateway starts), connecting, connected, backing_off, misconfigured or
            stopped.
        clock_skew_us: how far the device's clock is behind the gateway's; negative when it is ahead (W-109).
        process: of an isolated source, while it runs.
        reduced_total: readings that deadbands kept back since the gateway started.
        reduced_furthest: how far the furthest of them was from the last one told of its tag, as a share of the tag's deadband.
    """

    id: str
    type: str
    state: str
    since_us: int
    last_reading_us: int | None
    readings_total: int
    errors_total: int
    readings_per_s: float
    error: str | None
    tags: int
    stale_tags: int
    clock_skew_us: int = 0
    process: ProcessStatus | None = None
    reduced_total: int = 0
    reduced_furthest: float = 0.0


class BufferStatus(msgspec.Struct, frozen=True):
    """Store and forward: records not yet forwarded and room used.

    Attributes:
        waiting: records not yet forwarded.
        bytes: room in use by everything but alarms, commands and notices.
        oldest_waiting_us: time of the oldest record that waits.
        max_bytes: what the journal may take on its disk.
        reserved_bytes: part of it that only alarms, commands and notices may use.
        disk_bytes: what the file and its write-ahead log take on the disk, with pages left free.
        full_in_s: seconds until what waits passes the high mark, at the rate of the last minutes; None when it does not grow.
        disk_full: whether the disk itself was full at the last attempt.
    """

    waiting: int
    bytes: int
    oldest_waiting_us: int | None
    max_bytes: int
    reserved_bytes: int = 0
    disk_bytes: int = 0
    full_in_s: float | None = None
    disk_full: bool = False


class LinkStatus(msgspec.Struct, frozen=True):
    """The way to the site log.

    Attributes:
        state: 'up' or 'down'.
        since_us: since when.
        error: why it is down.
        append_ms: how long the newest appends took until they were acknowledged: 50th, 95th and 99th percentile in ms; empty
            before the first.
        outages: how often it went down since the gateway started.
        down_s: seconds down since then.
        down_24h_s: seconds down in the last 24 hours of it.
        readings_per_s: forwarded, on average over the last minute.
        bytes_per_s: sent, on average over the last minute.
        bytes_total: sent since the gateway started.
        measured: whether the bytes are those that the client of Kafka wrote to its connections, after compression; else those of the
            records' values, keys and headers.
        max_bytes_per_s: the ceiling; None when there is none.
        drained_in_s: seconds until nothing waits, at the rate of the last minutes; None when nothing waits or it does not get less.
        again: records still to be sent once more, on demand.
    """

    state: str
    since_us: int
    error: str | None
    append_ms: list[float] = []
    outages: int = 0
    down_s: float = 0.0
    down_24h_s: float = 0.0
    readings_per_s: float = 0.0
    bytes_per_s: float = 0.0
    bytes_total: int = 0
    measured: bool = False
    max_bytes_per_s: int | None = None
    drained_in_s: float | None = None
    again: int = 0


class GatewayStatus(msgspec.Struct, frozen=True):
    """One report.

    Attributes:
        gateway: gateway id.
        origin: id of its edge journal; a new journal is a new origin.
        at_us: when the report was made.
        version: of the software.
        counts: every row that changed since the last report, and all of them once in a while and after a start.
        counted_us: time up to which the counts told so far are complete; 0 in reports of earlier releases, where it is `at_us`.
    """

    gateway: str
    origin: str
    at_us: int
    version: str
    sources: list[SourceStatus]
    buffer: BufferStatus
    link: LinkStatus
    counts: list[EdgeCount]
    counted_us: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(GatewayStatus)


def encode_status(status: GatewayStatus) -> bytes:
    """Return the record value."""
    return _encoder.encode(status)


def decode_status(value: bytes) -> GatewayStatus:
    """Return the report. Raises CorruptData."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"gateway status cannot be read: {error}") from error
