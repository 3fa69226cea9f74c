"""Shapes of answers, for the OpenAPI document and everything generated from it. Times are integers: µs UTC."""

from typing import Any, Literal

from pydantic import BaseModel, Field

Value = float | int | bool | str | None
_VALUE = "of the tag's kind; an integer beyond ±2^53 is text; null when there is none"
_TIME = "µs UTC"


class LoginRequest(BaseModel):
    """Who wants to log in."""

    username: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=1024, json_schema_extra={"format": "password"})


class SessionInfo(BaseModel):
    """Who is logged in."""

    username: str
    role: Literal["viewer", "operator", "engineer", "administrator"]
    expires_us: int = Field(description=f"when the session ends without further use, {_TIME}")


class SiteInfo(BaseModel):
    """The site that is served."""

    site: str = Field(description="short name")
    title: str = Field(description="name for people")
    timezone: str = Field(description="IANA zone in which people read times")
    version: str = Field(description="of the software")
    now_us: int = Field(description=f"the server's clock, {_TIME}")


class HealthInfo(BaseModel):
    """Whether the API has all it needs."""

    status: Literal["ok", "degraded"]
    since_us: int = Field(description=f"since when, {_TIME}")


class RoleInfo(BaseModel):
    """One process of the site."""

    role: str
    pid: int | None
    state: Literal["running", "starting", "stopped", "failing"]
    since_us: int
    restarts: int
    rss_bytes: int | None = Field(description="resident memory, bytes")


class SourceProcessInfo(BaseModel):
    """The process of an isolated source."""

    pid: int
    rss_bytes: int = Field(description="resident memory")
    cpu: float = Field(description="share of one processor that it used lately")
    restarts: int = Field(description="how often it was started again since the gateway runs")


class SourceInfo(BaseModel):
    """One connection to a device, broker or server."""

    id: str
    type: str
    state: Literal["waiting", "connecting", "connected", "backing_off", "misconfigured", "stopped"] = Field(
        description="'waiting' for its turn to connect while the gateway starts"
    )
    since_us: int
    last_reading_us: int | None
    readings_total: int
    errors_total: int
    readings_per_s: float
    error: str | None
    tags: int
    stale_tags: int
    clock_skew_us: int = Field(0, description="how far the device's clock is behind the gateway's; negative when it is ahead")
    process: SourceProcessInfo | None = Field(None, description="of a source that runs in a process of its own, while it runs")
    reduced_total: int = Field(0, description="readings that deadbands kept back since the gateway started")
    reduced_furthest: float = Field(0.0, description="distance of the furthest of them from what was told, as a share of its deadband")


class BufferInfo(BaseModel):
    """Store and forward at the edge."""

    waiting: int = Field(description="records not forwarded yet")
    bytes: int = Field(description="room in use by everything but alarms, commands and notices")
    oldest_waiting_us: int | None
    max_bytes: int = Field(description="what the journal may take on its disk")
    reserved_bytes: int = Field(0, description="part of it that only alarms, commands and notices may use")
    disk_bytes: int = Field(0, description="what its files take on the disk")
    full_in_s: float | None = Field(None, description="until the oldest telemetry is given up at this rate; null when it does not grow")
    disk_full: bool = Field(False, description="whether the disk itself was full at the last attempt")


class LinkInfo(BaseModel):
    """The way from a gateway to the site log."""

    state: Literal["up", "down"]
    since_us: int
    error: str | None
    append_ms: list[float] = Field(
        description="ms until the newest appends were acknowledged: 50th, 95th, 99th percentile; empty before the first"
    )
    outages: int = Field(0, description="how often it went down since the gateway started")
    down_s: float = Field(0.0, description="seconds down since the gateway started")
    down_24h_s: float = Field(0.0, description="seconds down in the last 24 hours of it")
    readings_per_s: float = Field(0.0, description="forwarded, on average over the last minute")
    bytes_per_s: float = Field(0.0, description="sent, on average over the last minute")
    bytes_total: int = Field(0, description="sent since the gateway started")
    measured: bool = Field(False, description="whether Kafka's client counted the bytes, after compression; else those of the records")
    max_bytes_per_s: int | None = Field(None, description="the ceiling; null without one")
    drained_in_s: float | None = Field(
        None, description="until nothing waits at this rate; null when nothing waits or it does not get less"
    )
    again: int = Field(0, description="records still to be sent once more, on demand")


class GatewayInfo(BaseModel):
    """What a gateway last reported of itself."""

    gateway: str
    at_us: int = Field(description=f"when it reported, {_TIME}")
    sources: list[SourceInfo]
    buffer: BufferInfo
    link: LinkInfo
    problems: list[str] = Field(description="what there is to warn of, in sentences (PD-31)")


