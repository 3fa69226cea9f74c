"""From a class of records, a tag and a stage to a topic: the only place that does (design: named layouts, P-21, P-28)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from trunkline.log.layouts import gateway, isa95, petroleum
from trunkline.log.layouts.spec import LayoutTable, Service, Stage, TopicSpec
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Topic, TopicPartition
from trunkline.model.reading import Category

TABLES: Final[Mapping[str, LayoutTable]] = {table.name: table for table in (gateway.TABLE, isa95.TABLE, petroleum.TABLE)}
StatefulStep = Literal["validate", "derive", "alarms", "anomaly", "notify"]
#: Of rollups.
Width = Literal["1s", "10s", "1min", "1h", "1day"]
_STATE_OF: Final[Mapping[StatefulStep, Service]] = {
    "validate": "state_validate",
    "derive": "state_derive",
    "alarms": "state_alarms",
    "anomaly": "state_anomaly",
    "notify": "state_notify",
}
_ROLLUP_OF: Final[Mapping[Width, Service]] = {
    "1s": "rollup_1s",
    "10s": "rollup_10s",
    "1min": "rollup_1min",
    "1h": "rollup_1h",
    "1day": "rollup_1day",
}
_CLASSES: Final = (Category.TELEMETRY, Category.EVENT, Category.ALARM)


@dataclass(frozen=True, slots=True)
class Layout:
    """A naming of topics.

    Raw telemetry is spread over **lanes**: partition by partition, and in layouts that split telemetry by measurement also topic by
    topic. A tag stays in one lane for life, so its order is kept. In a layout with one raw telemetry topic, lane and partition are equal.

    Attributes:
        name: as in the site file.
        telemetry_partitions: partitions of each topic that is scaled, among them those that carry readings.
    """

    name: str
    telemetry_partitions: int

    def topic(self, category: Category, stage: Stage, tag: str = "", measurement: str = "") -> str:
        """Return the topic of a class of records at a stage of their way.

        Args:
            category: the class.
            stage: raw, clean or dead letter.
            tag: path of the tag; decides where a layout splits telemetry by measurement.
            measurement: what the tag measures, where the site file says so; otherwise its name tells.
        """
        specs = self._table.by_stage[category, stage]
        if len(specs) == 1:
            return specs[0].name
        wanted = measurement or isa95.measurement_of(tag)
        return next(spec.name for spec in specs if spec.measurement == wanted)

    def topics(self, category: Category, stage: Stage) -> tuple[str, ...]:
        """Return every topic of a class at a stage."""
        return tuple(spec.name for spec in self._table.by_stage[category, stage])

    def categories(self, stage: Stage) -> dict[str, Category]:
        """Return every topic of a stage with its class."""
        return {name: category for category in _CLASSES for name in self.topics(category, stage)}

    @property
    def clean_of(self) -> Mapping[str, str]:
        """For each raw topic the clean one; their partitions correspond."""
        return self._table.clean_of

    def lane_of(self, tag: str, measurement: str = "") -> int:
        """Return the lane of a tag's readings."""
        topics = self.topics(Category.TELEMETRY, "raw")
        place = topics.index(self.topic(Category.TELEMETRY, "raw", tag, measurement))
        return place * self.telemetry_partitions + partition_of(tag.encode(), self.telemetry_partitions)

    def place_of(self, lane: int) -> TopicPartition:
        """Return the raw topic and partition of a lane."""
        place, partition = divmod(lane, self.telemetry_partitions)
        return TopicPartition(self.topics(Category.TELEMETRY, "raw")[place], partition)

    def event_place(self, category: Category, key: bytes) -> TopicPartition:
        """Return the raw topic and partition of an event or alarm with this key."""
        (spec,) = self._table.by_stage[category, "raw"]
        return TopicPartition(spec.name, partition_of(key, self.partitions_of(spec)))

    @property
    def overflow(self) -> str:
        """Notices about data given up for lack of space (W-79)."""
        return self._service("overflow")

    @property
    def gateway_status(self) -> str:
        """Health and ledger counts that gateways publish (D-20)."""
        return self._service("gateway_status")

    @property
    def confirmations(self) -> str:
        """What the historian has stored of each edge journal (PD-10); told again every hour."""
        return self._service("confirmations")

    @property
    def platform_log(self) -> str:
        """Log lines of gateways (W-77)."""
        return self._service("platform_log")

    @property
    def alarm_actions(self) -> str:
        """What operators ask of alarms."""
        return self._service("alarm_actions")

    @property
    def alarm_answers(self) -> str:
        """What came of each action on an alarm."""
        return self._service("alarm_answers")

    @property
    def notifications(self) -> str:
        """Whom to tell what, by channel."""
        return self._service("notifications")

    @property
    def deliveries(self) -> str:
        """What was told to whom."""
        return self._service("deliveries")

    def state(self, step: StatefulStep) -> str:
        """Return the topic in which a step keeps what it remembers (D-31)."""
        return self._service(_STATE_OF[step])

    def rollup(self, width: Width) -> str:
        """Return the topic of rollups of a width."""
        return self._service(_ROLLUP_OF[width])

    def specs(self) -> tuple[TopicSpec, ...]:
        """Return everything there is to say of every topic."""
        return self._table.specs

    def spec(self, name: str) -> TopicSpec | None:
        """Return one topic's entry, or None when the layout has no such topic."""
        return next((spec for spec in self._table.specs if spec.name == name), None)

    def partitions_of(self, spec: TopicSpec) -> int:
        """Return how many partitions a topic has at this site."""
        return self.telemetry_partitions if spec.scaled else spec.partitions

    def catalogue(self, retention_us: int | None = None) -> list[Topic]:
        """Return every topic of a site log; `retention_us` replaces the layout's own for raw and clean telemetry."""
        return [
            Topic(
                spec.name,
                self.partitions_of(spec),
                retention_us if retention_us is not None and spec.is_flow else spec.retention_us,
                spec.retention_bytes,
            )
            for spec in self._table.specs
        ]

    def edge_catalogue(self) -> list[Topic]:
        """Return the topics of an edge journal, without retention: the gateway itself prunes what is forwarded."""
        raw = [spec for category in _CLASSES for spec in self._table.by_stage[category, "raw"]]
        own = [self._table.services["overflow"], self._table.services["platform_log"]]
        return [Topic(spec.name, self.partitions_of(spec)) for spec in (*raw, *own)]

    @property
    def _table(self) -> LayoutTable:
        return TABLES[self.name]

    def _service(self, service: Service) -> str:
        return self._table.services[service].name
