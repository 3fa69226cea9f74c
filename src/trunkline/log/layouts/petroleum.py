"""Layout `petroleum`: domain, optional entity, event type (petroleum.md sections 3 to 6, ED-13).

Eleven topics are the seed's (E-28 to E-38). The others are ours: raw alarms and events, which validation reads, results of commands
(E-78), dead letters as `<topic>.dlq` (ED-20), and the platform's own.
"""

from typing import Final

from trunkline.log.layouts.spec import LayoutTable, TopicSpec, alarm_desk, heard, rollups, states
from trunkline.model import times
from trunkline.model.reading import Category


def _domain(name: str, hours: int, purpose: str, partitions: int = 3, owner: str = "wells") -> TopicSpec:
    return TopicSpec(
        name=name,
        purpose=purpose,
        owner=owner,
        writers=("external-producer",),
        readers=("historian", "api", "external-reader"),
        partitions=partitions,
        retention_us=hours * times.HOUR,
    )


def _dead(topic: str, category: Category) -> TopicSpec:
    return TopicSpec(
        name=f"{topic}.dlq",
        purpose=f"{category.name.lower()} records that were refused, with reason, place and original bytes",
        owner="validate",
        carries=(category, "dead"),
        writers=("validate", "historian", "mirror"),
        readers=("api",),
        form="json",
        retention_us=90 * times.DAY,
    )


def _raw_event(name: str, category: Category, hours: int) -> TopicSpec:
    return TopicSpec(
        name=name,
        purpose=f"{category.name.lower()}s as gateways and other producers send them",
        owner="gateway",
        carries=(category, "raw"),
        writers=("gateway", "evaluate", "external-producer", "mirror"),
        readers=("validate", "api"),
        partitions=3,
        retention_us=hours * times.HOUR,
    )


def _clean_event(name: str, category: Category, hours: int, purpose: str) -> TopicSpec:
    return TopicSpec(
        name=name,
        purpose=purpose,
        owner="validate",
        carries=(category, "clean"),
        writers=("validate",),
        readers=("validate", *heard(category), "historian", "api", "external-reader"),
        partitions=3,
        retention_us=hours * times.HOUR,
    )


TABLE: Final = LayoutTable(
    "petroleum",
    "names by domain and event: for oil production, with topics for well tests, production and audit",
    (
        TopicSpec(
            name="scada.telemetry.raw",
            purpose="readings as gateways made them durable",
            owner="gateway",
            carries=(Category.TELEMETRY, "raw"),
            writers=("gateway", "evaluate", "external-producer", "mirror"),
            readers=("validate", "api"),
            form="block",
            partitions=6,
            scaled=True,
            retention_us=168 * times.HOUR,
        ),
        TopicSpec(
            name="scada.telemetry.validated",
            purpose="readings that passed validation",
            owner="validate",
            carries=(Category.TELEMETRY, "clean"),
            writers=("validate",),
            readers=("validate", "evaluate", "historian", "api", "external-reader"),
            form="block",
            partitions=6,
            scaled=True,
            retention_us=720 * times.HOUR,
        ),
        _clean_event("scada.alarms", Category.ALARM, 2160, "alarms and critical events that passed validation"),
        TopicSpec(
            name="scada.commands",
            purpose="commands to devices; each carries the time after which it must not be executed",
            owner="commands",
            readers=("gateway", "api"),
            partitions=3,
            retention_us=24 * times.HOUR,
        ),
        _domain("well-testing.test-created", 2160, "a well test was planned"),
        _domain("well-testing.test-completed", 2160, "a well test ended, with its rates and pressures"),
        _domain("well-testing.ipr-calculated", 2160, "inflow performance calculated from an accepted test"),
        _domain("production.daily-production", 2160, "production of a well on a production day, by revision", partitions=6),
        _domain("production.well-status-changed", 720, "a well changed its status"),
        TopicSpec(
            name="system.audit-log",
            purpose="who changed what, as a chain of hashes; the database keeps it longer",
            owner="control",
            readers=("historian", "api"),
            form="json",
            partitions=3,
            retention_us=4320 * times.HOUR,
        ),
        TopicSpec(
            name="system.user-activity",
            purpose="pages and actions of users, without what was typed",
            owner="api",
            readers=("historian", "api"),
            form="json",
            partitions=3,
            retention_us=720 * times.HOUR,
        ),
        _raw_event("scada.alarms.raw", Category.ALARM, 2160),
        _raw_event("scada.events.raw", Category.EVENT, 720),
        _clean_event("scada.events", Category.EVENT, 720, "operational events that passed validation"),
        TopicSpec(
            name="scada.commands.results",
            purpose="what became of each command, with read-back",
            owner="gateway",
            writers=("gateway", "mirror"),
            readers=("historian", "api"),
            partitions=3,
            retention_us=168 * times.HOUR,
        ),
        _dead("scada.telemetry.raw", Category.TELEMETRY),
        _dead("scada.events.raw", Category.EVENT),
        _dead("scada.alarms.raw", Category.ALARM),
        TopicSpec(
            name="system.buffer-overflow",
            purpose="notices about records that a gateway gave up for lack of space",
            owner="gateway",
            service="overflow",
            writers=("gateway", "mirror"),
            readers=("historian", "api"),
            retention_us=90 * times.DAY,
        ),
        TopicSpec(
            name="system.gateway-status",
            purpose="health and ledger counts of each gateway",
            owner="gateway",
            service="gateway_status",
            writers=("gateway", "mirror"),
            readers=("historian", "api"),
            form="json",
            retention_us=times.DAY,
        ),
        TopicSpec(
            name="system.historian-status",
            purpose="what the historian has stored of each edge, so that the edge may let its copy go",
            owner="historian",
            service="confirmations",
            writers=("historian",),
            readers=("gateway", "api", "mirror"),
            form="json",
            retention_us=times.DAY,
        ),
        TopicSpec(
            name="system.gateway-log",
            purpose="log lines of gateways",
            owner="gateway",
            service="platform_log",
            writers=("gateway", "mirror"),
            readers=("api",),
            form="json",
            retention_us=7 * times.DAY,
        ),
        *rollups("scada.telemetry.{}", 6),
        *alarm_desk("scada.alarms.actions", "scada.alarms.answers", "system.notifications", "system.notification-deliveries"),
        *states("system.state-{}"),
    ),
)
