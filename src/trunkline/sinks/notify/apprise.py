"""SMS, voice and every other service that Apprise can reach (W-141).

Apprise says only whether it worked; why, it writes to its log, from which the HTTP status is read: a refusal is final, all else is
tried again.
"""

import logging
import re
import threading
from collections.abc import Sequence
from typing import Final

import apprise

from trunkline.config.channels import AppriseChannel
from trunkline.config.rotas import Person
from trunkline.config.secrets import SecretStore
from trunkline.model.errors import Misconfigured, Rejected
from trunkline.model.events import AlarmSeverity
from trunkline.model.notifications import NotificationRequest, RequestKind
from trunkline.sinks.notify.http import LATER
from trunkline.sinks.notify.port import NotNow, Reached, Site

_STATUS: Final = re.compile(r"error=(\d{3})")
_LONGEST_SMS: Final = 450
_KINDS: Final = {
    AlarmSeverity.CRITICAL: apprise.NotifyType.FAILURE,
    AlarmSeverity.HIGH: apprise.NotifyType.FAILURE,
    AlarmSeverity.MEDIUM: apprise.NotifyType.WARNING,
    AlarmSeverity.LOW: apprise.NotifyType.INFO,
}
#: Apprise's log is one for the process.
_lock = threading.Lock()


class AppriseSender:
    """Sends by one Apprise address. Raises SecretUnavailable, Misconfigured."""

    def __init__(self, config: AppriseChannel, site: Site, secrets: SecretStore, people: Sequence[Person]) -> None:
        self._config = config
        self._site = site
        self._phones = {person.id: person.phone for person in people}
        self._reached = Reached()
        self._url = secrets.resolve(config.url).strip()
        self._asset = apprise.AppriseAsset(app_id="Trunkline", async_mode=False, secure_logging=True, http_redirects=False)
        if self._made("+10000000000") is None:
            raise Misconfigured(f"channel {config.id}: 'url' is no address that Apprise knows: see its list of services")

    def send(self, request: NotificationRequest, now: int) -> str:
        """Send one message; see the port. Each number is called by itself, and not again when another was not reached."""
        del now
        if self._config.type == "apprise":
            self._notify("", request, request.text, request.subject)
            return "accepted"
        everybody = [phone for person in request.people if (phone := self._phones.get(person))] or list(self._config.phone_numbers)
        if not everybody:
            raise Rejected(f"nobody to call: give channel {self._config.id} 'phone_numbers', or the people of the rule a 'phone'")
        text = f"{self._site.shown}: {request.subject}"[:_LONGEST_SMS]
        refused: list[str] = []
        for number in self._reached.left(request.id, everybody):
            try:
                self._notify(number, request, text, "")
            except Rejected as error:
                refused.append(error.reason)
            self._reached.add((number,))
        if len(refused) == len(everybody):
            raise Rejected(refused[-1])
        return f"accepted for {len(everybody) - len(refused)} of {len(everybody)} numbers" + (f": {refused[-1]}" if refused else "")

    def _notify(self, number: str, request: NotificationRequest, text: str, title: str) -> None:
        service = self._made(number)
        kind = apprise.NotifyType.SUCCESS if request.kind is RequestKind.RESOLVE else _KINDS[request.severity]
        with _lock, apprise.LogCapture(level=logging.WARNING) as captured:  # type: ignore[no-untyped-call]  # as the library has it
            if service is not None and service.notify(body=text, title=title, notify_type=kind):
                return
            statuses = [int(code) for code in _STATUS.findall(captured.getvalue())]
        said = f"HTTP {statuses[-1]}" if statuses else "no answer, or no reason given"
        if statuses and all(300 <= code < 500 and code not in LATER for code in statuses):
            raise Rejected(f"the service refuses it: {said}")
        raise NotNow(f"channel {self._config.id}: the service did not take it: {said}")

    def _made(self, number: str) -> "apprise.NotifyBase | None":
        """Return the service; a phone number is a part of its path. None when there is no such service."""
        url, question, query = self._url.partition("?")
        if self._config.type != "apprise":
            url = f"{url.rstrip('/')}/{re.sub(r'[^+0-9]', '', number)}"
        timeout = f"cto={self._config.timeout_seconds}&rto={self._config.timeout_seconds}"
        return apprise.Apprise.instantiate(f"{url}?{query}{'&' if question else ''}{timeout}", asset=self._asset, suppress_exceptions=True)
