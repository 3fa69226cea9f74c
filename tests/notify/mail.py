"""A real mail server on loopback (aiosmtpd) that records what came and refuses when told to."""

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from trunkline.lab.ports import free_ports


@dataclass
class Mail:
    """A mail as it came."""

    recipients: list[str]
    message: EmailMessage
    encrypted: bool
    user: str


@dataclass
class MailServer:
    """Records every mail.

    Attributes:
        mails: what was accepted.
        answers: for the next mails, what DATA is answered with; '250 OK' when it is empty.
        refuse: by recipient, what RCPT is answered with, once each.
        users: names with their passwords.
    """

    port: int
    mails: list[Mail] = field(default_factory=list)
    answers: deque[str] = field(default_factory=deque)
    refuse: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        if address in self.refuse:
            return self.refuse.pop(address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers and (answer := self.answers.popleft()) != "250 OK":
            return answer
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        assert server.transport is not None
        login: Any = session.auth_data
        user = login.decode() if session.authenticated else ""
        self.mails.append(Mail(list(envelope.rcpt_tos), message, server.transport.get_extra_info("sslcontext") is not None, user))
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        known = self.users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=known, handled=False, auth_data=data.login)


@contextmanager
def mail_server(certificate: tuple[Path, Path] | None = None, *, starttls: bool = True, port: int = 0) -> Iterator[MailServer]:
    """Run one; with a certificate and its key (PEM) it speaks STARTTLS, or TLS from the first byte."""
    port = port or free_ports(1)[0]
    desk = MailServer(port)
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    options: dict[str, Any] = {"authenticator": desk.authenticate, "auth_required": False, "auth_require_tls": False}
    if context is not None and starttls:
        options |= {"tls_context": context, "require_starttls": True}
    elif context is not None:
        options |= {"ssl_context": context}
    controller = Controller(desk, hostname="127.0.0.1", port=port, loop=asyncio.new_event_loop(), **options)
    controller.start()
    try:
        yield desk
    finally:
        controller.stop()
