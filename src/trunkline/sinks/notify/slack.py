"""Slack, by an incoming webhook (W-142). Its address is a secret: nothing of it but the host is ever shown."""

from typing import Any, Final

import msgspec

from trunkline.config.channels import SlackChannel
from trunkline.config.secrets import SecretStore
from trunkline.model.notifications import NotificationRequest
from trunkline.sinks.notify.http import Poster
from trunkline.sinks.notify.port import Site

#: Of a block's text.
_MAX_TEXT: Final = 2900


class SlackSender:
    """Posts messages to one webhook. Raises SecretUnavailable, Misconfigured."""

    def __init__(self, config: SlackChannel, site: Site, secrets: SecretStore) -> None:
        self._site = site
        self._channel = config.channel
        self._poster = Poster(secrets.resolve(config.url), f"channel {config.id}", config.timeout_seconds)

    def send(self, request: NotificationRequest, now: int) -> str:
        """Post one message; see the port."""
        return self._poster.post(msgspec.json.encode(message_of(request, self._site, self._channel)), {}, now)


def message_of(request: NotificationRequest, site: Site, channel: str) -> dict[str, Any]:
    """Return the message: text for the notification itself, and a block for the rest."""
    subject = escape(f"{site.shown}: {request.subject}")
    links = "".join(f"\n<{link}>" for link in request.links)
    people = f"\nFor: {escape(', '.join(request.people))}" if request.people else ""
    block = f"*{subject}*\n{escape(request.text)[:_MAX_TEXT]}{people}{links}"
    message: dict[str, Any] = {"text": subject, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": block}}]}
    return {"channel": channel, **message} if channel else message


def escape(text: str) -> str:
    """Return a text in which nothing is a mention or a link (Slack, 'Formatting text': escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
