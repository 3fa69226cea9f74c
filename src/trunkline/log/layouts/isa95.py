"""Layout `isa95`: `<domain>.<isa-level>.<category>.<type>` (plant.md sections 3 and 4).

Level 2 topics are what nodes write, ours and others'. What validation lets pass is level 3 and lies one to one beside it, so that
order and coverage are kept; notices, dead letters and the platform's own topics are level 3, outside of `scada.l2.*` (PD-22).
"""

import re
from typing import Final

from trunkline.log.layouts.spec import LayoutTable, TopicSpec, alarm_desk, heard, rollups, states
from trunkline.model import times
from trunkline.model.reading import Category

_PARTITIONS: Final = 200
_WORDS: Final = {
    "FLOW": "flow",
    "FLOWRATE": "flow",
    "PRESSURE": "pressure",
    "PRESS": "pressure",
    "TEMPERATURE": "temperature",
    "TEMP": "temperature",
}
OTHER: Final = "other"


def measurement_of(tag: str) -> str:
    """Return the measurement that a tag's name tells of: flow, pressure, temperature, or other (P-28, PD-30)."""
    words = re.split(r"[_-]", tag.rpartition(".")[2])
    return next((_WORDS[word] for word in words if word in _WORDS), OTHER)


def _telemetry(measurement: str) -> tuple[TopicSpec, TopicSpec]:
    what = "measurements of other kinds" if measurement == OTHER else f"{measurement} measurements"
    return (
        TopicSpec(
            name=f"scada.l2.telemetry.{measurement}",
            purpose=f"{what} from nodes",
            owner="gateway",
            carries=(Category.TELEMETRY, "raw"),
            measurement=measurement,
            writers=("gateway", "evaluate", "external-producer", "mirror"),
            readers=("validate", "api", "external-reader"),
            form="block",
            partitions=_PARTITIONS,
            scaled=True,
            retention_us=7 * times.DAY,
        ),
        TopicSpec(
            name=f"scada.l3.telemetry.{measurement}",
            purpose=f"{what} that passed validation",
            owner="validate",
            carries=(Category.TELEMETRY, "clean"),
            measurement=measurement,
            writers=("validate",),
            readers=("validate", "evaluate", "historian", "api", "external-reader"),
            form="block",
            partitions=_PARTITIONS,
            scaled=True,
            retention_us=7 * times.DAY,
        ),
    )


def _events(name: str, category: Category, what: str, retention_us: int) -> tuple[TopicSpec, TopicSpec]:
    return (
        TopicSpec(
            name=f"scada.l2.{name}",
            purpose=f"{what} from nodes",
            owner="gateway",
            carries=(category, "raw"),
            writers=("gateway", "evaluate", "external-producer", "mirror"),
            readers=("validate", "api", "external-reader"),
            partitions=_PARTITIONS,
            scaled=True,
            retention_us=retention_us,
        ),
        TopicSpec(
            name=f"scada.l3.{name}",
            purpose=f"{what} that passed validation",
            owner="validate",
            carries=(category, "clean"),
            writers=("validate",),
            readers=("validate", *heard(category), "historian", "api", "external-reader"),
            partitions=_PARTITIONS,
            scaled=True,
            retention_us=retention_us,
        ),
    )


def _dead(name: str, category: Category) -> TopicSpec:
    return TopicSpec(
        name=f"scada.l3.deadletter.{name}",
        purpose=f"{category.name.lower()} records that were refused, with reason, place and original bytes",
        owner="validate",
        carries=(category, "dead"),
        writers=("validate", "historian", "mirror"),
        readers=("api",),
        form="json",
        retention_us=90 * times.DAY,
    )


TABLE: Final = LayoutTable(
    "isa95",
    "names by ISA-95 level and measurement: for plants whose nodes and consumers speak `scada.l2.*`",
    (
        *_telemetry("flow"),
        *_telemetry("pressure"),
        *_telemetry("temperature"),
        *_telemetry(OTHER),
        *_events("events", Category.EVENT, "operational events", 30 * times.DAY),
        *_events("alarms", Category.ALARM, "process alarms", 90 * times.DAY),
        _dead("telemetry", Category.TELEMETRY),
        _dead("events", Category.EVENT),
        _dead("alarms", Category.ALARM),
        TopicSpec(
            name="scada.l3.notice.overflow",
            purpose="notices about records that a gateway gave up for lack of space",
            owner="gateway",
            service="overflow",
            writers=("gateway", "mirror"),
            readers=("historian", "api"),
            retention_us=90 * times.DAY,
        ),
        TopicSpec(
            name="scada.l3.status.gateways",
            purpose="health and ledger counts of each gateway",
            owner="gateway",
            service="gateway_status",
            writers=("gateway", "mirror"),
            readers=("historian", "api"),
            form="json",
            retention_us=times.DAY,
        ),
        TopicSpec(
            name="scada.l3.status.historian",
            purpose="what the historian has stored of each edge, so that the edge may let its copy go",
            owner="historian",
            service="confirmations",
            writers=("historian",),
            readers=("gateway", "api", "mirror"),
            form="json",
            retention_us=times.DAY,
        ),
        TopicSpec(
            name="scada.l3.log.gateways",
            purpose="log lines of gateways",
            owner="gateway",
            service="platform_log",
            writers=("gateway", "mirror"),
            readers=("api",),
            form="json",
            retention_us=7 * times.DAY,
        ),
        *rollups("scada.l3.rollup.{}", 12, scaled=False),
        *alarm_desk("scada.l3.alarms.actions", "scada.l3.alarms.answers", "scada.l3.notifications", "scada.l3.notifications.deliveries"),
        *states("scada.l3.state.{}"),
    ),
)
