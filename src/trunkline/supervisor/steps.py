"""The steps of role 'evaluate', made of what the site file says."""

from collections.abc import Callable

from trunkline.config.loading import Site
from trunkline.log.codec.forms import forms_of
from trunkline.log.opening import layout_of
from trunkline.processing.port import Step
from trunkline.registry.client import client_of


def evaluating_steps(site: Site) -> list[Callable[[], Step]]:
    """Return what makes each step; a step that a site does not use is not even loaded."""
    layout, schemas, forms = layout_of(site.config.log), client_of(site), forms_of(site.config.log.form, site.typed)
    tags = {path: entry.tag for path, entry in site.tags().items()}
    steps: list[Callable[[], Step]] = []
    if site.config.keeps_alarms:
        from trunkline.processing.alarms.step import AlarmStep  # noqa: PLC0415 - see above

        steps.append(lambda: AlarmStep(layout, site.config.alarms, tags, schemas=schemas, forms=forms))
    return steps


def routing_step(site: Site) -> Callable[[], Step]:
    """Return what makes the step of role 'notify'."""
    from trunkline.processing.notify.step import NotifyStep  # noqa: PLC0415 - see above

    layout, schemas, config = layout_of(site.config.log), client_of(site), site.config
    return lambda: NotifyStep(layout, config.notifications, config.timezone, lives=config.keeps_alarms, schemas=schemas)
