"""Layout `gateway`: short names by class and stage, for industrial gateways (gateway.md section 5, D-19, D-20)."""

from typing import Final

from trunkline.log.layouts.spec import YEAR, LayoutTable, TopicSpec, alarm_desk, heard, rollups, states
from trunkline.model import times
from trunkline.model.reading import Category

_DEAD_DAYS: Final = 90


def _log(name: str, of: str) -> TopicSpec:
    return TopicSpec(
        name=name,
        purpose=f"log lines of {of}",
        owner="gateway",
        writers=("gateway", "mirror"),
        readers=("api",),
        form="json",
        retention_us=7 * times.DAY,
    )


def _dead(name: str, category: Category) -> TopicSpec:
    return TopicSpec(
        name=name,
        purpose=f"{category.name.lower()} records that were refused, with reason, place and original bytes",
        owner="validate",
        carries=(category, "dead"),
        writers=("validate", "historian", "mirror"),
        readers=("api",),
        form="json",
        retention_us=_DEAD_DAYS * times.DAY,
    )


def _event(name: str, category: Category, retention_us: int) -> tuple[TopicSpec, TopicSpec]:
    word = f"{category.name.lower()}s"
    return (
        TopicSpec(
            name=f"{name}.raw",
            purpose=f"{word} as gateways and other producers send them",
            owner="gateway",
            carries=(category, "raw"),
            writers=("gateway", "evaluate", "notify", "external-producer", "mirror"),
            readers=("validate", "api"),
            retention_us=retention_us,
        ),
        TopicSpec(
            name=f"{name}.clean",
            purpose=f"{word} that passed validation",
            owner="validate",
            carries=(category, "clean"),
            writers=("validate",),
            readers=("validate", *heard(category), "historian", "api", "external-reader"),
            retention_us=retention_us,
        ),
    )


TABLE: Final = LayoutTable(
    "gateway",
    "short names by class and stage: the default",
    (
        TopicSpec(
            name="telemetry.raw",
            purpose="readings as gateways made them durable, for validation, debugging and replay",
            owner="gateway",
            carries=(Category.TELEMETRY, "raw"),
            writers=("gateway", "evaluate", "external-producer", "mirror"),
            readers=("validate", "api"),
            form="block",
            partitions=12,
            scaled=True,
            retention_us=times.DAY,
        ),
        TopicSpec(
            name="telemetry.clean",
            purpose="readings that passed validation; block by block what the raw topic holds",
            owner="validate",
            carries=(Category.TELEMETRY, "clean"),
            writers=("validate",),
            readers=("validate", "evaluate", "historian", "api", "external-reader"),
            form="block",
            partitions=12,
            scaled=True,
            retention_us=30 * times.DAY,
        ),
        *rollups("telemetry.{}", 12),
        *_event("events", Category.EVENT, 30 * times.DAY),
        *_event("alarms", Category.ALARM, 7 * YEAR),
        _log("logs.adapters", "sources that run as processes of their own"),
        TopicSpec(
            name="logs.gateway",
            purpose="log lines of gateways",
            owner="gateway",
            service="platform_log",
            writers=("gateway", "mirror"),
            readers=("api",),
            form="json",
            retention_us=7 * times.DAY,
        ),
        _log("logs.sinks", "sinks"),
        _dead("dlq.invalid_telemetry", Category.TELEMETRY),
        _dead("dlq.invalid_events", Category.EVENT),
        _dead("dlq.invalid_alarms", Category.ALARM),
        TopicSpec(
            name="dlq.buffer_overflow",
            purpose="notices about records that a gateway gave up for lack of space",
            owner="gateway",
            service="overflow",
            writers=("gateway", "mirror"),
            readers=("historian", "api"),
            retention_us=_DEAD_DAYS * times.DAY,
        ),
        TopicSpec(
            name="metrics.gateways",
            purpose="health and ledger counts of each gateway",
            owner="gateway",
            service="gateway_status",
            writers=("gateway", "mirror"),
            readers=("historian", "api"),
            form="json",
            retention_us=times.DAY,
        ),
        TopicSpec(
            name="metrics.historian",
            purpose="what the historian has stored of each edge, so that the edge may let its copy go",
            owner="historian",
            service="confirmations",
            writers=("historian",),
            readers=("gateway", "api", "mirror"),
            form="json",
            retention_us=times.DAY,
        ),
        *alarm_desk("alarms.actions", "alarms.answers", "notifications", "notifications.deliveries"),
        *states("state.{}"),
        TopicSpec(
            name="audit_trail",
            purpose="who changed what; kept for ever",
            owner="control",
            readers=("api",),
            form="json",
            retention_us=None,
        ),
    ),
)
