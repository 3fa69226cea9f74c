"""From a channel of the site file to what sends by it."""

from trunkline.config.channels import Channel, EmailChannel, PagerDutyChannel, SlackChannel, WebhookChannel
from trunkline.config.notifications import NotificationsConfig
from trunkline.config.secrets import SecretStore
from trunkline.sinks.notify.email import EmailSender
from trunkline.sinks.notify.pagerduty import PagerDutySender
from trunkline.sinks.notify.port import Sender, Site
from trunkline.sinks.notify.slack import SlackSender
from trunkline.sinks.notify.webhook import WebhookSender


def make_sender(channel: Channel, config: NotificationsConfig, site: Site, secrets: SecretStore) -> Sender:
    """Return a channel, its secrets resolved.

    Raises:
        SecretUnavailable: one of its references cannot be resolved.
        Misconfigured: what it refers to cannot be used.
    """
    if isinstance(channel, PagerDutyChannel):
        return PagerDutySender(channel, site, secrets)
    if isinstance(channel, SlackChannel):
        return SlackSender(channel, site, secrets)
    if isinstance(channel, WebhookChannel):
        return WebhookSender(channel, site, secrets)
    if isinstance(channel, EmailChannel):
        return EmailSender(channel, site, secrets, config.people)
    from trunkline.sinks.notify.apprise import AppriseSender  # noqa: PLC0415 - a large library: loaded where it is used

    return AppriseSender(channel, site, secrets, config.people)
