"""E-mail by a mail server (RFC 5321), encrypted: single alarms as plain text, digests and summaries as plain text and HTML (W-143)."""

import html
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from trunkline.config.channels import EmailChannel
from trunkline.config.rotas import Person
from trunkline.config.secrets import SecretStore
from trunkline.model import times
from trunkline.model.errors import Rejected
from trunkline.model.notifications import NotificationRequest
from trunkline.sinks.notify.http import tls_context
from trunkline.sinks.notify.port import NotNow, Reached, Site

_PERMANENT: Final = range(500, 600)
_SHOWN: Final = 200


class EmailSender:
    """Sends mails by one server, each in a connection of its own. Raises SecretUnavailable, Misconfigured."""

    def __init__(self, config: EmailChannel, site: Site, secrets: SecretStore, people: Sequence[Person]) -> None:
        self._config = config
        self._site = site
        self._addresses = {person.id: person.email for person in people}
        self._reached = Reached()
        self._password = secrets.resolve(config.password) if config.password is not None else ""
        self._tls = tls_context(secrets.base / config.ca if config.ca else None, f"channel {config.id}")

    def send(self, request: NotificationRequest, now: int) -> str:
        """Send one mail; see the port. Its Message-ID is the request's id, so that a mail sent twice can be told."""
        everybody = [address for person in request.people if (address := self._addresses.get(person))] or list(self._config.recipients)
        if not everybody:
            raise Rejected(f"nobody to send it to: give channel {self._config.id} 'recipients', or the people of the rule an 'email'")
        left = self._reached.left(request.id, everybody)
        try:
            refused = self._deliver(mail_of(request, self._site, self._config.sender, everybody, now), left)
        except smtplib.SMTPRecipientsRefused as error:
            reasons = "; ".join(f"{name}: {_said(code, text)}" for name, (code, text) in error.recipients.items())
            if all(code in _PERMANENT for code, _ in error.recipients.values()):
                raise Rejected(f"{self._config.host} refuses every recipient: {reasons}") from None
            raise NotNow(f"channel {self._config.id}: {self._config.host} takes no recipient now: {reasons}") from None
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            said = _said(error.smtp_code, error.smtp_error)
            if error.smtp_code in _PERMANENT:
                raise Rejected(f"{self._config.host} refuses it: {said}") from None
            raise NotNow(f"channel {self._config.id}: {self._config.host} asks to come later: {said}") from None
        except smtplib.SMTPAuthenticationError as error:
            # a password that is mended later shall lose nothing
            said = f"refuses user {self._config.username!r} ({error.smtp_code}): check the password"
            raise NotNow(f"channel {self._config.id}: {self._config.host} {said}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotNow(f"channel {self._config.id}: {self._config.host} is away: {_reason(error)}") from None
        self._reached.add(set(left) - refused.keys())
        if later := [name for name, (code, _) in refused.items() if code not in _PERMANENT]:
            raise NotNow(f"channel {self._config.id}: {self._config.host} does not take it for {len(later)} of the recipients now")
        return f"accepted for {len(everybody) - len(refused)} of {len(everybody)} recipients"

    def _deliver(self, message: EmailMessage, recipients: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        config = self._config
        if config.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(config.host, config.port, timeout=config.timeout_seconds, context=self._tls)
        else:
            server = smtplib.SMTP(config.host, config.port, timeout=config.timeout_seconds)
        with server:
            if config.security == "starttls":
                server.starttls(context=self._tls)
            if config.username:
                server.login(config.username, self._password)
            return server.send_message(message, to_addrs=list(recipients))


def mail_of(request: NotificationRequest, site: Site, sender: str, recipients: Sequence[str], now: int) -> EmailMessage:
    """Return the mail. Mails of one alarm are one conversation: they refer to its key."""
    domain = sender.rpartition("@")[2]
    links = "".join(f"\n{link}" for link in request.links)
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = f"[{site.shown}] {request.subject}"
    mail["Date"] = format_datetime(times.to_datetime(now))
    mail["Message-ID"] = f"<{request.id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{request.text}\n{links}\n")
    if request.items:
        mail.add_alternative(_page(request), subtype="html")
    return mail


def _page(request: NotificationRequest) -> str:
    """Return a digest as HTML: a table of its alarms, then the plain text's last lines."""
    rows = "".join(
        f"<tr><td><b>{one.severity.name}</b></td><td>{times.to_iso(one.time)}</td><td>{html.escape(one.text)}</td></tr>"
        for one in request.items
    )
    links = "".join(f'<p><a href="{html.escape(link)}">{html.escape(link)}</a></p>' for link in request.links)
    return f"<html><body><p>{html.escape(request.subject)}</p><table>{rows}</table>{links}</body></html>"


def _said(code: int, text: bytes | str) -> str:
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(shown.split())[:_SHOWN]}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {error.reason or 'no reason given'}"
    return " ".join(str(error).split())[:_SHOWN] or type(error).__name__
