"""Names of topics. The only place where a topic's name is made (design: named layouts)."""

from dataclasses import dataclass
from typing import Final, Literal

from trunkline.log.port import Topic
from trunkline.model import times
from trunkline.model.reading import Category

Stage = Literal["raw", "clean", "dead"]


@dataclass(frozen=True, slots=True)
class Layout:
    """A naming of topics (gateway.md section 5).

    Attributes:
        name: as in the site file.
        telemetry_partitions: partitions of topics that carry readings.
    """

    name: str
    telemetry_partitions: int

    def topic(self, category: Category, stage: Stage) -> str:
        """Return the topic of a class of records at a stage of their way."""
        return _GATEWAY[category, stage]

    @property
    def overflow(self) -> str:
        """Notices about data given up for lack of space (W-79)."""
        return "dlq.buffer_overflow"

    @property
    def gateway_status(self) -> str:
        """Health and ledger counts that gateways publish (D-20)."""
        return "metrics.gateways"

    @property
    def confirmations(self) -> str:
        """What the historian has stored of each edge journal (PD-10); told again every hour."""
        return "metrics.historian"

    @property
    def platform_log(self) -> str:
        """Log lines of gateways (W-77)."""
        return "logs.gateway"

    def catalogue(self, retention_us: int) -> list[Topic]:
        """Return every topic with its settings; `retention_us` is for telemetry."""
        many = self.telemetry_partitions
        return [
            Topic(self.topic(Category.TELEMETRY, "raw"), many, retention_us),
            Topic(self.topic(Category.TELEMETRY, "clean"), many, retention_us),
            Topic(self.topic(Category.EVENT, "raw"), 1, 30 * times.DAY),
            Topic(self.topic(Category.EVENT, "clean"), 1, 30 * times.DAY),
            Topic(self.topic(Category.ALARM, "raw"), 1, 7 * 365 * times.DAY),
            Topic(self.topic(Category.ALARM, "clean"), 1, 7 * 365 * times.DAY),
            Topic(self.topic(Category.TELEMETRY, "dead"), 1, 90 * times.DAY),
            Topic(self.topic(Category.EVENT, "dead"), 1, 90 * times.DAY),
            Topic(self.topic(Category.ALARM, "dead"), 1, 90 * times.DAY),
            Topic(self.overflow, 1, 90 * times.DAY),
            Topic(self.gateway_status, 1, times.DAY),
            Topic(self.confirmations, 1, times.DAY),
            Topic(self.platform_log, 1, 7 * times.DAY),
        ]

    def edge_catalogue(self) -> list[Topic]:
        """Return the topics of an edge journal, without retention: the gateway itself prunes what is forwarded."""
        names = (
            self.topic(Category.EVENT, "raw"),
            self.topic(Category.ALARM, "raw"),
            self.overflow,
            self.platform_log,
        )
        return [Topic(self.topic(Category.TELEMETRY, "raw"), self.telemetry_partitions), *(Topic(name) for name in names)]


_GATEWAY: Final[dict[tuple[Category, Stage], str]] = {
    (Category.TELEMETRY, "raw"): "telemetry.raw",
    (Category.TELEMETRY, "clean"): "telemetry.clean",
    (Category.TELEMETRY, "dead"): "dlq.invalid_telemetry",
    (Category.EVENT, "raw"): "events.raw",
    (Category.EVENT, "clean"): "events.clean",
    (Category.EVENT, "dead"): "dlq.invalid_events",
    (Category.ALARM, "raw"): "alarms.raw",
    (Category.ALARM, "clean"): "alarms.clean",
    (Category.ALARM, "dead"): "dlq.invalid_alarms",
}