class KafkaTopicInfo(BaseModel):
    """A topic of the site."""

    topic: str
    partitions: int
    records: int = Field(description="records kept")
    records_per_s: float = Field(description="appended in the last minute")
    disk_bytes: int | None = Field(description="of all its copies; null when the brokers could not be asked")


class KafkaDiskInfo(BaseModel):
    """A log directory of a broker."""

    broker: int = Field(description="id of the broker")
    directory: str
    used_bytes: int = Field(description="of all partitions in it")
    total_bytes: int = Field(description="of its volume; -1 when unknown")
    free_bytes: int = Field(description="of its volume; -1 when unknown")
    online: bool


class KafkaGroupInfo(BaseModel):
    """How far a step is with a topic."""

    group: str
    topic: str
    behind: int = Field(description="records that it has yet to read")


class KafkaInfo(BaseModel):
    """The cluster behind the site log, as far as the API's principal may see it. Partitions are written topic/number."""

    at_us: int = Field(description=f"when it was looked at, {_TIME}")
    brokers: list[int] = Field(description="ids of those in the cluster")
    brokers_away: list[int] = Field(description="ids of those that hold copies and are not in the cluster")
    partitions: int = Field(description="how many were looked at")
    under_replicated: list[str] = Field(description="a copy is behind or away")
    under_min_isr: list[str] = Field(description="too few copies keep up: writes are refused")
    offline: list[str] = Field(description="no copy serves")
    topics: list[KafkaTopicInfo]
    groups: list[KafkaGroupInfo]
    disks: list[KafkaDiskInfo] = Field(description="looked at once a minute; none without the right to describe the cluster")
    faults: list[str] = Field(description="what could not be asked, and why")


class StatusInfo(BaseModel):
    """Processes, gateways and brokers."""

    roles: list[RoleInfo]
    gateways: list[GatewayInfo]
    kafka: KafkaInfo | None = Field(description="null with the embedded log, and before the first look")


class TagInfo(BaseModel):
    """A tag and what is known of it."""

    tag: str = Field(description="full path")
    kind: Literal["double", "integer", "boolean", "text"]
    unit: str
    description: str
    min: float | None
    max: float | None
    gateway: str
    source: str


class TagPage(BaseModel):
    """Some of the tags."""

    tags: list[TagInfo]
    next: str | None = Field(description="cursor of the next page; null on the last")
    total: int = Field(description="how many match")


class TreeNode(BaseModel):
    """A child of a path."""

    name: str
    path: str
    branch: bool = Field(description="has children")
    tags: int = Field(description="tags at and below it")


class Tree(BaseModel):
    """One level of the tag tree."""

    nodes: list[TreeNode]


class _Quality(BaseModel):
    q: int = Field(description="quality: the upper 16 bits of an OPC UA StatusCode", ge=0, le=65_535)
    quality: str = Field(description="name of the quality, for example BAD_COMMS_LOST")
    reason: str = Field(description="the quality in words")
    severity: Literal["good", "uncertain", "bad"]


class LiveInfo(_Quality):
    """The newest reading of a tag."""

    tag: str
    v: Value = Field(description=_VALUE)
    t: int = Field(description=f"time in history, {_TIME}")
    gateway_t: int = Field(description=f"when the gateway read it, {_TIME}")
    big: bool = Field(False, description="v is an integer written as text")


class Latest(BaseModel):
    """Newest readings; tags without any are left out."""

    values: list[LiveInfo]


class QualityCount(_Quality):
    """How many tags have a quality now."""

    tags: int


class QualityCounts(BaseModel):
    """Tags by the quality of their newest reading, the worst first; tags without any are left out."""

    tags: int = Field(description="how many have a reading")
    counts: list[QualityCount]


class _TagHistory(BaseModel):
    tag: str
    unit: str
    kind: Literal["double", "integer", "boolean", "text"]


class Chart(_TagHistory):
    """Readings in buckets of equal length; empty ones are left out. All lists have the same length."""

    mode: Literal["chart"]
    bucket_us: int
    readings: int
    good_percent: float | None = Field(description="null without readings")
    t: list[int] = Field(description=f"start of each bucket, {_TIME}")
    n: list[int] = Field(description="readings")
    min: list[float | None]
    max: list[float | None]
    avg: list[float | None]
    bad: list[int] = Field(description="readings that are not GOOD")


class Raw(_TagHistory):
    """Readings as they came, by time. All lists have the same length."""

    mode: Literal["raw"]
    t: list[int]
    v: list[Value] = Field(description=_VALUE)
    q: list[int]
    truncated: bool = Field(description="there are more: go on from the last time")


class At(BaseModel):
    """The value at one moment."""

    tag: str
    mode: Literal["at"]
    t: int
    v: Value = Field(description=_VALUE)
    q: int | None = Field(description="null when there is no reading at or before the moment")
    from_t: int | None = Field(description=f"time of the reading it comes from, {_TIME}")


