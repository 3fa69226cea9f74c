"""The steps of roles 'evaluate' and 'notify', made of what the site file says. A step that a site does not use is not even loaded."""

from collections.abc import Callable, Iterable

from trunkline.config.loading import Site
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.forms import forms_of
from trunkline.log.opening import layout_of
from trunkline.log.port import Record
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind
from trunkline.processing.port import Outputs, Step
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


def _telemetry(site: Site) -> CleanTelemetry:
    kinds = {path: entry.tag.value_kind for path, entry in site.tags().items()}
    return CleanTelemetry(layout_of(site.config.log), kinds, client_of(site))


def _alarming(site: Site) -> Step:
    from trunkline.processing.alarms.step import AlarmStep  # noqa: PLC0415 - see above

    tags = {path: entry.tag for path, entry in site.tags().items()}
    forms = forms_of(site.config.log.form, site.typed)
    return AlarmStep(layout_of(site.config.log), site.config.alarms, tags, schemas=client_of(site), forms=forms)


def _deriving(site: Site) -> Step:
    from trunkline.processing.derive.step import DeriveStep, Emitted  # noqa: PLC0415 - see above

    layout = layout_of(site.config.log)
    kinds = {path: entry.tag.value_kind for path, entry in site.tags().items()}
    core = DeriveStep(layout, site.config.derived, kinds, str(uuid7()))

    def outputs(emitted: Iterable[Emitted]) -> Outputs:
        out: Outputs = {}
        for topic, record in emitted:
            out.setdefault(topic, []).append(record)
        return out

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
    from trunkline.processing.anomaly.book import AnomalyBook  # noqa: PLC0415 - see above

    layout, forms = layout_of(site.config.log), forms_of(site.config.log.form, site.typed)
    units = {path: entry.tag.unit for path, entry in site.tags().items() if entry.tag.value_kind is not Kind.TEXT}
    book = AnomalyBook(site.config.anomalies, units, site.config.timezone)
    topic = layout.topic(Category.EVENT, "raw")

    def told(events: Iterable[Event]) -> Outputs:
        records = [Record(forms.event(encode_event(event)), event.asset.encode()) for event in events]
        return {topic: records} if records else {}

    return TelemetryStep(
        "anomaly",
        layout,
        _telemetry(site),
        book,
        lambda columns, now: told(book.evaluate(columns, now).events),
        lambda now: told(book.tick(now)),
        (topic,),
    )


def routing_step(site: Site) -> Callable[[], Step]:
    """Return what makes the step of role 'notify'."""
    from trunkline.processing.notify.step import NotifyStep  # noqa: PLC0415 - see above

    layout, schemas, config = layout_of(site.config.log), client_of(site), site.config
    return lambda: NotifyStep(layout, config.notifications, config.timezone, schemas=schemas)
