"""The steps of roles 'evaluate' and 'notify', made of what the site file says. A step that a site does not use is not even loaded."""

from collections.abc import Callable

from trunkline.config.anomalies import ANOMALY
from trunkline.config.loading import Site
from trunkline.log.codec.forms import forms_of
from trunkline.log.opening import layout_of
from trunkline.model.identity import uuid7
from trunkline.model.reading import Kind
from trunkline.processing.port import Step
from trunkline.processing.telemetry import CleanTelemetry, TelemetryStep
from trunkline.registry.client import client_of


def evaluating_steps(site: Site) -> list[Callable[[], Step]]:
    """Return what makes each step of role 'evaluate'."""
    steps: list[Callable[[], Step]] = []
    if site.config.derived:
        steps.append(lambda: _deriving(site))
    if site.config.keeps_alarms:
        steps.append(lambda: _alarming(site))
    if any(rule.enabled for rule in site.config.anomalies):
        steps.append(lambda: _watching(site))
    return steps


def groups(site: Site) -> list[str]:
    """Return the consumer groups that read the site log: what they have not read yet is kept, whatever its age."""
    config = site.config
    found = {
        "derive": bool(config.derived),
        "alarms": config.keeps_alarms,
        "anomaly": any(rule.enabled for rule in config.anomalies),
        "notify": bool(config.notifications.channels),
    }
    return ["validate", "historian", *(name for name, used in found.items() if used)]


def _telemetry(site: Site) -> CleanTelemetry:
    kinds = {path: entry.tag.value_kind for path, entry in site.tags().items()}
    return CleanTelemetry(layout_of(site.config.log), kinds, client_of(site))


def _alarming(site: Site) -> Step:
    from trunkline.processing.alarms.step import AlarmStep  # noqa: PLC0415 - see above

    tags = {path: entry.tag for path, entry in site.tags().items()}
    forms = forms_of(site.config.log.form, site.typed)
    return AlarmStep(layout_of(site.config.log), site.config.alarms, tags, schemas=client_of(site), forms=forms)


def _deriving(site: Site) -> Step:
    from trunkline.processing.author import outputs  # noqa: PLC0415 - see above
    from trunkline.processing.derive.step import DeriveStep  # noqa: PLC0415

    layout = layout_of(site.config.log)
    kinds = {path: entry.tag.value_kind for path, entry in site.tags().items()}
    core = DeriveStep(layout, site.config.derived, kinds, str(uuid7()))
    return TelemetryStep(
        "derive",
        layout,
        _telemetry(site),
        core,
        lambda columns, now: outputs(core.evaluate(columns, now)),
        lambda now: outputs(core.tick(now)),
        core.outputs,
    )


def _watching(site: Site) -> Step:
    from trunkline.processing.anomaly.step import Anomalies  # noqa: PLC0415 - see above

    layout, config = layout_of(site.config.log), site.config
    units = {
        path: entry.tag.unit
        for path, entry in site.tags().items()
        if entry.gateway != ANOMALY and entry.tag.value_kind in {Kind.DOUBLE, Kind.INTEGER}
    }
    core = Anomalies(layout, config.anomalies, units, config.timezone, str(uuid7()), forms_of(config.log.form, site.typed))
    return TelemetryStep("anomaly", layout, _telemetry(site), core, core.evaluate, core.tick, core.topics)


def routing_step(site: Site) -> Callable[[], Step]:
    """Return what makes the step of role 'notify'."""
    from trunkline.processing.notify.step import NotifyStep  # noqa: PLC0415 - see above

    layout, schemas, config = layout_of(site.config.log), client_of(site), site.config
    return lambda: NotifyStep(layout, config.notifications, config.timezone, schemas=schemas)