class EventInfo(BaseModel):
    """An event or alarm."""

    id: str = Field(description="UUID")
    category: Literal["event", "alarm"]
    type: str
    time_us: int
    asset: str
    tag: str
    source: str
    gateway: str
    text: str
    severity: int | None = Field(description="1 LOW to 4 CRITICAL; null for events")
    active: bool | None
    value: Value
    threshold: float | None
    unit: str
    before: Value
    after: Value
    actor: str
    attributes: dict[str, Any]


class EventPage(BaseModel):
    """Some of the events, newest first."""

    events: list[EventInfo]
    next: str | None


class AlarmInfo(BaseModel):
    """An alarm that is not at rest, with the fields of W-64 and the state of ISA-18.2."""

    key: str = Field(description="what actions name")
    alarm_id: str = Field(description="the occurrence, from its raise to its end; empty for an alarm that is silenced without one")
    rule: str = Field(description="id of the definition; 'device' for an alarm that a device reports itself")
    type: str
    asset: str
    tag: str
    source: str
    severity: Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
    state: str = Field(description="of ISA-18.2, for example UNACKNOWLEDGED or SHELVED (docs/reference/alarm-states.md)")
    gateway_state: Literal["ACTIVE", "ACKNOWLEDGED", "CLEARED", "SUPPRESSED"]
    condition: bool = Field(description="whether the condition is on")
    raised_at_us: int | None
    acked_at_us: int | None
    acked_by: str | None
    cleared_at_us: int | None
    shelved_until_us: int | None
    suppressed_until_us: int | None
    count: int = Field(description="times that the condition came in this occurrence")
    value: Value
    threshold: float | None
    unit: str


class AlarmList(BaseModel):
    """Alarms that stand, what wants attention first."""

    alarms: list[AlarmInfo]
    at_us: int


class AlarmAction(BaseModel):
    """What somebody wants done to an alarm. Naming what was seen has it refused when the alarm has moved on."""

    action: Literal[
        "acknowledge", "reset", "shelve", "unshelve", "suppress", "unsuppress", "out-of-service", "return-to-service", "comment"
    ]
    key: str = Field(max_length=600)
    reason: str = Field("", max_length=1000)
    alarm_id: str = Field("", max_length=64, description="occurrence that was seen; empty does not ask")
    state: Literal[
        "",
        "NORMAL",
        "UNACKNOWLEDGED",
        "ACKNOWLEDGED",
        "RETURNED_UNACKNOWLEDGED",
        "LATCHED_UNACKNOWLEDGED",
        "LATCHED_ACKNOWLEDGED",
        "SHELVED",
        "SUPPRESSED_BY_DESIGN",
        "OUT_OF_SERVICE",
    ] = Field("", description="state that was seen; empty does not ask")
    seconds: float = Field(0, ge=0, le=31_536_000, description="how long to shelve or suppress")


class AlarmAnswer(BaseModel):
    """What came of an action."""

    outcome: Literal["done", "refused", "unknown"]
    text: str


class DeadLetterInfo(BaseModel):
    """A record that could not be accepted."""

    topic: str = Field(description="dead-letter topic")
    partition: int
    offset: int
    time_us: int = Field(description=f"when it was refused, {_TIME}")
    reason: str
    tag: str | None
    gateway: str | None
    source: str | None
    value: Value


class DeadLetterPage(BaseModel):
    """Some of the dead letters, newest first."""

    rows: list[DeadLetterInfo]
    total: int = Field(description="how many are kept")
    next: str | None


class LedgerCounts(BaseModel):
    """Readings at every hop: read = waiting + forwarded + dropped; forwarded = stored + rejected + deduplicated + in transit."""

    read: int
    waiting: int
    forwarded: int
    dropped: int
    stored: int
    rejected: int
    deduplicated: int
    repeats: int = Field(description="sent again and not stored again; for information")
    in_transit: int
    missing: int
    surplus: int = Field(description="settled more often than read")


class LedgerRow(LedgerCounts):
    """The counts of one gateway, source, class and hour."""

    gateway: str
    source: str
    category: Literal["telemetry", "event", "alarm"]
    hour_us: int = Field(description="start of the hour; 0 collects impossible times")
    balanced: bool


class LedgerHole(BaseModel):
    """Journal positions that never arrived: lo <= position < hi."""

    gateway: str
    partition: int
    lo: int
    hi: int


class Ledger(BaseModel):
    """Whether every reading is accounted for."""

    balanced: bool
    at_us: int
    proof: str = Field(description="the balance as a sentence")
    totals: LedgerCounts
    rows: list[LedgerRow]
    holes: list[LedgerHole]
