"""What a layout says of one topic, and the table that a layout is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from trunkline.model import times
from trunkline.model.reading import Category

Stage = Literal["raw", "clean", "dead"]
#: How a record holds readings: many of one partition as columns, one in Avro, or one as a JSON envelope.
Form = Literal["block", "single", "json"]
Service = Literal[
    "overflow",
    "gateway_status",
    "confirmations",
    "platform_log",
    "alarm_actions",
    "alarm_answers",
    "notifications",
    "deliveries",
    "state_validate",
    "state_derive",
    "state_alarms",
    "state_anomaly",
    "state_notify",
    "rollup_1s",
    "rollup_10s",
    "rollup_1min",
    "rollup_1h",
    "rollup_1day",
]
#: Who uses the log; `trunkline.log.kafka.access` gives each exactly what the tables of topics name it for.
Role = Literal["gateway", "validate", "evaluate", "notify", "historian", "api", "external-reader", "external-producer", "mirror", "admin"]

YEAR: Final = 365 * times.DAY
#: The site log refuses nothing that an edge accepted: a record of 8 MiB, and what a Kafka batch adds to it.
LARGEST: Final = (8 << 20) + (1 << 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic of a layout.

    Attributes:
        name: full name.
        purpose: a sentence for people.
        owner: the part of the platform that answers for the content.
        carries: class and stage of its records; None for topics beside the way of readings.
        measurement: which measurements a telemetry topic carries, where a layout splits them; empty where it does not.
        service: what the platform uses it for, where it is one of its own.
        writers, readers: roles that may write and read it; `admin` may always.
        form: of its records.
        partitions: standard number. A topic that is `scaled` has the number that the site file gives.
        scaled: records are spread by tag or asset over as many partitions as the site needs.
        retention_us: µs a record is kept; None keeps for ever.
        retention_bytes: bytes kept in each partition; None does not limit.
        cleanup: Kafka's cleanup.policy.
        compression: Kafka's compression.type; 'producer' keeps what the writer chose (ED-19).
        max_message_bytes: largest batch of records.
    """

    name: str
    purpose: str
    owner: str
    carries: tuple[Category, Stage] | None = None
    measurement: str = ""
    service: Service | None = None
    writers: tuple[Role, ...] = ()
    readers: tuple[Role, ...] = ()
    form: Form = "single"
    partitions: int = 1
    scaled: bool = False
    retention_us: int | None
    retention_bytes: int | None = None
    cleanup: Literal["delete", "compact"] = "delete"
    compression: Literal["producer", "zstd", "lz4", "snappy"] = "producer"
    max_message_bytes: int = LARGEST

    @property
    def is_flow(self) -> bool:
        """Whether it is raw or clean telemetry, whose retention the site file may set."""
        return self.carries in ((Category.TELEMETRY, "raw"), (Category.TELEMETRY, "clean"))

    @property
    def segment_us(self) -> int:
        """How long a log segment is written to: whole segments expire, so it is well below the retention (ED-14)."""
        if self.retention_us is None:
            return 7 * times.DAY
        return min(7 * times.DAY, max(times.MINUTE, self.retention_us // 24))


@dataclass(frozen=True)
class LayoutTable:
    """A layout's name, what it is for, and its topics.

    Attributes:
        name: as in the site file.
        purpose: when to choose it.
        specs: every topic.
    """

    name: str
    purpose: str
    specs: tuple[TopicSpec, ...]

    @cached_property
    def by_stage(self) -> Mapping[tuple[Category, Stage], tuple[TopicSpec, ...]]:
        """Topics of each class and stage, in the order of the table."""
        found: dict[tuple[Category, Stage], tuple[TopicSpec, ...]] = {}
        for spec in self.specs:
            if spec.carries is not None:
                found[spec.carries] = (*found.get(spec.carries, ()), spec)
        return found

    @cached_property
    def services(self) -> Mapping[Service, TopicSpec]:
        """The platform's own topics."""
        return {spec.service: spec for spec in self.specs if spec.service is not None}

    @cached_property
    def clean_of(self) -> Mapping[str, str]:
        """For each raw topic the clean one that covers it, partition by partition (decision 0002)."""
        pairs: dict[str, str] = {}
        for category in (Category.TELEMETRY, Category.EVENT, Category.ALARM):
            clean = {spec.measurement: spec.name for spec in self.by_stage[category, "clean"]}
            pairs |= {spec.name: clean[spec.measurement] for spec in self.by_stage[category, "raw"]}
        return pairs


#: Steps beside validation, and the widths of rollups, in the order of the pages.
_STATEFUL: Final[tuple[tuple[str, Role, Service, str], ...]] = (
    ("validate", "validate", "state_validate", "validation"),
    ("derive", "evaluate", "state_derive", "derived tags"),
    ("alarms", "evaluate", "state_alarms", "alarms"),
    ("anomaly", "evaluate", "state_anomaly", "anomaly rules"),
    ("notify", "notify", "state_notify", "notifications"),
)
_WINDOWS: Final[tuple[tuple[str, Service, str, int], ...]] = (
    ("1s", "rollup_1s", "one second, for live dashboards", 7 * times.DAY),
    ("10s", "rollup_10s", "ten seconds", 30 * times.DAY),
    ("1min", "rollup_1min", "one minute, for operational analytics", 90 * times.DAY),
    ("1hour", "rollup_1h", "one hour, for compliance and reporting", 2 * YEAR),
    ("1day", "rollup_1day", "one day of the site's time zone", 10 * YEAR),
)


def rollups(name: str, partitions: int, *, scaled: bool = True) -> Iterator[TopicSpec]:
    """Yield the topics of rollups; `name` has a place for the width (W-71 to W-74, D-20)."""
    for width, service, window, retention_us in _WINDOWS:
        yield TopicSpec(
            name=name.format(width),
            purpose=f"statistics of each tag over {window}, by revision",
            owner="historian",
            service=service,
            writers=("historian",),
            readers=("historian", "api", "external-reader"),
            form="block",
            partitions=partitions,
            scaled=scaled,
            retention_us=retention_us,
        )


def states(name: str) -> Iterator[TopicSpec]:
    """Yield the topics in which steps keep what they remember; `name` has a place for the step (D-31)."""
    for step, role, service, what in _STATEFUL:
        yield TopicSpec(
            name=name.format(step),
            purpose=f"what the step for {what} remembers, by key: committed with its output",
            owner=role,
            service=service,
            writers=(role,),
            readers=(role, "api"),
            retention_us=None,
            cleanup="compact",
        )


def heard(category: Category) -> tuple[Role, ...]:
    """Return the roles beside the way of readings that listen to clean events or alarms."""
    return ("evaluate", "notify") if category is Category.ALARM else ("evaluate",)


def alarm_desk(actions: str, answers: str, notifications: str, deliveries: str) -> Iterator[TopicSpec]:
    """Yield the topics between operators, the alarm step, and the people to be told (W-136, W-138, W-140)."""
    yield TopicSpec(
        name=actions,
        purpose="what operators ask of alarms: acknowledge, shelve, comment; each expires",
        owner="api",
        service="alarm_actions",
        writers=("api",),
        readers=("evaluate",),
        form="json",
        retention_us=7 * times.DAY,
    )
    yield TopicSpec(
        name=answers,
        purpose="what came of each action on an alarm",
        owner="evaluate",
        service="alarm_answers",
        writers=("evaluate",),
        readers=("api",),
        form="json",
        retention_us=7 * times.DAY,
    )
    yield TopicSpec(
        name=notifications,
        purpose="whom to tell what, by channel",
        owner="notify",
        service="notifications",
        writers=("notify",),
        readers=("notify", "api"),
        form="json",
        retention_us=90 * times.DAY,
    )
    yield TopicSpec(
        name=deliveries,
        purpose="what was told to whom, and what a channel answered",
        owner="notify",
        service="deliveries",
        writers=("notify",),
        readers=("api",),
        form="json",
        retention_us=YEAR,
    )
