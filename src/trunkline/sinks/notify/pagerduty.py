"""PagerDuty, Events API v2: an alarm is an incident from `trigger` to `resolve`, held together by its dedup_key (W-88, W-141).

Sending the same event twice changes nothing there: that is what the dedup_key is for.
"""

from typing import Any, Final

import msgspec

from trunkline.config.channels import PagerDutyChannel
from trunkline.config.secrets import SecretStore
from trunkline.model import times
from trunkline.model.events import AlarmSeverity
from trunkline.model.notifications import NotificationRequest, RequestKind
from trunkline.sinks.notify.http import Poster
from trunkline.sinks.notify.port import Site

#: The four words of the Common Event Format.
SEVERITIES: Final = {
    AlarmSeverity.CRITICAL: "critical",
    AlarmSeverity.HIGH: "error",
    AlarmSeverity.MEDIUM: "warning",
    AlarmSeverity.LOW: "info",
}
_ACTIONS: Final = {RequestKind.ACKNOWLEDGE: "acknowledge", RequestKind.RESOLVE: "resolve"}
_MAX_KEY: Final = 255
_MAX_SUMMARY: Final = 1024


class PagerDutySender:
    """Sends events to one service. Raises SecretUnavailable, Misconfigured."""

    def __init__(self, config: PagerDutyChannel, site: Site, secrets: SecretStore) -> None:
        self._site = site
        self._key = secrets.resolve(config.integration_key).strip()
        self._poster = Poster(secrets.resolve(config.url), f"channel {config.id}", config.timeout_seconds)

    def send(self, request: NotificationRequest, now: int) -> str:
        """Send one event; see the port."""
        return self._poster.post(msgspec.json.encode(event_of(request, self._key, self._site)), {}, now)


def event_of(request: NotificationRequest, key: str, site: Site) -> dict[str, Any]:
    """Return the body of the event (PagerDuty, Events API v2: 'Send an Alert Event')."""
    action = _ACTIONS.get(request.kind, "trigger")
    event: dict[str, Any] = {"routing_key": key, "event_action": action, "dedup_key": request.dedup_key[:_MAX_KEY]}
    if action != "trigger":
        return event
    payload = {
        "summary": f"{site.shown}: {request.subject}"[:_MAX_SUMMARY],
        "source": request.asset or site.name,
        "severity": SEVERITIES[request.severity],
        "timestamp": times.to_iso(request.time),
        "component": request.tag,
        "group": site.name,
        "class": request.type,
        "custom_details": {"text": request.text, "id": request.id, "for": ", ".join(request.people)},
    }
    links = [{"href": link, "text": "Trunkline"} for link in request.links]
    return {**event, "payload": payload, "client": "Trunkline", "links": links}
